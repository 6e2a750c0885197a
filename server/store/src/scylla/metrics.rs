//! What is counted of the statements.

use std::time::Duration;

use marquee_core::meters::LATENCY_BUCKETS_SECONDS;
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

use super::failure::Failure;
use super::statements::Statement;

/// The instruments of the link to the cluster.
pub(super) struct Metrics {
    duration: Histogram<f64>,
    losses: Counter<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let meter = global::meter("marquee");
        Self {
            duration: meter
                .f64_histogram("marquee.store.statement.duration")
                .with_unit("s")
                .with_description("Time of statements to the CQL store, waits for a turn included, by statement and outcome")
                .with_boundaries(LATENCY_BUCKETS_SECONDS.to_vec())
                .build(),
            losses: meter
                .u64_counter("marquee.store.session.losses")
                .with_description("How often no node of the CQL store could be reached")
                .build(),
        }
    }
}

impl Metrics {
    /// A page or a write ended so.
    pub(super) fn ended(&self, statement: Statement, failure: Option<&Failure>, duration: Duration) {
        let outcome = match failure {
            None => "ok",
            Some(Failure::Down) => "down",
            Some(Failure::Full) => "full",
            Some(Failure::Timeout) => "timeout",
            Some(Failure::Refused(_)) => "refused",
            Some(Failure::Connection(_)) => "connection",
        };
        let labels = [KeyValue::new("statement", statement.label()), KeyValue::new("outcome", outcome)];
        self.duration.record(duration.as_secs_f64(), &labels);
    }

    /// No node could be reached.
    pub(super) fn lost(&self) {
        self.losses.add(1, &[]);
    }
}
