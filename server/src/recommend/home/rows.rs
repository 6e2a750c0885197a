//! The rows of a page: what each is about, and who gets a movie that several could show.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::catalog::Movie;
use crate::recommend::Pick;

/// The fewest movies of a row: with fewer it looks broken.
pub(super) const FEWEST_MOVIES: usize = 3;

/// What the subject did with the movie of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// The user liked it.
    Liked,
    /// It stands in the request's own history, which does not say how it was liked.
    Watched,
}

/// By what the movies of a genre or a decade were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// By what is known of the subject.
    Taste,
    /// By what others like.
    Popularity,
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// The model's best.
    ForYou,
    /// Like a movie that was liked or watched.
    Because {
        /// What the subject did with it.
        past: Past,
        /// The movie.
        movie: Arc<Movie>,
    },
    /// Released lately.
    New,
    /// Popular by recency.
    Trending,
    /// Popular altogether.
    Popular,
    /// Of a genre.
    Genre {
        /// By what they were found.
        by: Basis,
        /// Its name.
        name: Arc<str>,
    },
    /// Of a decade.
    Decade {
        /// By what they were found.
        by: Basis,
        /// Its first year.
        first_year: u16,
    },
}

impl RowKind {
    /// What to write above the row.
    pub fn title(&self) -> String {
        match self {
            Self::ForYou => "For you".to_owned(),
            Self::Because { past: Past::Watched, movie } => format!("Because you watched {}", movie.title),
            Self::Because { past: Past::Liked, movie } => format!("Because you liked {}", movie.title),
            Self::New => "New for you".to_owned(),
            Self::Trending => "Trending".to_owned(),
            Self::Popular => "Popular".to_owned(),
            Self::Genre { by: Basis::Popularity, name } => format!("Popular in {name}"),
            Self::Genre { by: Basis::Taste, name } => format!("{name} for you"),
            Self::Decade { by: Basis::Taste, first_year } => format!("The {first_year}s for you"),
            Self::Decade { by: Basis::Popularity, first_year } => format!("Popular from the {first_year}s"),
        }
    }
}

/// A row.
#[derive(Clone, Debug)]
pub struct HomeRow {
    /// What it is about.
    pub kind: RowKind,
    /// Its movies, best first.
    pub picks: Vec<Pick>,
}

/// A page that is filled row by row: who comes first gets a movie that others could show too.
pub(super) struct Page {
    row_size: usize,
    most_rows: usize,
    shown: RoaringBitmap,
    rows: Vec<HomeRow>,
}

impl Page {
    /// An empty page for so many rows of so many movies, at most.
    pub(super) fn new(row_size: usize, most_rows: usize) -> Self {
        Self { row_size, most_rows, shown: RoaringBitmap::new(), rows: Vec::new() }
    }

    /// Movies of a row, at most.
    pub(super) fn row_size(&self) -> usize {
        self.row_size
    }

    /// The movies that stand on the page.
    pub(super) fn shown(&self) -> &RoaringBitmap {
        &self.shown
    }

    /// Adds a row of the first of these picks that the page does not show yet. Where there are fewer than
    /// [`FEWEST_MOVIES`], or the page is full, nothing is added and they stay for the rows that follow.
    pub(super) fn add(&mut self, kind: RowKind, picks: impl IntoIterator<Item = Pick>) {
        if self.rows.len() >= self.most_rows {
            return;
        }
        let mut of_row = RoaringBitmap::new();
        let new = picks
            .into_iter()
            .filter(|pick| !self.shown.contains(pick.movie_id) && of_row.insert(pick.movie_id));
        let picks: Vec<Pick> = new.take(self.row_size).collect();
        if picks.len() >= FEWEST_MOVIES {
            self.shown.extend(picks.iter().map(|pick| pick.movie_id));
            self.rows.push(HomeRow { kind, picks });
        }
    }

    /// The rows in the order in which they were added.
    pub(super) fn into_rows(self) -> Vec<HomeRow> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::MovieId;

    use super::*;
    use crate::recommend::Source;

    fn picks(movie_ids: &[MovieId]) -> Vec<Pick> {
        let pick = |id: &MovieId| Pick {
            movie_id: *id,
            score: 0.0,
            parts: None,
            propensity: None,
            source: Source::Model,
            movie: None,
            rule: None,
        };
        movie_ids.iter().map(pick).collect()
    }

    fn shown(page: Page) -> Vec<Vec<MovieId>> {
        page.into_rows().iter().map(|row| row.picks.iter().map(|pick| pick.movie_id).collect()).collect()
    }

    #[test]
    fn a_movie_stands_in_the_first_row_that_could_show_it_and_in_no_other() {
        let mut page = Page::new(3, 9);
        page.add(RowKind::ForYou, picks(&[1, 2, 3, 4]));
        page.add(RowKind::New, picks(&[2, 4, 4, 5, 3, 6, 7]));
        page.add(RowKind::Popular, picks(&[7, 8, 9]));
        assert_eq!(shown(page), [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8, 9]]);
    }

    #[test]
    fn a_row_of_too_few_is_left_out_and_its_movies_stay_for_others() {
        let mut page = Page::new(10, 9);
        page.add(RowKind::ForYou, picks(&[1, 2]));
        page.add(RowKind::Popular, picks(&[2, 1, 3]));
        assert_eq!(shown(page), [vec![2, 1, 3]]);
    }

    #[test]
    fn a_page_has_no_more_rows_than_it_may() {
        let mut page = Page::new(3, 1);
        page.add(RowKind::ForYou, picks(&[1, 2, 3]));
        page.add(RowKind::Popular, picks(&[4, 5, 6]));
        assert_eq!(page.shown().iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(shown(page), [vec![1, 2, 3]]);
    }

    #[test]
    fn a_row_says_what_it_is_about() {
        let genre = |by| RowKind::Genre { by, name: "Film-Noir".into() }.title();
        assert_eq!(genre(Basis::Taste), "Film-Noir for you");
        assert_eq!(genre(Basis::Popularity), "Popular in Film-Noir");
        let decade = |by| RowKind::Decade { by, first_year: 1980 }.title();
        assert_eq!(decade(Basis::Taste), "The 1980s for you");
        assert_eq!(decade(Basis::Popularity), "Popular from the 1980s");
    }
}
