//! What is counted of the commands to Redis.

use std::time::Duration;

use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::metrics::{Counter, Histogram};

use super::{Holds, Outage, Purpose};

const PURPOSE: Label = Label::one_of("purpose", &["get", "put", "remove", "limit", "announce", "follow"]);
const OUTCOME: Label =
    Label::one_of("outcome", &["ok", "open", "disconnected", "timeout", "full", "wrong_type", "failed"]);
const HOLDS: Label = Label::one_of("holds", &["value", "bucket", "events", "events_kept"]);

metrics! {
    pub(crate) METRICS;
    COMMAND_DURATION = Metric::histogram(
        "marquee.redis.command.duration",
        "s",
        &[PURPOSE, OUTCOME],
        "How long commands to Redis take, and how they end: `open` while the circuit breaker is open",
    );
    CIRCUIT_BREAKER_OPENED = Metric::counter(
        "marquee.redis.circuit_breaker_opened",
        "",
        &[],
        "How often the circuit breaker opened after failures in a row, so that the node worked without Redis",
    );
    KEYS_FREED = Metric::counter(
        "marquee.redis.keys_freed",
        "{key}",
        &[HOLDS],
        "Keys that held a value of another program and were freed of it, by what they are to hold",
    );
}

/// The instruments of the link to Redis.
pub(super) struct Metrics {
    duration: Histogram<f64>,
    opened: Counter<u64>,
    freed: Counter<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            duration: COMMAND_DURATION.seconds(),
            opened: CIRCUIT_BREAKER_OPENED.u64_counter(),
            freed: KEYS_FREED.u64_counter(),
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
        self.duration.record(duration.as_secs_f64(), &[PURPOSE.is(purpose), OUTCOME.is(outcome)]);
    }

    /// The circuit breaker opened.
    pub(super) fn opened(&self) {
        self.opened.add(1, &[]);
    }

    /// A key was freed of something else.
    pub(super) fn freed(&self, holds: Holds) {
        self.freed.add(1, &[HOLDS.is(holds.label())]);
    }
}
