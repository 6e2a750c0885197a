//! What the engine counts and measures: instruments made once, labels made once, times in seconds.
//!
//! The instruments belong to the meter provider that is global when the engine starts.

use std::collections::BTreeMap;
use std::time::Duration;

use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

use super::cost::BatchShape;
use super::job::{DeadlinePoint, EngineError};
use super::scheduler::Reason;

const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
const TOKENS: [f64; 12] =
    [8.0, 32.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 16_384.0, 65_536.0, 131_072.0, 262_144.0];
const RATIOS: [f64; 12] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0];

const DEVICE: Label = Label::any("device", "the device, such as `cpu` or `cuda:0`");
const PRECISION: Label = Label::any("precision", "the precision of the encoder, such as `fp32`");
const KERNELS: Label = Label::any("kernels", "what encodes, such as `onnxruntime` or `native avx512`");
const WORKER: Label = Label::any("worker", "the number of the worker, from 0");
const DISPATCH_REASON: Label = Label::one_of("reason", &["idle", "full", "deadline"]);
const FAILURE_REASON: Label = Label::one_of(
    "reason",
    &[
        "overloaded",
        "deadline_admission",
        "deadline_queue",
        "deadline_submission",
        "unknown_version",
        "bad_job",
        "backend",
        "out_of_service",
        "shutting_down",
    ],
);

metrics! {
    pub METRICS;
    QUEUE_DEPTH = Metric::gauge("marquee.engine.queue.depth", "{job}", &[DEVICE], "Jobs that wait for a worker");
    QUEUE_AGE = Metric::gauge(
        "marquee.engine.queue.age",
        "s",
        &[DEVICE],
        "How long the job that waits longest has waited",
    );
    MODELS = Metric::gauge(
        "marquee.engine.models",
        "{model}",
        &[DEVICE, PRECISION, KERNELS],
        "Models that are loaded, by what encodes for them",
    );
    QUEUE_DURATION = Metric::histogram(
        "marquee.engine.queue.duration",
        "s",
        &[],
        "How long jobs waited, from their admission until a worker began",
    );
    BATCH_SIZE = Metric::histogram(
        "marquee.engine.batch.size",
        "{job}",
        &[],
        "Jobs of a batch that is scored; more callers at once make it grow",
    );
    BATCH_TOKENS = Metric::histogram(
        "marquee.engine.batch.tokens",
        "{token}",
        &[],
        "Tokens of a batch that is encoded, padding included",
    );
    BATCH_PADDING = Metric::histogram(
        "marquee.engine.batch.padding",
        "1",
        &[],
        "The part of a batch's tokens that is padding, which is work for nothing",
    );
    BATCHES_DISPATCHED = Metric::counter(
        "marquee.engine.batches.dispatched",
        "{batch}",
        &[DISPATCH_REASON],
        "Batches that are scored, by why they took no more jobs: a worker was idle, the batch full, or a deadline near",
    );
    BATCHES_FAILED =
        Metric::counter("marquee.engine.batches.failed", "{batch}", &[], "Batches that failed on their worker");
    ENCODE_DURATION =
        Metric::histogram("marquee.engine.encode.duration", "s", &[], "How long the encoding of a batch takes");
    SCORE_DURATION = Metric::histogram(
        "marquee.engine.score.duration",
        "s",
        &[],
        "How long scoring and selection of a batch take",
    );
    JOBS_FAILED = Metric::counter(
        "marquee.engine.jobs.failed",
        "{job}",
        &[FAILURE_REASON],
        "Jobs that were answered with an error; the three of deadlines say where the time ran out",
    );
    JOBS_CANCELLED =
        Metric::counter("marquee.engine.jobs.cancelled", "{job}", &[], "Jobs whose caller went away");
    WORKER_BUSY = Metric::counter(
        "marquee.engine.worker.busy",
        "s",
        &[WORKER],
        "Time that workers spent on batches; its rate is the part of the time that a worker is busy",
    );
    COST_MODEL_ERROR = Metric::histogram(
        "marquee.engine.cost_model.error",
        "1",
        &[],
        "How far the predicted time of a batch was off, as a part of the real time; admission is as good as this",
    );
    CUDA_GRAPH_FAILURES = Metric::counter(
        "marquee.engine.cuda_graph.failures",
        "{session}",
        &[],
        "GPU sessions that run without CUDA graphs, because one could not be captured or replayed",
    );
}

