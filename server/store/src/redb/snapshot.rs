//! The tables as the last checkpoint left them.
//!
//! The writer publishes one snapshot per checkpoint, so a read costs no transaction of its own.

use std::ops::Bound;
use std::sync::Arc;

use marquee_core::domain::{Interaction, MovieId, MovieRecord, UserId};
use marquee_core::statistics::MovieStats;
use redb::{OwnedAccessGuard, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata};

use super::codec::{decode_movie, decode_stats};
use super::event::{NEWEST, OLDEST, PackedEvent, PackedKey, identity, key_of, place, run_of, unpack};
use super::head::{Head, HeadView};
use super::schema::{
    DOCUMENTS, EPOCH, EVENTS, META, MOVIE_STATS, MOVIES, NOTES, RULES, RUNS, StoredDocuments, USERS,
};
use super::tables::Tables;
use crate::{RuleRecord, StoreError, StoreStats};

pub(super) struct Snapshot {
    pub(super) users: ReadOnlyTable<u64, &'static [u8]>,
    runs: ReadOnlyTable<&'static PackedKey, &'static [u8]>,
    movies: ReadOnlyTable<u32, &'static [u8]>,
    movie_stats: ReadOnlyTable<u32, &'static [u8]>,
    rules: ReadOnlyTable<&'static str, &'static [u8]>,
    pub(super) notes: ReadOnlyTable<&'static str, &'static [u8]>,
    pub(super) documents: StoredDocuments,
    meta: ReadOnlyTable<&'static str, u64>,
    /// Open for as long as somebody reads here.
    _open: Arc<Tables>,
}

impl Snapshot {
    pub(super) fn open(tables: &Arc<Tables>) -> Result<Self, StoreError> {
        let transaction = tables.database().begin_read()?;
        Ok(Self {
            users: transaction.open_table(USERS)?,
            runs: transaction.open_table(RUNS)?,
            movies: transaction.open_table(MOVIES)?,
            movie_stats: transaction.open_table(MOVIE_STATS)?,
            rules: transaction.open_table(RULES)?,
            notes: transaction.open_table(NOTES)?,
            documents: transaction.open_table(DOCUMENTS)?,
            meta: transaction.open_table(META)?,
            _open: Arc::clone(tables),
        })
    }

    /// The journal's epoch.
    pub(super) fn epoch(&self) -> Result<u64, StoreError> {
        Ok(self.meta.get_owned(EPOCH)?.map_or(0, |epoch| epoch.value()))
    }

