//! The writes of one transaction: several callers' work that shares one commit.

use redb::{ReadableTable, Table, WriteTransaction};

use super::codec::encode_movie;
use super::history::Histories;
use super::schema::{EVENTS, META, MOVIES, NOTES};
use super::sums::Sums;
use crate::domain::{Interaction, MovieRecord, Preferences, TimeMs, User, UserId};
use crate::store::{Recorded, StoreError};

pub(super) struct Group<'txn> {
    histories: Histories<'txn>,
    sums: Sums<'txn>,
    movies: Table<'txn, u32, &'static [u8]>,
    notes: Table<'txn, &'static str, &'static [u8]>,
    meta: Table<'txn, &'static str, u64>,
    /// Events stored in all.
    events: u64,
    /// Items of work done in this transaction: events, movies, users.
    work: usize,
}

impl<'txn> Group<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, StoreError> {
        let meta = transaction.open_table(META)?;
        let events = meta.get(EVENTS)?.map_or(0, |events| events.value());
        Ok(Self {
            histories: Histories::open(transaction)?,
            sums: Sums::open(transaction)?,
            movies: transaction.open_table(MOVIES)?,
            notes: transaction.open_table(NOTES)?,
            meta,
            events,
            work: 0,
        })
    }

    pub(super) fn work(&self) -> usize {
        self.work
    }

    pub(super) fn record(
        &mut self,
        events: &[Interaction],
        now_ms: TimeMs,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.work += events.len();
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            let outcome = self.histories.insert(event, now_ms)?;
            self.sums.add(event, outcome)?;
            self.events += u64::from(!outcome.duplicate);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    pub(super) fn register(&mut self, user_id: UserId, now_ms: TimeMs) -> Result<(User, bool), StoreError> {
        self.work += 1;
        let (head, created) = self.histories.head(user_id, now_ms)?;
        Ok((head.user(user_id), created))
    }

    pub(super) fn set_preferences(
        &mut self,
        user_id: UserId,
        preferences: Preferences,
        now_ms: TimeMs,
    ) -> Result<User, StoreError> {
        self.work += 1;
        let (head, _) = self.histories.head(user_id, now_ms)?;
        head.preferences = preferences;
        Ok(head.user(user_id))
    }

    pub(super) fn delete_user(&mut self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        let history = self.histories.remove(user_id)?;
        self.sums.subtract(&history)?;
        self.events -= history.len() as u64;
        self.work += 1 + history.len();
        Ok(history)
    }

    pub(super) fn put_movies(&mut self, movies: &[MovieRecord]) -> Result<u64, StoreError> {
        self.work += movies.len();
        let mut new = 0;
        for movie in movies {
            let before = self.movies.insert(movie.movie_id, encode_movie(movie).as_slice())?;
            new += u64::from(before.is_none());
        }
        Ok(new)
    }

    pub(super) fn put_note(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.work += 1;
        self.notes.insert(key, value)?;
        Ok(())
    }

    /// Writes what was only changed in memory; the transaction can commit after it.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        self.meta.insert(EVENTS, self.events)?;
        self.sums.finish()?;
        self.histories.finish()
    }
}
