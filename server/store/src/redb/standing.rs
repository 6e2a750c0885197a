//! Whether the store takes writes, for callers, health and metrics.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use marquee_core::meters::Metric;
use marquee_core::metrics;
use opentelemetry::metrics::{Counter, Gauge};

use crate::StoreError;

metrics! {
    pub(crate) METRICS;
    WRITE_FAILURES = Metric::counter(
        "marquee.store.write_failures",
        "",
        &[],
        "How often the embedded store began to refuse writes because the disk failed",
    );
    REFUSES_WRITES = Metric::gauge(
        "marquee.store.refuses_writes",
        "",
        &[],
        "1 while the embedded store refuses writes because the disk failed, else 0",
    );
}

/// Since when, and why, writes are refused.
pub(super) struct Standing {
    refusal: ArcSwapOption<StoreError>,
    since: Mutex<Option<Instant>>,
    failures: Counter<u64>,
    refuses: Gauge<u64>,
}

impl Default for Standing {
    fn default() -> Self {
        let failures = WRITE_FAILURES.u64_counter();
        let refuses = REFUSES_WRITES.u64_gauge();
        refuses.record(0, &[]);
        Self { refusal: ArcSwapOption::empty(), since: Mutex::default(), failures, refuses }
    }
}

impl Standing {
    /// What a caller is told about a failed write.
    pub(super) fn refusal(error: &StoreError) -> StoreError {
        StoreError::Unavailable(format!(
            "a write to the disk failed ({}); reads go on, and writes as soon as the disk takes them",
            reason(error)
        ))
    }

    /// The refusal, while writes are refused.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &*self.refusal.load() {
            None => Ok(()),
            Some(refusal) => Err(StoreError::clone(refusal)),
        }
    }

    /// A write failed.
    pub(super) fn refuse(&self, error: &StoreError) {
        tracing::error!(
            error = reason(error),
            "write to disk failed: refusing writes until one succeeds, reads go on"
        );
        self.refusal.store(Some(Self::refusal(error).into()));
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.failures.add(1, &[]);
        self.refuses.record(1, &[]);
    }

    /// The disk takes writes again.
    pub(super) fn take_again(&self) {
        self.refusal.store(None);
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.refuses.record(0, &[]);
        let after = since.map_or(Duration::ZERO, |since| since.elapsed());
        tracing::info!(
            ?after,
            "write to disk succeeded: accepting writes again, no acknowledged write is lost"
        );
    }
}

/// What went wrong, without what a caller is told to do.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(why) => why.clone(),
        other => other.to_string(),
    }
}
