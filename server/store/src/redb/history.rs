//! Users and their histories as the writer sees them: redb as of the last checkpoint, the heads that the
//! next one is writing, and the heads that changed since that began.
//!
//! What a user's events with a movie come to is not stored apart: it is looked up in the history, only
//! for movies in the packed set of seen ones. So it is right in whatever order events arrive.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use marquee_core::domain::{EventKey, Interaction, MovieId, TimeMs, UserId};
use marquee_core::statistics::Opinion;

use super::checkpoint::{Checkpoint, Heads, Struck};
use super::event::{PackedEvent, identity, movie_id, pack, pack_key, place, unpack};
use super::head::{Head, boundary};
use super::recent::Recent;
use super::snapshot::Snapshot;
use crate::{Deleted, Recorded, StoreError};

/// A head that grew so long in memory asks for a checkpoint.
const LONG_HEAD: usize = 4096;
/// How many of the newest events are looked at before all opinions are gathered.
const GLANCE: usize = 512;
/// As many changed heads as this ask for a checkpoint: 128 MB of memory at most.
const MANY_HEADS: usize = 32_768;

/// What a checkpoint takes out of the runs.
#[derive(Default)]
pub(super) struct Removals {
    /// Users deleted since the checkpoint, whose runs are still in the file.
    pub(super) erased: HashSet<UserId>,
    /// Events deleted since the checkpoint, which the runs may hold, or get from a checkpoint under way. One that is
    /// there again is in its user's head.
    pub(super) struck: Struck,
}

pub(super) struct Histories {
    stored: Arc<Snapshot>,
    /// Heads read or changed since the last checkpoint began.
    heads: Heads,
    /// Heads that a checkpoint is writing: newer than what is stored.
    frozen: Arc<Heads>,
    removals: Removals,
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
            removals: Removals::default(),
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
        let head = loaded(&mut self.heads, &self.frozen, &self.stored, user_id)?;
        let created = head.is_none();
        self.users += u64::from(created);
        self.unpublished.insert(user_id);
        Ok((head.get_or_insert_with(|| Head::new(now_ms)), created))
    }

    fn older(&self, user_id: UserId) -> Older {
        let struck = self.removals.struck.get(&user_id).cloned().unwrap_or_default();
        Older { stored: Arc::clone(&self.stored), user_id, struck }
    }

    /// Adds an event to its user's history.
    pub(super) fn insert(&mut self, event: &Interaction, now_ms: TimeMs) -> Result<Recorded, StoreError> {
        let older = self.older(event.user_id);
        let (head, _) = self.head(event.user_id, now_ms)?;
        let packed = pack(event);
        let before = opinion(&older, head, event.movie_id)?;
        let reaches_back = head.has_older() && identity(&packed) < head.boundary;
        let free = match place(&head.newest, &packed) {
            Err(free) if !(reaches_back && older.hold(&packed)?) => free,
            _ => return Ok(Recorded::duplicate(before)),
        };
        let outcome = Recorded::new(before, event);
        head.newest.insert(free, packed);
        head.events += 1;
        head.first_ms = head.first_ms.min(event.time_ms);
        head.last_ms = head.last_ms.max(event.time_ms);
        head.replace_opinion(event.movie_id, before, outcome.now);
        let is_long = head.newest.len() > LONG_HEAD;
        self.needs_checkpoint |= reaches_back;
        self.wants_checkpoint |= is_long;
        Ok(outcome)
    }

    /// Takes an event out of its user's history, if it is there. That the runs hold it no more is for the next
    /// checkpoint to do.
    pub(super) fn remove_event(
        &mut self,
        user_id: UserId,
        key: EventKey,
    ) -> Result<Option<Deleted>, StoreError> {
        let older = self.older(user_id);
        let Some(head) = loaded(&mut self.heads, &self.frozen, &self.stored, user_id)? else {
            return Ok(None);
        };
        if !head.seen.contains(key.movie_id) {
            return Ok(None);
        }
        let wanted = pack_key(&key);
        let rest = Rest::without(&wanted, &older, head)?;
        let Some(event) = rest.left_out else { return Ok(None) };
        let deleted = Deleted::leaving(rest.opinion, event);
        if let Ok(place) = place(&head.newest, &wanted) {
            head.newest.remove(place);
        }
        head.events -= 1;
        (head.first_ms, head.last_ms) = (rest.first_ms, rest.last_ms);
        head.replace_opinion(key.movie_id, Some(deleted.before), deleted.now);
        self.removals.struck.entry(user_id).or_default().insert(wanted);
        self.unpublished.insert(user_id);
        self.needs_checkpoint = true;
        Ok(Some(deleted))
    }

    /// Takes the user and the whole history out; the events, oldest first.
    pub(super) fn remove(&mut self, user_id: UserId) -> Result<Vec<Interaction>, StoreError> {
        let older = self.older(user_id);
        let Some(head) = loaded(&mut self.heads, &self.frozen, &self.stored, user_id)?.take() else {
            return Ok(Vec::new());
        };
        let mut events = head.newest;
        if head.events > events.len() as u64 {
            for run in older.runs() {
                events.extend_from_slice(&run?);
            }
            events.sort_unstable();
        }
        self.users -= 1;
        self.removals.erased.insert(user_id);
        self.removals.struck.remove(&user_id);
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
    pub(super) fn freeze(&mut self) -> (Arc<Heads>, Removals) {
        self.frozen = Arc::new(std::mem::take(&mut self.heads));
        self.unpublished.clear();
        self.needs_checkpoint = false;
        self.wants_checkpoint = false;
        (Arc::clone(&self.frozen), std::mem::take(&mut self.removals))
    }

    /// Goes on from a checkpoint of what was frozen.
    pub(super) fn adopt(&mut self, checkpoint: &Checkpoint) {
        let handed_down = checkpoint.handed_down.iter();
        // Who was deleted since has no history there, and may have begun another one.
        for (user_id, handed_down) in
            handed_down.filter(|(user_id, _)| !self.removals.erased.contains(user_id))
        {
            let (Some(Some(head)), Some(Some(frozen))) =
                (self.heads.get_mut(user_id), self.frozen.get(user_id))
            else {
                continue;
            };
            let (older, newest) = frozen.newest.split_at(*handed_down);
            head.boundary = boundary(newest, true);
            let struck = self.removals.struck.get(user_id);
            if struck.is_none() && head.newest.starts_with(older) {
                head.newest.drain(..*handed_down);
            } else {
                // Events between those that are in runs now, or instead of them: only a checkpoint makes one
                // history of them.
                let is_struck =
                    |event: &PackedEvent| struck.is_some_and(|struck| struck.contains(&identity(event)));
                head.newest.retain(|event| place(older, event).is_err() || is_struck(event));
                self.needs_checkpoint = true;
            }
        }
        self.stored = Arc::clone(&checkpoint.stored);
        self.frozen = Arc::default();
    }
}

