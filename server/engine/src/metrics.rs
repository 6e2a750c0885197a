//! What the engine counts and measures: instruments made once, labels made once, times in seconds. The unit is
//! the instrument's and not in its name: Prometheus gets it appended.
//!
//! The instruments belong to the meter provider that is global when the engine starts.

use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

use super::cost::BatchShape;
use super::job::{DeadlinePoint, EngineError};
use super::scheduler::Reason;

/// From a tenth of a millisecond to ten seconds.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
const TOKENS: [f64; 12] =
    [8.0, 32.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 16_384.0, 65_536.0, 131_072.0, 262_144.0];
const RATIOS: [f64; 12] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0];

/// The engine's instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    batch_size: Histogram<u64>,
    batch_tokens: Histogram<u64>,
    padding: Histogram<f64>,
    dispatches: Counter<u64>,
    wait: Histogram<f64>,
    encode: Histogram<f64>,
    score: Histogram<f64>,
    refusals: Counter<u64>,
    cancellations: Counter<u64>,
    failures: Counter<u64>,
    busy: Counter<f64>,
    cost_error: Histogram<f64>,
    labels: Labels,
}

#[derive(Debug)]
struct Labels {
    idle: [KeyValue; 1],
    full: [KeyValue; 1],
    deadline: [KeyValue; 1],
    workers: Vec<[KeyValue; 1]>,
}

/// Reads a device's queue, its depth and its age, whenever somebody collects.
pub(crate) fn observe_queue<F>(device: &str, read: F)
where
    F: Fn() -> Option<(usize, Duration)> + Clone + Send + Sync + 'static,
{
    let meter = global::meter("marquee");
    let label = [KeyValue::new("device", device.to_owned())];
    let (read_depth, label_depth) = (read.clone(), label.clone());
    meter
        .u64_observable_gauge("marquee_engine_queue_depth")
        .with_description("Jobs that wait.")
        .with_callback(move |gauge| {
            if let Some((depth, _)) = read_depth() {
                gauge.observe(depth as u64, &label_depth);
            }
        })
        .build();
    meter
        .f64_observable_gauge("marquee_engine_queue_age")
        .with_description("How long the job that waits longest has waited.")
        .with_unit("s")
        .with_callback(move |gauge| {
            if let Some((_, age)) = read() {
                gauge.observe(age.as_secs_f64(), &label);
            }
        })
        .build();
}

/// A GPU session does without CUDA graphs, because capturing or replaying one went wrong.
pub(crate) fn graphs_refused() {
    let meter = global::meter("marquee");
    let counter = meter
        .u64_counter("marquee_engine_cuda_graph_refusals")
        .with_description("GPU sessions that run without CUDA graphs, because one could not be captured.");
    counter.build().add(1, &[]);
}

