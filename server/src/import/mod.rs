//! Bringing a MovieLens release into the store.
//!
//! Every release format is read: the CSV of latest, 20M, 25M and 32M, the `::` of 1M and 10M, the tabs
//! and bars of 100K; from a folder or a zip. Movies, tags and links are put together in memory; ratings
//! stream through in batches, so that memory does not grow with them. Other data in the same form may have
//! times and ratings in other [`Units`]. How far they got is a note in the
//! store, so that an interrupted import goes on where it was, and every write is idempotent, so that a
//! repeated one changes nothing.
//!
//! 100K numbers its movies in its own way; the other releases share their numbers, so that they can be
//! imported into one store. The sample of the first start is not mixed with anything: see `sample`.

pub mod mapped;
mod movies;
mod progress;
mod ratings;
mod report;
mod row_error;
mod rows;
mod sample;
#[cfg(test)]
mod sample_tests;
mod source;
mod tables;
mod tally;
#[cfg(test)]
mod tests;
mod time_unit;
mod units;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use marquee_core::clock::{self, EventTimes, MAX_CLOCK_SKEW};
use marquee_core::domain::TimeMs;
use marquee_store::{Store, StoreError};
use roaring::RoaringBitmap;

use self::mapped::MapError;
pub use self::progress::{Part, Progress, Reached, Silent};
pub use self::report::{ImportReport, MalformedRow};
pub use self::row_error::RowError;
pub use self::sample::{SampleMark, import_sample};
use self::source::{Release, Source};
pub use self::time_unit::TimeUnit;
pub use self::units::{Units, written_out};
use crate::keys::{MovieKeysError, UserKeyError};

