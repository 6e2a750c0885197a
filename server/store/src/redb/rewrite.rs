//! Writes the store's files anew, in which nothing is left of what was removed.
//!
//! redb gives the pages of what is removed to what comes next, and does not wipe them before; the journals are written
//! over from their beginning. Whoever has to be sure that a deleted user is in no byte of the disk's files has them written
//! anew while no server runs.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable as _, TableDefinition, WriteTransaction};

use super::damage::OnDamage;
use super::disk::{Disk, unfinished};
use super::files::{FILE, Files};
use super::journal;
use super::schema::{DOCUMENTS, META, MOVIE_STATS, MOVIES, NOTES, RULES, RUNS, USERS};
use super::tables::{Check, Tables};
use crate::StoreError;

/// Bytes of the tables' file before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Writes the files of the store in a folder anew. Where it breaks off, the files are what they were.
///
/// # Errors
/// As [`RedbStore::open`](super::RedbStore::open), and when there is no room for a second file.
pub fn rewrite(dir: &Path) -> Result<Rewritten, StoreError> {
    let disk = Disk::open(dir)?;
    let failed = |error: std::io::Error| StoreError::Open(format!("{}: {error}", dir.display()));
    settle(&disk)?;
    let length = || disk.length(FILE).map(Option::unwrap_or_default).map_err(failed);
    let before = length()?;
    copy(&disk)?;
    // There is nothing in them since the tables are settled.
    journal::make_anew(&disk).map_err(failed)?;
    disk.finish(FILE).map_err(failed)?;
    Ok(Rewritten { before, after: length()? })
}

/// Brings into the tables what the journals have.
fn settle(disk: &Disk) -> Result<(), StoreError> {
    let mut files = Files::open(disk, OnDamage::Refuse, journal::FULL)?;
    let view = files.view()?;
    files.close(&view)
}

/// Copies the tables into a file of their own, which does not have its name yet.
fn copy(disk: &Disk) -> Result<(), StoreError> {
    let failed =
        |error: &dyn std::fmt::Display| StoreError::Open(format!("{}: {error}", disk.folder().display()));
    let path = disk.path(&unfinished(FILE));
    if path.exists() {
        std::fs::remove_file(&path).map_err(|error| failed(&error))?;
    }
    let file = Arc::new(disk.file(FILE).map_err(|error| failed(&error))?);
    let from = Tables::open(&file, Check::LastCommit)?;
    let to = Database::create(path).map_err(|error| failed(&error))?;
    let transaction = to.begin_write()?;
    copy_table(from.database(), &transaction, USERS)?;
    copy_table(from.database(), &transaction, RUNS)?;
    copy_table(from.database(), &transaction, MOVIES)?;
    copy_table(from.database(), &transaction, RULES)?;
    copy_table(from.database(), &transaction, MOVIE_STATS)?;
    copy_table(from.database(), &transaction, NOTES)?;
    copy_table(from.database(), &transaction, DOCUMENTS)?;
    copy_table(from.database(), &transaction, META)?;
    Ok(transaction.commit()?)
}

fn copy_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    from: &Database,
    to: &WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), StoreError> {
    let from = from.begin_read()?.open_table(table)?;
    let mut to = to.open_table(table)?;
    for entry in from.iter()? {
        let (key, value) = entry?;
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}
