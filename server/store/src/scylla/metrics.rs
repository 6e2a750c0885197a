//! What is counted of the statements.

use std::time::Duration;

use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::metrics::{Counter, Histogram};

use super::failure::Failure;
use super::statements::{LABELS, Statement};

const STATEMENT: Label = Label::one_of("statement", LABELS);
const OUTCOME: Label = Label::one_of("outcome", &["ok", "timeout", "refused", "connection", "full", "down"]);

metrics! {
    pub(crate) METRICS;
    STATEMENT_DURATION = Metric::histogram(
        "marquee.store.statement.duration",
        "s",
        &[STATEMENT, OUTCOME],
        "How long statements to the CQL store take, waiting for a permit included, and how they end",
    );
    SESSION_LOST = Metric::counter(
        "marquee.store.session_lost",
        "",
        &[],
        "How often no node of the CQL store could be reached",
    );
}

/// The instruments of the link to the cluster.
pub(super) struct Metrics {
    duration: Histogram<f64>,
    lost: Counter<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { duration: STATEMENT_DURATION.seconds(), lost: SESSION_LOST.u64_counter() }
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
        let labels = [STATEMENT.is(statement.label()), OUTCOME.is(outcome)];
        self.duration.record(duration.as_secs_f64(), &labels);
    }

    /// No node could be reached.
    pub(super) fn lost(&self) {
        self.lost.add(1, &[]);
    }
}