/// The engine's instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    batch_size: Histogram<u64>,
    batch_tokens: Histogram<u64>,
    padding: Histogram<f64>,
    dispatched: Counter<u64>,
    wait: Histogram<f64>,
    encode: Histogram<f64>,
    score: Histogram<f64>,
    jobs_failed: Counter<u64>,
    jobs_cancelled: Counter<u64>,
    batches_failed: Counter<u64>,
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
    let label = [DEVICE.is(device.to_owned())];
    let (read_depth, label_depth) = (read.clone(), label.clone());
    QUEUE_DEPTH.u64_observable_gauge(move |gauge| {
        if let Some((depth, _)) = read_depth() {
            gauge.observe(depth as u64, &label_depth);
        }
    });
    QUEUE_AGE.f64_observable_gauge(move |gauge| {
        if let Some((_, age)) = read() {
            gauge.observe(age.as_secs_f64(), &label);
        }
    });
}

/// What a loaded model is counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Serving {
    pub(crate) device: String,
    pub(crate) precision: String,
    pub(crate) kernels: String,
}

/// Counts the loaded models whenever somebody collects.
pub(crate) fn observe_models(loaded: impl Fn() -> Vec<Serving> + Send + Sync + 'static) {
    MODELS.u64_observable_gauge(move |gauge| {
        let mut counts: BTreeMap<Serving, u64> = BTreeMap::new();
        for serving in loaded() {
            *counts.entry(serving).or_default() += 1;
        }
        for (Serving { device, precision, kernels }, count) in counts {
            gauge.observe(count, &[DEVICE.is(device), PRECISION.is(precision), KERNELS.is(kernels)]);
        }
    });
}

/// A GPU session does without CUDA graphs, because capturing or replaying one went wrong.
pub(crate) fn graphs_refused() {
    CUDA_GRAPH_FAILURES.u64_counter().add(1, &[]);
}

impl Metrics {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            batch_size: BATCH_SIZE.u64_histogram(&SIZES),
            batch_tokens: BATCH_TOKENS.u64_histogram(&TOKENS),
            padding: BATCH_PADDING.f64_histogram(&RATIOS),
            dispatched: BATCHES_DISPATCHED.u64_counter(),
            wait: QUEUE_DURATION.seconds(),
            encode: ENCODE_DURATION.seconds(),
            score: SCORE_DURATION.seconds(),
            jobs_failed: JOBS_FAILED.u64_counter(),
            jobs_cancelled: JOBS_CANCELLED.u64_counter(),
            batches_failed: BATCHES_FAILED.u64_counter(),
            busy: WORKER_BUSY.f64_counter(),
            cost_error: COST_MODEL_ERROR.f64_histogram(&RATIOS),
            labels: Labels {
                idle: [DISPATCH_REASON.is("idle")],
                full: [DISPATCH_REASON.is("full")],
                deadline: [DISPATCH_REASON.is("deadline")],
                workers: (0..workers).map(|worker| [WORKER.is(worker as i64)]).collect(),
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
            self.dispatched.add(1, reason);
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
        self.jobs_failed.add(1, &[FAILURE_REASON.is(reason)]);
    }

    pub(crate) fn cancelled(&self) {
        self.jobs_cancelled.add(1, &[]);
    }

    pub(crate) fn failed(&self) {
        self.batches_failed.add(1, &[]);
    }
}
