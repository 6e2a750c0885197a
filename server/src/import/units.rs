//! What the numbers of the ratings mean where `MovieLens` did not write them: other units of time, times as
//! text, other scales of ratings.
//!
//! Milliseconds read as seconds, or the lower half of ten points read as stars, make sound rows with wrong
//! values. So a number that would make more sense in another unit is malformed, and says which one.

use std::num::NonZeroU32;
use std::str::FromStr as _;

use marquee_core::clock::EventTimes;
use marquee_core::domain::{Rating, TimeMs, whole_number};
use prost_types::Timestamp;

use super::row_error::RowError;
use super::time_unit::TimeUnit;

/// 1980-01-01: nobody rated anything in a file before that, and a number that would say so is in another
/// unit if it makes sense there.
const FILES_BEGAN_MS: TimeMs = 315_532_800_000;

/// Scales that ratings are known to have, by their highest one.
const KNOWN_SCALES: [u32; 2] = [10, 100];

/// What the numbers of a ratings file mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// Of the timestamps that are numbers.
    pub time_unit: TimeUnit,
    /// The rating that is 5 stars; of the others above 0 each is rounded to half a star. `MovieLens`' own
    /// half stars, and nothing between them, when absent.
    pub highest_rating: Option<NonZeroU32>,
    /// The times that are believed.
    pub times: EventTimes,
}

impl Units {
    /// `MovieLens`' own, with these times.
    pub(crate) fn of_movielens(times: EventTimes) -> Self {
        Self { time_unit: TimeUnit::default(), highest_rating: None, times }
    }

    /// The time that a field says.
    pub(super) fn time(&self, text: &str) -> Result<TimeMs, RowError> {
        let unreadable = || RowError::Time { text: text.to_owned(), unit: self.time_unit.name() };
        let time_ms = match whole_number(text) {
            Some(count) => self.counted(text, count)?,
            None => written_out(text).ok_or_else(unreadable)?,
        };
        let believed = self.times.check(time_ms);
        believed.map_err(|error| RowError::OutsideTime { text: text.to_owned(), error })
    }

    fn counted(&self, text: &str, count: i64) -> Result<TimeMs, RowError> {
        let makes_sense = |unit: &TimeUnit| {
            let time_ms = unit.time_ms(count);
            time_ms >= FILES_BEGAN_MS && self.times.check(time_ms).is_ok()
        };
        let other = TimeUnit::ALL.into_iter().find(makes_sense);
        match other {
            Some(unit) if !makes_sense(&self.time_unit) => {
                Err(RowError::OtherUnit { text: text.to_owned(), unit })
            }
            _ => Ok(self.time_unit.time_ms(count)),
        }
    }

    /// The rating that a field says.
    pub(super) fn rating(&self, text: &str) -> Result<Rating, RowError> {
        let points = decimal(text);
        let rating = points.and_then(|points| match self.highest_rating {
            None => Rating::from_stars(points),
            Some(highest) => scaled(points, highest.get()),
        });
        rating.ok_or_else(|| self.no_rating(text, points.unwrap_or_default()))
    }

    fn no_rating(&self, text: &str, points: f64) -> RowError {
        let text = text.to_owned();
        let highest = self.highest_rating.map(NonZeroU32::get);
        let larger = KNOWN_SCALES.into_iter().find(|scale| points <= f64::from(*scale));
        match (larger, highest) {
            (Some(scale), _) if points > f64::from(highest.unwrap_or(5)) => {
                RowError::OtherScale { text, scale }
            }
            (_, Some(highest)) => RowError::OffScale { text, highest },
            (_, None) => RowError::Rating(text),
        }
    }
}

/// A number with a point or, as much of Europe writes it, with a comma before its decimals. A comma before three digits may
/// as well separate thousands, and makes none.
pub(super) fn decimal(text: &str) -> Option<f64> {
    match text.split_once(',') {
        None => text.parse().ok(),
        Some((whole, decimals)) if matches!(decimals.len(), 1 | 2) && !whole.contains('.') => {
            format!("{whole}.{decimals}").parse().ok()
        }
        Some(_) => None,
    }
}

/// So many points of `highest` as the nearest half star.
fn scaled(points: f64, highest: u32) -> Option<Rating> {
    let share = points / f64::from(highest);
    let half_stars = (share * 10.0).round().max(1.0);
    if share > 0.0 && share <= 1.0 { Rating::from_half_stars(half_stars as u8) } else { None }
}

