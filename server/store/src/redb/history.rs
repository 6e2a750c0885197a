//! Users and their histories as the writer sees them: redb as of the last checkpoint, the heads that the
//! next one is writing, and the heads that changed since that began.
//!
//! What a user's events with a movie come to is not stored apart: it is looked up in the history, only
//! for movies in the packed set of seen ones. So it is right in whatever order events arrive.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use marquee_core::domain::{Interaction, MovieId, TimeMs, UserId};
use marquee_core::statistics::{Opinion, half_stars};

use super::checkpoint::{Checkpoint, Heads};
use super::event::{OLDEST, PackedEvent, identity, movie_id, pack, place, unpack};
use super::head::Head;
use super::recent::Recent;
use super::snapshot::Snapshot;
use crate::{Recorded, StoreError};

/// A head that grew so long in memory asks for a checkpoint.
const LONG_HEAD: usize = 4096;
/// How many of the newest events are looked at before all opinions are gathered.
const GLANCE: usize = 512;
/// As many changed heads as this ask for a checkpoint: 128 MB of memory at most.
const MANY_HEADS: usize = 32_768;

pub(super) struct Histories {
    stored: Arc<Snapshot>,
    /// Heads read or changed since the last checkpoint began.
    heads: Heads,
    /// Heads that a checkpoint is writing: newer than what is stored.
    frozen: Arc<Heads>,
    /// Users deleted since the checkpoint, whose runs are still in the file.
    erased: HashSet<UserId>,
    /// Users changed since the last publication.
    unpublished: HashSet<UserId>,
    users: u64,
    needs_checkpoint: bool,
    wants_checkpoint: bool,
}

impl Histories {
    pub(super) fn new(stored: Arc<Snapshot>) -> Result<Self, StoreError> {
        let users = stored.stats()?.users;
        Ok(Self {
            stored,
            heads: HashMap::new(),
            frozen: Arc::default(),
            erased: HashSet::new(),
            unpublished: HashSet::new(),
            users,
            needs_checkpoint: false,
            wants_checkpoint: false,
        })
    }

    pub(super) fn users(&self) -> u64 {
        self.users
    }

    /// Whether readers may not see the changes before they are one history with what is stored.
    pub(super) fn needs_checkpoint(&self) -> bool {
        self.needs_checkpoint
    }

