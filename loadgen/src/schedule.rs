//! When requests are due: the level of load over time, and the arrivals that follow from it.
//!
//! A schedule is computed, never improvised: arrival n is due at a time that depends on the profile, the
//! spacing and the seed alone. So two machines agree on it, tests need no clock, and a request that goes
//! out late is known to be late.
//!
//! Arrivals come from the time-rescaling theorem: with `L(t)` the expected number of arrivals before `t`,
//! arrival n of an even schedule is due at `L⁻¹(n)`, that of a Poisson schedule at `L⁻¹` of a sum of n unit
//! exponentials. Ramps need nothing more.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use marquee_core::duration::{self, DurationError};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Exp1};

/// What is wrong with a schedule.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The text is no profile.
    #[error(
        "'{0}' is no profile; write segments such as 100-1000:60s,1000:30s (level or from-to, then a time)"
    )]
    Profile(String),
    /// The text is no length of time.
    #[error(transparent)]
    Time(#[from] DurationError),
    /// The schedule file cannot be read.
    #[error("cannot read the schedule {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line of the schedule file is no time.
    #[error("{path}:{line}: '{text}' is no time; write one offset in seconds a line, such as 0.125")]
    Line {
        /// The file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
}

/// The highest level that is read: more requests a second, or callers, than any machine has.
pub(crate) const MAX_LEVEL: f64 = 1e7;

/// A stretch of time in which the level moves in a straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// The level at its beginning: requests a second, or callers.
    pub from: f64,
    /// The level at its end.
    pub to: f64,
    /// How long it lasts.
    pub length: Duration,
}

impl Segment {
    /// Arrivals expected in the first `seconds` of the segment.
    fn expected(&self, seconds: f64) -> f64 {
        self.from.mul_add(seconds, 0.5 * self.slope() * seconds * seconds)
    }

    /// The second at which `count` arrivals are expected to have come.
    fn second_of(&self, count: f64) -> f64 {
        let slope = self.slope();
        // count = from s + slope s² / 2, in the form that does not cancel for small slopes.
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        if self.from + root == 0.0 { 0.0 } else { 2.0 * count / (self.from + root) }
    }

    fn slope(&self) -> f64 {
        if self.length.is_zero() { 0.0 } else { (self.to - self.from) / self.length.as_secs_f64() }
    }
}

/// The level of load over time: a constant, a ramp, steps, or any chain of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    segments: Vec<Segment>,
}

impl fmt::Display for Profile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Segment { from, to, length }) in self.segments.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}{from}-{to}:{}s", length.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Profile {
    /// One level for all the time.
    pub fn constant(level: f64, length: Duration) -> Self {
        Self { segments: vec![Segment { from: level, to: level, length }] }
    }

    /// The same profile after a warm-up at its first level.
    #[must_use]
    pub(crate) fn with_warmup(mut self, warmup: Duration) -> Self {
        let level = self.segments.first().map_or(0.0, |segment| segment.from);
        self.segments.insert(0, Segment { from: level, to: level, length: warmup });
        self
    }

    /// The time from beginning to end.
    pub fn length(&self) -> Duration {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// The largest level.
    pub fn peak(&self) -> f64 {
        self.segments.iter().map(|segment| segment.from.max(segment.to)).fold(0.0, f64::max)
    }

    /// The level at `time`; 0 after the end.
    pub(crate) fn level_at(&self, time: Duration) -> f64 {
        let mut begin = Duration::ZERO;
        for segment in &self.segments {
            if time < begin + segment.length {
                return segment.from + segment.slope() * time.saturating_sub(begin).as_secs_f64();
            }
            begin += segment.length;
        }
        0.0
    }

    /// When `count` arrivals are expected to have come; `None` if the profile ends before.
    pub(crate) fn time_of(&self, count: f64) -> Option<Duration> {
        let mut begin = Duration::ZERO;
        let mut left = count;
        for segment in &self.segments {
            let inside = segment.expected(segment.length.as_secs_f64());
            if left < inside {
                return Some(begin + Duration::from_secs_f64(segment.second_of(left)));
            }
            left -= inside;
            begin += segment.length;
        }
        None
    }

    /// The first time at or after `from` at which the level is above `level`; `None` if never again.
    pub(crate) fn next_above(&self, level: f64, from: Duration) -> Option<Duration> {
        if self.level_at(from) > level {
            return Some(from);
        }
        let mut begin = Duration::ZERO;
        for segment in &self.segments {
            let end = begin + segment.length;
            if from < end && segment.from.max(segment.to) > level {
                let crossing = if segment.from > level {
                    begin
                } else {
                    begin + Duration::from_secs_f64((level - segment.from) / segment.slope())
                };
                let candidate = crossing.max(from);
                if self.level_at(candidate) > level || crossing >= from {
                    return Some(candidate);
                }
            }
            begin = end;
        }
        None
    }
}

