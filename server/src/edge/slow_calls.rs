//! The slowest calls of the last quarter of an hour, with where their time went, for who looks after the server.
//!
//! A call is compared with one number; a lock is taken only for those that are slow enough to be kept. Streams are left
//! out: they last as long as their callers want.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_proto::v1;
use tokio::time::{Instant, interval};

use crate::telemetry::PAST;

/// How many are kept.
const MOST: usize = 100;

/// How often those that ended too long ago make room.
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// What there is to say of a call that took long.
#[derive(Clone, Debug)]
pub(crate) struct SlowCall {
    pub(crate) code: &'static str,
    pub(crate) request_id: String,
    pub(crate) caller: String,
    pub(crate) timings: Option<v1::Timings>,
}

/// One that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) method: &'static str,
    pub(crate) duration: Duration,
    pub(crate) call: SlowCall,
    pub(crate) ended_ms: TimeMs,
    ended: Instant,
}

/// The slowest calls.
#[derive(Default)]
pub(crate) struct SlowCalls {
    streams: HashSet<&'static str>,
    /// What a call must take to be kept, in microseconds; 0 while there is room.
    least_us: AtomicU64,
    kept: Mutex<Vec<Kept>>,
}

impl SlowCalls {
    /// Of calls that are none of these methods, whose calls are streams.
    pub(crate) fn new(streams: HashSet<&'static str>) -> Self {
        Self { streams, ..Self::default() }
    }

    /// Keeps a call that took so long if it is one of the slowest; `describe` is asked only then.
    pub(crate) fn note(&self, method: &'static str, duration: Duration, describe: impl FnOnce() -> SlowCall) {
        let is_fast = (duration.as_micros() as u64) < self.least_us.load(Ordering::Relaxed);
        if is_fast || self.streams.contains(method) {
            return;
        }
        let call = describe();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut kept);
        kept.push(Kept { method, duration, call, ended_ms: now_ms(), ended: Instant::now() });
        kept.sort_by_key(|kept| Reverse(kept.duration));
        kept.truncate(MOST);
        self.set_least(&kept);
    }

    /// The slowest of the last quarter of an hour, the slowest first.
    pub(crate) fn list(&self, limit: usize) -> Vec<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut kept);
        self.set_least(&kept);
        kept.iter().take(limit).cloned().collect()
    }

    /// Lets those go that ended too long ago, so that others find room, until it is aborted.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut ticks = interval(FORGET_EVERY);
        loop {
            ticks.tick().await;
            let _kept = self.list(0);
        }
    }

    fn set_least(&self, kept: &[Kept]) {
        let last = kept.get(MOST - 1).map_or(0, |last| last.duration.as_micros() as u64 + 1);
        self.least_us.store(last, Ordering::Relaxed);
    }
}

fn forget(kept: &mut Vec<Kept>) {
    kept.retain(|kept| kept.ended.elapsed() <= PAST);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the call was described.
    fn note(calls: &SlowCalls, method: &'static str, ms: u64) -> bool {
        let mut asked = false;
        calls.note(method, Duration::from_millis(ms), || {
            asked = true;
            SlowCall { code: "OK", request_id: ms.to_string(), caller: String::new(), timings: None }
        });
        asked
    }

    fn listed(calls: &SlowCalls) -> Vec<u64> {
        calls.list(MOST).iter().map(|kept| kept.duration.as_millis() as u64).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_are_kept_and_others_cost_no_description() {
        let calls = SlowCalls::new(HashSet::from(["A/Watch"]));
        assert!((1..=150).all(|ms| note(&calls, "A/Get", ms)));
        assert_eq!(listed(&calls), (51..=150).rev().collect::<Vec<u64>>());
        assert!(!note(&calls, "A/Get", 51), "a hundred are as slow");
        assert!(note(&calls, "A/Get", 52));
        assert!(!note(&calls, "A/Watch", 10_000), "a stream lasts as long as its caller wants");
    }

    #[tokio::test(start_paused = true)]
    async fn those_of_long_ago_make_room() {
        let calls = Arc::new(SlowCalls::default());
        assert!((1..=150).all(|ms| note(&calls, "A/Get", ms)));
        let following = tokio::spawn(Arc::clone(&calls).follow());
        tokio::time::sleep(PAST + 2 * FORGET_EVERY).await;
        assert!(note(&calls, "A/Get", 1));
        assert_eq!(listed(&calls), [1]);
        following.abort();
    }
}
