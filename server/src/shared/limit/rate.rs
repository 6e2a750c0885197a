//! A rate as it is written: `100/s`, `600/m`, `5000/h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// So many calls in a period; as many may come at once after a period of silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    calls: u32,
    period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Second,
    Minute,
    Hour,
}

/// Why a text is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate; write calls and a period, as 100/s, 600/m or 5000/h")]
pub struct RateError(String);

impl Rate {
    /// How many calls may come at once.
    pub(super) fn calls(self) -> u32 {
        self.calls
    }

    /// The tokens that a full bucket holds.
    pub(super) fn capacity(self) -> f64 {
        f64::from(self.calls)
    }

    /// How long an empty bucket takes to fill.
    pub(super) fn fill_time(self) -> Duration {
        Duration::from_secs(match self.period {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
        })
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let wrong = || RateError(text.to_owned());
        let (calls, period) = text.split_once('/').ok_or_else(wrong)?;
        let calls = calls.parse().ok().filter(|calls| *calls > 0).ok_or_else(wrong)?;
        let period = match period {
            "s" => Period::Second,
            "m" => Period::Minute,
            "h" => Period::Hour,
            _ => return Err(wrong()),
        };
        Ok(Self { calls, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Second => 's',
            Period::Minute => 'm',
            Period::Hour => 'h',
        };
        write!(f, "{}/{period}", self.calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_reads_what_it_prints() {
        for text in ["100/s", "600/m", "1/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in ["", "100", "0/s", "-1/s", "1/d", "1/", "/s", "1.5/s", "99999999999/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
