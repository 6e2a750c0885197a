//! The writer's memory: what changed since the last checkpoint, and the work that changes it.

use std::collections::HashMap;
use std::sync::Arc;

use redb::Database;

use super::codec::encode_movie;
use super::history::Histories;
use super::journal::put_entry;
use super::recent::Recent;
use super::schema::{EPOCH, EVENTS, META, MOVIES, NOTES};
use super::snapshot::Snapshot;
use super::sums::Sums;
use crate::domain::{Interaction, MovieId, MovieRecord, Preferences, TimeMs, User, UserId};
use crate::store::{MovieStats, Recorded, StoreError};

pub(super) struct State {
    stored: Arc<Snapshot>,
    histories: Histories,
    sums: Sums,
    movies: HashMap<MovieId, Vec<u8>>,
    notes: HashMap<String, Vec<u8>>,
    /// Events in all.
    events: u64,
    group: Group,
}

/// What the group that is being formed has done so far.
#[derive(Default)]
struct Group {
    /// Events, movies, users.
    work: usize,
    /// The new events, for the journal.
    entries: Vec<u8>,
    /// Whether something changed that the journal cannot hold.
    beyond_journal: bool,
}

impl State {
    pub(super) fn new(stored: Arc<Snapshot>) -> Result<Self, StoreError> {
        Ok(Self {
            histories: Histories::new(Arc::clone(&stored))?,
            sums: Sums::new(stored.movie_stats()?),
            movies: HashMap::new(),
            notes: HashMap::new(),
            events: stored.stats()?.interactions,
            group: Group::default(),
            stored,
        })
    }

    pub(super) fn work(&self) -> usize {
        self.group.work
    }

    /// The users and the events in all.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.histories.users(), self.events)
    }

    /// The new events of the group, for the journal.
    pub(super) fn entries(&self) -> &[u8] {
        &self.group.entries
    }

    /// Whether only a checkpoint can make the group durable, or should because memory fills up.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.group.beyond_journal || self.histories.wants_checkpoint()
    }

    pub(super) fn record(
        &mut self,
        events: &[Interaction],
        now_ms: TimeMs,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.group.work += events.len();
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            let outcome = self.histories.insert(event, now_ms)?;
            self.sums.add(event, outcome);
            if !outcome.duplicate {
                self.events += 1;
                put_entry(&mut self.group.entries, event, now_ms);
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    pub(super) fn register(&mut self, user_id: UserId, now_ms: TimeMs) -> Result<(User, bool), StoreError> {
        self.group.work += 1;
        let (head, created) = self.histories.head(user_id, now_ms)?;
        self.group.beyond_journal |= created;
        Ok((head.user(user_id), created))
    }

    pub(super) fn set_preferences(
        &mut self,
        user_id: UserId,
        preferences: Preferences,
        now_ms: TimeMs,
    ) -> Result<User, StoreError> {
        self.group.work += 1;
        self.group.beyond_journal = true;
        let (head, _) = self.histories.head(user_id, now_ms)?;
        head.preferences = preferences;
        Ok(head.user(user_id))
    }

    pub(super) fn delete_user(&mut self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        let history = self.histories.remove(user_id)?;
        self.sums.subtract(&history);
        self.events -= history.len() as u64;
        self.group.work += 1 + history.len();
        self.group.beyond_journal = true;
        Ok(history)
    }

    pub(super) fn put_movies(&mut self, movies: &[MovieRecord]) -> Result<u64, StoreError> {
        self.group.work += movies.len();
        self.group.beyond_journal = true;
        let mut new = 0;
        for movie in movies {
            let is_known =
                self.movies.contains_key(&movie.movie_id) || self.stored.has_movie(movie.movie_id)?;
            new += u64::from(!is_known);
            self.movies.insert(movie.movie_id, encode_movie(movie));
        }
        Ok(new)
    }

    pub(super) fn put_note(&mut self, key: String, value: Vec<u8>) {
        self.group.work += 1;
        self.group.beyond_journal = true;
        self.notes.insert(key, value);
    }

    pub(super) fn movie_stats(&self) -> Vec<MovieStats> {
        self.sums.all()
    }

    /// Ends a group that the journal made durable: shows it to readers.
    pub(super) fn publish(&mut self, recent: &Recent) {
        self.histories.publish(recent);
        self.group = Group::default();
    }

    /// Writes all that changed since the last checkpoint to redb, durably; what is stored now. The
    /// journal has this epoch from now on.
    ///
    /// Quick repair saves the allocator's state too, so that opening after a crash need not walk the
    /// whole file.
    pub(super) fn checkpoint(
        &mut self,
        database: &Database,
        epoch: u64,
    ) -> Result<Arc<Snapshot>, StoreError> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        self.histories.write(&transaction)?;
        self.sums.write(&transaction)?;
        {
            let mut movies = transaction.open_table(MOVIES)?;
            for (movie_id, movie) in self.movies.drain() {
                movies.insert(movie_id, movie.as_slice())?;
            }
            let mut notes = transaction.open_table(NOTES)?;
            for (key, value) in self.notes.drain() {
                notes.insert(key.as_str(), value.as_slice())?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(EVENTS, self.events)?;
            meta.insert(EPOCH, epoch)?;
        }
        transaction.commit()?;
        self.stored = Arc::new(Snapshot::open(database)?);
        self.histories.restart(Arc::clone(&self.stored));
        self.group = Group::default();
        Ok(Arc::clone(&self.stored))
    }
}
