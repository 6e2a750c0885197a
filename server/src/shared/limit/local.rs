//! The buckets of one process.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::Rate;

/// Buckets that are kept. A bucket that is pushed out by others is full again when its caller returns.
const MAX_BUCKETS: usize = 100_000;

/// A bucket for each name, made full at first use.
pub(super) struct LocalBuckets {
    rate: Rate,
    buckets: Cache<String, Arc<Mutex<Bucket>>>,
}

struct Bucket {
    tokens: f64,
    /// When it had so many tokens.
    at: Instant,
}

impl LocalBuckets {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Cache::new(MAX_BUCKETS) }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes so many tokens if there is one, and says how many there are still; those that are missing are owed, and
    /// there is none until they have come. Says how long until there is one otherwise.
    pub(super) fn take(&self, name: &str, tokens: u32, now: Instant) -> Result<u32, Duration> {
        let full = || {
            let bucket = Bucket { tokens: self.rate.capacity(), at: now };
            Ok::<_, Infallible>(Arc::new(Mutex::new(bucket)))
        };
        let Ok(bucket) = self.buckets.get_or_insert_with(name, full);
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.rate, tokens, now)
    }
}

impl Bucket {
    fn take(&mut self, rate: Rate, tokens: u32, now: Instant) -> Result<u32, Duration> {
        let token_seconds = rate.fill_time().as_secs_f64() / rate.capacity();
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since / token_seconds).min(rate.capacity());
        self.at = self.at.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= f64::from(tokens);
            // A negative number is none.
            Ok(self.tokens as u32)
        } else {
            Err(Duration::from_secs_f64((1.0 - self.tokens) * token_seconds))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn buckets(rate: &str) -> LocalBuckets {
        LocalBuckets::new(rate.parse().unwrap())
    }

    #[test]
    fn a_full_bucket_gives_its_tokens_at_once_and_then_none() {
        let (buckets, now) = (buckets("3/s"), Instant::now());
        for left in [2, 1, 0] {
            assert_eq!(buckets.take("a", 1, now), Ok(left));
        }
        let wait = buckets.take("a", 1, now).unwrap_err();
        assert_eq!(wait.as_millis(), 333);
    }

    #[test]
    fn tokens_come_back_evenly_and_no_more_than_the_bucket_holds() {
        let (buckets, now) = (buckets("2/s"), Instant::now());
        for _ in 0..2 {
            assert!(buckets.take("a", 1, now).is_ok());
        }
        assert!(buckets.take("a", 1, now + SECOND / 2).is_ok());
        assert!(buckets.take("a", 1, now + SECOND / 2).is_err());
        let later = now + 100 * SECOND;
        let given = (0..10).filter(|_| buckets.take("a", 1, later).is_ok()).count();
        assert_eq!(given, 2);
    }

    #[test]
    fn each_name_has_a_bucket_of_its_own() {
        let (buckets, now) = (buckets("1/h"), Instant::now());
        assert!(buckets.take("a", 1, now).is_ok());
        assert!(buckets.take("b", 1, now).is_ok());
        assert!(buckets.take("a", 1, now).is_err());
    }

    #[test]
    fn what_is_taken_beyond_the_last_token_is_owed() {
        let (buckets, now) = (buckets("2/s"), Instant::now());
        assert!(buckets.take("a", 6, now).is_ok());
        assert_eq!(buckets.take("a", 1, now).unwrap_err().as_millis(), 2500);
        assert!(buckets.take("a", 1, now + 2 * SECOND).is_err());
        assert!(buckets.take("a", 1, now + 5 * SECOND / 2).is_ok());
    }

    #[test]
    fn a_clock_that_steps_back_gives_no_tokens() {
        let (buckets, now) = (buckets("1/s"), Instant::now() + SECOND);
        assert!(buckets.take("a", 1, now).is_ok());
        assert!(buckets.take("a", 1, now - SECOND).is_err());
        assert!(buckets.take("a", 1, now).is_err());
    }
}
