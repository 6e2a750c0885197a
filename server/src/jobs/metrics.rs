//! What is measured of jobs.

use marquee_core::domain::TimeMs;
use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};

use super::job::{Job, State};
use super::kind::Kinds;

const ENDED: [State; 3] = [State::Succeeded, State::Failed, State::Cancelled];
const ENDED_NAMES: [&str; 3] = [ENDED[0].name(), ENDED[1].name(), ENDED[2].name()];

/// From a second to a day.
const BUCKETS_SECONDS: [f64; 10] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 43_200.0, 86_400.0];

const KIND: Label = Label::any("kind", "the kind of job, as ListJobKinds has it");
const STATE: Label = Label::one_of("state", &ENDED_NAMES);
const FIGURE: Label = Label::any("figure", "the name of the figure, such as `ndcg@10`");

metrics! {
    pub(crate) METRICS;
    OVER = Metric::counter(
        "marquee.job.ended",
        "{job}",
        &[KIND, STATE],
        "Jobs that ended on this node",
    );
    TAKEN = Metric::histogram("marquee.job.duration", "s", &[KIND], "How long jobs took that succeeded");
    RUNNING = Metric::up_down_counter("marquee.job.running", "{job}", &[KIND], "Jobs that this node runs");
    SUCCESS = Metric::gauge(
        "marquee.job.last_success",
        "s",
        &[KIND],
        "When a job of the kind succeeded last, in seconds since 1970; of the jobs of all nodes",
    );
    LOST = Metric::counter(
        "marquee.job.lost",
        "{job}",
        &[],
        "Jobs that this node gave up because another one had taken them, or the store did not answer",
    );
    VALUE = Metric::gauge(
        "marquee.job.figure",
        "",
        &[KIND, FIGURE],
        "What the newest job of the kind measured, such as recall, drift or nDCG",
    );
}

/// The instruments.
pub(super) struct JobMetrics {
    ended: Counter<u64>,
    taken: Histogram<f64>,
    running: UpDownCounter<i64>,
    success: Gauge<u64>,
    lost: Counter<u64>,
    value: Gauge<f64>,
}

impl JobMetrics {
    /// Of these kinds, each counted as 0, so that the first failure is seen as one.
    pub(super) fn new(kinds: &Kinds) -> Self {
        let metrics = Self {
            ended: OVER.u64_counter(),
            taken: TAKEN.f64_histogram(&BUCKETS_SECONDS),
            running: RUNNING.i64_up_down_counter(),
            success: SUCCESS.u64_gauge(),
            lost: LOST.u64_counter(),
            value: VALUE.f64_gauge(),
        };
        for kind in kinds.iter() {
            metrics.running.add(0, &[KIND.is(kind.name())]);
            for state in ENDED {
                metrics.ended.add(0, &[KIND.is(kind.name()), STATE.is(state.name())]);
            }
        }
        metrics.lost.add(0, &[]);
        metrics
    }

    /// An attempt begins.
    pub(super) fn begins(&self, kind: &'static str) {
        self.running.add(1, &[KIND.is(kind)]);
    }

    /// An attempt is over, whatever came of it.
    pub(super) fn is_over(&self, kind: &'static str) {
        self.running.add(-1, &[KIND.is(kind)]);
    }

    /// A job was given up.
    pub(super) fn loses(&self) {
        self.lost.add(1, &[]);
    }

    /// A job ended here.
    pub(super) fn ends(&self, kind: &'static str, job: &Job) {
        if !job.state.is_over() {
            return;
        }
        self.ended.add(1, &[KIND.is(kind), STATE.is(job.state.name())]);
        if let (State::Succeeded, Some(began), Some(ended)) = (job.state, job.started_ms, job.ended_ms) {
            self.taken.record(ended.saturating_sub(began).max(0) as f64 / 1e3, &[KIND.is(kind)]);
        }
        self.shows(kind, job);
    }

    /// The newest job of a kind that succeeded, wherever it ran.
    pub(super) fn shows(&self, kind: &'static str, job: &Job) {
        let (Some(outcome), Some(ended_ms)) = (&job.outcome, job.ended_ms) else { return };
        self.success.record(seconds(ended_ms), &[KIND.is(kind)]);
        for (figure, value) in &outcome.figures {
            self.value.record(*value, &[KIND.is(kind), FIGURE.is(figure.clone())]);
        }
    }
}

fn seconds(time_ms: TimeMs) -> u64 {
    u64::try_from(time_ms / 1_000).unwrap_or_default()
}
