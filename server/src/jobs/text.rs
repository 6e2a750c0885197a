//! Times in words that people read and files may be called.

use chrono::DateTime;
use marquee_core::domain::TimeMs;

/// A time to the minute, in UTC; empty for one that no calendar has.
pub(super) fn time_text(time_ms: TimeMs) -> String {
    let time = DateTime::from_timestamp_millis(time_ms);
    time.map(|time| time.format("%Y-%m-%dT%H:%MZ").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_to_the_minute() {
        assert_eq!(time_text(0), "1970-01-01T00:00Z");
        assert_eq!(time_text(TimeMs::MAX), "");
    }
}
