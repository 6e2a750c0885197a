//! The stages of an answer, listed once.
//!
//! A request goes through them in the order of [`Stage`], as one value, the [`RequestContext`]. The profile is read and
//! the candidates are found first; what becomes of the candidates is the plain functions of [`RECOMMEND`] and
//! [`SIMILAR`], which wait for nothing.
//!
//! A new stage is a file beside this one, its line in the list below and its place in those two (what explains an
//! answer, say, behind fill and before hydrate), and a field `<name>_us` at the same place of `marquee.v1.Timings`.
//! The reply's timings, the histogram's labels, the log and the load generator's report follow.

pub(super) mod candidates;
mod fill;
mod hydrate;
pub(super) mod profile;
mod rerank;

use super::context::RequestContext;
use super::timings::Timings;

/// A stage that turns what was found so far into more of an answer.
pub(super) type Run = fn(&mut RequestContext<'_>);

/// What becomes of the candidates of a recommendation.
pub(super) const RECOMMEND: [(Stage, Run); 3] =
    [(Stage::Rerank, rerank::rerank), (Stage::Fill, fill::fill), (Stage::Hydrate, hydrate::hydrate)];

/// What becomes of the candidates for one movie. Nothing fills up: what is popular need not be like it.
pub(super) const SIMILAR: [(Stage, Run); 2] =
    [(Stage::Rerank, rerank::rerank), (Stage::Hydrate, hydrate::hydrate)];

/// Makes the enumeration, and what has to name each stage, from one list.
macro_rules! stages {
    ($($(#[doc = $doc:literal])+ $stage:ident = $name:ident,)+) => {
        /// A part of a request's time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stage {
            $($(#[doc = $doc])+ $stage,)+
        }

        impl Stage {
            /// All of them, in the order of a request.
            pub const ALL: [Self; [$(stringify!($name)),+].len()] = [$(Self::$stage),+];

            /// Its name in metrics, logs and replies.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$stage => stringify!($name),)+
                }
            }
        }

        /// Marks the span with an event that has a field for each stage.
        pub(super) fn log(times: &Timings) {
            tracing::debug!(total = ?times.total, $($name = ?times[Stage::$stage],)+ "stages");
        }
    };
}

stages! {
    /// Reading the user's newest interactions and the set of seen movies.
    Profile = profile,
    /// Candidates: waiting for a worker.
    Queue = queue,
    /// Candidates: turning the history into the user vector.
    Encode = encode,
    /// Candidates: finding the best movies for the vector.
    Score = score,
    /// Which candidates are answered, in which order.
    Rerank = rerank,
    /// Popular movies for the places that the model leaves.
    Fill = fill,
    /// Titles, genres and years.
    Hydrate = hydrate,
    /// The rest: conversions and hand-overs between threads.
    Other = other,
}