/// Why an import stopped. What was stored before stays; the same import may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing there that could be imported.
    #[error(
        "{} holds no MovieLens release; give the folder or zip with ratings.csv, ratings.dat or u.data \
         and movies.csv, movies.dat or u.item", path.display()
    )]
    NotARelease {
        /// What was given.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// A header without a needed column.
    #[error("{file} has no column {missing}; its header is: {found}")]
    Header {
        /// The file.
        file: String,
        /// The column.
        missing: &'static str,
        /// The header.
        found: String,
    },
    /// A malformed row in a strict import. Nothing was stored.
    #[error("{0}; correct the row, or import without --strict to leave such rows out")]
    Malformed(MalformedRow),
    /// A file of which no row could be read.
    #[error("no row was read of {}, all {rows} are malformed; {first}", first.file)]
    NothingRead {
        /// The malformed rows.
        rows: u64,
        /// The first of them.
        first: MalformedRow,
    },
    /// A file without rows.
    #[error("{file} has no rows; give a release with movies and ratings, or leave the file out")]
    Empty {
        /// The file.
        file: String,
    },
    /// The ratings are of other units than was said. Nothing was stored.
    #[error("{row} ({like_it} of the first {looked_at} rows are like it; nothing was stored)")]
    OtherUnits {
        /// The first such row.
        row: MalformedRow,
        /// How many there are at the beginning of the file.
        like_it: u64,
        /// How many rows were looked at.
        looked_at: u64,
    },
    /// The store holds the sample, which was not to be replaced. Nothing was stored.
    #[error(
        "the store holds the sample, whose users and movies would mix with these; import into another --data-dir or \
         --store, or add --replace-sample to remove the sample first"
    )]
    HoldsSample,
    /// A path or a pattern means no file.
    #[error("{} has no file like {named:?}; give a file, a folder, or a pattern such as 'plays-*.csv.gz'", path.display())]
    NoFiles {
        /// What was given.
        path: PathBuf,
        /// The pattern.
        named: String,
    },
    /// A folder in which nothing looks like data.
    #[error(
        "{} has no file whose name ends with .csv, .tsv, .tab, .psv, .jsonl, .ndjson or .json (or these and .gz or .zst), but: \
         {found}; name the files by `files` in the map, or give one of them", path.display()
    )]
    NoData {
        /// What was given.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// A pattern that is none.
    #[error("the pattern of file names cannot be read: {0}")]
    Pattern(String),
    /// A file without a column that the map names.
    #[error(
        "{file} has no column {missing:?}; its columns are: {found}; correct the map, or name the files that it is for by \
         `files`"
    )]
    Column {
        /// The file.
        file: String,
        /// The column.
        missing: String,
        /// Those that it has.
        found: String,
    },
    /// The map of columns says something that maps do not have.
    #[error(transparent)]
    Map(#[from] MapError),
    /// An item cannot be stored as it is called.
    #[error("an item cannot be stored: {0}")]
    Item(RowError),
    /// Keys of items have no numbers.
    #[error(transparent)]
    MovieKeys(#[from] MovieKeysError),
    /// The key of a user has a number that is another key's.
    #[error(transparent)]
    UserKey(#[from] UserKeyError),
    /// The store did not take it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The reading thread failed, which is an error of this program.
    #[error("the reader of the release stopped: {0}")]
    Reader(#[from] tokio::task::JoinError),
}

impl ImportError {
    fn io(file: impl Display, error: io::Error) -> Self {
        Self::Io { file: file.to_string(), error }
    }
}

/// What becomes of the sample in a store that something else is imported into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSample {
    /// It stays, and the import is refused.
    #[default]
    Refuse,
    /// Its users with their histories, and its movies, are removed first.
    Replace,
}

/// How to import.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions {
    /// Refuse a release with any malformed row before anything is stored.
    pub strict: bool,
    /// What the numbers of the ratings mean.
    pub units: Units,
    /// What becomes of the sample.
    pub sample: OnSample,
    /// The creation time of new users.
    pub now_ms: TimeMs,
    /// Ratings in one write to the store.
    pub batch_rows: usize,
    /// Writes to the store at once.
    pub batches_in_flight: usize,
}

impl ImportOptions {
    /// Leaves malformed rows out; the units of `MovieLens`, its times until a day ahead of the clock;
    /// sixteen writes of 4,096 ratings at once: enough for a store to be busy while the oldest of them ends.
    pub fn new(now_ms: TimeMs) -> Self {
        let units = Units::of_movielens(EventTimes::at(clock::now_ms(), MAX_CLOCK_SKEW));
        Self {
            strict: false,
            sample: OnSample::Refuse,
            units,
            now_ms,
            batch_rows: 4_096,
            batches_in_flight: 16,
        }
    }
}

/// Imports the release at `path`, a folder or a zip, and says to `progress` how far it is.
///
/// Ratings of movies that neither the release nor the store knows are malformed, as are times that no event
/// may have. A file of which no row is read is an error. A movie that the store
/// knows takes title and genres of the release and keeps the tags and links that the release does not
/// have. Ratings of a `MovieLens` user join whatever the store has of the user with that id, and so a store
/// with the sample is refused unless the options say that it is to be replaced.
pub async fn import(
    path: &Path,
    store: &dyn Store,
    options: ImportOptions,
    progress: &dyn Progress,
) -> Result<ImportReport, ImportError> {
    let source = Source::open(path)?;
    let release = source.release()?;
    let sample = SampleMark::of(store).await?;
    if sample.is_some() && options.sample == OnSample::Refuse {
        return Err(ImportError::HoldsSample);
    }
    check_units(&source, &release, options.units).await?;
    if options.strict {
        let known = movies::stored(store).await?.into_keys().collect();
        let known = sample.iter().fold(known, |known, sample| known - sample.movies());
        check(&source, &release, known, options.units).await?;
    }
    if let Some(sample) = sample {
        if let Some(file) = &release.ratings {
            ratings::forget_place(store, file, options.units).await?;
        }
        sample.remove(store).await?;
    }
    bring_in(&source, &release, store, options, progress).await
}

async fn bring_in(
    source: &Source,
    release: &Release,
    store: &dyn Store,
    options: ImportOptions,
    progress: &dyn Progress,
) -> Result<ImportReport, ImportError> {
    let began = Instant::now();
    let total_bytes = release.size();
    progress.reached(Reached { bytes: 0, total_bytes, part: Part::Movies });
    let mut report = ImportReport::default();
    let known = movies::stored(store).await?;
    let ids = movies::import(source, release, known, store, &mut report).await?;
    if let Some(file) = &release.ratings {
        let import = ratings::Import { source, file, movies: ids, store, options, total_bytes, progress };
        import.run(&mut report).await?;
    }
    progress.finished();
    report.elapsed = began.elapsed();
    Ok(report)
}

impl Release {
    /// The bytes of all its files.
    fn size(&self) -> u64 {
        let files = [&self.ratings, &self.movies, &self.tags, &self.links];
        files.into_iter().flatten().map(|file| file.size).sum()
    }
}

/// Looks at the beginning of the ratings, before anything is stored.
async fn check_units(source: &Source, release: &Release, units: Units) -> Result<(), ImportError> {
    let Some(file) = release.ratings.clone() else { return Ok(()) };
    let source = source.clone();
    tokio::task::spawn_blocking(move || ratings::check_units(&source, &file, &units)).await?
}

/// Reads everything once; the first malformed row is an error.
async fn check(
    source: &Source,
    release: &Release,
    mut known: RoaringBitmap,
    units: Units,
) -> Result<(), ImportError> {
    let (source, release) = (source.clone(), release.clone());
    tokio::task::spawn_blocking(move || {
        let refuse = |row: MalformedRow| Err(ImportError::Malformed(row));
        let assembled = movies::Assembled::read(&source, &release, BTreeMap::default(), refuse)?;
        known.extend(assembled.movie_ids());
        match &release.ratings {
            Some(file) => ratings::check(&source, file, ratings::Expected { movies: &known, units }),
            None => Ok(()),
        }
    })
    .await?
}
