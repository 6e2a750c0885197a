//! The rows of new movies at one moment.

use std::sync::{Arc, Weak};

use marquee_core::domain::MovieId;
use marquee_engine::Model;
use marquee_ranking::dot;
use marquee_ranking::new_movies::Content;

use super::features_of;
use super::folds::Folds;
use crate::catalog::{Movie, Movies};

/// So many movies have rows at most, those that came last: each is scored for each request that has places for them.
const MOST_MOVIES: usize = 10_000;

/// Rows as the catalogue alone predicts them.
#[derive(Debug, Default)]
pub(super) struct Predicted {
    movies: Arc<Vec<(u32, Arc<Movie>)>>,
    /// Of these movies, in their order, one after another.
    content: Vec<f64>,
}

/// Rows of movies that a model does not know, for requests to read.
#[derive(Debug)]
pub(in crate::recommend) struct Rows {
    /// Of the model.
    number: u64,
    snapshot: Weak<Movies>,
    /// By ascending catalogue index.
    movies: Arc<Vec<(u32, Arc<Movie>)>>,
    dimension: usize,
    /// Row-major.
    table: Vec<f32>,
}

impl Predicted {
    /// The rows of these movies; those that were predicted before and are the same are not predicted again.
    pub(super) fn with(&self, mut movies: Vec<(u32, Arc<Movie>)>, content: &Content) -> Self {
        movies.drain(..movies.len().saturating_sub(MOST_MOVIES));
        let mut rows = Vec::with_capacity(self.content.len());
        for (index, movie) in &movies {
            match self.row(*index, movie) {
                Some(row) => rows.extend_from_slice(row),
                None => rows.extend(content.predict(&features_of(movie))),
            }
        }
        Self { movies: Arc::new(movies), content: rows }
    }

    /// The row of a movie, if it is the very same.
    fn row(&self, index: u32, movie: &Arc<Movie>) -> Option<&[f64]> {
        let place = self.movies.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Arc::ptr_eq(&self.movies[place].1, movie)
            .then(|| &self.content[place * self.dimension()..][..self.dimension()])
    }

    fn dimension(&self) -> usize {
        self.content.len().checked_div(self.movies.len()).unwrap_or_default()
    }

    /// The rows after what is known of who took the movies.
    fn table(&self, folds: &Folds, content: &Content) -> Vec<f32> {
        let mut table: Vec<f32> = self.content.iter().map(|number| *number as f32).collect();
        let dimension = self.dimension().max(1);
        let rows = table.chunks_exact_mut(dimension).zip(self.content.chunks_exact(dimension));
        for ((row, predicted), (_, movie)) in rows.zip(self.movies.iter()) {
            if let Some(folded) = folds.row(movie.movie_id, predicted, content) {
                for (number, folded) in row.iter_mut().zip(folded) {
                    *number = folded as f32;
                }
            }
        }
        table
    }
}

impl Rows {
    /// Those that are shown for a model and a catalogue.
    pub(super) fn new(
        model: &Model,
        snapshot: &Arc<Movies>,
        predicted: &Predicted,
        folds: &Folds,
        content: &Content,
    ) -> Self {
        Self {
            number: model.number(),
            snapshot: Arc::downgrade(snapshot),
            movies: Arc::clone(&predicted.movies),
            dimension: model.bundle().dimension(),
            table: predicted.table(folds, content),
        }
    }

    /// The same movies' rows after more is known of who took them.
    pub(super) fn after(&self, predicted: &Predicted, folds: &Folds, content: &Content) -> Self {
        Self {
            number: self.number,
            snapshot: self.snapshot.clone(),
            movies: Arc::clone(&predicted.movies),
            dimension: self.dimension,
            table: predicted.table(folds, content),
        }
    }

    /// Whether they are of this model and this catalogue.
    pub(super) fn are_of(&self, model: &Model, movies: &Arc<Movies>) -> bool {
        self.is_of(model) && std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(movies))
    }

    /// Whether they are of this model.
    pub(in crate::recommend) fn is_of(&self, model: &Model) -> bool {
        self.number == model.number()
    }

    /// The movies whose catalogue indexes and ids are allowed, each with its score for a user's vector.
    pub(in crate::recommend) fn scored(
        &self,
        vector: &[f32],
        is_allowed: impl Fn(u32, MovieId) -> bool,
    ) -> Vec<(MovieId, f32)> {
        let rows = self.movies.iter().zip(self.table.chunks_exact(self.dimension));
        let allowed = rows.filter(|((index, movie), _)| is_allowed(*index, movie.movie_id));
        allowed.map(|((_, movie), row)| (movie.movie_id, dot(row, vector))).collect()
    }
}
