//! What an export holds. It is written last: a folder without it is not whole.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use marquee_core::domain::TimeMs;
use serde::{Deserialize, Serialize};

use super::Range;
use super::files::{FileSum, Format};

const FILE: &str = "manifest.json";

/// What an export holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `csv` or `jsonl`.
    pub format: String,
    /// The version of the program that made it.
    pub program: String,
    /// The kind of the store that it is of: `redb` or `cql`.
    pub store: String,
    /// When it began, in milliseconds since 1970: what was acknowledged before is in it. Where the next one is to have what
    /// came since, it begins here, by a `since` some time before, for events that come late.
    pub made_ms: TimeMs,
    /// Its interactions are of this time or later.
    pub since_ms: Option<TimeMs>,
    /// They are of before this time.
    pub until_ms: Option<TimeMs>,
    /// How many interactions it has.
    pub interactions: u64,
    /// Of how many users.
    pub users: u64,
    /// How many movies it has.
    pub movies: u64,
    /// Its files.
    pub files: Vec<FileSum>,
}

/// How much of what there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) interactions: u64,
    pub(super) users: u64,
    pub(super) movies: u64,
}

impl Manifest {
    pub(super) fn new(
        format: Format,
        store: &str,
        made_ms: TimeMs,
        range: Range,
        counts: Counts,
        files: Vec<FileSum>,
    ) -> Self {
        let Counts { interactions, users, movies } = counts;
        let Range { since_ms, until_ms } = range;
        Self {
            format: format.name().to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            store: store.to_owned(),
            made_ms,
            since_ms,
            until_ms,
            interactions,
            users,
            movies,
            files,
        }
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let file = File::create_new(folder.join(FILE))?;
        serde_json::to_writer_pretty(&file, self)?;
        file.sync_all()
    }

    /// The manifest of the export in a folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(folder.join(FILE))?)?)
    }
}
