//! How often a caller may call, one token bucket for each caller and method, and how many calls it may have in flight.
//!
//! With Redis the buckets are shared by all nodes and each call costs one round trip; without, or
//! while Redis does not answer, every node counts for itself, so that n nodes together let through n
//! times the rate. The messages of a stream always count at the node that reads them: a round trip for
//! each would be dear.

mod local;
mod rate;
mod share;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use local::LocalBuckets;
use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::metrics::Counter;
pub use rate::{Rate, RateError};
pub use share::{Place, Share, ShareError, Shares};
use shared::SharedBuckets;
use tokio::time::Instant;

use crate::shared::redis::Redis;

const METHOD: Label = Label::any("method", "the method that was called, as `package.Service/Method`");

metrics! {
    pub(crate) METRICS;
    RATE_LIMITED = Metric::counter(
        "marquee.limit.rate_limited",
        "{call}",
        &[METHOD],
        "Calls and streams that were refused since their caller was over `rate-limit`",
    );
    SHARE_TAKEN = Metric::counter(
        "marquee.limit.share_taken",
        "{call}",
        &[METHOD],
        "Calls and streams that were refused since their caller had `caller-share` in flight",
    );
}

/// Counts the calls of every caller.
pub struct Limiter {
    local: LocalBuckets,
    shared: Option<SharedBuckets>,
    rate_limited: Counter<u64>,
}

impl Limiter {
    /// A limiter that lets each caller call each method at this rate.
    pub fn new(rate: Rate, redis: Option<Arc<Redis>>) -> Self {
        let shared = redis.map(|redis| SharedBuckets::new(rate, redis));
        Self { local: LocalBuckets::new(rate), shared, rate_limited: RATE_LIMITED.u64_counter() }
    }

    /// How many calls may come at once.
    pub fn most(&self) -> u32 {
        self.local.rate().calls()
    }

    /// Takes a token for a call of `method` by `caller`, and says how many there are still.
    ///
    /// # Errors
    /// The time until there is a token again.
    pub async fn take(&self, caller: &str, method: &'static str) -> Result<u32, Duration> {
        let bucket = bucket(caller, method);
        let taken = match self.shared_take(&bucket).await {
            Some(taken) => taken,
            None => self.local.take(&bucket, 1, Instant::now()),
        };
        if taken.is_err() {
            self.refused(method);
        }
        taken
    }

    fn refused(&self, method: &'static str) {
        self.rate_limited.add(1, &[METHOD.is(method)]);
    }

    async fn shared_take(&self, bucket: &str) -> Option<Result<u32, Duration>> {
        self.shared.as_ref()?.take(bucket).await.ok()
    }
}

fn bucket(caller: &str, method: &'static str) -> String {
    format!("{method}:{caller}")
}

/// What the messages of a stream take their tokens from: its caller's bucket at this node.
pub struct Messages {
    limiter: Arc<Limiter>,
    bucket: String,
    method: &'static str,
}

impl Messages {
    /// Of a call of `method` by `caller`.
    pub fn new(limiter: &Arc<Limiter>, caller: &str, method: &'static str) -> Self {
        Self { limiter: Arc::clone(limiter), bucket: bucket(caller, method), method }
    }

    /// The method that is called.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Takes the tokens of so many messages that have come together, if there is one; the others may be owed.
    ///
    /// # Errors
    /// The time until all that is owed has come, and a token more.
    pub fn take(&self, messages: u32) -> Result<(), Duration> {
        self.limiter.local.take(&self.bucket, messages, Instant::now()).map(|_remaining| ())
    }

    /// Counts a stream that was refused.
    pub fn refused(&self) {
        self.limiter.refused(self.method);
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::clock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_come_with_time_however_the_clock_is_set() {
        let limiter = Limiter::new("1/s".parse().unwrap(), None);
        assert_eq!(limiter.take("caller", "method").await, Ok(0));
        for hour in [1, 3, 2] {
            clock::fake::set(hour * 3_600_000);
            assert!(limiter.take("caller", "method").await.is_err());
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(limiter.take("caller", "method").await.is_ok());
    }
}