    /// The user's head as it is stored.
    pub(super) fn head(
        &self,
        user_id: UserId,
    ) -> Result<Option<OwnedAccessGuard<&'static [u8]>>, StoreError> {
        Ok(self.users.get_owned(user_id)?)
    }

    /// The users after `after` by ascending id, at most `limit`.
    pub(super) fn users_after(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let users = self.users.range_owned::<u64>((from, Bound::Unbounded))?.take(limit);
        users.map(|entry| Ok(entry?.0.value())).collect()
    }

    pub(super) fn decoded_head(&self, user_id: UserId) -> Result<Option<Head>, StoreError> {
        self.head(user_id)?.map(|bytes| Head::decode(bytes.value())).transpose()
    }

    /// The user's runs, the oldest first.
    pub(super) fn runs(
        &self,
        user_id: UserId,
    ) -> impl DoubleEndedIterator<Item = Result<Vec<PackedEvent>, StoreError>> + use<> {
        self.runs_before(user_id, &NEWEST)
    }

    /// The user's runs that begin before an event, the oldest first.
    fn runs_before(
        &self,
        user_id: UserId,
        event: &PackedEvent,
    ) -> impl DoubleEndedIterator<Item = Result<Vec<PackedEvent>, StoreError>> + use<> {
        let (first, end) = (key_of(user_id, &OLDEST), key_of(user_id, event));
        let (range, failure) = match self.runs.range_owned::<&PackedKey>(&first..&end) {
            Ok(range) => (Some(range), None),
            Err(error) => (None, Some(Err(error.into()))),
        };
        let runs = range.into_iter().flatten().map(|entry| Ok(run_of(entry?.1.value())?.to_vec()));
        runs.chain(failure)
    }

    /// Whether the event is in one of the user's runs.
    pub(super) fn runs_hold(&self, user_id: UserId, event: &PackedEvent) -> Result<bool, StoreError> {
        let (first, here) = (key_of(user_id, &OLDEST), key_of(user_id, event));
        match self.runs.range_owned::<&PackedKey>(&first..=&here)?.next_back() {
            Some(entry) => Ok(place(run_of(entry?.1.value())?, event).is_ok()),
            None => Ok(false),
        }
    }

    /// At most `limit` events before `before`, newest first, from the head and then from the runs.
    pub(super) fn page(
        &self,
        user_id: UserId,
        head: &HeadView<'_>,
        before: &PackedEvent,
        limit: usize,
    ) -> Result<Vec<Interaction>, StoreError> {
        let mut page = Vec::with_capacity(limit.min(head.newest.len()));
        take_before(user_id, head.newest, before, limit, &mut page)?;
        if page.len() == limit || !head.has_older() {
            return Ok(page);
        }
        // A head read before a checkpoint may hold events that the checkpoint handed down to runs.
        let before = head.newest.first().map_or(*before, |oldest| identity(oldest).min(*before));
        for run in self.runs_before(user_id, &before).rev() {
            take_before(user_id, &run?, &before, limit, &mut page)?;
            if page.len() == limit {
                break;
            }
        }
        Ok(page)
    }

    pub(super) fn has_movie(&self, movie_id: MovieId) -> Result<bool, StoreError> {
        Ok(self.movies.get_owned(movie_id)?.is_some())
    }

    pub(super) fn movies(
        &self,
        after: Option<MovieId>,
        limit: usize,
    ) -> Result<Vec<MovieRecord>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.movies
            .range_owned::<u32>((from, Bound::Unbounded))?
            .take(limit)
            .map(|entry| {
                let (movie_id, bytes) = entry?;
                decode_movie(movie_id.value(), bytes.value())
            })
            .collect()
    }

    pub(super) fn has_rule(&self, rule_id: &str) -> Result<bool, StoreError> {
        Ok(self.rules.get_owned(rule_id)?.is_some())
    }

    pub(super) fn rules(&self) -> Result<Vec<RuleRecord>, StoreError> {
        self.rules
            .range_owned::<&str>(..)?
            .map(|entry| {
                let (rule_id, body) = entry?;
                Ok(RuleRecord { rule_id: rule_id.value().to_owned(), body: body.value().to_vec() })
            })
            .collect()
    }

    pub(super) fn movie_stats(&self) -> Result<Vec<MovieStats>, StoreError> {
        self.movie_stats
            .range_owned::<u32>(..)?
            .map(|entry| {
                let (movie_id, bytes) = entry?;
                decode_stats(movie_id.value(), bytes.value())
            })
            .collect()
    }

    pub(super) fn stats(&self) -> Result<StoreStats, StoreError> {
        let interactions = self.meta.get_owned(EVENTS)?.map_or(0, |events| events.value());
        Ok(StoreStats { users: self.users.len()?, interactions, movies: self.movies.len()? })
    }

    pub(super) fn note(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.notes.get_owned(key)?.map(|value| value.value().to_vec()))
    }
}

/// Adds the run's events before `before`, newest first, until the page has `limit`.
fn take_before(
    user_id: UserId,
    run: &[PackedEvent],
    before: &PackedEvent,
    limit: usize,
    page: &mut Vec<Interaction>,
) -> Result<(), StoreError> {
    let end = run.partition_point(|event| identity(event) < *before);
    for packed in run[..end].iter().rev().take(limit - page.len()) {
        page.push(unpack(user_id, packed)?);
    }
    Ok(())
}
