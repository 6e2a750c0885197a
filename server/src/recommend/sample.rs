//! Some answers, set aside for whoever looks at what is answered.
//!
//! One in [`EVERY`] of those to interactive callers is copied, ten movies of the list and ten of the history, into a queue
//! that nobody waits for: what finds no room is passed over.

use std::sync::atomic::{AtomicU64, Ordering};

use marquee_core::domain::MovieId;
use marquee_engine::Priority;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::context::RequestContext;

/// Of so many answers one is set aside.
const EVERY: u64 = 64;

/// Movies of the list, and of the history, that are kept.
const MOVIES: usize = 10;

/// Answers that wait to be looked at.
const QUEUE: usize = 64;

/// An answer, and what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The best of the list.
    pub(crate) movies: Vec<MovieId>,
    /// The newest movies of the history, oldest first.
    pub(crate) history: Vec<MovieId>,
}

/// Takes one answer in so many.
pub(super) struct Sampler {
    seen: AtomicU64,
    queue: Sender<Sample>,
}

impl Sampler {
    /// One, and where its samples come out.
    pub(super) fn new() -> (Self, Receiver<Sample>) {
        let (queue, samples) = mpsc::channel(QUEUE);
        (Self { seen: AtomicU64::new(0), queue }, samples)
    }

    /// Sets the answer aside when it is its turn.
    pub(super) fn see(&self, context: &RequestContext<'_>) {
        if context.options.priority != Priority::Interactive || !self.is_next() {
            return;
        }
        let history = &context.taste[context.taste.len().saturating_sub(MOVIES)..];
        let sample = Sample {
            movies: context.picks.iter().take(MOVIES).map(|pick| pick.movie_id).collect(),
            history: history.to_vec(),
        };
        // One that finds no room is passed over.
        let _ = self.queue.try_send(sample);
    }

    /// The first of every so many, so that a quiet server shows something too.
    fn is_next(&self) -> bool {
        self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_every_so_many_answers_is_set_aside() {
        let (sampler, _samples) = Sampler::new();
        let taken: Vec<u64> = (0..=EVERY).filter(|_| sampler.is_next()).collect();
        assert_eq!(taken, [0, EVERY]);
    }
}
