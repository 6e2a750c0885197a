//! The server's clock, for events and users that come without a time, and the bounds of the times that
//! events come with.
//!
//! An event of a year to come would lead what is trending until then, so every way in holds its times to
//! [`EventTimes`].
//!
//! A machine's clock may be set at any moment. So no span is measured by it, what has come to its end is told by
//! [`Instant`] everywhere, and the times of events do not go back with it: what a user does
//! after something else is later than that.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::TimeMs;

/// How far ahead of the server's clock an event's time may lie unless the settings say otherwise: enough
/// for a caller that takes its local time for UTC.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_hours(24);

/// 0001-01-01T00:00:00.000Z.
pub const FIRST_TIME_MS: TimeMs = -62_135_596_800_000;

/// 9999-12-31T23:59:59.999Z, the last time that the API's timestamps can say.
pub const LAST_TIME_MS: TimeMs = 253_402_300_799_999;

/// Now, in milliseconds since 1970, and never less than it was in this process before. While the machine's
/// clock is behind that, time goes on at half its speed until the clock has caught up.
pub fn now_ms() -> TimeMs {
    static CLOCK: Forward = Forward::new();
    #[cfg(any(test, feature = "testing"))]
    if let Some(now_ms) = fake::now_ms() {
        return now_ms;
    }
    CLOCK.read(wall(), Instant::now())
}

/// A time in milliseconds; the most that there are for one that has more.
pub fn millis(time: Duration) -> TimeMs {
    TimeMs::try_from(time.as_millis()).unwrap_or(TimeMs::MAX)
}

/// The time since 1970 by the machine's clock, as it is set at this moment; none on a machine whose clock stands
/// before that.
pub fn wall() -> Duration {
    #[cfg(any(test, feature = "testing"))]
    if let Some(wall) = fake::wall() {
        return wall;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The year of a time, in UTC.
///
/// ```
/// # use marquee_core::clock::year_of;
/// assert_eq!(year_of(0), 1970);
/// assert_eq!(year_of(951_868_800_000), 2000); // the first of March
/// assert_eq!(year_of(1_790_000_000_000), 2026);
/// ```
pub fn year_of(time_ms: TimeMs) -> i64 {
    // Years that begin in March, so that the day that some years have more is their last.
    const DAYS_TO_MARCH_1970: i64 = 719_468;
    const DAYS_PER_400_YEARS: i64 = 146_097;
    let days = time_ms.div_euclid(86_400_000) + DAYS_TO_MARCH_1970;
    let (cycle, day) = (days.div_euclid(DAYS_PER_400_YEARS), days.rem_euclid(DAYS_PER_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // January and February, from day 306 on, are of the next year that people count.
    400 * cycle + year + i64::from(day_of_year >= 306)
}

/// A clock that does not go back with the one that it follows.
struct Forward {
    last: Mutex<Option<Reading>>,
}

/// What was read, and when.
#[derive(Clone, Copy)]
struct Reading {
    time: Duration,
    at: Instant,
}

impl Forward {
    const fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// The time at this moment, at which the clock that is followed says `wall`.
    fn read(&self, wall: Duration, at: Instant) -> TimeMs {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let time = last.map_or(wall, |last| wall.max(last.time + at.saturating_duration_since(last.at) / 2));
        *last = Some(Reading { time, at });
        millis(time)
    }
}

/// A machine's clock that a test sets, for the thread of the test alone.
#[cfg(any(test, feature = "testing"))]
pub mod fake {
    use std::cell::RefCell;

    use super::{Duration, Forward, Instant, TimeMs};

    thread_local! {
        static FAKE: RefCell<Option<Fake>> = const { RefCell::new(None) };
    }

    struct Fake {
        clock: Forward,
        wall: Duration,
        since: Instant,
    }

    impl Fake {
        fn wall(&self) -> Duration {
            self.wall + self.since.elapsed()
        }
    }

    /// Sets the clock to so many milliseconds since 1970.
    pub fn set(wall_ms: u64) {
        FAKE.with_borrow_mut(|fake| {
            let clock = fake.take().map_or(Forward::new(), |fake| fake.clock);
            *fake = Some(Fake { clock, wall: Duration::from_millis(wall_ms), since: Instant::now() });
        });
    }

    pub(super) fn now_ms() -> Option<TimeMs> {
        FAKE.with_borrow(|fake| fake.as_ref().map(|fake| fake.clock.read(fake.wall(), Instant::now())))
    }

    pub(super) fn wall() -> Option<Duration> {
        FAKE.with_borrow(|fake| fake.as_ref().map(Fake::wall))
    }
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
        let skew_ms = millis(self.max_skew);
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

    const HOUR: Duration = Duration::from_hours(1);
    const SECOND: Duration = Duration::from_secs(1);
    const WALL: Duration = Duration::from_secs(1_700_000_000);

    fn ms(time: Duration) -> TimeMs {
        time.as_millis() as TimeMs
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_slowly_until_it_has_caught_up() {
        let (clock, start) = (Forward::new(), Instant::now());
        assert_eq!(clock.read(WALL, start), ms(WALL));
        assert_eq!(clock.read(WALL + SECOND, start + SECOND), ms(WALL + SECOND));
        let set_back = (WALL + SECOND).saturating_sub(HOUR);
        assert_eq!(clock.read(set_back, start + SECOND), ms(WALL + SECOND));
        assert_eq!(clock.read(set_back + SECOND, start + 2 * SECOND), ms(WALL + SECOND) + 500);
        let caught_up = WALL + SECOND + HOUR;
        assert_eq!(clock.read(caught_up, start + 2 * HOUR + SECOND), ms(caught_up));
        assert_eq!(clock.read(caught_up + SECOND, start + 2 * HOUR + 2 * SECOND), ms(caught_up + SECOND));
    }

    #[test]
    fn a_clock_that_is_set_ahead_is_followed_at_once() {
        let (clock, start) = (Forward::new(), Instant::now());
        assert_eq!(clock.read(WALL, start), ms(WALL));
        assert_eq!(clock.read(WALL + HOUR, start), ms(WALL + HOUR));
    }

    #[test]
    fn what_happens_later_has_a_later_time_however_the_clock_is_set() {
        let mut before = TimeMs::MIN;
        for step in [0, 3_600_000, -3_600_000, -1, 1, -86_400_000, 3_600_000] {
            fake::set(1_700_000_000_000_u64.saturating_add_signed(step));
            let now = now_ms();
            assert!(now >= before, "{now} after {before}");
            before = now;
        }
        assert!(wall() > WALL && wall() < WALL + 2 * HOUR, "the clock itself is as it was set");
    }

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
