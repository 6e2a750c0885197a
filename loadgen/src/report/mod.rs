//! Results: the JSON document, the table and the live view.
//!
//! A document holds a [`Tally`], which can be added to others, and figures derived from it. Merging adds
//! tallies and derives again, so that merged percentiles are those of all calls together.

pub mod live;
mod merge;
pub mod table;
pub(crate) mod tally;

use std::collections::BTreeMap;

pub use merge::MergeError;
use serde::{Deserialize, Serialize};
pub use tally::{CallTally, FailureTally, Tally, WindowTally};

use crate::measure::histogram::{Encoded, quantile_ms};
use crate::measure::{STAGES, Verdict};
use crate::metrics::MetricsReport;

/// The version of the document's form.
pub const FORMAT: u32 = 3;

/// Quantiles of a time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The smallest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// 90% are at most this.
    pub p90: f64,
    /// 95% are at most this.
    pub p95: f64,
    /// 99% are at most this.
    pub p99: f64,
    /// 99.9% are at most this.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    /// Of a histogram in microseconds.
    pub fn of(histogram: &Encoded) -> Self {
        let histogram = &histogram.0;
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            min: histogram.min() as f64 / 1e3,
            mean: histogram.mean() / 1e3,
            p50: quantile_ms(histogram, 0.5),
            p90: quantile_ms(histogram, 0.9),
            p95: quantile_ms(histogram, 0.95),
            p99: quantile_ms(histogram, 0.99),
            p999: quantile_ms(histogram, 0.999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The server.
    pub target: String,
    /// The calls and their weights, as written.
    pub rpc: String,
    /// What the calls asked, in words.
    #[serde(default)]
    pub requests: String,
    /// How the server was spoken to, such as `Connect in JSON over HTTP/1.1`.
    pub protocol: String,
    /// How load was made, in words.
    pub load: String,
    /// Connections; over HTTP/1.1 those that were opened before the run.
    pub connections: usize,
    /// Worker threads of the generator.
    pub threads: usize,
    /// Machines whose results are in here.
    pub machines: usize,
    /// Which parts of the requests they made, each as `--part` has it.
    #[serde(default)]
    pub parts: Vec<String>,
    /// The seed of the requests.
    pub seed: u64,
    /// What each call was given, in milliseconds.
    pub deadline_ms: Option<u64>,
}

/// The figures of one kind of call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallReport {
    /// Its name.
    pub name: String,
    /// Calls that were due.
    pub due: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls failed.
    pub errors: u64,
    /// Calls cancelled on purpose.
    pub cancelled: u64,
    /// From the intended start to the end of the reply.
    pub latency_ms: Quantiles,
}

/// Where the server says the time went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Replies that said so.
    pub replies: u64,
    /// From the request's arrival in the server's handler to its reply.
    pub total_ms: Quantiles,
    /// The stages, in the order of a request.
    pub stages_ms: Vec<(String, Quantiles)>,
}

/// Answers in time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goodput {
    /// The time, in milliseconds.
    pub under_ms: f64,
    /// Calls answered within it, a second.
    pub per_second: f64,
}

/// A result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form: [`FORMAT`].
    pub format: u32,
    /// The version of the generator.
    pub generator: String,
    /// When the warm-up began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// What was run.
    pub setup: Setup,
    /// Whether the generator kept out of the measurement's way; if not, believe nothing below.
    pub valid: bool,
    /// Why not.
    pub invalid_because: Vec<String>,
    /// The measured time in seconds, without the warm-up.
    pub measured_s: f64,
    /// Answers a second; those of batches and streams count one by one.
    pub throughput: f64,
    /// Requests that were due, a second.
    pub offered: f64,
    /// Calls that failed.
    pub errors: u64,
    /// Their share of the calls.
    pub error_rate: f64,
    /// Calls cancelled on purpose.
    pub cancelled: u64,
    /// Failed outcomes inside answered batches and streams.
    pub failed_outcomes: u64,
    /// Answers in time, where a time was given.
    pub goodput: Option<Goodput>,
    /// Of answered calls, from the intended start to the end of the reply.
    pub latency_ms: Quantiles,
    /// How late requests went out.
    pub lateness_ms: Quantiles,
    /// The share of the time that the generator's busiest thread computed.
    pub busiest_worker: Option<f64>,
    /// Errors by kind.
    pub errors_by_kind: BTreeMap<String, FailureTally>,
    /// By kind of call.
    pub calls: Vec<CallReport>,
    /// The server's own account, if its replies have one.
    pub server: Option<ServerReport>,
    /// What changed in the server's metrics.
    pub metrics: Option<MetricsReport>,
    /// Everything that the figures come from.
    pub tally: Tally,
}

impl Report {
    /// Derives the figures from a tally.
    pub fn new(
        setup: Setup,
        began_unix_ms: u64,
        verdict: Verdict,
        tally: Tally,
        metrics: Option<MetricsReport>,
    ) -> Self {
        let latency = tally.latency();
        let seconds = tally.measured_s.max(1e-9);
        let due: u64 = tally.calls.iter().map(|call| call.due).sum();
        let errors: u64 = tally.calls.iter().map(|call| call.failed).sum();
        let ended = errors + latency.0.len();
        let goodput = tally.goodput_under_ms.map(|under_ms| Goodput {
            under_ms,
            per_second: latency.0.count_between(0, (under_ms * 1e3) as u64) as f64 / seconds,
        });
        Self {
            format: FORMAT,
            generator: env!("CARGO_PKG_VERSION").to_owned(),
            began_unix_ms,
            setup,
            valid: verdict.valid,
            invalid_because: verdict.reasons,
            measured_s: tally.measured_s,
            throughput: tally.answers as f64 / seconds,
            offered: due as f64 / seconds,
            errors,
            error_rate: if ended == 0 { 0.0 } else { errors as f64 / ended as f64 },
            cancelled: tally.calls.iter().map(|call| call.cancelled).sum(),
            failed_outcomes: tally.failed_outcomes,
            goodput,
            latency_ms: Quantiles::of(&latency),
            lateness_ms: Quantiles::of(&tally.lateness),
            busiest_worker: tally.busiest_worker,
            errors_by_kind: tally.failures.clone(),
            calls: tally.calls.iter().map(CallReport::of).collect(),
            server: ServerReport::of(&tally),
            metrics,
            tally,
        }
    }
}

impl CallReport {
    fn of(call: &CallTally) -> Self {
        Self {
            name: call.name.clone(),
            due: call.due,
            answered: call.answered,
            errors: call.failed,
            cancelled: call.cancelled,
            latency_ms: Quantiles::of(&call.latency),
        }
    }
}

impl ServerReport {
    fn of(tally: &Tally) -> Option<Self> {
        let replies = tally.server_total.0.len();
        (replies > 0).then(|| Self {
            replies,
            total_ms: Quantiles::of(&tally.server_total),
            stages_ms: STAGES
                .iter()
                .zip(&tally.server_stages)
                .map(|(name, stage)| ((*name).to_owned(), Quantiles::of(stage)))
                .collect(),
        })
    }
}
