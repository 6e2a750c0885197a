//! What the terminal shows while a run goes on, and the word to stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::watch;

use crate::measure::histogram::{coarse, quantile_ms, record};

/// Counts since the last look.
#[derive(Debug)]
struct Interval {
    answers: u64,
    errors: u64,
    latency: Histogram<u64>,
}

impl Interval {
    fn new() -> Self {
        Self { answers: 0, errors: 0, latency: coarse() }
    }
}

/// Shared by the workers and whoever watches them.
#[derive(Debug)]
pub struct Progress {
    intervals: Vec<Mutex<Interval>>,
    in_flight: AtomicU64,
    measured: AtomicU64,
    stopped: watch::Sender<bool>,
}

/// One look at a run.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Time since the beginning of the warm-up.
    pub elapsed: Duration,
    /// Answers since the last look.
    pub answers: u64,
    /// Errors since the last look.
    pub errors: u64,
    /// Their median, in milliseconds.
    pub p50_ms: f64,
    /// Their 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Calls in flight now.
    pub in_flight: u64,
}

impl Progress {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            intervals: (0..workers).map(|_| Mutex::new(Interval::new())).collect(),
            in_flight: AtomicU64::new(0),
            measured: AtomicU64::new(0),
            stopped: watch::Sender::new(false),
        }
    }

    /// Ends the run as soon as what is in flight is answered.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Whether no more requests shall go out.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Comes back when somebody says stop.
    pub async fn stopped(&self) {
        // The sender is `self`, so it outlives the wait.
        drop(self.stopped.subscribe().wait_for(|stopped| *stopped).await);
    }

    pub(super) fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a measured request; false when `most` have been counted before.
    pub(super) fn admit(&self, most: Option<u64>) -> bool {
        let before = self.measured.fetch_add(1, Ordering::Relaxed);
        let admitted = most.is_none_or(|most| before < most);
        if !admitted {
            self.stop();
        }
        admitted
    }

    pub(super) fn ended(&self, worker: usize, answers: u64, latency: Duration, failed: bool) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut interval = self.intervals[worker].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        interval.answers += answers;
        interval.errors += u64::from(failed);
        if answers > 0 {
            record(&mut interval.latency, latency);
        }
    }

    /// Takes the counts since the last look.
    pub fn look(&self, elapsed: Duration) -> Tick {
        let mut latency = coarse();
        let (mut answers, mut errors) = (0, 0);
        for interval in &self.intervals {
            let mut interval = interval.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            answers += std::mem::take(&mut interval.answers);
            errors += std::mem::take(&mut interval.errors);
            crate::measure::histogram::add(&mut latency, &interval.latency);
            interval.latency.reset();
        }
        Tick {
            elapsed,
            answers,
            errors,
            p50_ms: quantile_ms(&latency, 0.5),
            p99_ms: quantile_ms(&latency, 0.99),
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }
}