/// A date, with a time or without one, as ISO 8601 and databases write it; UTC where it does not say.
pub fn written_out(text: &str) -> Option<TimeMs> {
    let time = Timestamp::from_str(text).ok()?;
    time.seconds.checked_mul(1000)?.checked_add(i64::from(time.nanos) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A file of `MovieLens`, read at 2023-11-14T22:13:20Z.
    fn movielens() -> Units {
        Units::of_movielens(EventTimes::at(1_700_000_000_000, Duration::from_hours(24)))
    }

    fn in_unit(time_unit: TimeUnit) -> Units {
        Units { time_unit, ..movielens() }
    }

    fn of_scale(highest: u32) -> Units {
        Units { highest_rating: NonZeroU32::new(highest), ..movielens() }
    }

    #[test]
    fn a_time_is_read_in_its_unit() {
        assert_eq!(movielens().time("964982703"), Ok(964_982_703_000));
        assert_eq!(in_unit(TimeUnit::Milliseconds).time("964982703123"), Ok(964_982_703_123));
        assert_eq!(in_unit(TimeUnit::Microseconds).time("964982703123456"), Ok(964_982_703_123));
        assert_eq!(movielens().time("0"), Ok(0));
    }

    #[test]
    fn a_time_in_another_unit_says_which() {
        let other = |text: &str, unit| Err(RowError::OtherUnit { text: text.to_owned(), unit });
        let ms = "964982703000";
        assert_eq!(movielens().time(ms), other(ms, TimeUnit::Milliseconds));
        let us = "964982703000000";
        assert_eq!(movielens().time(us), other(us, TimeUnit::Microseconds));
        assert_eq!(in_unit(TimeUnit::Milliseconds).time(us), other(us, TimeUnit::Microseconds));
        let s = "964982703";
        assert_eq!(in_unit(TimeUnit::Milliseconds).time(s), other(s, TimeUnit::Seconds));
    }

    #[test]
    fn a_time_to_come_is_refused_and_taken_for_no_other_unit() {
        for text in ["1700172800", "253402300799", "9999-12-31", "9223372036854775807"] {
            assert!(matches!(movielens().time(text), Err(RowError::OutsideTime { .. })), "{text}");
        }
        assert_eq!(movielens().time("1700086400"), Ok(1_700_086_400_000));
    }

    #[test]
    fn a_time_may_be_written_out() {
        let at = 1_112_486_027_000;
        for text in ["2005-04-02 23:53:47", "2005-04-02T23:53:47Z", "2005-04-03 01:53:47+02:00"] {
            assert_eq!(movielens().time(text), Ok(at), "{text}");
        }
        assert_eq!(movielens().time("2005-04-02T23:53:47.125"), Ok(at + 125));
        assert_eq!(movielens().time("2005-04-02"), Ok(1_112_400_000_000));
        for text in ["", "-1", "+964982703", "2005-13-01", "yesterday", "99999999999999999999"] {
            assert!(matches!(movielens().time(text), Err(RowError::Time { .. })), "{text}");
        }
    }

    #[test]
    fn a_rating_is_scaled_to_the_nearest_half_star() {
        let stars = |units: Units, text| units.rating(text).map(Rating::stars);
        assert_eq!(stars(of_scale(10), "8"), Ok(4.0));
        assert_eq!(stars(of_scale(10), "3.7"), Ok(2.0));
        assert_eq!(stars(of_scale(10), "0.1"), Ok(0.5));
        assert_eq!(stars(of_scale(100), "100"), Ok(5.0));
        assert_eq!(stars(of_scale(5), "4.2"), Ok(4.0));
        for text in ["0", "-1", "10.5", "NaN", "ten"] {
            assert!(of_scale(10).rating(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rating_may_have_a_comma_before_its_decimals() {
        let stars = |units: Units, text| units.rating(text).map(Rating::stars);
        assert_eq!(stars(movielens(), "4,5"), Ok(4.5));
        assert_eq!(stars(of_scale(10), "7,25"), Ok(3.5));
        for text in ["4,500", "4,", ",", "1.4,5", "4,5,5", "4,5.5"] {
            assert!(of_scale(10).rating(text).is_err(), "{text}");
        }
        assert_eq!(movielens().rating("4,2"), Err(RowError::Rating("4,2".to_owned())));
    }

    #[test]
    fn a_rating_of_another_scale_says_which() {
        let other = |text: &str, scale| Err(RowError::OtherScale { text: text.to_owned(), scale });
        assert_eq!(movielens().rating("8"), other("8", 10));
        assert_eq!(movielens().rating("87"), other("87", 100));
        assert_eq!(of_scale(10).rating("87"), other("87", 100));
        assert_eq!(movielens().rating("4.2"), Err(RowError::Rating("4.2".to_owned())));
        assert_eq!(movielens().rating("101"), Err(RowError::Rating("101".to_owned())));
        assert_eq!(of_scale(10).rating("0"), Err(RowError::OffScale { text: "0".to_owned(), highest: 10 }));
    }
}
