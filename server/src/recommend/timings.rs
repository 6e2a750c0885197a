//! Where the time of one request goes.
//!
//! One struct fills the reply, the span and the histogram, so that the three agree and the parts add
//! up to the whole.

use std::ops::{Index, IndexMut};
use std::time::{Duration, Instant};

use marquee_engine::JobTimings;

use super::metrics::RecommendMetrics;
use super::stage::{self, Stage};

/// Where the time went. The stages add up to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the request's arrival to its answer.
    pub total: Duration,
    /// The time of each of [`Stage::ALL`].
    pub stages: [Duration; Stage::ALL.len()],
}

impl Index<Stage> for Timings {
    type Output = Duration;

    fn index(&self, stage: Stage) -> &Duration {
        &self.stages[stage as usize]
    }
}

impl IndexMut<Stage> for Timings {
    fn index_mut(&mut self, stage: Stage) -> &mut Duration {
        &mut self.stages[stage as usize]
    }
}

/// The stopwatch of one request.
#[derive(Clone, Debug)]
pub(super) struct Stopwatch {
    began: Instant,
    times: Timings,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), times: Timings::default() }
    }

    /// Adds the time since `began` to a stage.
    pub(super) fn lap(&mut self, stage: Stage, began: Instant) {
        self.times[stage] += began.elapsed();
    }

    /// Adds what the engine measured.
    pub(super) fn engine(&mut self, job: JobTimings) {
        self.times[Stage::Queue] += job.queue;
        self.times[Stage::Encode] += job.encode;
        self.times[Stage::Score] += job.score;
    }

    /// The times so far; records each stage that took part, and marks the span.
    pub(super) fn finish(mut self, metrics: &RecommendMetrics) -> Timings {
        let known: Duration = self.times.stages.iter().sum();
        self.times.total = self.began.elapsed();
        self.times[Stage::Other] = self.times.total.saturating_sub(known);
        metrics.stages(self.times.stages);
        stage::log(self.times.total, &self.times.stages);
        self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_add_up_to_the_total() {
        let mut watch = Stopwatch::start();
        watch.lap(Stage::Profile, Instant::now());
        watch.lap(Stage::Fill, Instant::now());
        let times = watch.finish(&RecommendMetrics::default());
        assert_eq!(times.stages.iter().sum::<Duration>(), times.total);
    }
}
