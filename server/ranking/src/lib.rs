//! Choosing a list from the model's best candidates: for how little its movies are alike, for the genres of the
//! history, for new or lesser known movies, beside the model's score.
//!
//! A movie has a value of its own, its log-probability among the candidates and weighted terms ([`Parts`]). The set is
//! chosen greedily, by that value less what the movies that were chosen before take off it, and then **shown in the
//! order of the movies' own values**: the order in which it was chosen would cost far more accuracy for the same
//! movies. So the set is chosen for the most of
//!
//! ```text
//! sum of own values - beta * sum of likeness to the likest movie chosen before - gamma * size * divergence
//! ```
//!
//! Movies that the model was not trained on stand apart, in [`new_movies`].
//!
//! This crate is arithmetic alone: it knows no catalogue, no clock and no model. `onnx/marquee_onnx` is its
//! reference, whose cases the tests hold it to, and `onnx/RANKING.md` says what each objective costs and gains.

mod best;
mod calibration;
mod choose;
mod co_occurrence;
mod diversity;
mod genre_room;
mod knobs;
mod likeness;
mod marginal_relevance;
pub mod new_movies;
mod objective;
mod parts;

pub use best::keep_best;
pub use calibration::GenreShares;
pub use choose::{Choice, Chooser, choose, show};
pub use co_occurrence::{CoOccurrence, Counts, Neighbours};
pub use genre_room::GenreRoom;
pub use knobs::Knobs;
pub use likeness::{dot, jaccard};
pub use marginal_relevance::MarginalRelevance;
pub use objective::{MAX_CANDIDATES, Objective};
pub use parts::Parts;

/// A movie that the model found, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The model's score.
    pub score: f32,
    /// The output embedding, of any length; those of all candidates have the same number of values.
    pub vector: &'a [f32],
    /// Its genres by number, each once.
    pub genres: &'a [u32],
    /// To how many users' taste it is.
    pub events: u64,
    /// The year of release, where it is known.
    pub year: Option<u16>,
    /// The mean of its ratings in stars.
    pub rating: f64,
    /// The share of its genres that the user told, 0 to 1.
    pub told_genres: f64,
    /// What rules add to its value.
    pub rules: f64,
}
