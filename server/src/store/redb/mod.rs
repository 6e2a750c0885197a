//! The embedded store: a redb file and its journal, for one machine.
//!
//! All writes go through one thread that makes them durable in groups ([`writer`]): events in the
//! [`journal`], everything else and a [`checkpoint`] of the events in redb. Reads see what is durable
//! ([`view`]). Point reads run on the caller's thread: they take a few microseconds from memory, or a
//! page or two from the file when they miss, where handing them to a blocking thread costs ten
//! microseconds or more each time. Scans of a whole table do go to a blocking thread.

mod checkpoint;
mod codec;
mod event;
mod head;
mod history;
mod journal;
mod recent;
mod runs;
mod schema;
mod snapshot;
mod state;
mod sums;
mod view;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redb::Database;

use self::journal::Journal;
use self::snapshot::Snapshot;
use self::view::{View, closed};
use self::writer::{Files, Writer};
use super::{EventKey, MovieStats, Profile, Recorded, Revision, Store, StoreError, StoreStats, UserStats};
use crate::domain::{Interaction, MovieId, MovieRecord, Preferences, TimeMs, User, UserId};

/// The files in the data folder.
const FILE: &str = "marquee.redb";
const JOURNALS: [&str; 2] = ["marquee.journal", "marquee.journal.2"];
/// Pages that redb keeps in memory.
const CACHE_BYTES: usize = 256 << 20;
/// The most events of one call in a group; a longer call is several, each durable.
const BATCH: usize = 16_384;

/// The store in one folder. Dropping it finishes accepted writes and closes the files; no other
/// process can open them before.
pub struct RedbStore {
    view: Arc<View>,
    writer: Writer,
}

impl RedbStore {
    /// Whether there is a store in this folder.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(FILE).is_file()
    }

    /// Opens the store in a folder, which is made if needed, and brings its schema up to date.
    ///
    /// After a crash the journal's events are recorded again first: half a second at most.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the folder or file cannot be used or another process has it,
    /// [`StoreError::Schema`] when a newer program made it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, journal::FULL)
    }

    /// As [`Self::open`], with a checkpoint whenever the journal has so many bytes.
    fn open_with(dir: &Path, journal_bytes: u64) -> Result<Self, StoreError> {
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::Open(format!("{}: {error}; is another server using it?", dir.display()))
        };
        std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(dir.join(FILE))
            .map_err(|error| failed(&error))?;
        schema::migrate(&database)?;
        let journals = JOURNALS.map(|name| dir.join(name));
        let epoch = schema::epoch(&database)?;
        let journal = Journal::open([&journals[0], &journals[1]], epoch, journal_bytes);
        let files = Files::recover(database, journal.map_err(|error| failed(&error))?)?;
        let view = Arc::new(files.view()?);
        let writer = Writer::start(files, Arc::clone(&view))?;
        Ok(Self { view, writer })
    }

    /// Scans a table on a blocking thread.
    async fn scan<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&Snapshot) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stored = self.view.stored()?;
        tokio::task::spawn_blocking(move || scan(&stored)).await.map_err(|_| closed())?
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn record(&self, events: &[Interaction], now_ms: TimeMs) -> Result<Vec<Recorded>, StoreError> {
        let mut outcomes = Vec::with_capacity(events.len());
        for batch in events.chunks(BATCH) {
            let batch = batch.to_vec();
            outcomes.extend(self.writer.submit(move |state| state.record(&batch, now_ms)).await?);
        }
        Ok(outcomes)
    }

    async fn profile(&self, user_id: UserId, newest: usize) -> Result<Option<Arc<Profile>>, StoreError> {
        Ok(self.view.profile(user_id, newest)?.map(Arc::new))
    }

    async fn history(
        &self,
        user_id: UserId,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Option<Vec<Interaction>>, StoreError> {
        self.view.history(user_id, after, limit)
    }

    async fn user(&self, user_id: UserId) -> Result<Option<User>, StoreError> {
        self.view.head(user_id, |head, _| head.user(user_id))
    }

    async fn user_stats(&self, user_id: UserId) -> Result<Option<UserStats>, StoreError> {
        self.view.head(user_id, |head, _| Ok(head.stats()))
    }

    async fn register(&self, user_id: UserId, now_ms: TimeMs) -> Result<(User, bool), StoreError> {
        self.writer.submit(move |state| state.register(user_id, now_ms)).await
    }

    async fn set_preferences(
        &self,
        user_id: UserId,
        preferences: Preferences,
        now_ms: TimeMs,
    ) -> Result<User, StoreError> {
        self.writer.submit(move |state| state.set_preferences(user_id, preferences, now_ms)).await
    }

    async fn delete_user(&self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        self.writer.submit(move |state| state.delete_user(user_id)).await
    }

    async fn put_movies(&self, movies: &[MovieRecord]) -> Result<u64, StoreError> {
        let movies = movies.to_vec();
        self.writer.submit(move |state| state.put_movies(&movies)).await
    }

    async fn remove_movies(&self, movie_ids: &[MovieId]) -> Result<(), StoreError> {
        let movie_ids = movie_ids.to_vec();
        self.writer
            .submit(move |state| {
                state.remove_movies(&movie_ids);
                Ok(())
            })
            .await
    }

    async fn movies(&self, after: Option<MovieId>, limit: usize) -> Result<Vec<MovieRecord>, StoreError> {
        self.scan(move |snapshot| snapshot.movies(after, limit)).await
    }

    async fn movie_stats(&self) -> Result<Vec<MovieStats>, StoreError> {
        self.writer.submit(|state| Ok(state.movie_stats())).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.view.stats()
    }

    async fn sum_up(&self, _: Duration, _: TimeMs) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// A file has one process, so nobody else changes anything.
    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(Revision::default())
    }

    async fn get_note(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.view.stored()?.note(key)
    }

    async fn put_note(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_vec());
        self.writer
            .submit(move |state| {
                state.put_note(key, value);
                Ok(())
            })
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if self.writer.is_running() { Ok(()) } else { Err(closed()) }
    }
}

