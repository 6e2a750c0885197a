//! The stages of an answer.
//!
//! A request goes through them in the order of [`Stage`], as one value, the
//! [`RequestContext`](super::context::RequestContext). The profile is read and the candidates are found first; what
//! becomes of the candidates is the plain functions of [`CHOOSE`], [`SIMILAR`] and [`SHOW`], which wait for nothing.
//! Between choosing and showing, who asks for reasons waits for the engine once more, in [`explain`](explain::explain).
//!
//! A new stage is a file beside this one, its line in the list of `stage.rs` and its place in those lists, and a field
//! `<name>_us` at the same place of `marquee.v1.Timings`.
//! The reply's timings, the histogram's labels, the log and the load generator's report follow.

pub(super) mod candidates;
pub(super) mod explain;
mod explore;
mod fill;
mod hydrate;
pub(super) mod profile;
pub(super) mod rerank;
pub(super) mod rules;

use super::context::Run;
use super::stage::Stage;

/// How the movies of a recommendation are chosen from the candidates, where [`rerank::by_objective`] has not chosen them.
pub(super) const CHOOSE: [(Stage, Run); 4] = [
    (Stage::Rerank, rerank::rerank),
    (Stage::Fill, fill::fill),
    (Stage::Rerank, rules::pin),
    (Stage::Explore, explore::explore),
];

/// How movies for one movie are chosen. Nothing fills up: what is popular need not be like it.
pub(super) const SIMILAR: [(Stage, Run); 1] = [(Stage::Rerank, rerank::rerank)];

/// How movies of a home page are chosen, before its rows share them out.
pub(super) const HOME: [(Stage, Run); 2] =
    [(Stage::Rerank, rerank::rerank), (Stage::Hydrate, hydrate::hydrate)];

/// What is shown of chosen movies.
pub(super) const SHOW: [(Stage, Run); 1] = [(Stage::Hydrate, hydrate::hydrate)];
