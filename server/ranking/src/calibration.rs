//! How far a list's genres are from those of the history: Steck, "Calibrated recommendations", RecSys 2018.

use crate::Candidate;

/// Of the wanted shares so much is mixed into a list's, so that a genre that it lacks costs something finite.
const SMOOTHING: f64 = 0.01;

/// Below any sum of shares that is not 0.
const TINY: f64 = 1e-12;

/// How much of a history each genre is, by its number; together 1, or 0 where no movie has a genre.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenreShares(Vec<f64>);

impl GenreShares {
    /// Shares in these proportions, which are not below 0.
    pub fn new(mut parts: Vec<f64>) -> Self {
        let total: f64 = parts.iter().sum();
        for part in &mut parts {
            *part /= total.max(TINY);
        }
        Self(parts)
    }

    /// The shares in a history of which each movie's genres are given, by numbers below `genres`; a movie of several
    /// is divided among them.
    pub fn of<'a>(history: impl IntoIterator<Item = &'a [u32]>, genres: usize) -> Self {
        let mut parts = vec![0.0; genres];
        for movie in history {
            add(&mut parts, movie);
        }
        Self::new(parts)
    }

    /// Whether no genre has a share.
    pub fn is_nothing(&self) -> bool {
        self.0.iter().all(|share| *share == 0.0)
    }

    /// The divergence, in nats, of these from the genres of a list.
    pub fn divergence<'a>(&self, list: impl IntoIterator<Item = &'a [u32]>) -> f64 {
        let (mut totals, mut total) = (vec![0.0; self.len()], 0.0);
        for movie in list {
            add(&mut totals, movie);
            total += f64::from(!movie.is_empty());
        }
        let wanted = self.0.iter().zip(&totals).filter(|(wanted, _)| **wanted > 0.0);
        wanted.map(|(wanted, part)| term(*wanted, *part, total)).sum()
    }

    /// How many genres there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Adds a movie's genres, which share 1 among them.
fn add(totals: &mut [f64], movie: &[u32]) {
    for genre in movie {
        totals[*genre as usize] += 1.0 / movie.len() as f64;
    }
}

/// The divergence of a list that grows, and what each further movie would make of it.
///
/// A movie changes the terms of its own genres alone, and each by how many genres it has. So one table a step, of
/// genres and numbers of genres, has the logarithms of all candidates.
pub(crate) struct Divergence<'a> {
    wanted: &'a [f64],
    totals: Vec<f64>,
    /// The sum of `totals`: how many movies with genres were chosen.
    total: f64,
    /// Numbers of genres that candidates have.
    sizes: Vec<usize>,
    /// What a movie with so many genres, this among them, changes: genres x (the most of `sizes` + 1).
    changes: Vec<f64>,
    /// The divergence with one movie more, before its genres are counted.
    with_one_more: f64,
    now: f64,
}