/// What redb says, as the store's error.
fn failed(error: redb::Error) -> StoreError {
    match error {
        redb::Error::Corrupted(what) => StoreError::Corrupt(what),
        other => StoreError::Unavailable(other.to_string()),
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        failed(error.into())
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        failed(error.into())
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        failed(error.into())
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::conformance::{self, rating};
    use crate::store::model::{assert_follows_the_model, calls};
    use crate::store::races::{assert_a_deletion_leaves_no_half, races};

    fn open(dir: &Path) -> RedbStore {
        RedbStore::open(dir).expect("the store opens")
    }

    #[tokio::test]
    async fn it_keeps_the_promises_of_a_store() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut number = 0;
        conformance::all(|| {
            number += 1;
            let dir = folder.path().join(number.to_string());
            async move { open(&dir) }
        })
        .await;
    }

    #[tokio::test]
    async fn what_was_acknowledged_survives_a_restart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        conformance::it_survives_a_restart(async || open(folder.path())).await;
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn it_follows_the_model(calls in calls()) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(assert_follows_the_model(&open(folder.path()), calls));
        }

        #[test]
        fn it_follows_the_model_while_checkpoints_are_under_way(calls in calls()) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let store = RedbStore::open_with(folder.path(), 500).expect("the store opens");
            runtime.block_on(assert_follows_the_model(&store, calls));
        }

        #[test]
        fn a_deletion_and_a_write_at_once_leave_a_whole_user_or_none(race in races()) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let store = open(folder.path());
            runtime.block_on(assert_a_deletion_leaves_no_half(&store, &store, race));
        }
    }

    /// Long histories, events out of order, one at a time: heads are handed down again and again while
    /// their users go on.
    #[tokio::test(flavor = "multi_thread")]
    async fn checkpoints_under_way_lose_and_double_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(RedbStore::open_with(folder.path(), 4096).expect("the store opens"));
        let callers = (1..=8_u64).map(|user| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for i in 0..1200_i64 {
                    // Now and then an event of before the last few hundred.
                    let time = if i % 97 == 96 { 10 * i - 2_505 } else { 10 * i };
                    let event = rating(user, 1 + i as u32, time, 6);
                    store.record(&[event], 1).await.expect("a write");
                    if i % 50 == 0 {
                        let history = store.history(user, None, 5000).await.expect("a read");
                        assert_eq!(history.expect("a known user").len() as i64, i + 1);
                    }
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("all is there");
        }
        drop(store);
        let store = open(folder.path());
        for user in 1..=8 {
            let history = store.history(user, None, 5000).await.expect("a read").expect("a known user");
            assert_eq!(history.len(), 1200);
            assert!(history.is_sorted_by(|newer, older| newer.time_ms > older.time_ms));
        }
    }

    #[tokio::test]
    async fn a_second_process_is_told_that_the_folder_is_in_use() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _first = open(folder.path());
        let refused = RedbStore::open(folder.path()).err().expect("the folder is in use");
        assert!(refused.to_string().contains("is another server using it?"), "{refused}");
    }

    /// What version 1 said of a movie was wrong for good: all is counted anew, runs and heads.
    #[tokio::test]
    async fn statistics_of_version_1_are_counted_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = open(folder.path());
        let events: Vec<_> = (0..900).map(|i| rating(1 + i % 2, 1 + i as u32 % 400, i as i64, 6)).collect();
        store.record(&events, 1).await.expect("a write");
        let counted = conformance::sorted_sums(&store).await;
        drop(store);
        let database = Database::open(folder.path().join(FILE)).expect("nobody else has it");
        let transaction = database.begin_write().expect("nobody else writes");
        transaction.delete_table(schema::MOVIE_STATS).expect("it is there");
        let before = redb::TableDefinition::<u32, (u64, u64, u64, f64)>::new("movie_stats");
        let mut sums = transaction.open_table(before).expect("a new table");
        sums.insert(1, (7, 7, 7, f64::NEG_INFINITY)).expect("a write");
        drop(sums);
        transaction
            .open_table(schema::META)
            .expect("it is there")
            .insert(schema::SCHEMA, 1)
            .expect("a write");
        transaction.commit().expect("a commit");
        drop(database);
        assert_eq!(conformance::sorted_sums(&open(folder.path())).await, counted);
    }

    #[tokio::test]
    async fn events_that_only_the_journal_holds_come_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = tempfile::tempdir().expect("a temporary folder");
        let store = open(folder.path());
        let events: Vec<_> = (0..500).map(|i| rating(1, 1 + i, i64::from(i), 6)).collect();
        for event in &events {
            store.record(&[*event], 1).await.expect("a write");
        }
        for file in [FILE, JOURNALS[0], JOURNALS[1]] {
            std::fs::copy(folder.path().join(file), copy.path().join(file)).expect("a copy of a crash");
        }
        let recovered = open(copy.path());
        let profile = recovered.profile(1, 500).await.expect("a read").expect("a known user");
        assert_eq!(profile.newest, events);
        assert_eq!(recovered.stats().await.expect("a read"), store.stats().await.expect("a read"));
    }
}
