//! A bound on the movies of any one genre.

/// How many more movies each genre may have.
#[derive(Clone, Debug)]
pub struct GenreRoom {
    left: Vec<u32>,
}

impl GenreRoom {
    /// Room for `most` movies of each of `genres` genres.
    pub fn new(most: u32, genres: usize) -> Self {
        Self { left: vec![most; genres] }
    }

    /// Whether all genres of a movie have room for it.
    pub fn allows(&self, genres: &[u32]) -> bool {
        genres.iter().all(|genre| self.left[*genre as usize] > 0)
    }

    /// Counts a movie, whether there was room for it or not.
    pub fn take(&mut self, genres: &[u32]) {
        for genre in genres {
            let left = &mut self.left[*genre as usize];
            *left = left.saturating_sub(1);
        }
    }
}
