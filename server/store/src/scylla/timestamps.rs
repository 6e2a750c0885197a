//! When a write happened, by which the cluster decides between writes of one cell and a deletion.
//!
//! Every row of one call gets the same timestamp, so that a deletion of the same moment takes all of
//! them or none. A call that has read what it replaces is later than that, even where the clock of the
//! node that wrote it is ahead of this one's.

use std::sync::atomic::{AtomicI64, Ordering};

use marquee_core::clock;

/// Timestamps of one node: microseconds since 1970, each above the one before.
#[derive(Default)]
pub(super) struct Timestamps {
    last: AtomicI64,
}

impl Timestamps {
    /// Of a write of now.
    pub(super) fn now(&self) -> i64 {
        self.after(i64::MIN)
    }

    /// Of a write of now that replaces what was written at that timestamp.
    pub(super) fn after(&self, replaced: i64) -> i64 {
        let now = i64::try_from(clock::wall().as_micros()).unwrap_or(i64::MAX);
        let next = |last: i64| now.max(last.saturating_add(1)).max(replaced.saturating_add(1));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_above_the_one_before_and_above_what_it_replaces() {
        let timestamps = Timestamps::default();
        let first = timestamps.now();
        let ahead = first + 1_000_000_000;
        assert_eq!(timestamps.after(ahead), ahead + 1);
        assert_eq!(timestamps.now(), ahead + 2);
        assert_eq!(timestamps.after(first), ahead + 3);
    }

    #[test]
    fn each_is_above_the_one_before_however_the_clock_is_set() {
        let timestamps = Timestamps::default();
        let mut before = 0;
        for hour in [10, 11, 10, 9, 12] {
            clock::fake::set(hour * 3_600_000);
            let now = timestamps.now();
            assert!(now > before, "{now} after {before}");
            before = now;
        }
    }
}
