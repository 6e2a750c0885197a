//! The embedded store: a redb file and its journal, for one machine.
//!
//! All writes go through one thread that makes them durable in groups ([`writer`]): events in the
//! [`journal`], everything else and a [`checkpoint`] of the events in redb. Reads see what is durable
//! ([`view`]). Point reads run on the caller's thread: they take a few microseconds from memory, or a
//! page or two from the file when they miss, where handing them to a blocking thread costs ten
//! microseconds or more each time. Scans of a whole table do go to a blocking thread.

mod checkpoint;
mod codec;
mod damage;
#[cfg(test)]
mod damage_tests;
mod disk;
mod documents;
mod event;
mod export;
#[cfg(test)]
mod fault_tests;
mod fence;
mod files;
mod head;
mod history;
mod journal;
mod recent;
mod rewrite;
mod runs;
mod schema;
mod snapshot;
mod standing;
mod state;
mod sums;
mod tables;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquee_core::domain::{
    EventKey, Interaction, MovieId, MovieRecord, Preferences, Profile, TimeMs, User, UserId,
};
use marquee_core::statistics::MovieStats;
use tokio::sync::mpsc;

pub use self::damage::OnDamage;
use self::disk::Disk;
use self::files::Files;
pub use self::rewrite::{Rewritten, rewrite};
use self::snapshot::Snapshot;
pub(crate) use self::standing::METRICS;
use self::view::{View, closed};
use self::writer::Writer;
use super::{
    Deleted, Documents, Record, Recorded, Revision, RuleRecord, Store, StoreError, StoreStats, UserStats,
};

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
        dir.join(files::FILE).is_file()
    }

    /// Whether a process has the store in this folder open. It is not disturbed.
    pub fn is_in_use(dir: &Path) -> bool {
        disk::is_locked(dir)
    }

    /// Opens the store in a folder, which is made if needed, and brings its schema up to date.
    ///
    /// All pages of the tables are read and checked. After a crash the journal's events are recorded
    /// again: half a second at most.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the folder or file cannot be used or another process has it,
    /// [`StoreError::Schema`] when a newer program made it, [`StoreError::Corrupt`] when the tables are
    /// damaged, [`StoreError::Damaged`] when the journal is.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_despite(dir, OnDamage::Refuse)
    }

    /// As [`Self::open`], and what is to be done when the journal is damaged.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_despite(dir: &Path, on_damage: OnDamage) -> Result<Self, StoreError> {
        Self::open_on(&Disk::open(dir)?, on_damage, journal::FULL)
    }

    /// Opens the store on a disk, with a checkpoint whenever the journal has so many bytes.
    fn open_on(disk: &Disk, on_damage: OnDamage, journal_bytes: u64) -> Result<Self, StoreError> {
        let files = Files::open(disk, on_damage, journal_bytes)?;
        let view = Arc::new(files.view()?);
        let writer = Writer::start(files, Arc::clone(&view))?;
        Ok(Self { view, writer })
    }

    /// Opens the store in a folder, with a checkpoint whenever the journal has so many bytes.
    #[cfg(test)]
    pub(crate) fn open_small(dir: &Path, journal_bytes: u64) -> Result<Self, StoreError> {
        Self::open_on(&Disk::open(dir)?, OnDamage::Refuse, journal_bytes)
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

    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>, StoreError> {
        // In this order: see `recent`.
        let recent = self.view.recent.users_after(after, limit);
        self.scan(move |snapshot| {
            let mut users = snapshot.users_after(after, limit)?;
            users.extend(recent);
            users.sort_unstable();
            users.dedup();
            users.truncate(limit);
            Ok(users)
        })
        .await
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

    async fn delete_event(&self, user_id: UserId, key: EventKey) -> Result<Option<Deleted>, StoreError> {
        self.writer.submit(move |state| state.delete_event(user_id, key)).await
    }

    async fn delete_user(&self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        self.writer.submit(move |state| state.delete_user(user_id)).await
    }

    async fn put_movies(&self, movies: &[MovieRecord]) -> Result<Vec<bool>, StoreError> {
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

    async fn put_rule(&self, rule: &RuleRecord) -> Result<bool, StoreError> {
        let rule = rule.clone();
        self.writer.submit(move |state| state.put_rule(rule)).await
    }

    async fn remove_rule(&self, rule_id: &str) -> Result<bool, StoreError> {
        let rule_id = rule_id.to_owned();
        self.writer.submit(move |state| state.remove_rule(rule_id)).await
    }

    async fn rules(&self) -> Result<Vec<RuleRecord>, StoreError> {
        self.scan(Snapshot::rules).await
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

    fn documents(&self) -> &dyn Documents {
        self
    }

    async fn export(&self, chunks: mpsc::Sender<Vec<Record>>) -> Result<(), StoreError> {
        // What the journal holds is in the tables then.
        self.writer
            .submit(|state| {
                state.want_in_tables();
                Ok(())
            })
            .await?;
        self.scan(move |snapshot| snapshot.export(&chunks)).await
    }

    fn name(&self) -> &'static str {
        "redb"
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A group of nothing: it notices tables that can be read no more, and opens them again.
        self.writer.submit(|_| Ok(())).await
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
