//! Users and their histories inside one write transaction.
//!
//! Heads are decoded once per group of writes, changed in memory and written back at its end, so
//! that a batch about one user costs one record. Older runs change rarely and go straight to their
//! table.
//!
//! The user's latest rating of a movie is not stored apart: it is the newest rating in the history,
//! looked up only for movies in the packed set of rated ones. So it is right in whatever order
//! events arrive.

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::event::{
    NEWEST, OLDEST, PackedEvent, PackedKey, identity, insert_sorted, key_of, movie_id, pack, rating, run_of,
    time_ms, unpack,
};
use super::head::Head;
use super::schema::{RUNS, USERS};
use crate::domain::{Interaction, MovieId, Rating, TimeMs, UserId};
use crate::store::{Recorded, StoreError};

/// The most events in a head. A profile of 200 is mostly there; the record stays under 4 KB.
pub(super) const HEAD_LIMIT: usize = 256;
/// What a full head keeps; the rest becomes a run.
pub(super) const HEAD_KEEP: usize = 128;
/// The most events in an older run; a fuller one splits in two.
const RUN_LIMIT: usize = 256;

pub(super) struct Histories<'txn> {
    users: Table<'txn, u64, &'static [u8]>,
    runs: Runs<'txn>,
    /// Heads read or changed in this transaction; `None` for a user who is not there.
    heads: HashMap<UserId, Option<Head>>,
}

impl<'txn> Histories<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            users: transaction.open_table(USERS)?,
            runs: Runs(transaction.open_table(RUNS)?),
            heads: HashMap::new(),
        })
    }

    /// The user's head, made if needed, and whether it was.
    pub(super) fn head(&mut self, user_id: UserId, now_ms: TimeMs) -> Result<(&mut Head, bool), StoreError> {
        let slot = slot(&mut self.heads, &self.users, user_id)?;
        let created = slot.is_none();
        Ok((slot.get_or_insert_with(|| Head::new(now_ms)), created))
    }

    /// Adds an event to its user's history.
    pub(super) fn insert(&mut self, event: &Interaction, now_ms: TimeMs) -> Result<Recorded, StoreError> {
        let user_id = event.user_id;
        let head = slot(&mut self.heads, &self.users, user_id)?.get_or_insert_with(|| Head::new(now_ms));
        let before = if head.rated.contains(event.movie_id) {
            self.runs.latest_rating(user_id, head, event.movie_id)?
        } else {
            None
        };
        let rating_before = before.map(|(_, rating)| rating);
        if !self.runs.insert(user_id, head, pack(event))? {
            let (duplicate, rating_now) = (true, rating_before);
            return Ok(Recorded { duplicate, first_of_movie: false, rating_before, rating_now });
        }
        let is_latest = before.is_none_or(|(latest_ms, _)| event.time_ms > latest_ms);
        let rating_now = if is_latest { event.rating.or(rating_before) } else { rating_before };
        head.events += 1;
        head.first_ms = head.first_ms.min(event.time_ms);
        head.last_ms = head.last_ms.max(event.time_ms);
        head.half_stars += half_stars(rating_now);
        head.half_stars -= half_stars(rating_before);
        if event.rating.is_some() {
            head.rated.insert(event.movie_id);
        }
        let first_of_movie = head.seen.insert(event.movie_id);
        Ok(Recorded { duplicate: false, first_of_movie, rating_before, rating_now })
    }

    /// Takes the user and the whole history out; the events, oldest first.
    pub(super) fn remove(&mut self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        let Some(head) = slot(&mut self.heads, &self.users, user_id)?.take() else {
            return Ok(Vec::new());
        };
        let mut newest_first = head.newest;
        newest_first.extend(self.runs.remove_all(user_id)?);
        newest_first.iter().rev().map(|packed| unpack(user_id, packed)).collect()
    }

    /// Writes the changed heads.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        let mut heads: Vec<_> = self.heads.into_iter().collect();
        heads.sort_unstable_by_key(|(user_id, _)| *user_id);
        for (user_id, head) in heads {
            match head {
                Some(head) => self.users.insert(user_id, head.encode().as_slice())?,
                None => self.users.remove(user_id)?,
            };
        }
        Ok(())
    }
}

