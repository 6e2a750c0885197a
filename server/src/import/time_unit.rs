//! The unit of a time that is a number.

use std::fmt;

use marquee_core::domain::TimeMs;

/// The unit of a time that is a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since 1970, as in `MovieLens`.
    #[default]
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
}

impl TimeUnit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Seconds, Self::Milliseconds, Self::Microseconds];

    /// Its name in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
        }
    }

    /// Its name on the command line.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
        }
    }

    /// So many of it as milliseconds.
    pub(super) const fn time_ms(self, count: i64) -> TimeMs {
        match self {
            Self::Seconds => count.saturating_mul(1000),
            Self::Milliseconds => count,
            Self::Microseconds => count.div_euclid(1000),
        }
    }
}

/// Its name on the command line.
impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}
