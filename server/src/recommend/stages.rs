//! Where the time of one request goes.
//!
//! One struct fills the reply, the span and the histogram, so that the three agree and the parts add
//! up to the whole.

use std::time::{Duration, Instant};

use marquee_engine::JobTimings;

use crate::telemetry::{STAGES, StageMetrics};

/// A stage that is measured here; the engine measures its own three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reading the user's newest interactions and the set of seen movies.
    Profile,
    /// Popularity, blending and order.
    Rank,
    /// Titles, genres and years.
    Hydrate,
}

/// The stopwatch of one request.
#[derive(Clone, Debug)]
pub(super) struct Stopwatch {
    began: Instant,
    times: Timings,
}

/// Where the time went. The stages and `other` add up to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the request's arrival to its answer.
    pub total: Duration,
    /// Reading the user's newest interactions and the set of seen movies.
    pub profile: Duration,
    /// Waiting for a worker.
    pub queue: Duration,
    /// Turning the history into the user vector.
    pub encode: Duration,
    /// Finding the best movies for the vector.
    pub score: Duration,
    /// Popularity, blending and order.
    pub rank: Duration,
    /// Titles, genres and years.
    pub hydrate: Duration,
    /// The rest: conversions and hand-overs between threads.
    pub other: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), times: Timings::default() }
    }

    /// Adds the time since `began` to a stage.
    pub(super) fn lap(&mut self, stage: Stage, began: Instant) {
        let time = began.elapsed();
        match stage {
            Stage::Profile => self.times.profile += time,
            Stage::Rank => self.times.rank += time,
            Stage::Hydrate => self.times.hydrate += time,
        }
    }

    /// Adds what the engine measured.
    pub(super) fn engine(&mut self, job: JobTimings) {
        self.times.queue += job.queue;
        self.times.encode += job.encode;
        self.times.score += job.score;
    }

    /// The times so far; records each stage that took part, and marks the span.
    pub(super) fn finish(mut self, metrics: &StageMetrics) -> Timings {
        self.times.total = self.began.elapsed();
        self.times.other = self.times.total.saturating_sub(self.times.known());
        metrics.stages(self.times.stages());
        tracing::debug!(timings = ?self.times, "stages");
        self.times
    }
}

impl Timings {
    fn known(&self) -> Duration {
        self.profile + self.queue + self.encode + self.score + self.rank + self.hydrate
    }

    /// In the order of [`STAGES`].
    fn stages(&self) -> [Duration; STAGES.len()] {
        let Self { profile, queue, encode, score, rank, hydrate, other, .. } = *self;
        [profile, queue, encode, score, rank, hydrate, other]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_add_up_to_the_total() {
        let mut watch = Stopwatch::start();
        watch.lap(Stage::Profile, Instant::now());
        watch.lap(Stage::Rank, Instant::now());
        let times = watch.finish(&StageMetrics::default());
        assert_eq!(times.known() + times.other, times.total);
    }
}
