//! The stages of an answer.
//!
//! A request goes through them in the order of [`Stage`], as one value, the
//! [`RequestContext`](super::context::RequestContext). The profile is read and the candidates are found first; what
//! becomes of the candidates is the plain functions of [`RECOMMEND`] and [`SIMILAR`], which wait for nothing.
//!
//! A new stage is a file beside this one, its line in the list of `stage.rs` and its place in those two (what explains
//! an answer, say, behind fill and before hydrate), and a field `<name>_us` at the same place of `marquee.v1.Timings`.
//! The reply's timings, the histogram's labels, the log and the load generator's report follow.

pub(super) mod candidates;
mod fill;
mod hydrate;
pub(super) mod profile;
mod rerank;

use super::context::Run;
use super::stage::Stage;

/// What becomes of the candidates of a recommendation.
pub(super) const RECOMMEND: [(Stage, Run); 3] =
    [(Stage::Rerank, rerank::rerank), (Stage::Fill, fill::fill), (Stage::Hydrate, hydrate::hydrate)];

/// What becomes of the candidates for one movie. Nothing fills up: what is popular need not be like it.
pub(super) const SIMILAR: [(Stage, Run); 2] =
    [(Stage::Rerank, rerank::rerank), (Stage::Hydrate, hydrate::hydrate)];