    /// Whether the changes should not stay in memory alone much longer.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.wants_checkpoint || self.heads.len() > MANY_HEADS
    }

    /// The user's head, made if needed, and whether it was.
    pub(super) fn head(&mut self, user_id: UserId, now_ms: TimeMs) -> Result<(&mut Head, bool), StoreError> {
        let head = match self.heads.entry(user_id) {
            Entry::Occupied(head) => head.into_mut(),
            Entry::Vacant(place) => place.insert(load(&self.frozen, &self.stored, user_id)?),
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
        let before = opinion(&stored, event.user_id, head, event.movie_id)?;
        let reaches_back = head.has_older() && identity(&packed) < head.boundary;
        let free = match place(&head.newest, &packed) {
            Err(free) if !(reaches_back && stored.runs_hold(event.user_id, &packed)?) => free,
            _ => return Ok(Recorded::duplicate(before)),
        };
        let outcome = Recorded::new(before, event);
        head.newest.insert(free, packed);
        head.events += 1;
        head.first_ms = head.first_ms.min(event.time_ms);
        head.last_ms = head.last_ms.max(event.time_ms);
        head.half_stars += half_stars(outcome.now.and_then(|opinion| opinion.rating()));
        head.half_stars -= half_stars(before.and_then(|opinion| opinion.rating()));
        if event.rating.is_some() {
            head.rated.insert(event.movie_id);
        }
        if let (Some(opinions), Some(now)) = (&mut head.opinions, outcome.now) {
            opinions.insert(event.movie_id, now);
        }
        head.seen.insert(event.movie_id);
        let is_long = head.newest.len() > LONG_HEAD;
        self.needs_checkpoint |= reaches_back;
        self.wants_checkpoint |= is_long;
        Ok(outcome)
    }

    /// Takes the user and the whole history out; the events, oldest first.
    pub(super) fn remove(&mut self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        let head = match self.heads.entry(user_id) {
            Entry::Occupied(head) => head.into_mut(),
            Entry::Vacant(place) => place.insert(load(&self.frozen, &self.stored, user_id)?),
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
        self.needs_checkpoint = true;
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

    /// Takes out what changed since the last checkpoint, for the next one; until [`Self::adopt`] it is
    /// still read here.
    pub(super) fn freeze(&mut self) -> (Arc<Heads>, HashSet<UserId>) {
        self.frozen = Arc::new(std::mem::take(&mut self.heads));
        self.unpublished.clear();
        self.needs_checkpoint = false;
        self.wants_checkpoint = false;
        (Arc::clone(&self.frozen), std::mem::take(&mut self.erased))
    }

    /// Goes on from a checkpoint of what was frozen.
    pub(super) fn adopt(&mut self, checkpoint: &Checkpoint) {
        let handed_down = checkpoint.handed_down.iter();
        // Who was deleted since has no history there, and may have begun another one.
        for (user_id, handed_down) in handed_down.filter(|(user_id, _)| !self.erased.contains(user_id)) {
            let (Some(Some(head)), Some(Some(frozen))) =
                (self.heads.get_mut(user_id), self.frozen.get(user_id))
            else {
                continue;
            };
            let (older, newest) = frozen.newest.split_at(*handed_down);
            head.boundary = newest.first().map_or(OLDEST, identity);
            if head.newest.starts_with(older) {
                head.newest.drain(..*handed_down);
            } else {
                // Events between those that are in runs now: only a checkpoint makes one history of them.
                head.newest.retain(|event| place(older, event).is_err());
                self.needs_checkpoint = true;
            }
        }
        self.stored = Arc::clone(&checkpoint.stored);
        self.frozen = Arc::default();
    }
}

/// The head that the writer has not touched since the last checkpoint began.
fn load(frozen: &Heads, stored: &Snapshot, user_id: UserId) -> Result<Option<Head>, StoreError> {
    match frozen.get(&user_id) {
        Some(head) => Ok(head.clone()),
        None => stored.decoded_head(user_id),
    }
}

/// What the user's events with a movie come to, those in runs included.
///
/// Mostly a glance at the head finds it; else the opinions of all movies are gathered once, so that a
/// long history is not read for every event.
fn opinion(
    stored: &Snapshot,
    user_id: UserId,
    head: &mut Head,
    movie: MovieId,
) -> Result<Option<Opinion>, StoreError> {
    if !head.seen.contains(movie) {
        return Ok(None);
    }
    if head.opinions.is_none() {
        if let Some(opinion) = glance(user_id, head, movie)? {
            return Ok(Some(opinion));
        }
        let older = head.has_older().then(|| stored.runs(user_id)).into_iter().flatten();
        head.opinions = Some(gather_opinions(user_id, older, &head.newest)?);
    }
    Ok(head.opinions.as_ref().and_then(|opinions| opinions.get(&movie)).copied())
}

/// The opinion, if the newest events tell all of it: the newest one of the movie, and, where it was
/// rated, the newest rating. Events before the stored head's may have newer ones in the runs.
fn glance(user_id: UserId, head: &Head, movie: MovieId) -> Result<Option<Opinion>, StoreError> {
    let is_rated = head.rated.contains(movie);
    let newest = head.newest.iter().rev().take(GLANCE);
    let newest = newest.take_while(|packed| identity(packed) >= head.boundary);
    let mut opinion = None;
    for packed in newest.filter(|packed| movie_id(packed) == movie) {
        let so_far = Opinion::with(opinion, &unpack(user_id, packed)?);
        if so_far.rating().is_some() || !is_rated {
            return Ok(Some(so_far));
        }
        opinion = Some(so_far);
    }
    Ok(None)
}

fn gather_opinions(
    user_id: UserId,
    older: impl Iterator<Item = Result<Vec<PackedEvent>, StoreError>>,
    newest: &[PackedEvent],
) -> Result<HashMap<MovieId, Opinion>, StoreError> {
    let mut gathered = HashMap::new();
    for run in older.chain([Ok(newest.to_vec())]) {
        for packed in run? {
            let event = unpack(user_id, &packed)?;
            let before = gathered.get(&event.movie_id).copied();
            gathered.insert(event.movie_id, Opinion::with(before, &event));
        }
    }
    Ok(gathered)
}
