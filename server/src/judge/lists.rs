//! What lists are like. `marquee_onnx/metrics.py` defines the same figures.

use std::collections::HashMap;
use std::sync::Arc;

use marquee_ranking::{GenreShares, jaccard};

use super::Figure;
use crate::catalog::Movie;

/// Movies younger than so many years are fresh.
pub(super) const FRESH_YEARS: i64 = 5;

/// The long tail is outside of the most popular of these.
const HEAD: f64 = 0.2;

/// The gaps to the event before, in milliseconds, by which accuracy is told apart.
const GAPS: [(&str, std::ops::RangeInclusive<i64>); 3] = [
    ("ndcg@10, same second", 0..=999),
    ("ndcg@10, same minute", 1_000..=60_999),
    ("ndcg@10, longer", 61_000..=i64::MAX),
];

/// A list, and what it is judged by.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    /// Dense indexes, movies and vectors, best first; `None` for what the catalogue or the model does not know.
    pub(super) indexes: Vec<Option<u32>>,
    pub(super) movies: Vec<Option<Arc<Movie>>>,
    pub(super) vectors: Vec<Option<Vec<f32>>>,
    /// Where the held-back movie stands, if it is there.
    pub(super) rank: Option<usize>,
    /// The genres of the history.
    pub(super) wanted: GenreShares,
    /// When the held-back event was.
    pub(super) year: i64,
    /// How long after the event before.
    pub(super) gap_ms: i64,
}

/// The lists of all users.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists(Vec<List>);

impl Lists {
    pub(super) fn push(&mut self, list: List) {
        self.0.push(list);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every figure by its name; `popularity` is that of each movie by its dense index.
    pub(super) fn figures(&self, popularity: &[u64]) -> Vec<(&'static str, Figure)> {
        let popular = Popular::of(popularity);
        let mut figures = vec![
            ("ndcg@10", self.mean(List::gain)),
            ("recall@1", self.mean(|list| f64::from(list.rank == Some(0)))),
            ("recall@10", self.mean(|list| f64::from(list.rank.is_some()))),
            ("genre_diversity@10", self.mean(List::genre_diversity)),
            ("vector_diversity@10", self.mean(List::vector_diversity)),
            ("calibration_kl@10", self.mean(List::divergence)),
            ("novelty@10", self.mean(|list| list.mean_of(|index, _| popular.novelty(index)))),
            ("long_tail@10", self.mean(|list| list.mean_of(|index, _| f64::from(popular.is_tail(index))))),
            ("freshness@10", self.mean(|list| list.mean_of(|_, movie| f64::from(list.is_fresh(movie))))),
            ("coverage@10", self.coverage(popularity.len())),
        ];
        figures.extend(GAPS.map(|(name, gap)| {
            (name, self.mean(|list| if gap.contains(&list.gap_ms) { list.gain() } else { f64::NAN }))
        }));
        figures
    }

    fn mean(&self, of: impl Fn(&List) -> f64) -> Figure {
        Figure::mean(self.0.iter().map(of).collect())
    }

    /// The share of the catalogue in at least one list. What a list adds alone, times the other lists, has the error of
    /// it (the jackknife's).
    fn coverage(&self, movies: usize) -> Figure {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for index in self.0.iter().flat_map(|list| &list.indexes).flatten() {
            *counts.entry(*index).or_default() += 1;
        }
        let others = self.len().saturating_sub(1) as f64;
        let alone = |list: &List| {
            let alone = list.indexes.iter().flatten().filter(|index| counts.get(*index) == Some(&1));
            others * alone.count() as f64 / movies as f64
        };
        Figure::of(counts.len() as f64 / movies as f64, self.0.iter().map(alone).collect())
    }
}

impl List {
    /// nDCG with one relevant movie.
    fn gain(&self) -> f64 {
        self.rank.map_or(0.0, |rank| (rank as f64 + 2.0).log2().recip())
    }

    /// The mean of one less the Jaccard similarity of genres over pairs.
    fn genre_diversity(&self) -> f64 {
        mean_of_pairs(&self.movies, |one, other| 1.0 - jaccard(&one.genre_numbers, &other.genre_numbers))
    }

    /// The mean of one less the cosine over pairs.
    fn vector_diversity(&self) -> f64 {
        mean_of_pairs(&self.vectors, |one, other| {
            let dot = |left: &[f32], right: &[f32]| -> f64 {
                left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
            };
            let lengths = (dot(one, one) * dot(other, other)).sqrt();
            if lengths > 0.0 { 1.0 - dot(one, other) / lengths } else { 1.0 }
        })
    }

