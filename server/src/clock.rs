//! The server's clock, for events and users that come without a time, and the bounds of the times that
//! events come with.
//!
//! An event of a year to come would lead what is trending until then, so every way in holds its times to
//! [`EventTimes`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::TimeMs;

/// How far ahead of the server's clock an event's time may lie unless the settings say otherwise: enough
/// for a caller that takes its local time for UTC.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_hours(24);

/// 0001-01-01T00:00:00.000Z.
pub const FIRST_TIME_MS: TimeMs = -62_135_596_800_000;

/// 9999-12-31T23:59:59.999Z, the last time that the API's timestamps can say.
pub const LAST_TIME_MS: TimeMs = 253_402_300_799_999;

/// Now, in milliseconds since 1970; 0 on a machine whose clock stands before that.
pub fn now_ms() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs::try_from(since.as_millis()).unwrap_or(TimeMs::MAX)
}

/// The times that an event may have: from the year 1 to a little ahead of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTimes {
    now_ms: TimeMs,
    max_skew: Duration,
}

/// Why an event may not have a time; to be read after the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// No calendar has it.
    #[error("is before the year 1")]
    TooEarly,
    /// It has not come yet.
    #[error(
        "is more than {max_skew:?} ahead of the server's clock; correct it, or serve and import with a larger \
         --max-clock-skew"
    )]
    TooFarAhead {
        /// How far ahead is accepted.
        max_skew: Duration,
    },
}

impl EventTimes {
    /// What may have happened at `now_ms` by clocks that differ by `max_skew` at most.
    pub const fn at(now_ms: TimeMs, max_skew: Duration) -> Self {
        Self { now_ms, max_skew }
    }

    /// The time itself when an event may have it.
    ///
    /// # Errors
    /// [`TimeError`] when it lies outside.
    pub fn check(self, time_ms: TimeMs) -> Result<TimeMs, TimeError> {
        let skew_ms = TimeMs::try_from(self.max_skew.as_millis()).unwrap_or(TimeMs::MAX);
        if time_ms < FIRST_TIME_MS {
            Err(TimeError::TooEarly)
        } else if time_ms > self.now_ms.saturating_add(skew_ms).min(LAST_TIME_MS) {
            Err(TimeError::TooFarAhead { max_skew: self.max_skew })
        } else {
            Ok(time_ms)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_be_ahead_of_the_clock_by_the_skew_and_no_more() {
        let times = EventTimes::at(1_000_000, Duration::from_secs(1));
        assert_eq!(times.check(1_001_000), Ok(1_001_000));
        assert!(times.check(1_001_001).is_err());
        assert!(times.check(TimeMs::MAX).is_err());
        assert_eq!(times.check(FIRST_TIME_MS), Ok(FIRST_TIME_MS));
        assert_eq!(times.check(FIRST_TIME_MS - 1), Err(TimeError::TooEarly));
        assert_eq!(times.check(TimeMs::MIN), Err(TimeError::TooEarly));
    }

    #[test]
    fn no_skew_reaches_beyond_what_a_timestamp_can_say() {
        let times = EventTimes::at(0, Duration::MAX);
        assert_eq!(times.check(LAST_TIME_MS), Ok(LAST_TIME_MS));
        assert!(times.check(LAST_TIME_MS + 1).is_err());
    }
}
