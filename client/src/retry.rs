//! Which failures are worth another attempt, and after what pause.
//!
//! Pure: the caller brings the random number and does the waiting, so tests need neither.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// When an idempotent call is repeated.
///
/// ```
/// use marquee_client::{ConnectOptions, RetryPolicy};
///
/// let patient = RetryPolicy { max_attempts: 8, ..RetryPolicy::default() };
/// let options = ConnectOptions { retry: patient, ..ConnectOptions::default() };
/// # assert_eq!(options.retry.max_attempts, 8);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included: 4. 1 repeats nothing.
    pub max_attempts: u32,
    /// The pause after the first attempt, before jitter: 50 ms. It doubles with every attempt.
    pub initial_pause: Duration,
    /// The longest pause that this side chooses, before jitter: 2 s.
    pub max_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 4, initial_pause: Duration::from_millis(50), max_pause: Duration::from_secs(2) }
    }
}

impl RetryPolicy {
    /// A policy that repeats nothing.
    pub fn never() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// How long to wait after attempt number `attempt` (from 1) failed with `status`, or `None` if
    /// the failure is final.
    ///
    /// `jitter` is a random number from 0 to 1. Without a word from the server the pause is half to
    /// all of the doubled one. The server's `RetryInfo` is a lower bound: what it asks for, and up to
    /// a quarter more, so that callers who were refused together do not come back together.
    pub(crate) fn pause_after(&self, attempt: u32, status: &Status, jitter: f64) -> Option<Duration> {
        let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
        if attempt >= self.max_attempts || !is_transient(status.code(), asked) {
            return None;
        }
        Some(match asked {
            Some(delay) => delay.mul_f64(1.0 + 0.25 * jitter),
            None => self.backoff(attempt).mul_f64(0.5 + 0.5 * jitter),
        })
    }

    fn backoff(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        self.initial_pause.saturating_mul(1 << doublings).min(self.max_pause)
    }
}

/// Whether the same call may succeed a little later. Of what is exhausted, the server says when it will not be: a
/// message that is too large stays so.
fn is_transient(code: Code, asked: Option<Duration>) -> bool {
    match code {
        Code::Unavailable => true,
        Code::ResourceExhausted => asked.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn busy(delay: Duration) -> Status {
        let details = ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(Code::ResourceExhausted, "the queue is full", details)
    }

    #[test]
    fn the_pause_doubles_up_to_its_bound() {
        let policy = RetryPolicy { max_attempts: 20, max_pause: MS(300), ..Default::default() };
        let lost = Status::unavailable("gone");
        let pauses: Vec<_> = (1..=5).map(|attempt| policy.pause_after(attempt, &lost, 1.0)).collect();
        assert_eq!(pauses, [50, 100, 200, 300, 300].map(|ms| Some(MS(ms))));
    }

    #[test]
    fn jitter_takes_up_to_half_of_the_pause_away() {
        let policy = RetryPolicy::default();
        let lost = Status::unavailable("gone");
        assert_eq!(policy.pause_after(1, &lost, 0.0), Some(MS(25)));
        assert_eq!(policy.pause_after(1, &lost, 1.0), Some(MS(50)));
    }

    #[test]
    fn the_server_is_never_asked_again_before_it_said() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause_after(1, &busy(MS(400)), 0.0), Some(MS(400)));
        assert_eq!(policy.pause_after(1, &busy(MS(400)), 1.0), Some(MS(500)));
    }

    #[test]
    fn only_transient_failures_are_repeated() {
        let policy = RetryPolicy::default();
        let repeated: Vec<_> = (1..=16)
            .map(Code::from_i32)
            .filter(|code| policy.pause_after(1, &Status::new(*code, ""), 0.5).is_some())
            .collect();
        assert_eq!(repeated, [Code::Unavailable]);
    }

    #[test]
    fn what_is_exhausted_is_repeated_when_the_server_says_when() {
        let policy = RetryPolicy::default();
        assert!(policy.pause_after(1, &busy(MS(400)), 0.5).is_some());
        let too_large = Status::resource_exhausted("a message has more than 4194304 bytes");
        assert_eq!(policy.pause_after(1, &too_large, 0.5), None);
    }

    #[test]
    fn the_last_attempt_is_final() {
        let policy = RetryPolicy::default();
        let lost = Status::unavailable("gone");
        assert!(policy.pause_after(3, &lost, 0.5).is_some());
        assert_eq!(policy.pause_after(4, &lost, 0.5), None);
        assert_eq!(RetryPolicy::never().pause_after(1, &lost, 0.5), None);
    }
}