impl FromStr for Profile {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let wrong = || ScheduleError::Profile(text.to_owned());
        let mut segments = Vec::new();
        for part in text.split(',') {
            let (levels, length) = part.trim().split_once(':').ok_or_else(wrong)?;
            let (from, to) = levels.split_once('-').unwrap_or((levels, levels));
            let level =
                |text: &str| text.trim().parse().ok().filter(|level: &f64| (0.0..=MAX_LEVEL).contains(level));
            segments.push(Segment {
                from: level(from).ok_or_else(wrong)?,
                to: level(to).ok_or_else(wrong)?,
                length: duration::parse(length)?,
            });
        }
        Ok(Self { segments })
    }
}

/// How arrivals lie between one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spacing {
    /// Even.
    Constant,
    /// Random and independent, as many unrelated users make them.
    Poisson,
}

/// When requests are due, as offsets from the beginning of the run, ascending.
pub enum Arrivals {
    /// Computed from a profile.
    Computed {
        /// The rate over time.
        profile: Profile,
        /// Even or random.
        spacing: Spacing,
        /// Draws the random spacing.
        random: Box<Xoshiro256PlusPlus>,
        /// The place of the next arrival on the axis of expected arrivals.
        place: f64,
    },
    /// Read from a file.
    Replayed(std::vec::IntoIter<Duration>),
}

impl Arrivals {
    /// The arrivals of a profile whose levels are requests a second.
    pub fn new(profile: Profile, spacing: Spacing, seed: u64) -> Self {
        let mut random = Box::new(Xoshiro256PlusPlus::seed_from_u64(seed));
        let place = match spacing {
            Spacing::Constant => 0.0,
            Spacing::Poisson => Exp1.sample(&mut random),
        };
        Self::Computed { profile, spacing, random, place }
    }

    /// The arrivals of a recorded schedule.
    pub fn replayed(mut offsets: Vec<Duration>) -> Self {
        offsets.sort_unstable();
        Self::Replayed(offsets.into_iter())
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        match self {
            Self::Replayed(offsets) => offsets.next(),
            Self::Computed { profile, spacing, random, place } => {
                let due = profile.time_of(*place)?;
                *place += match spacing {
                    Spacing::Constant => 1.0,
                    Spacing::Poisson => {
                        let gap: f64 = Exp1.sample(random);
                        gap
                    }
                };
                Some(due)
            }
        }
    }
}