fn slot<'a>(
    heads: &'a mut HashMap<UserId, Option<Head>>,
    users: &Table<'_, u64, &'static [u8]>,
    user_id: UserId,
) -> Result<&'a mut Option<Head>, StoreError> {
    use std::collections::hash_map::Entry;
    Ok(match heads.entry(user_id) {
        Entry::Occupied(slot) => slot.into_mut(),
        Entry::Vacant(slot) => {
            let stored = users.get(user_id)?.map(|bytes| Head::decode(bytes.value())).transpose()?;
            slot.insert(stored)
        }
    })
}

fn half_stars(rating: Option<Rating>) -> u64 {
    rating.map_or(0, |rating| u64::from(rating.half_stars()))
}

/// The newest rating of a movie in a run, newest first.
fn newest_rating(run: &[PackedEvent], movie: MovieId) -> Option<(TimeMs, Rating)> {
    run.iter()
        .filter(|packed| movie_id(packed) == movie)
        .find_map(|packed| Some((time_ms(packed), rating(packed)?)))
}

/// The runs that left their heads.
struct Runs<'txn>(Table<'txn, &'static PackedKey, &'static [u8]>);

impl Runs<'_> {
    fn latest_rating(
        &self,
        user_id: UserId,
        head: &Head,
        movie: MovieId,
    ) -> Result<Option<(TimeMs, Rating)>, StoreError> {
        if let Some(found) = newest_rating(&head.newest, movie) {
            return Ok(Some(found));
        }
        for entry in self.0.range::<&PackedKey>(&key_of(user_id, &NEWEST)..=&key_of(user_id, &OLDEST))? {
            let (_, run) = entry?;
            if let Some(found) = newest_rating(run_of(run.value())?, movie) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Puts the event into the head or the older run where it belongs; false if it is there already.
    fn insert(&mut self, user_id: UserId, head: &mut Head, event: PackedEvent) -> Result<bool, StoreError> {
        let reaches_back = head.newest.last().is_some_and(|oldest| identity(oldest) < identity(&event));
        if reaches_back && head.has_older() {
            return self.insert_older(user_id, event);
        }
        let inserted = insert_sorted(&mut head.newest, event);
        if head.newest.len() > HEAD_LIMIT {
            self.put(user_id, &head.newest.split_off(HEAD_KEEP))?;
        }
        Ok(inserted)
    }

    fn insert_older(&mut self, user_id: UserId, event: PackedEvent) -> Result<bool, StoreError> {
        let (key, mut run) = self.run_around(user_id, &event)?;
        if !insert_sorted(&mut run, event) {
            return Ok(false);
        }
        if run.last().is_some_and(|oldest| key_of(user_id, oldest) != key) {
            self.0.remove(&key)?;
        }
        if run.len() > RUN_LIMIT {
            self.put(user_id, &run.split_off(RUN_LIMIT / 2))?;
        }
        self.put(user_id, &run)?;
        Ok(true)
    }

    /// The run whose oldest event is the event or the next older one; the oldest run of all for an
    /// event older than any.
    fn run_around(
        &self,
        user_id: UserId,
        event: &PackedEvent,
    ) -> Result<(PackedKey, Vec<PackedEvent>), StoreError> {
        let event = key_of(user_id, event);
        let mut reaching = self.0.range::<&PackedKey>(&event..=&key_of(user_id, &OLDEST))?;
        let found = match reaching.next() {
            Some(found) => Some(found?),
            None => {
                self.0.range::<&PackedKey>(&key_of(user_id, &NEWEST)..=&event)?.next_back().transpose()?
            }
        };
        let (key, run) = found.ok_or_else(|| {
            StoreError::Corrupt(format!("user {user_id} has more events than the runs hold"))
        })?;
        Ok((*key.value(), run_of(run.value())?.to_vec()))
    }

    fn put(&mut self, user_id: UserId, run: &[PackedEvent]) -> Result<(), StoreError> {
        if let Some(oldest) = run.last() {
            self.0.insert(&key_of(user_id, oldest), run.as_flattened())?;
        }
        Ok(())
    }

    /// Takes all runs out; their events, newest first.
    fn remove_all(&mut self, user_id: UserId) -> Result<Vec<PackedEvent>, StoreError> {
        let mut events = Vec::new();
        let (first, last) = (key_of(user_id, &NEWEST), key_of(user_id, &OLDEST));
        for entry in self.0.extract_from_if::<&PackedKey, _>(&first..=&last, |_, _| true)? {
            events.extend_from_slice(run_of(entry?.1.value())?);
        }
        Ok(events)
    }
}
