//! What is asked of the pipeline and what it answers, without the wire's types.

use std::sync::Arc;
use std::time::Instant;

use marquee_core::domain::{MovieId, UserId};
use marquee_engine::{EngineError, Input, Job, Priority, Want};
use marquee_ranking::{Objective, Parts};
use marquee_retrieval::{Method, Metric, RetrievalError};
use marquee_store::StoreError;

use super::Timings;
use super::explanation::Explanation;
use super::source::Source;
use crate::catalog::{CatalogError, Filter, Movie};
use crate::profiles::ConsistencyToken;
use crate::rules::Rule;

/// Whose recommendations.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A stored user.
    User(UserId),
    /// Movies that came with the request, oldest first.
    History(Vec<MovieId>),
}

/// What every question of a model has in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestOptions {
    /// The model version; the active one when `None`.
    pub model_version: Option<String>,
    /// Who goes first.
    pub priority: Priority,
    /// After which nobody waits.
    pub deadline: Option<Instant>,
    /// By when reasons are there or left out; by the deadline when `None`.
    pub reasons_by: Option<Instant>,
}

impl RequestOptions {
    /// A job of the engine under these options.
    pub(super) fn job(&self, input: Input, want: Want) -> Job {
        Job { input, want, deadline: self.deadline, priority: self.priority }
    }
}

/// Asks for the best movies.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose.
    pub subject: Subject,
    /// How many.
    pub k: usize,
    /// How they are found.
    pub method: Method,
    /// Which may be answered.
    pub filter: Filter,
    /// Whether seen movies are left out.
    pub exclude_seen: bool,
    /// What the list is chosen for beside the model's score; the model's own list when `None`.
    pub objective: Option<Objective>,
    /// Places for new movies; none when `None`.
    pub exploration: Option<Exploration>,
    /// Where the answer is shown, for rules of some contexts; empty where that is not said.
    pub context: String,
    /// Writes that the answer must reflect.
    pub consistency_token: ConsistencyToken,
    /// How many of the newest movies of the history are tried as reasons; `None` when no reasons are wanted.
    pub explain_newest: Option<usize>,
    /// Version, priority and deadline.
    pub options: RequestOptions,
}

/// Places of a list for movies that the model does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exploration {
    /// How many, of the k.
    pub places: usize,
    /// Who fills them is drawn by this.
    pub seed: u64,
}

/// By what movies are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimilarityBasis {
    /// By who watched them and what is said of them.
    #[default]
    Blend,
    /// By the cosine of the model's vectors: what is watched in the same places of histories.
    Model,
    /// By what is said of them.
    Content,
}

/// Asks for movies like one movie.
#[derive(Clone, Debug)]
pub struct SimilarQuestion {
    /// The movie.
    pub movie_id: MovieId,
    /// How many.
    pub k: usize,
    /// By what they are alike.
    pub basis: SimilarityBasis,
    /// Which may be answered.
    pub filter: Filter,
    /// Version, priority and deadline.
    pub options: RequestOptions,
}

/// Asks for the movies that are best for a vector.
#[derive(Clone, Debug)]
pub struct VectorQuestion {
    /// The vector.
    pub vector: Arc<[f32]>,
    /// How many.
    pub k: usize,
    /// What makes one better than another.
    pub metric: Metric,
    /// How they are found.
    pub method: Method,
    /// Which may be answered.
    pub filter: Filter,
    /// Version, priority and deadline.
    pub options: RequestOptions,
}

/// One recommended movie.
#[derive(Clone, Debug)]
pub struct Pick {
    /// The movie.
    pub movie_id: MovieId,
    /// The model's score, the sum of the parts where there are any; for popularity the share of the most popular pick's
    /// weight; 0 for what a rule pins.
    pub score: f32,
    /// What the terms of an objective and rules gave it.
    pub parts: Option<Parts>,
    /// Which path found it.
    pub source: Source,
    /// The chance with which it was drawn for its place, given those before it; `None` where nothing is drawn.
    pub propensity: Option<f64>,
    /// What the catalogue knows of it; `None` only when the catalogue is empty.
    pub movie: Option<Arc<Movie>>,
    /// The rule that pins it, or the first that lifts it.
    pub rule: Option<Arc<Rule>>,
}

/// The best movies.
#[derive(Clone, Debug)]
pub struct Recommended {
    /// Best first.
    pub picks: Vec<Pick>,
    /// The model version that answered; `None` if no model took part.
    pub model_version: Option<String>,
    /// The method really used; `None` if no retrieval took place.
    pub method: Option<Method>,
    /// Which path answered.
    pub source: Source,
    /// By which new movies were drawn, where they have places.
    pub seed: Option<u64>,
    /// Where the time went.
    pub timings: Timings,
    /// Movies of the request's own history that the model does not know.
    pub ignored: usize,
    /// Why each movie is there, where the question asks; in the order of `picks`.
    pub explanation: Option<Box<Explanation>>,
}

/// A user vector.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The vector.
    pub vector: Arc<[f32]>,
    /// The model version that made it.
    pub model_version: String,
    /// Where the time went.
    pub timings: Timings,
    /// Movies of the request's own history that the model does not know.
    pub ignored: usize,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecommendError {
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] CatalogError),
    /// The movie that was asked about is not known.
    #[error("movie {0} is not in the catalogue of the model; SearchMovies finds ids")]
    UnknownMovie(MovieId),
    /// An index of vectors refused or failed.
    #[error(transparent)]
    Index(#[from] RetrievalError),
    /// There is nothing to encode.
    #[error("{0}")]
    NothingToEncode(String),
}
