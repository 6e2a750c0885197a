//! The writer's memory: what changed since the last checkpoint, and the work that changes it.

use std::collections::HashMap;
use std::sync::Arc;

use marquee_core::domain::{EventKey, Interaction, MovieId, MovieRecord, Preferences, TimeMs, User, UserId};
use marquee_core::statistics::MovieStats;

use super::checkpoint::{Changes, Checkpoint};
use super::codec::encode_movie;
use super::documents::ChangedDocuments;
use super::history::{Histories, Removals};
use super::journal::put_entry;
use super::recent::Recent;
use super::snapshot::Snapshot;
use super::sums::Sums;
use crate::{Deleted, Recorded, RuleRecord, StoreError};

pub(super) struct State {
    stored: Arc<Snapshot>,
    histories: Histories,
    sums: Sums,
    /// `None` for a movie that is removed.
    movies: HashMap<MovieId, Option<Vec<u8>>>,
    /// `None` for a rule that is removed.
    rules: HashMap<String, Option<Vec<u8>>>,
    notes: HashMap<String, Vec<u8>>,
    documents: ChangedDocuments,
    /// Events in all.
    events: u64,
    group: Group,
}

/// What the group that is being formed has done so far.
#[derive(Default)]
struct Group {
    /// Events, movies, rules, users.
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
            rules: HashMap::new(),
            notes: HashMap::new(),
            documents: ChangedDocuments::default(),
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

    /// Whether only a checkpoint can make the group durable, or fit for readers.
    pub(super) fn needs_checkpoint(&self) -> bool {
        self.group.beyond_journal || self.histories.needs_checkpoint()
    }

    /// Whether memory fills up.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.histories.wants_checkpoint()
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

    /// Takes one event out. The journal only adds, so that the group becomes a checkpoint.
    pub(super) fn delete_event(
        &mut self,
        user_id: UserId,
        key: EventKey,
    ) -> Result<Option<Deleted>, StoreError> {
        self.group.work += 1;
        let deleted = self.histories.remove_event(user_id, key)?;
        if let Some(deleted) = &deleted {
            self.sums.take_back(deleted);
            self.events -= 1;
            self.group.beyond_journal = true;
        }
        Ok(deleted)
    }

    pub(super) fn delete_user(&mut self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        let history = self.histories.remove(user_id)?;
        self.sums.subtract(&history);
        self.events -= history.len() as u64;
        self.group.work += 1 + history.len();
        self.group.beyond_journal = true;
        Ok(history)
    }

    pub(super) fn put_movies(&mut self, movies: &[MovieRecord]) -> Result<Vec<bool>, StoreError> {
        self.group.work += movies.len();
        self.group.beyond_journal = true;
        let mut new = Vec::with_capacity(movies.len());
        for movie in movies {
            let is_known = match self.movies.get(&movie.movie_id) {
                Some(changed) => changed.is_some(),
                None => self.stored.has_movie(movie.movie_id)?,
            };
            new.push(!is_known);
            self.movies.insert(movie.movie_id, Some(encode_movie(movie)));
        }
        Ok(new)
    }

    pub(super) fn remove_movies(&mut self, movie_ids: &[MovieId]) {
        self.group.work += movie_ids.len();
        self.group.beyond_journal = true;
        self.movies.extend(movie_ids.iter().map(|movie_id| (*movie_id, None)));
    }

    /// Whether it was new.
    pub(super) fn put_rule(&mut self, rule: RuleRecord) -> Result<bool, StoreError> {
        Ok(!self.change_rule(rule.rule_id, Some(rule.body))?)
    }

    /// Whether it was there.
    pub(super) fn remove_rule(&mut self, rule_id: String) -> Result<bool, StoreError> {
        self.change_rule(rule_id, None)
    }

    /// Whether there was a rule of this name.
    fn change_rule(&mut self, rule_id: String, body: Option<Vec<u8>>) -> Result<bool, StoreError> {
        self.group.work += 1;
        self.group.beyond_journal = true;
        let is_known = match self.rules.get(&rule_id) {
            Some(changed) => changed.is_some(),
            None => self.stored.has_rule(&rule_id)?,
        };
        self.rules.insert(rule_id, body);
        Ok(is_known)
    }

    pub(super) fn put_note(&mut self, key: String, value: Vec<u8>) {
        self.group.work += 1;
        self.group.beyond_journal = true;
        self.notes.insert(key, value);
    }

    /// Changes documents, which are stored with the checkpoint's.
    pub(super) fn change_documents<T>(
        &mut self,
        change: impl FnOnce(&mut ChangedDocuments, &Arc<Snapshot>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.group.work += 1;
        self.group.beyond_journal = true;
        change(&mut self.documents, &self.stored)
    }

    /// Makes the group a checkpoint, with all that was there before.
    pub(super) fn want_in_tables(&mut self) {
        self.group.work += 1;
        self.group.beyond_journal = true;
    }

    pub(super) fn movie_stats(&self) -> Vec<MovieStats> {
        self.sums.all()
    }

    /// Ends a group that the journal made durable: shows it to readers.
    pub(super) fn publish(&mut self, recent: &Recent) {
        self.histories.publish(recent);
        self.group = Group::default();
    }

    /// Takes out all that changed since the last checkpoint, for the next one; the group is part of it.
    /// The journal has this epoch from now on.
    pub(super) fn freeze(&mut self, epoch: u64) -> Changes {
        let (heads, Removals { erased, struck }) = self.histories.freeze();
        self.group = Group::default();
        Changes {
            heads,
            erased,
            struck,
            sums: self.sums.freeze(),
            movies: std::mem::take(&mut self.movies),
            rules: std::mem::take(&mut self.rules),
            notes: std::mem::take(&mut self.notes),
            documents: std::mem::take(&mut self.documents),
            events: self.events,
            epoch,
        }
    }

    /// Goes on from a checkpoint of what was frozen.
    pub(super) fn adopt(&mut self, checkpoint: &Checkpoint) {
        self.histories.adopt(checkpoint);
        self.stored = Arc::clone(&checkpoint.stored);
    }
}
