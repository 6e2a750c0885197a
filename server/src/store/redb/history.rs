//! Users and their histories as the writer sees them: redb as of the last checkpoint, and in memory
//! the heads that changed since.
//!
//! The user's latest rating of a movie is not stored apart: it is the newest rating in the history,
//! looked up only for movies in the packed set of rated ones. So it is right in whatever order
//! events arrive.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use redb::WriteTransaction;

use super::event::{PackedEvent, identity, movie_id, pack, place, rating, time_ms, unpack};
use super::head::Head;
use super::recent::Recent;
use super::runs::RunsMut;
use super::schema::USERS;
use super::snapshot::Snapshot;
use crate::domain::{Interaction, MovieId, Rating, TimeMs, UserId};
use crate::store::{Recorded, StoreError};

/// The most events in a stored head. A profile of 200 is mostly there; the record stays under 4 KB.
const HEAD_LIMIT: usize = 256;
/// What a full head keeps; the rest becomes runs.
const HEAD_KEEP: usize = 128;
/// A head that grew so long in memory asks for a checkpoint.
const LONG_HEAD: usize = 4096;
/// How many of the newest events are looked at before all ratings are gathered.
const GLANCE: usize = 512;
/// As many changed heads as this ask for a checkpoint: 128 MB of memory at most.
const MANY_HEADS: usize = 32_768;

pub(super) struct Histories {
    stored: Arc<Snapshot>,
    /// Heads read or changed since the checkpoint; `None` for a user who is not there.
    heads: HashMap<UserId, Option<Head>>,
    /// Users deleted since the checkpoint, whose runs are still in the file.
    erased: HashSet<UserId>,
    /// Users changed since the last publication.
    unpublished: HashSet<UserId>,
    users: u64,
    wants_checkpoint: bool,
}

impl Histories {
    pub(super) fn new(stored: Arc<Snapshot>) -> Result<Self, StoreError> {
        let users = stored.stats()?.users;
        Ok(Self {
            stored,
            heads: HashMap::new(),
            erased: HashSet::new(),
            unpublished: HashSet::new(),
            users,
            wants_checkpoint: false,
        })
    }

    pub(super) fn users(&self) -> u64 {
        self.users
    }

    /// Whether the changes should not stay in memory alone any longer.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.wants_checkpoint || self.heads.len() > MANY_HEADS
    }

    /// The user's head, made if needed, and whether it was.
    pub(super) fn head(&mut self, user_id: UserId, now_ms: TimeMs) -> Result<(&mut Head, bool), StoreError> {
        let head = match self.heads.entry(user_id) {
            Entry::Occupied(head) => head.into_mut(),
            Entry::Vacant(place) => place.insert(self.stored.decoded_head(user_id)?),
        };
        let created = head.is_none();
        self.users += u64::from(created);
        self.unpublished.insert(user_id);
        Ok((head.get_or_insert_with(|| Head::new(now_ms)), created))
    }

    /// Adds an event to its user's history.
    pub(super) fn insert(&mut self, event: &Interaction, now_ms: TimeMs) -> Result<Recorded, StoreError> {
        let stored = Arc::clone(&self.stored);
        let (head, _) = self.head(event.user_id, now_ms)?;
        let packed = pack(event);
        let before = latest_rating(&stored, event.user_id, head, event.movie_id)?;
        let rating_before = before.map(|(_, rating)| rating);
        let reaches_back = head.has_older() && identity(&packed) < head.boundary;
        let free = match place(&head.newest, &packed) {
            Err(free) if !(reaches_back && stored.runs_hold(event.user_id, &packed)?) => free,
            _ => {
                let rating_now = rating_before;
                return Ok(Recorded { duplicate: true, first_of_movie: false, rating_before, rating_now });
            }
        };
        head.newest.insert(free, packed);
        head.events += 1;
        head.first_ms = head.first_ms.min(event.time_ms);
        head.last_ms = head.last_ms.max(event.time_ms);
        let is_latest = before.is_none_or(|(latest_ms, _)| event.time_ms > latest_ms);
        let rating_now = if is_latest { event.rating.or(rating_before) } else { rating_before };
        head.half_stars += half_stars(rating_now);
        head.half_stars -= half_stars(rating_before);
        if let Some(rating) = event.rating {
            head.rated.insert(event.movie_id);
            if let Some(ratings) = &mut head.latest_ratings {
                keep_latest(ratings, event.movie_id, (event.time_ms, rating));
            }
        }
        let first_of_movie = head.seen.insert(event.movie_id);
        let is_long = head.newest.len() > LONG_HEAD;
        self.wants_checkpoint |= is_long || reaches_back;
        Ok(Recorded { duplicate: false, first_of_movie, rating_before, rating_now })
    }

    /// Takes the user and the whole history out; the events, oldest first.
    pub(super) fn remove(&mut self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        let head = match self.heads.entry(user_id) {
            Entry::Occupied(head) => head.into_mut(),
            Entry::Vacant(place) => place.insert(self.stored.decoded_head(user_id)?),
        };
        let Some(head) = head.take() else {
            return Ok(Vec::new());
        };
        let mut events = head.newest;
        if head.events > events.len() as u64 {
            for run in self.stored.runs(user_id) {
                events.extend_from_slice(&run?);
            }
            events.sort_unstable();
        }
        self.users -= 1;
        self.erased.insert(user_id);
        self.wants_checkpoint = true;
        events.iter().map(|packed| unpack(user_id, packed)).collect()
    }

    /// Shows readers what changed since the last time.
    pub(super) fn publish(&mut self, recent: &Recent) {
        for user_id in self.unpublished.drain() {
            if let Some(Some(head)) = self.heads.get(&user_id) {
                recent.put(user_id, &head.encode());
            }
        }
    }

    /// Writes what changed since the last checkpoint.
    pub(super) fn write(&mut self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut users = transaction.open_table(USERS)?;
        let mut runs = RunsMut::open(transaction)?;
        for user_id in self.erased.drain() {
            runs.remove_all(user_id)?;
        }
        let mut heads: Vec<_> = self.heads.drain().collect();
        heads.sort_unstable_by_key(|(user_id, _)| *user_id);
        for (user_id, head) in heads {
            if let Some(mut head) = head {
                hand_down(user_id, &mut head, &mut runs)?;
                users.insert(user_id, head.encode().as_slice())?;
            } else {
                users.remove(user_id)?;
            }
        }
        Ok(())
    }

    /// Goes on from a checkpoint.
    pub(super) fn restart(&mut self, stored: Arc<Snapshot>) {
        self.stored = stored;
        self.unpublished.clear();
        self.wants_checkpoint = false;
    }
}

