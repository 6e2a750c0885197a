//! What readers see: the tables as the last commit left them.
//!
//! The writer publishes one snapshot per commit, so a read costs no transaction of its own and sees
//! every write that was acknowledged before it began.

use std::ops::Bound;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata};

use super::codec::{PackedStats, decode_movie, decode_stats};
use super::event::{NEWEST, OLDEST, PackedEvent, PackedKey, identity, key_of, pack_key, run_of, unpack};
use super::head::HeadView;
use super::schema::{EVENTS, META, MOVIE_STATS, MOVIES, NOTES, RUNS, USERS};
use crate::domain::{Interaction, MovieId, MovieRecord, User, UserId};
use crate::store::{EventKey, MovieStats, Profile, StoreError, StoreStats, UserStats};

pub(super) struct Snapshot {
    users: ReadOnlyTable<u64, &'static [u8]>,
    runs: ReadOnlyTable<&'static PackedKey, &'static [u8]>,
    movies: ReadOnlyTable<u32, &'static [u8]>,
    movie_stats: ReadOnlyTable<u32, PackedStats>,
    notes: ReadOnlyTable<&'static str, &'static [u8]>,
    meta: ReadOnlyTable<&'static str, u64>,
}

impl Snapshot {
    pub(super) fn open(database: &Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read()?;
        Ok(Self {
            users: transaction.open_table(USERS)?,
            runs: transaction.open_table(RUNS)?,
            movies: transaction.open_table(MOVIES)?,
            movie_stats: transaction.open_table(MOVIE_STATS)?,
            notes: transaction.open_table(NOTES)?,
            meta: transaction.open_table(META)?,
        })
    }

    /// What `read` makes of the user's head; `None` for an unknown user.
    fn head<T>(
        &self,
        user_id: UserId,
        read: impl FnOnce(&HeadView<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.users.get_owned(user_id)? else {
            return Ok(None);
        };
        read(&HeadView::new(bytes.value())?).map(Some)
    }

    pub(super) fn profile(&self, user_id: UserId, newest: usize) -> Result<Option<Profile>, StoreError> {
        self.head(user_id, |head| {
            let mut events = self.page(user_id, head, None, newest)?;
            events.reverse();
            Ok(Profile { newest: events, seen: head.seen()?, preferences: head.preferences()? })
        })
    }

    pub(super) fn history(
        &self,
        user_id: UserId,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Option<Vec<Interaction>>, StoreError> {
        self.head(user_id, |head| self.page(user_id, head, after, limit))
    }

    /// At most `limit` events, newest first, from the head and then from the older runs.
    fn page(
        &self,
        user_id: UserId,
        head: &HeadView<'_>,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Vec<Interaction>, StoreError> {
        let after = after.map(|key| pack_key(&key));
        let mut page = Vec::with_capacity(limit.min(head.newest.len()));
        take_after(user_id, head.newest, after, limit, &mut page)?;
        if page.len() == limit || !head.has_older() {
            return Ok(page);
        }
        let from = after.unwrap_or(NEWEST);
        let range = (Bound::Excluded(key_of(user_id, &from)), Bound::Included(key_of(user_id, &OLDEST)));
        for entry in self.runs.range_owned::<&PackedKey>((range.0.as_ref(), range.1.as_ref()))? {
            let (_, run) = entry?;
            take_after(user_id, run_of(run.value())?, after, limit, &mut page)?;
            if page.len() == limit {
                break;
            }
        }
        Ok(page)
    }

    pub(super) fn user(&self, user_id: UserId) -> Result<Option<User>, StoreError> {
        self.head(user_id, |head| head.user(user_id))
    }

    pub(super) fn user_stats(&self, user_id: UserId) -> Result<Option<UserStats>, StoreError> {
        self.head(user_id, |head| Ok(head.stats()))
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

    pub(super) fn movie_stats(&self) -> Result<Vec<MovieStats>, StoreError> {
        self.movie_stats
            .range_owned::<u32>(..)?
            .map(|entry| {
                let (movie_id, packed) = entry?;
                Ok(decode_stats(movie_id.value(), packed.value()))
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

/// Adds the run's events that come after `after` until the page has `limit`.
fn take_after(
    user_id: UserId,
    run: &[PackedEvent],
    after: Option<PackedEvent>,
    limit: usize,
    page: &mut Vec<Interaction>,
) -> Result<(), StoreError> {
    let start = after.map_or(0, |after| run.partition_point(|event| identity(event) <= after));
    for packed in run[start..].iter().take(limit - page.len()) {
        page.push(unpack(user_id, packed)?);
    }
    Ok(())
}