impl Metrics {
    pub(crate) fn new(workers: usize) -> Self {
        let meter = global::meter("marquee");
        let seconds = |name: &'static str, what: &'static str| {
            let histogram = meter.f64_histogram(name).with_description(what).with_unit("s");
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        Self {
            batch_size: meter
                .u64_histogram("marquee_engine_batch_jobs")
                .with_description("Jobs of a batch that is scored.")
                .with_boundaries(SIZES.to_vec())
                .build(),
            batch_tokens: meter
                .u64_histogram("marquee_engine_batch_tokens")
                .with_description("Tokens of a batch, padding included.")
                .with_boundaries(TOKENS.to_vec())
                .build(),
            padding: meter
                .f64_histogram("marquee_engine_padding_ratio")
                .with_description("The part of a batch's tokens that is padding.")
                .with_boundaries(RATIOS.to_vec())
                .build(),
            dispatches: meter
                .u64_counter("marquee_engine_dispatches")
                .with_description("Batches that are scored, by why they were dispatched.")
                .build(),
            wait: seconds("marquee_engine_wait", "From a job's admission until a worker began."),
            encode: seconds("marquee_engine_encode", "Encoding of a batch."),
            score: seconds("marquee_engine_score", "Scoring and selection of a batch."),
            refusals: meter
                .u64_counter("marquee_engine_refusals")
                .with_description("Jobs that were answered with an error, by reason.")
                .build(),
            cancellations: meter
                .u64_counter("marquee_engine_cancellations")
                .with_description("Jobs whose caller went away.")
                .build(),
            failures: meter
                .u64_counter("marquee_engine_failures")
                .with_description("Batches that failed on their worker.")
                .build(),
            busy: meter
                .f64_counter("marquee_engine_busy")
                .with_description("Time that workers spent on batches; divide by time for the busy ratio.")
                .with_unit("s")
                .build(),
            cost_error: meter
                .f64_histogram("marquee_engine_cost_model_error_ratio")
                .with_description(
                    "How far the predicted time of a batch was off, as a part of the real time.",
                )
                .with_boundaries(RATIOS.to_vec())
                .build(),
            labels: Labels {
                idle: [KeyValue::new("reason", "idle")],
                full: [KeyValue::new("reason", "full")],
                deadline: [KeyValue::new("reason", "deadline")],
                workers: (0..workers).map(|worker| [KeyValue::new("worker", worker as i64)]).collect(),
            },
        }
    }

    /// What a batch held and, if it is scored, why it took no more jobs.
    pub(crate) fn dispatched(&self, reason: Reason, shape: BatchShape, used_tokens: usize) {
        if shape.queries > 0 {
            let reason = match reason {
                Reason::Idle => &self.labels.idle,
                Reason::Full => &self.labels.full,
                Reason::Deadline => &self.labels.deadline,
            };
            self.dispatches.add(1, reason);
            self.batch_size.record(shape.queries as u64, &[]);
        }
        if shape.tokens > 0 {
            self.batch_tokens.record(shape.tokens as u64, &[]);
            self.padding.record(1.0 - used_tokens as f64 / shape.tokens as f64, &[]);
        }
    }

    pub(crate) fn waited(&self, wait: Duration) {
        self.wait.record(wait.as_secs_f64(), &[]);
    }

    /// How long a batch was encoded and scored; one that took no time did not take place.
    pub(crate) fn stages(&self, encode: Duration, score: Duration) {
        for (stage, time) in [(&self.encode, encode), (&self.score, score)] {
            if time > Duration::ZERO {
                stage.record(time.as_secs_f64(), &[]);
            }
        }
    }

    /// How long a worker had a batch, and how well that had been predicted.
    pub(crate) fn worked(&self, worker: usize, predicted: Duration, time: Duration) {
        let real = time.as_secs_f64();
        self.busy.add(real, &self.labels.workers[worker]);
        if real > 0.0 && predicted > Duration::ZERO {
            self.cost_error.record((predicted.as_secs_f64() - real).abs() / real, &[]);
        }
    }

    pub(crate) fn refused(&self, error: &EngineError) {
        let reason = match error {
            EngineError::Overloaded { .. } => "overloaded",
            EngineError::DeadlineExceeded { point: DeadlinePoint::Admission } => "deadline_admission",
            EngineError::DeadlineExceeded { point: DeadlinePoint::Queue } => "deadline_queue",
            EngineError::DeadlineExceeded { point: DeadlinePoint::Submission } => "deadline_submission",
            EngineError::UnknownVersion(_) => "unknown_version",
            EngineError::BadJob(_) => "bad_job",
            EngineError::Backend(_) => "backend",
            EngineError::OutOfService(_) => "out_of_service",
            EngineError::ShuttingDown => "shutting_down",
        };
        self.refusals.add(1, &[KeyValue::new("reason", reason)]);
    }

    pub(crate) fn cancelled(&self) {
        self.cancellations.add(1, &[]);
    }

    pub(crate) fn failed(&self) {
        self.failures.add(1, &[]);
    }
}
