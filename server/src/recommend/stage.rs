//! The stages of an answer, listed once: from this list come their names in replies, metrics and logs.

use std::time::Duration;

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
        pub(super) fn log(total: Duration, times: &[Duration; Stage::ALL.len()]) {
            tracing::debug!(?total, $($name = ?times[Stage::$stage as usize],)+ "stages");
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
    /// New movies for the places that the request gives them.
    Explore = explore,
    /// Reasons, where the request asks for them.
    Explain = explain,
    /// Titles, genres and years.
    Hydrate = hydrate,
    /// The rest: conversions and hand-overs between threads.
    Other = other,
}
