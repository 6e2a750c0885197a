//! The embedded store: one redb file for one machine.
//!
//! All writes go through one thread that commits in groups ([`writer`]); all reads look at the
//! snapshot of the last commit ([`snapshot`]). Point reads run on the caller's thread: they take a
//! few microseconds from redb's cache, or a page or two from the file when they miss, where handing
//! them to a blocking thread costs ten microseconds or more each time. Scans of a whole table do go
//! to a blocking thread.

mod codec;
mod event;
mod group;
mod head;
mod history;
mod schema;
mod snapshot;
mod sums;
mod writer;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use redb::Database;

use self::snapshot::Snapshot;
use self::writer::Writer;
use super::{EventKey, MovieStats, Profile, Recorded, Store, StoreError, StoreStats, UserStats};
use crate::domain::{Interaction, MovieId, MovieRecord, Preferences, TimeMs, User, UserId};

/// The file in the data folder.
const FILE: &str = "marquee.redb";
/// Pages that redb keeps in memory.
const CACHE_BYTES: usize = 256 << 20;

/// The store in one file. Dropping it finishes accepted writes and closes the file; no other process
/// can open the file before.
pub struct RedbStore {
    published: Arc<ArcSwapOption<Snapshot>>,
    writer: Writer,
}

impl RedbStore {
    /// Opens the store in a folder, which is made if needed, and brings its schema up to date.
    ///
    /// After a crash redb checks the whole file first.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the folder or file cannot be used or another process has it,
    /// [`StoreError::Schema`] when a newer program made it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::Open(format!("{}: {error}; is another server using it?", file.display()))
        };
        std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create(&file).map_err(|error| failed(&error))?;
        schema::migrate(&database)?;
        let snapshot = Snapshot::open(&database)?;
        let published = Arc::new(ArcSwapOption::from_pointee(snapshot));
        let writer = Writer::start(database, Arc::clone(&published))?;
        Ok(Self { published, writer })
    }

    /// Reads on the caller's thread.
    fn read<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let snapshot = self.published.load();
        read(snapshot.as_ref().ok_or_else(closed)?)
    }

    /// Reads on a blocking thread.
    async fn scan<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&Snapshot) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let snapshot = self.published.load_full().ok_or_else(closed)?;
        tokio::task::spawn_blocking(move || scan(&snapshot)).await.map_err(|_| closed())?
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closing".to_owned())
}

#[async_trait]
impl Store for RedbStore {
    async fn record(&self, events: &[Interaction], now_ms: TimeMs) -> Result<Vec<Recorded>, StoreError> {
        let events = events.to_vec();
        self.writer.submit(move |group| group.record(&events, now_ms)).await
    }

    async fn profile(&self, user_id: UserId, newest: usize) -> Result<Option<Arc<Profile>>, StoreError> {
        self.read(|snapshot| Ok(snapshot.profile(user_id, newest)?.map(Arc::new)))
    }

    async fn history(
        &self,
        user_id: UserId,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Option<Vec<Interaction>>, StoreError> {
        self.read(|snapshot| snapshot.history(user_id, after, limit))
    }

    async fn user(&self, user_id: UserId) -> Result<Option<User>, StoreError> {
        self.read(|snapshot| snapshot.user(user_id))
    }

    async fn user_stats(&self, user_id: UserId) -> Result<Option<UserStats>, StoreError> {
        self.read(|snapshot| snapshot.user_stats(user_id))
    }

    async fn register(&self, user_id: UserId, now_ms: TimeMs) -> Result<(User, bool), StoreError> {
        self.writer.submit(move |group| group.register(user_id, now_ms)).await
    }

    async fn set_preferences(
        &self,
        user_id: UserId,
        preferences: Preferences,
        now_ms: TimeMs,
    ) -> Result<User, StoreError> {
        self.writer.submit(move |group| group.set_preferences(user_id, preferences, now_ms)).await
    }

    async fn delete_user(&self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        self.writer.submit(move |group| group.delete_user(user_id)).await
    }

    async fn put_movies(&self, movies: &[MovieRecord]) -> Result<u64, StoreError> {
        let movies = movies.to_vec();
        self.writer.submit(move |group| group.put_movies(&movies)).await
    }

    async fn movies(&self, after: Option<MovieId>, limit: usize) -> Result<Vec<MovieRecord>, StoreError> {
        self.scan(move |snapshot| snapshot.movies(after, limit)).await
    }

    async fn movie_stats(&self) -> Result<Vec<MovieStats>, StoreError> {
        self.scan(Snapshot::movie_stats).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.read(Snapshot::stats)
    }

    async fn get_note(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|snapshot| snapshot.note(key))
    }

    async fn put_note(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_vec());
        self.writer.submit(move |group| group.put_note(&key, &value)).await
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
    use super::*;
    use crate::store::conformance;

    #[tokio::test]
    async fn it_keeps_the_promises_of_a_store() {
        conformance::all(async || {
            let folder = tempfile::tempdir().expect("a temporary folder");
            RedbStore::open(folder.path()).expect("a new store opens")
        })
        .await;
    }
}
