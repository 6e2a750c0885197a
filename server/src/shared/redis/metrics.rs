//! What is counted of the commands to Redis.

use std::time::Duration;

use marquee_core::meters::LATENCY_BUCKETS_SECONDS;
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

use super::{Holds, Outage, Purpose};

/// The instruments of the link to Redis.
pub(super) struct Metrics {
    duration: Histogram<f64>,
    opened: Counter<u64>,
    freed: Counter<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let meter = global::meter("marquee");
        Self {
            duration: meter
                .f64_histogram("marquee.redis.command.duration")
                .with_unit("s")
                .with_description("Time of commands to Redis, by purpose and outcome")
                .with_boundaries(LATENCY_BUCKETS_SECONDS.to_vec())
                .build(),
            opened: meter
                .u64_counter("marquee.redis.circuit.openings")
                .with_description("How often Redis was left alone after failures in a row")
                .build(),
            freed: meter
                .u64_counter("marquee.redis.keys.freed")
                .with_description(
                    "Keys that held what is not ours and were freed of it, by what they are to hold",
                )
                .build(),
        }
    }
}

impl Metrics {
    /// A command ended so.
    pub(super) fn call(&self, purpose: Purpose, outage: Option<&Outage>, duration: Duration) {
        let purpose = match purpose {
            Purpose::Get => "get",
            Purpose::Put => "put",
            Purpose::Remove => "remove",
            Purpose::Limit => "limit",
            Purpose::Announce => "announce",
            Purpose::Follow => "follow",
        };
        let outcome = match outage {
            None => "ok",
            Some(Outage::Open) => "open",
            Some(Outage::Disconnected) => "disconnected",
            Some(Outage::Timeout) => "timeout",
            Some(Outage::Full) => "full",
            Some(Outage::WrongType) => "wrong_type",
            Some(Outage::Failed(_)) => "failed",
        };
        let labels = [KeyValue::new("purpose", purpose), KeyValue::new("outcome", outcome)];
        self.duration.record(duration.as_secs_f64(), &labels);
    }

    /// The circuit opened.
    pub(super) fn opened(&self) {
        self.opened.add(1, &[]);
    }

    /// A key was freed of something else.
    pub(super) fn freed(&self, holds: Holds) {
        self.freed.add(1, &[KeyValue::new("holds", holds.label())]);
    }
}
