//! The tables of the file, and how an older file becomes one of this version.

use std::collections::HashMap;

use marquee_core::domain::{Interaction, MovieId, UserId};
use marquee_core::statistics::{MovieStats, opinions};
use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

use super::codec::encode_stats;
use super::event::{NEWEST, OLDEST, PackedKey, key_of, run_of, unpack};
use super::head::HeadView;
use super::tables::Tables;
use crate::StoreError;

/// Kind, part and key of a document.
type DocumentKey = (&'static str, &'static str, &'static str);
/// When a document expires, and what it says.
type DocumentRow = (Option<i64>, &'static [u8]);
/// Documents as readers find them.
pub(super) type StoredDocuments = ReadOnlyTable<DocumentKey, DocumentRow>;

/// Users by id; see [`super::head`].
pub(super) const USERS: TableDefinition<u64, &[u8]> = TableDefinition::new("users");
/// Runs of events that left the head, under the key of their oldest event.
pub(super) const RUNS: TableDefinition<&PackedKey, &[u8]> = TableDefinition::new("runs");
/// Movies by id.
pub(super) const MOVIES: TableDefinition<u32, &[u8]> = TableDefinition::new("movies");
/// Rules by name.
pub(super) const RULES: TableDefinition<&str, &[u8]> = TableDefinition::new("rules");
/// Sums over all users by movie.
pub(super) const MOVIE_STATS: TableDefinition<u32, &[u8]> = TableDefinition::new("movie_statistics");
/// Small values of other code.
pub(super) const NOTES: TableDefinition<&str, &[u8]> = TableDefinition::new("notes");
/// Documents by kind, part and key: when they expire, and what they say.
pub(super) const DOCUMENTS: TableDefinition<DocumentKey, DocumentRow> = TableDefinition::new("documents");
/// Numbers about the file itself.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// How many events are stored.
pub(super) const EVENTS: &str = "events";
/// How many checkpoints there were: the journal's blocks of this epoch are not yet in the file.
pub(super) const EPOCH: &str = "epoch";
pub(super) const SCHEMA: &str = "schema";

type Migration = fn(&WriteTransaction) -> Result<(), StoreError>;

/// Migration `i` turns version `i` into version `i + 1`; an empty file is version 0.
const MIGRATIONS: [Migration; 5] =
    [create_tables, drop_statistics, create_rules, create_documents, count_statistics_anew];
const VERSION: u32 = MIGRATIONS.len() as u32;

fn create_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(USERS)?;
    transaction.open_table(RUNS)?;
    transaction.open_table(MOVIES)?;
    transaction.open_table(NOTES)?;
    transaction.open_table(META)?;
    Ok(())
}

/// Statistics of version 1 could not be taken back exactly, and counted what users dislike.
fn drop_statistics(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.delete_table(TableDefinition::<u32, (u64, u64, u64, f64)>::new("movie_stats"))?;
    Ok(())
}

/// Statistics of versions 2 to 4 did not tell ratings by value. All that they are made of is in the histories.
fn count_statistics_anew(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut sums: HashMap<MovieId, MovieStats> = HashMap::new();
    let (users, runs) = (transaction.open_table(USERS)?, transaction.open_table(RUNS)?);
    for user in users.iter()? {
        let (user_id, head) = user?;
        for ((_, movie_id), opinion) in opinions(&history(&runs, user_id.value(), head.value())?) {
            let stats = sums.entry(movie_id).or_insert_with(|| MovieStats::none(movie_id));
            stats.replace(None, Some(opinion));
        }
    }
    transaction.delete_table(MOVIE_STATS)?;
    let mut table = transaction.open_table(MOVIE_STATS)?;
    for stats in sums.values().filter(|stats| !stats.is_none()) {
        table.insert(stats.movie_id, encode_stats(stats).as_slice())?;
    }
    Ok(())
}

fn create_rules(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(RULES)?;
    Ok(())
}

fn create_documents(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(DOCUMENTS)?;
    Ok(())
}

/// All events of a user, in no order that matters.
fn history(
    runs: &impl ReadableTable<&'static PackedKey, &'static [u8]>,
    user_id: UserId,
    head: &[u8],
) -> Result<Vec<Interaction>, StoreError> {
    let mut events = HeadView::new(head)?.newest.to_vec();
    for run in runs.range::<&PackedKey>(&key_of(user_id, &OLDEST)..=&key_of(user_id, &NEWEST))? {
        events.extend_from_slice(run_of(run?.1.value())?);
    }
    events.iter().map(|packed| unpack(user_id, packed)).collect()
}

/// Gives a new file this program's tables.
pub(super) fn make(database: &Database) -> Result<(), StoreError> {
    Ok(migrated(database, 0)?.commit()?)
}

/// Brings the file to this program's version in one transaction: this process has it alone. The version
/// that it had.
pub(super) fn migrate(tables: &Tables) -> Result<u32, StoreError> {
    let found = version(tables.database())?;
    if found > VERSION {
        return Err(StoreError::Schema { found, expected: VERSION });
    }
    if found < VERSION {
        tables.commit(migrated(tables.database(), found)?)?;
    }
    Ok(found)
}

/// A transaction that brings the file from a version to this program's.
fn migrated(database: &Database, found: u32) -> Result<WriteTransaction, StoreError> {
    let transaction = database.begin_write()?;
    for migration in &MIGRATIONS[found as usize..] {
        migration(&transaction)?;
    }
    transaction.open_table(META)?.insert(SCHEMA, u64::from(VERSION))?;
    Ok(transaction)
}

fn version(database: &Database) -> Result<u32, StoreError> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get(SCHEMA)?.map_or(0, |version| version.value() as u32)),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::redb::disk::Disk;
    use crate::redb::tables::Check;

    #[test]
    fn a_file_of_a_newer_program_is_refused_with_both_versions() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path()).expect("a temporary folder");
        std::fs::write(disk.path("a.redb"), "").expect("a write");
        let file = Arc::new(disk.file("a.redb").expect("a new file"));
        let tables = Tables::open(&file, Check::Pages).expect("an empty file becomes a database");
        let database = tables.database();
        assert_eq!(migrate(&tables).expect("an empty file becomes one of this version"), 0);
        let transaction = database.begin_write().expect("nobody else writes");
        transaction.open_table(META).expect("it exists").insert(SCHEMA, 9).expect("a write");
        transaction.commit().expect("a commit");
        let refused = migrate(&tables).expect_err("version 9 is not known");
        assert!(matches!(refused, StoreError::Schema { found: 9, expected: 5 }));
    }
}
