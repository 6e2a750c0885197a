//! How often a caller may call: one token bucket for each caller and method.
//!
//! With Redis the buckets are shared by all nodes and each call costs one round trip; without, or
//! while Redis does not answer, every node counts for itself, so that n nodes together let through n
//! times the rate. A caller is whoever sends the same `x-api-key`, else the same address. The key is
//! not checked: who invents keys gets a full bucket for each, which authentication has to prevent.

mod local;
mod rate;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use local::LocalBuckets;
use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
pub use rate::{Rate, RateError};
use shared::SharedBuckets;
use tokio::time::Instant;

use crate::redis::Redis;

/// Counts the calls of every caller.
pub struct Limiter {
    local: LocalBuckets,
    shared: Option<SharedBuckets>,
    refusals: Counter<u64>,
}

impl Limiter {
    /// A limiter that lets each caller call each method at this rate.
    pub fn new(rate: Rate, redis: Option<Arc<Redis>>) -> Self {
        let refusals = global::meter("marquee")
            .u64_counter("marquee.limit.refusals")
            .with_description("Calls refused because their caller called too often, by method")
            .build();
        let shared = redis.map(|redis| SharedBuckets::new(rate, redis));
        Self { local: LocalBuckets::new(rate), shared, refusals }
    }

    /// Takes a token for a call of `method` by `caller`.
    ///
    /// # Errors
    /// The time until there is a token again.
    pub async fn take(&self, caller: &str, method: &'static str) -> Result<(), Duration> {
        let bucket = format!("{method}:{caller}");
        let taken = match self.shared_take(&bucket).await {
            Some(taken) => taken,
            None => self.local.take(&bucket, Instant::now()),
        };
        if taken.is_err() {
            self.refusals.add(1, &[KeyValue::new("method", method)]);
        }
        taken
    }

    async fn shared_take(&self, bucket: &str) -> Option<Result<(), Duration>> {
        self.shared.as_ref()?.take(bucket).await.ok()
    }
}