impl<'a> Divergence<'a> {
    pub(crate) fn new(wanted: &'a GenreShares, candidates: &[Candidate<'_>]) -> Self {
        let mut sizes: Vec<usize> = candidates.iter().map(|movie| movie.genres.len()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes.retain(|size| *size > 0);
        let columns = sizes.last().map_or(0, |most| most + 1);
        let mut divergence = Self {
            wanted: &wanted.0,
            totals: vec![0.0; wanted.len()],
            total: 0.0,
            sizes,
            changes: vec![0.0; wanted.len() * columns],
            with_one_more: 0.0,
            now: 0.0,
        };
        divergence.refresh();
        divergence
    }

    /// Of the list as it is, in nats.
    pub(crate) fn now(&self) -> f64 {
        self.now
    }

    /// Of the list with one movie more.
    pub(crate) fn with(&self, movie: &Candidate<'_>) -> f64 {
        let size = movie.genres.len();
        if size == 0 {
            return self.now;
        }
        let changes = movie.genres.iter().map(|genre| self.changes[self.cell(*genre as usize, size)]);
        self.with_one_more + changes.sum::<f64>()
    }

    /// Takes a movie into the list.
    pub(crate) fn add(&mut self, movie: &Candidate<'_>) {
        add(&mut self.totals, movie.genres);
        self.total += f64::from(!movie.genres.is_empty());
        self.refresh();
    }

    fn cell(&self, genre: usize, size: usize) -> usize {
        let columns = self.sizes.last().map_or(0, |most| most + 1);
        genre * columns + size
    }

    fn refresh(&mut self) {
        (self.now, self.with_one_more) = (0.0, 0.0);
        for genre in (0..self.wanted.len()).filter(|genre| self.wanted[*genre] > 0.0) {
            let (wanted, total) = (self.wanted[genre], self.totals[genre]);
            self.now += term(wanted, total, self.total);
            let without = term(wanted, total, self.total + 1.0);
            self.with_one_more += without;
            for place in 0..self.sizes.len() {
                let size = self.sizes[place];
                let with = term(wanted, total + 1.0 / size as f64, self.total + 1.0);
                let cell = self.cell(genre, size);
                self.changes[cell] = with - without;
            }
        }
    }
}

/// What a genre adds to the divergence of a list in which it has `part` of `total`.
fn term(wanted: f64, part: f64, total: f64) -> f64 {
    let smoothed = (1.0 - SMOOTHING) * part / total.max(TINY) + SMOOTHING * wanted;
    wanted * (wanted / smoothed).ln()
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    const GENRES: usize = 7;

    fn movie(genres: &[u32]) -> Candidate<'_> {
        Candidate {
            score: 0.0,
            vector: &[],
            genres,
            events: 0,
            year: None,
            rating: 0.0,
            told_genres: 0.0,
            rules: 0.0,
        }
    }

    /// As the paper has it.
    fn by_definition(wanted: &GenreShares, list: &[&[u32]]) -> f64 {
        let list = GenreShares::of(list.iter().copied(), GENRES);
        let terms = wanted.0.iter().zip(&list.0).filter(|(wanted, _)| **wanted > 0.0);
        terms.map(|(wanted, share)| wanted * (wanted / (0.99 * share + 0.01 * wanted)).ln()).sum()
    }

    fn movies() -> impl Strategy<Value = Vec<Vec<u32>>> {
        let genres = btree_set(0..GENRES as u32, 0..4);
        vec(genres.prop_map(|genres| genres.into_iter().collect()), 1..12)
    }

    proptest! {
        #[test]
        fn the_table_says_what_the_definition_says(history in movies(), list in movies()) {
            let wanted = GenreShares::of(history.iter().map(Vec::as_slice), GENRES);
            let candidates: Vec<_> = list.iter().map(|genres| movie(genres)).collect();
            let mut divergence = Divergence::new(&wanted, &candidates);
            let mut chosen: Vec<&[u32]> = Vec::new();
            for candidate in &candidates {
                prop_assert!((divergence.now() - by_definition(&wanted, &chosen)).abs() < 1e-12);
                for other in &candidates {
                    let with: Vec<_> = chosen.iter().copied().chain([other.genres]).collect();
                    prop_assert!((divergence.with(other) - by_definition(&wanted, &with)).abs() < 1e-12);
                }
                divergence.add(candidate);
                chosen.push(candidate.genres);
            }
        }
    }

    #[test]
    fn a_movie_of_several_genres_is_divided_among_them() {
        let shares = GenreShares::of([&[0, 1][..], &[1], &[]], 3);
        assert_eq!(shares, GenreShares(vec![0.25, 0.75, 0.0]));
    }

    #[test]
    fn a_history_without_genres_wants_nothing() {
        let wanted = GenreShares::of([&[][..]], GENRES);
        let candidate = movie(&[3]);
        assert!(Divergence::new(&wanted, &[candidate]).with(&candidate).abs() < TINY);
    }
}
