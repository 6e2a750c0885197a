//! Lengths of time as people write them: in settings, and on the command lines of all programs.

use std::time::Duration;

/// The units, longest first, in nanoseconds: whole numbers of them are told exactly.
const UNITS: [(&str, f64); 6] =
    [("h", 36e11), ("m", 6e10), ("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0)];

/// The longest that is read: a year, so that a deadline that is made of it can be told.
pub const LONGEST: Duration = Duration::from_hours(365 * 24);

/// A text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no time of up to a year; write 250ms, 10s, 5m or 2h")]
pub struct DurationError(String);

/// Reads a number and its unit (`250ms`, `1.5m`; `h`, `m`, `s`, `ms`, `us` or `ns`); a bare number is seconds.
///
/// ```
/// use marquee_core::duration;
/// assert_eq!(duration::parse("1.5m")?.as_secs(), 90);
/// # Ok::<(), duration::DurationError>(())
/// ```
///
/// # Errors
/// [`DurationError`] when it is anything else, or more than [`LONGEST`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    read(text).ok_or_else(|| DurationError(text.to_owned()))
}

fn read(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "s" } else { unit };
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let nanos = (number.parse::<f64>().ok()? * nanos).round();
    (nanos <= LONGEST.as_nanos() as f64).then(|| Duration::from_nanos(nanos as u64))
}

/// The form that [`parse`] reads, in seconds or, where they are not whole, in the longest unit of those below that is.
pub fn format(duration: Duration) -> String {
    match duration.as_nanos() {
        nanos if nanos % 1_000_000_000 == 0 => format!("{}s", nanos / 1_000_000_000),
        nanos if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        nanos if nanos % 1_000 == 0 => format!("{}us", nanos / 1_000),
        nanos => format!("{nanos}ns"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read_and_a_bare_number_is_seconds() {
        let read = ["1.5h", "2m", "10s", "3", "500ms", "0.25ms", "7ns"].map(|text| parse(text).unwrap());
        let micros = read.map(|duration| duration.as_nanos());
        assert_eq!(micros, [5400e9, 120e9, 10e9, 3e9, 5e8, 25e4, 7.0].map(|nanos| nanos as u128));
    }

    #[test]
    fn what_is_no_length_of_time_is_refused_with_what_is_one() {
        for text in ["", "s", "soon", "3 days", "-1s", "1e3s", "1.2.3s", "NaN", "inf", "10 s"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")) && error.contains("250ms"), "{error}");
        }
    }

    #[test]
    fn a_year_is_the_longest() {
        assert_eq!(parse("8760h").unwrap(), LONGEST);
        for text in ["8761h", "18446744073709551615", "99999999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0..LONGEST.as_millis() as u64, nanos in 0..10_000_000_u64) {
            for duration in [Duration::from_millis(millis), Duration::from_nanos(nanos)] {
                prop_assert_eq!(parse(&format(duration)), Ok(duration));
            }
        }
    }
}