/// The user's place among the heads that the writer touches.
fn loaded<'a>(
    heads: &'a mut Heads,
    frozen: &Heads,
    stored: &Snapshot,
    user_id: UserId,
) -> Result<&'a mut Option<Head>, StoreError> {
    Ok(match heads.entry(user_id) {
        Entry::Occupied(head) => head.into_mut(),
        Entry::Vacant(place) => place.insert(match frozen.get(&user_id) {
            Some(head) => head.clone(),
            None => stored.decoded_head(user_id)?,
        }),
    })
}

/// The part of a user's history that left the head: the runs without what was deleted since.
struct Older {
    stored: Arc<Snapshot>,
    user_id: UserId,
    struck: HashSet<PackedEvent>,
}

impl Older {
    fn runs(&self) -> impl Iterator<Item = Result<Vec<PackedEvent>, StoreError>> {
        self.stored.runs(self.user_id).map(|run| {
            let mut run = run?;
            run.retain(|event| !self.struck.contains(&identity(event)));
            Ok(run)
        })
    }

    fn hold(&self, event: &PackedEvent) -> Result<bool, StoreError> {
        Ok(!self.struck.contains(&identity(event)) && self.stored.runs_hold(self.user_id, event)?)
    }

    /// The whole history, the head's events last.
    fn with<'a>(&'a self, head: &'a Head) -> impl Iterator<Item = Result<Vec<PackedEvent>, StoreError>> + 'a {
        let older = head.has_older().then(|| self.runs());
        older.into_iter().flatten().chain([Ok(head.newest.clone())])
    }
}

/// A history without one event.
struct Rest {
    left_out: Option<Interaction>,
    /// What the others with its movie come to.
    opinion: Option<Opinion>,
    first_ms: TimeMs,
    last_ms: TimeMs,
}

impl Rest {
    fn without(wanted: &PackedEvent, older: &Older, head: &Head) -> Result<Self, StoreError> {
        let mut rest = Self { left_out: None, opinion: None, first_ms: TimeMs::MAX, last_ms: TimeMs::MIN };
        for run in older.with(head) {
            for packed in run? {
                let event = unpack(older.user_id, &packed)?;
                if identity(&packed) == *wanted {
                    rest.left_out = Some(event);
                    continue;
                }
                rest.first_ms = rest.first_ms.min(event.time_ms);
                rest.last_ms = rest.last_ms.max(event.time_ms);
                if event.movie_id == movie_id(wanted) {
                    rest.opinion = Some(Opinion::with(rest.opinion, &event));
                }
            }
        }
        Ok(rest)
    }
}

/// What the user's events with a movie come to, those in runs included.
///
/// Mostly a glance at the head finds it; else the opinions of all movies are gathered once, so that a
/// long history is not read for every event.
fn opinion(older: &Older, head: &mut Head, movie: MovieId) -> Result<Option<Opinion>, StoreError> {
    if !head.seen.contains(movie) {
        return Ok(None);
    }
    if head.opinions.is_none() {
        if let Some(opinion) = glance(older.user_id, head, movie)? {
            return Ok(Some(opinion));
        }
        head.opinions = Some(gather_opinions(older.user_id, older.with(head))?);
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
    history: impl Iterator<Item = Result<Vec<PackedEvent>, StoreError>>,
) -> Result<HashMap<MovieId, Opinion>, StoreError> {
    let mut gathered = HashMap::new();
    for run in history {
        for packed in run? {
            let event = unpack(user_id, &packed)?;
            let before = gathered.get(&event.movie_id).copied();
            gathered.insert(event.movie_id, Opinion::with(before, &event));
        }
    }
    Ok(gathered)
}
