//! When: five fields of cron in a time zone.
//!
//! The fields are minute, hour, day of the month, month and day of the week. In the hour that summer time leaves out, a
//! fixed time comes right after it; in the one that it repeats, it comes once.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use marquee_core::domain::TimeMs;

/// Fields of a form without seconds, which nobody means who writes six.
const FIELDS: usize = 5;

/// When something is due.
#[derive(Clone, Debug)]
pub struct When {
    cron: Cron,
    fields: String,
    zone: Tz,
}

/// Why a text says no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// The fields are wrong.
    #[error(
        "is not minute, hour, day of the month, month and day of the week as cron has them, such as 0 */6 * * *"
    )]
    Fields,
    /// No such time ever comes.
    #[error("never comes")]
    Never,
    /// There is no such time zone.
    #[error("is no time zone, such as UTC or Europe/Berlin")]
    Zone,
}

impl When {
    /// The times that `fields` mean in `zone`; UTC when that is empty.
    ///
    /// # Errors
    /// [`WhenError`].
    pub fn new(fields: &str, zone: &str) -> Result<Self, WhenError> {
        let zone = if zone.is_empty() { Tz::UTC } else { Tz::from_str(zone).map_err(|_| WhenError::Zone)? };
        let fields = fields.split_whitespace().collect::<Vec<_>>();
        if fields.len() != FIELDS {
            return Err(WhenError::Fields);
        }
        let fields = fields.join(" ");
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let cron = parser.parse(&fields).map_err(|_| WhenError::Fields)?;
        let when = Self { cron, fields, zone };
        when.after(0).ok_or(WhenError::Never)?;
        Ok(when)
    }

    /// The first time after this one.
    pub fn after(&self, time_ms: TimeMs) -> Option<TimeMs> {
        let time = DateTime::<Utc>::from_timestamp_millis(time_ms)?.with_timezone(&self.zone);
        self.cron.find_next_occurrence(&time, false).ok().map(|next| next.timestamp_millis())
    }

    /// The five fields.
    pub fn fields(&self) -> &str {
        &self.fields
    }

    /// The name of the time zone.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }
}

impl PartialEq for When {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields && self.zone == other.zone
    }
}

impl Eq for When {}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fields)?;
        if self.zone == Tz::UTC { Ok(()) } else { write!(f, " {}", self.zone.name()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> TimeMs {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn next(fields: &str, zone: &str, after: &str) -> String {
        let next = When::new(fields, zone).unwrap().after(ms(after)).unwrap();
        DateTime::from_timestamp_millis(next).unwrap().format("%FT%RZ").to_string()
    }

    #[test]
    fn the_next_time_is_after_this_one() {
        assert_eq!(next("0 */6 * * *", "", "2026-11-30T05:59:59Z"), "2026-11-30T06:00Z");
        assert_eq!(next("0 */6 * * *", "", "2026-11-30T06:00:00Z"), "2026-11-30T12:00Z");
        assert_eq!(next("30 4 * * 1", "UTC", "2026-11-30T05:00:00Z"), "2026-12-07T04:30Z");
    }

    #[test]
    fn a_time_zone_has_its_summer_time() {
        assert_eq!(next("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-29T01:00Z");
        assert_eq!(next("0 3 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z"), "2026-03-28T02:00Z");
        let repeated = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
        let day_after = next("30 2 * * *", "Europe/Berlin", "2026-10-25T02:00:00Z");
        assert_eq!((repeated.as_str(), day_after.as_str()), ("2026-10-25T00:30Z", "2026-10-26T01:30Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (fields, zone, error) in [
            ("", "", WhenError::Fields),
            ("0 * * * * *", "", WhenError::Fields),
            ("61 * * * *", "", WhenError::Fields),
            ("@daily", "", WhenError::Fields),
            ("0 0 30 2 *", "", WhenError::Never),
            ("0 0 * * *", "Europe/Atlantis", WhenError::Zone),
        ] {
            assert_eq!(When::new(fields, zone), Err(error), "{fields:?} {zone:?}");
        }
    }
}
