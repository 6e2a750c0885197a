//! Jobs that run by themselves: when, and which.
//!
//! Schedules stand in the configuration or are made over the API. Which node of those that share a store asks for the job
//! is decided by a compare-and-set of what is kept of the schedule. An occurrence that nobody was there for is made up
//! once, however many there were; one whose job before is not over is left out; and one of a schedule that is paused is
//! left out for good.

mod cron;
mod timetable;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use marquee_core::duration;

pub use self::cron::{When, WhenError};
pub use self::timetable::{Anybody, Creator, Entry, Rights, ScheduleError, Timetable};

use super::job::Arguments;
use super::places::is_name;

/// The longest time by which a job may be put off.
const MAX_JITTER: Duration = Duration::from_hours(24);

/// The word for the schedules that come with the server.
const SHIPPED: &str = "shipped";

/// The schedules that come with the server, as the setting would have them.
const SHIPPED_SCHEDULES: &str =
    "sync=sync @ 0 */6 * * * ~10m; clean=clean @ 15 3 * * * ~30m; report=report @ 0 5 * * 1 ~30m";

/// The one that comes with it where events are not kept for ever.
const SHIPPED_RETENTION: &str = "retention=retention @ 30 3 * * * ~30m";

/// When the one is due that comes with it where there is a target of backups.
const SHIPPED_BACKUP: &str = "0 2 * * * ~30m";

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub schedule_id: String,
    /// What is to be done.
    pub kind: String,
    /// What the job is told.
    pub arguments: Arguments,
    /// When.
    pub when: When,
    /// By up to so much it is put off, the same for all nodes and another time for each occurrence.
    pub jitter: Duration,
}

/// Schedules of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedules {
    text: String,
    has_shipped: bool,
    own: Vec<Schedule>,
}

/// A text that says no schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no schedules")]
pub struct SchedulesError;

impl Schedules {
    /// All of them. Those of the settings win over one of the same name that comes with the server.
    pub fn all(&self, shipped: Shipped<'_>) -> Vec<Schedule> {
        let mut all = self.own.clone();
        if self.has_shipped {
            let backup = shipped
                .backup_to
                .map(|target| format!("backup=backup target={target} keep=14 @ {SHIPPED_BACKUP}"));
            let retention = shipped.retention.then(|| SHIPPED_RETENTION.to_owned());
            let texts = SHIPPED_SCHEDULES.split(';').map(str::to_owned).chain(retention).chain(backup);
            let shipped = texts.filter_map(|text| read(&text).ok());
            let is_new = |it: &Schedule| self.own.iter().all(|own| own.schedule_id != it.schedule_id);
            all.extend(shipped.filter(is_new));
        }
        all
    }
}

/// Which schedules come with the server, beside those that always do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shipped<'a> {
    /// A backup to this target.
    pub backup_to: Option<&'a str>,
    /// The removal of old events.
    pub retention: bool,
}

impl Default for Schedules {
    /// Those that come with the server.
    fn default() -> Self {
        Self { text: SHIPPED.to_owned(), has_shipped: true, own: Vec::new() }
    }
}

impl fmt::Display for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Schedules {
    type Err = SchedulesError;

    fn from_str(text: &str) -> Result<Self, SchedulesError> {
        let mut schedules = Self { text: text.to_owned(), has_shipped: false, own: Vec::new() };
        if text == "none" {
            return Ok(schedules);
        }
        for part in text.split(';').map(str::trim) {
            if part == SHIPPED {
                schedules.has_shipped = true;
                continue;
            }
            let schedule = read(part)?;
            if schedules.own.iter().any(|own| own.schedule_id == schedule.schedule_id) {
                return Err(SchedulesError);
            }
            schedules.own.push(schedule);
        }
        Ok(schedules)
    }
}

/// The schedule of `NAME=KIND [ARGUMENT=VALUE ...] @ MINUTE HOUR DAY MONTH WEEKDAY [ZONE] [~JITTER]`.
fn read(text: &str) -> Result<Schedule, SchedulesError> {
    let (what, when) = text.split_once('@').ok_or(SchedulesError)?;
    let mut words = what.split_whitespace();
    let (schedule_id, kind) = words.next().and_then(|word| word.split_once('=')).ok_or(SchedulesError)?;
    let argument = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let arguments = words.map(argument).collect::<Option<_>>().ok_or(SchedulesError)?;
    let mut words: Vec<&str> = when.split_whitespace().collect();
    let jitter = match words.last().and_then(|word| word.strip_prefix('~')) {
        Some(jitter) => {
            words.pop();
            duration::parse(jitter).map_err(|_| SchedulesError)?
        }
        None => Duration::ZERO,
    };
    let zone = if words.len() == 6 { words.pop().unwrap_or_default() } else { "" };
    let when = When::new(&words.join(" "), zone).map_err(|_| SchedulesError)?;
    if !is_name(schedule_id) || kind.is_empty() || jitter > MAX_JITTER {
        return Err(SchedulesError);
    }
    Ok(Schedule { schedule_id: schedule_id.to_owned(), kind: kind.to_owned(), arguments, when, jitter })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_as_they_are_written() {
        let text =
            "shipped; nightly=backup target=nas @ 0 2 * * * Europe/Berlin ~30m; often=sync @ */5 * * * *";
        let schedules: Schedules = text.parse().unwrap();
        assert_eq!(schedules.to_string(), text);
        let nightly = &schedules.own[0];
        assert_eq!((nightly.schedule_id.as_str(), nightly.kind.as_str()), ("nightly", "backup"));
        assert_eq!(nightly.arguments.get("target").map(String::as_str), Some("nas"));
        assert_eq!(
            (nightly.when.to_string().as_str(), nightly.jitter),
            ("0 2 * * * Europe/Berlin", Duration::from_mins(30))
        );
        assert_eq!(schedules.own[1].jitter, Duration::ZERO);
        for wrong in [
            "",
            "sync",
            "sync=sync",
            "sync=sync @",
            "sync=sync @ daily",
            "Sync=sync @ 0 0 * * *",
            "a=sync b @ 0 0 * * *",
            "a=sync @ 0 0 * * * ~48h",
            "a=sync @ 0 0 * * *; a=clean @ 0 0 * * *",
        ] {
            assert_eq!(wrong.parse::<Schedules>(), Err(SchedulesError), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_shipped_is_all_there_and_gives_way_to_the_settings() {
        let names = |schedules: &Schedules, shipped| {
            schedules.all(shipped).into_iter().map(|it| it.schedule_id).collect::<Vec<_>>()
        };
        assert_eq!(names(&Schedules::default(), Shipped::default()), ["sync", "clean", "report"]);
        let all = Shipped { backup_to: Some("nas"), retention: true };
        assert_eq!(names(&Schedules::default(), all), ["sync", "clean", "report", "retention", "backup"]);
        let own: Schedules = "shipped; sync=sync @ 0 0 * * *".parse().unwrap();
        assert_eq!(own.all(all).iter().filter(|it| it.schedule_id == "sync").count(), 1);
        assert!(names(&"none".parse().unwrap(), all).is_empty());
    }
}