    /// How far the genres are from the history's; NaN for a history without genres.
    fn divergence(&self) -> f64 {
        if self.wanted.is_nothing() || self.movies.is_empty() {
            return f64::NAN;
        }
        let genres = self.movies.iter().flatten().map(|movie| &*movie.genre_numbers);
        self.wanted.divergence(genres)
    }

    /// The mean over the movies that the catalogue knows.
    fn mean_of(&self, of: impl Fn(u32, &Movie) -> f64) -> f64 {
        let known = self.indexes.iter().zip(&self.movies);
        let values: Vec<f64> =
            known.filter_map(|(index, movie)| Some(of((*index)?, movie.as_deref()?))).collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn is_fresh(&self, movie: &Movie) -> bool {
        movie.year.is_some_and(|released| i64::from(released) > self.year - FRESH_YEARS)
    }
}

/// The mean over pairs of what is known; NaN of less than two.
pub(super) fn mean_of_pairs<T>(list: &[Option<T>], of: impl Fn(&T, &T) -> f64) -> f64 {
    let known: Vec<&T> = list.iter().flatten().collect();
    let pairs = known
        .iter()
        .enumerate()
        .flat_map(|(place, one)| known[..place].iter().map(|other| of(one, other)).collect::<Vec<_>>());
    let values: Vec<f64> = pairs.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// How popular movies are among all.
struct Popular<'a> {
    events: &'a [u64],
    total: f64,
    tail: Vec<bool>,
}

impl<'a> Popular<'a> {
    fn of(events: &'a [u64]) -> Self {
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(events[*index]));
        let mut tail = vec![true; events.len()];
        let head = (HEAD * events.len() as f64).ceil() as usize;
        for index in order.iter().take(head) {
            tail[*index] = false;
        }
        let total = (events.iter().sum::<u64>() + events.len() as u64) as f64;
        Self { events, total, tail }
    }

    /// The self-information in bits of a movie's share of the events, one more for each.
    fn novelty(&self, index: u32) -> f64 {
        let events = self.events.get(index as usize).copied().unwrap_or_default();
        -((events as f64 + 1.0) / self.total).log2()
    }

    fn is_tail(&self, index: u32) -> bool {
        self.tail.get(index as usize).copied().unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movie(genres: &[u32], year: u16) -> Arc<Movie> {
        Arc::new(Movie {
            key: None,
            movie_id: 1,
            title: "".into(),
            year: Some(year),
            genres: Box::default(),
            genre_numbers: genres.into(),
            imdb: None,
            tmdb: None,
            tags: Box::default(),
            attributes: Box::default(),
        })
    }

    /// Two movies, the first one held back.
    fn list() -> List {
        List {
            indexes: vec![Some(0), Some(3)],
            movies: vec![Some(movie(&[0, 1], 1996)), Some(movie(&[1, 2], 1995))],
            vectors: vec![Some(vec![1.0, 0.0]), Some(vec![1.0, 1.0])],
            rank: Some(1),
            wanted: GenreShares::of([&[0][..]], 3),
            year: 2000,
            gap_ms: 60_000,
        }
    }

    #[test]
    fn figures_are_as_they_are_defined() {
        let lists = Lists(vec![list()]);
        let figures: HashMap<_, _> = lists.figures(&[8, 0, 0, 0, 0]).into_iter().collect();
        let is = |name: &str, value: f64| {
            let figure = figures[name].value;
            assert!((figure - value).abs() < 1e-9, "{name}: {figure}");
        };
        is("ndcg@10", 1.0 / 3.0_f64.log2());
        is("recall@1", 0.0);
        is("recall@10", 1.0);
        is("genre_diversity@10", 2.0 / 3.0);
        is("vector_diversity@10", 1.0 - 0.5_f64.sqrt());
        is("novelty@10", -((9.0_f64 / 13.0).log2() + (1.0_f64 / 13.0).log2()) / 2.0);
        is("long_tail@10", 0.5);
        is("freshness@10", 0.5);
        is("coverage@10", 0.4);
        is("calibration_kl@10", -(0.99 * 0.25 + 0.01_f64).ln());
        is("ndcg@10, same minute", 1.0 / 3.0_f64.log2());
        assert!(figures["ndcg@10, longer"].value.is_nan());
    }
}
