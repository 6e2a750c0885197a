//! Why movies are answered, as it is said.

use std::sync::Arc;

use marquee_core::domain::MovieId;

use crate::catalog::Movie;

/// Why movies are answered, and how far that was computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Movies of the history that were taken out and tried.
    pub tried: usize,
    /// Movies that were to be tried and were not: the deadline was near, or the engine full.
    pub not_tried: usize,
    /// Among how many candidates drops are measured; 0 when none were.
    pub candidates: usize,
    /// One for each explained movie, in the order of the answer.
    pub movies: Vec<Reasons>,
}

/// Why one movie is answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasons {
    /// Movies of the history without which it would score less, the greatest drop first.
    pub because: Vec<Because>,
    /// What of the history is most like it.
    pub similar_to: Option<SimilarTo>,
    /// One sentence to show; empty for a movie that is not answered.
    pub sentence: String,
}

/// A movie of the history, and what its absence costs another.
#[derive(Clone, Debug, PartialEq)]
pub struct Because {
    /// The movie.
    pub movie_id: MovieId,
    /// What the catalogue knows of it.
    pub movie: Option<Arc<Movie>>,
    /// The fall of the log-softmax over the candidates, in nats.
    pub score_drop: f64,
    /// The fall among the candidates, in places.
    pub rank_drop: i64,
}

/// The movie of the history whose output embedding is nearest.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarTo {
    /// The movie.
    pub movie_id: MovieId,
    /// What the catalogue knows of it.
    pub movie: Option<Arc<Movie>>,
    /// The cosine of the two.
    pub cosine: f32,
}