/// Moves events that do not belong in the stored head to the older runs.
fn hand_down(user_id: UserId, head: &mut Head, runs: &mut RunsMut<'_>) -> Result<(), StoreError> {
    if head.has_older()
        && let Some(boundary) = runs.newest(user_id)?
    {
        let older = head.newest.partition_point(|event| identity(event) < identity(&boundary));
        for event in head.newest.drain(..older) {
            runs.insert(user_id, event)?;
        }
    }
    if head.newest.len() > HEAD_LIMIT {
        let older = head.newest.len() - HEAD_KEEP;
        runs.append(user_id, &head.newest[..older])?;
        head.newest.drain(..older);
    }
    Ok(())
}

fn half_stars(rating: Option<Rating>) -> u64 {
    rating.map_or(0, |rating| u64::from(rating.half_stars()))
}

/// The rating of the movie that counts: the newest in head and runs.
///
/// Mostly a glance at the head finds it; else all ratings are gathered once, so that a long history
/// is not read for every event.
fn latest_rating(
    stored: &Snapshot,
    user_id: UserId,
    head: &mut Head,
    movie: MovieId,
) -> Result<Option<(TimeMs, Rating)>, StoreError> {
    if !head.rated.contains(movie) {
        return Ok(None);
    }
    if head.latest_ratings.is_none() {
        let glance = head.newest.iter().rev().take(GLANCE).filter(|packed| movie_id(packed) == movie);
        let mut found = glance.filter(|packed| identity(packed) >= head.boundary);
        if let Some(rating) = found.find_map(rated_at) {
            return Ok(Some(rating));
        }
    }
    let older = head.has_older().then(|| stored.runs(user_id)).into_iter().flatten();
    let ratings = match &mut head.latest_ratings {
        Some(ratings) => ratings,
        none => none.insert(gather_ratings(older, &head.newest)?),
    };
    Ok(ratings.get(&movie).copied())
}

fn rated_at(packed: &PackedEvent) -> Option<(TimeMs, Rating)> {
    Some((time_ms(packed), rating(packed)?))
}

fn gather_ratings(
    older: impl Iterator<Item = Result<Vec<PackedEvent>, StoreError>>,
    newest: &[PackedEvent],
) -> Result<HashMap<MovieId, (TimeMs, Rating)>, StoreError> {
    let mut ratings = HashMap::new();
    for run in older.chain([Ok(newest.to_vec())]) {
        for packed in run? {
            if let Some(rated) = rated_at(&packed) {
                keep_latest(&mut ratings, movie_id(&packed), rated);
            }
        }
    }
    Ok(ratings)
}

fn keep_latest(ratings: &mut HashMap<MovieId, (TimeMs, Rating)>, movie: MovieId, rated: (TimeMs, Rating)) {
    let latest = ratings.entry(movie).or_insert(rated);
    if rated.0 > latest.0 {
        *latest = rated;
    }
}