/// Reads a schedule file: one offset in seconds a line; empty lines and lines from `#` on are skipped.
///
/// # Errors
/// When the file cannot be read, or a line is no number.
pub(crate) fn read_schedule(path: &Path) -> Result<Vec<Duration>, ScheduleError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| ScheduleError::File { path: name.clone(), source })?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, text)| {
            let seconds = text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
            seconds.ok_or_else(|| ScheduleError::Line { path: name.clone(), line, text: text.to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(number: f64) -> Duration {
        Duration::from_secs_f64(number)
    }

    #[test]
    fn a_constant_rate_spaces_arrivals_evenly() {
        let profile = Profile::constant(4.0, seconds(1.0));
        let due: Vec<_> = Arrivals::new(profile, Spacing::Constant, 1).collect();
        assert_eq!(due, [0.0, 0.25, 0.5, 0.75].map(seconds));
    }

    #[test]
    fn a_profile_is_written_as_it_is_read() {
        let profile: Profile = "0-100:1m,50:10s".parse().unwrap();
        assert_eq!(profile.to_string(), "0-100:60s,50-50:10s");
        assert_eq!(profile.to_string().parse::<Profile>().unwrap(), profile);
    }

    #[test]
    fn a_ramp_from_nothing_doubles_its_arrivals_in_the_second_half_and_more() {
        let profile: Profile = "0-100:10s".parse().unwrap();
        let due: Vec<_> = Arrivals::new(profile, Spacing::Constant, 1).collect();
        assert_eq!(due.len(), 500);
        assert_eq!(due.iter().filter(|due| **due < seconds(5.0)).count(), 125);
    }

    #[test]
    fn steps_follow_one_another() {
        let profile: Profile = "10:1s,20:1s".parse().unwrap();
        assert_eq!(profile.level_at(seconds(0.5)), 10.0);
        assert_eq!(profile.level_at(seconds(1.5)), 20.0);
        assert_eq!(profile.level_at(seconds(2.0)), 0.0);
        assert_eq!(Arrivals::new(profile, Spacing::Constant, 1).count(), 30);
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread_of_a_poisson_process() {
        let profile = Profile::constant(1000.0, seconds(20.0));
        let due: Vec<_> = Arrivals::new(profile, Spacing::Poisson, 7).collect();
        let gaps: Vec<f64> =
            due.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * 1000.0 - 1.0).abs() < 0.03, "mean gap {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "spread {}", variance.sqrt() / mean);
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let draw = |seed| {
            Arrivals::new(Profile::constant(50.0, seconds(2.0)), Spacing::Poisson, seed).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn a_warm_up_runs_at_the_first_level() {
        let profile = "10-20:1s".parse::<Profile>().unwrap().with_warmup(seconds(2.0));
        assert_eq!(profile.level_at(seconds(1.0)), 10.0);
        assert_eq!(profile.length(), seconds(3.0));
    }

    #[test]
    fn a_level_is_found_again_after_a_dip() {
        let profile: Profile = "4:1s,0:1s,0-10:10s".parse().unwrap();
        assert_eq!(profile.next_above(3.0, seconds(0.5)), Some(seconds(0.5)));
        assert_eq!(profile.next_above(3.0, seconds(1.5)), Some(seconds(5.0)));
        assert_eq!(profile.next_above(11.0, seconds(0.0)), None);
    }

    #[test]
    fn a_schedule_file_is_replayed_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# seconds\n0.5\n\n0.25\n").unwrap();
        let due: Vec<_> = Arrivals::replayed(read_schedule(file.path()).unwrap()).collect();
        assert_eq!(due, [0.25, 0.5].map(seconds));
    }

    #[test]
    fn a_bad_line_of_a_schedule_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0.5\nsoon\n").unwrap();
        let error = read_schedule(file.path()).unwrap_err().to_string();
        assert!(error.contains(":2: 'soon' is no time"), "{error}");
    }

    #[test]
    fn a_level_or_a_time_beyond_all_bounds_is_no_profile() {
        for text in ["1e8:1s", "1-1e8:1s", "18446744073709551615:1s", "NaN:1s", "1:1e300h", "1:8761h"] {
            assert!(text.parse::<Profile>().is_err(), "{text}");
        }
    }

    /// Arrivals that the profile promises before `time`.
    fn expected_before(profile: &Profile, time: Duration) -> f64 {
        let mut begin = Duration::ZERO;
        let mut sum = 0.0;
        for segment in &profile.segments {
            let inside = time.saturating_sub(begin).min(segment.length);
            sum += segment.expected(inside.as_secs_f64());
            begin += segment.length;
        }
        sum
    }

    proptest! {
        #[test]
        fn arrivals_are_as_many_as_the_profile_promises(
            levels in prop::collection::vec((0.0..200.0_f64, 0.0..200.0_f64, 1..5000_u64), 1..6),
        ) {
            let segments = levels
                .into_iter()
                .map(|(from, to, ms)| Segment { from, to, length: Duration::from_millis(ms) })
                .collect();
            let profile = Profile { segments };
            let expected = expected_before(&profile, profile.length());
            let due: Vec<_> = Arrivals::new(profile.clone(), Spacing::Constant, 1).collect();
            prop_assert!((due.len() as f64 - expected).abs() <= 1.0 + 1e-6 * expected);
            prop_assert!(due.is_sorted());
            for (count, time) in due.iter().enumerate() {
                prop_assert!((expected_before(&profile, *time) - count as f64).abs() < 1e-3);
            }
        }
    }
}
