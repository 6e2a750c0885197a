//! What the service withstands: killed processes, full disks, flipped bits, hostile and too many callers, services that
//! are gone, and time.
//!
//! Every part does to a real server what is to do no lasting harm, and says in a [`Row`] for each fault what
//! was expected and what was seen. Servers run in processes of their own over temporary folders, all load
//! comes over loopback, and every random choice has a seed.

mod callers;
pub mod clocks;
mod cost;
pub mod disk_full;
pub mod flips;
pub mod floods;
pub mod kills;
pub mod long_streams;
mod ordinary;
pub mod outages;
pub mod overload;
mod raw;
pub mod results;
mod row;
pub mod soak;
mod way;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
pub use row::{Row, Timings};

use crate::arguments::Measured;
use crate::served::Launch;

/// The small model and the sample that come with the sources, from the root of the repository.
const FIXTURE: &str = "onnx/fixtures/tiny";
const SAMPLE: &str = "onnx/data/ml-latest-small";

/// A kind of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Processes that are killed while they write.
    Kills,
    /// A disk that is full for a while.
    DiskFull,
    /// Files that are not as they were left.
    Flips,
    /// Callers who want to harm others.
    Floods,
    /// Long streams of ordinary callers.
    LongStreams,
    /// More calls than can be answered.
    Overload,
    /// Clocks that step.
    Clocks,
    /// Redis, the store or another node that is gone, slow or out of reach.
    Outages,
    /// A long time under load.
    Soak,
}

impl Part {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 9] = [
        Self::Kills,
        Self::DiskFull,
        Self::Flips,
        Self::Floods,
        Self::LongStreams,
        Self::Overload,
        Self::Clocks,
        Self::Outages,
        Self::Soak,
    ];

    /// Its name on the command line and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::DiskFull => "disk-full",
            Self::Flips => "flips",
            Self::Floods => "floods",
            Self::LongStreams => "long-streams",
            Self::Overload => "overload",
            Self::Clocks => "clocks",
            Self::Outages => "outages",
            Self::Soak => "soak",
        }
    }

    /// Does what it is about and says what was seen.
    ///
    /// # Errors
    /// When a server does not start that was not harmed, or this machine does not let us do something.
    pub async fn run(self, field: &Field) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Kills => kills::run(field).await,
            Self::DiskFull => disk_full::run(field).await,
            Self::Flips => flips::run(field).await,
            Self::Floods => floods::run(field).await,
            Self::LongStreams => long_streams::run(field).await,
            Self::Overload => overload::run(field).await,
            Self::Clocks => clocks::run(field).await,
            Self::Outages => outages::run(field).await,
            Self::Soak => soak::run(field).await,
        }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Whether bounds of time and processor time count, or are only printed.
    pub timings: Timings,
    /// Processes that are killed under writes.
    pub kills: usize,
    /// The longest time that one of them writes.
    pub written_for: Duration,
    /// First starts that are killed while they import the sample.
    pub first_starts: usize,
    /// Times that the disk is full.
    pub full_disks: usize,
    /// Bits that are flipped in each kind of file, one at a time.
    pub flips: usize,
    /// Connections that say nothing.
    pub idle_connections: usize,
    /// Long streams of every method.
    pub streams: usize,
    /// Events of a RecordInteractions.
    pub streamed_events: usize,
    /// Movies of an ImportMovies.
    pub streamed_movies: usize,
    /// Requests of a RecommendStream.
    pub streamed_requests: usize,
    /// How long something is gone.
    pub outage: Duration,
    /// How long a server is loaded.
    pub soak: Duration,
}

impl Extent {
    /// All of it, by hand.
    pub const FULL: Self = Self {
        timings: Timings::Count,
        kills: 1_000,
        written_for: Duration::from_millis(800),
        first_starts: 20,
        full_disks: 20,
        flips: 100,
        idle_connections: 3_000,
        streams: 20,
        streamed_events: 200_000,
        streamed_movies: 60_000,
        streamed_requests: 200_000,
        outage: Duration::from_mins(1),
        soak: Duration::from_hours(1),
    };

    /// Less of everything: some minutes on two cores.
    pub const QUICK: Self = Self {
        kills: 50,
        first_starts: 3,
        full_disks: 3,
        flips: 16,
        streams: 3,
        streamed_movies: 20_000,
        streamed_requests: 50_000,
        outage: Duration::from_secs(5),
        soak: Duration::from_mins(1),
        ..Self::FULL
    };

    /// The least of everything, and nothing that a slow machine or a debug build could fail.
    pub const TINY: Self = Self {
        timings: Timings::ArePrinted,
        kills: 3,
        first_starts: 0,
        full_disks: 1,
        flips: 2,
        idle_connections: 200,
        streams: 1,
        streamed_events: 60_000,
        streamed_movies: 2_000,
        streamed_requests: 2_000,
        outage: Duration::from_secs(2),
        soak: Duration::from_secs(5),
        ..Self::FULL
    };
}

/// What every part works with.
#[derive(Clone, Debug)]
pub struct Field {
    /// The server's program.
    pub binary: PathBuf,
    /// What was given: the bundle of those parts that need a large one.
    pub measured: Measured,
    /// How much is done.
    pub extent: Extent,
    /// The seed of all that is random.
    pub seed: u64,
}

impl Field {
    /// A row about a fault, with nothing seen yet.
    pub fn row(&self, fault: impl Into<String>) -> Row {
        Row::new(fault, self.extent.timings)
    }

    /// The row, or a red one about an error that left it without.
    pub fn row_of(&self, fault: &str, row: anyhow::Result<Row>) -> Row {
        row.unwrap_or_else(|error| self.row(fault).sees("it can be looked at", format!("{error:#}"), false))
    }

    /// A server of the small model over `data`, without a sample unless `options` say otherwise.
    fn launch(&self, data: &Path, options: &[&str]) -> Launch {
        let sample = ["--sample-data", "none"].into_iter();
        let sample = sample.filter(|_| !options.contains(&"--sample-data"));
        Launch {
            binary: self.binary.clone(),
            bundle: PathBuf::from(FIXTURE),
            data: data.to_owned(),
            options: sample.chain(options.iter().copied()).map(str::to_owned).collect(),
            environment: Vec::new(),
        }
    }
}

/// Copies a data folder, with the folders in it, to where nothing is yet.
fn copied(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from)? {
        let (entry, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() {
            copied(&entry, &target)?;
        } else {
            fs::copy(&entry, &target).with_context(|| format!("cannot copy {}", entry.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_is_copied_with_the_folders_in_it() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        fs::create_dir_all(from.join("similar/tables")).unwrap();
        fs::write(from.join("marquee.redb"), "store").unwrap();
        fs::write(from.join("similar/tables/one"), "table").unwrap();

        copied(&from, &to).unwrap();

        assert_eq!(fs::read_to_string(to.join("marquee.redb")).unwrap(), "store");
        assert_eq!(fs::read_to_string(to.join("similar/tables/one")).unwrap(), "table");
    }
}
