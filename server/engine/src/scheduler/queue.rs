//! What waits: lanes of entries in order of rank, an index for cancellation, and what it all will cost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::{JobId, Member, ModelKey, Reason, SequenceKey};
use crate::job::{Input, Priority};

/// What may run together: one model, and one length bucket or ready vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneKey {
    pub(super) model: ModelKey,
    /// [`READY`], or from 1 for the buckets.
    bucket: usize,
}

/// The bucket of ready vectors.
const READY: usize = 0;

impl LaneKey {
    /// Whether ready vectors wait there, not sequences.
    pub(super) fn is_ready(self) -> bool {
        self.bucket == READY
    }

    /// The upper end of its bucket; `None` for ready vectors.
    pub(super) fn end(self, bucket_ends: &[usize]) -> Option<usize> {
        self.bucket.checked_sub(1).and_then(|bucket| bucket_ends.get(bucket)).copied()
    }
}

/// The order within a lane: when due, then first come.
pub(super) type Rank = (Instant, JobId);

/// The first in a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) lane: LaneKey,
    pub(super) rank: Rank,
}

/// Members that want the same input done; ranked as the first of them.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) input: Input,
    pub(super) members: Vec<Member<T>>,
    key: Option<SequenceKey>,
    cost: Duration,
}

/// What an entry costs by itself, and what each further member adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) alone: Duration,
    pub(super) follower: Duration,
}

/// The lane whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) lane: LaneKey,
    /// Why it is done now.
    pub(super) reason: Reason,
}

#[derive(Debug)]
struct Lane<T> {
    entries: BTreeMap<Rank, Entry<T>>,
    jobs: usize,
}

/// All that waits for a worker.
#[derive(Debug)]
pub(super) struct Queue<T> {
    bucket_ends: Vec<usize>,
    max_members: usize,
    lanes: BTreeMap<LaneKey, Lane<T>>,
    places: FxHashMap<JobId, (LaneKey, Rank)>,
    sequences: FxHashMap<SequenceKey, (LaneKey, Rank)>,
    /// The predicted cost of what waits, by priority.
    backlog: [Duration; 2],
}

impl<T> Queue<T> {
    pub(super) fn new(bucket_ends: Vec<usize>, max_members: usize) -> Self {
        Self {
            bucket_ends,
            max_members,
            lanes: BTreeMap::new(),
            places: FxHashMap::default(),
            sequences: FxHashMap::default(),
            backlog: [Duration::ZERO; 2],
        }
    }

    pub(super) fn jobs(&self) -> usize {
        self.places.len()
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        let heads = self.lanes.values().filter_map(|lane| lane.entries.first_key_value());
        heads.flat_map(|(_, entry)| entry.members.iter().map(|member| member.submitted)).min()
    }

    /// The predicted cost, on one worker, of what goes before a new job of this priority.
    pub(super) fn backlog(&self, priority: Priority) -> Duration {
        match priority {
            Priority::Interactive => self.backlog[0],
            Priority::Bulk => self.backlog[0] + self.backlog[1],
        }
    }

    /// Adds a job, to the entry of the same sequence if one waits and has room.
    pub(super) fn insert(
        &mut self,
        model: ModelKey,
        input: Input,
        key: Option<SequenceKey>,
        member: Member<T>,
        cost: Cost,
    ) {
        let waiting = key.as_ref().and_then(|key| self.sequences.get(key).copied());
        if let Some((lane, rank)) = waiting.filter(|(lane, rank)| self.has_room(*lane, *rank))
            && let Some(mut entry) = self.take(lane, rank)
        {
            entry.members.push(member);
            entry.cost += cost.follower;
            self.put(lane, entry);
            return;
        }
        let lane = LaneKey { model, bucket: self.bucket(&input) };
        self.put(lane, Entry { input, members: vec![member], key, cost: cost.alone });
    }

    /// Adds jobs whose sequence has been encoded, each of which costs so much.
    pub(super) fn insert_encoded(
        &mut self,
        key: &SequenceKey,
        vector: &Arc<[f32]>,
        members: Vec<Member<T>>,
        each: Duration,
    ) {
        let lane = LaneKey { model: key.model, bucket: READY };
        let mut rest = members.into_iter().peekable();
        while rest.peek().is_some() {
            let members: Vec<Member<T>> = rest.by_ref().take(self.max_members).collect();
            let cost = each * members.len() as u32;
            let input = Input::Vector(Arc::clone(vector));
            self.put(lane, Entry { input, members, key: Some(key.clone()), cost });
        }
    }

    fn has_room(&self, lane: LaneKey, rank: Rank) -> bool {
        let entry = self.lanes.get(&lane).and_then(|queue| queue.entries.get(&rank));
        entry.is_some_and(|entry| entry.members.len() < self.max_members)
    }

    fn bucket(&self, input: &Input) -> usize {
        match input {
            Input::Vector(_) => READY,
            Input::Sequence(sequence) => 1 + self.bucket_ends.partition_point(|end| *end < sequence.len()),
        }
    }

    /// Puts an entry where its members' rank says; one without members is gone.
    pub(super) fn put(&mut self, lane: LaneKey, entry: Entry<T>) {
        let Some(rank) = entry.members.iter().map(|member| (member.due, member.id)).min() else { return };
        for member in &entry.members {
            self.places.insert(member.id, (lane, rank));
        }
        if let Some(key) = &entry.key {
            self.sequences.insert(key.clone(), (lane, rank));
        }
        self.backlog[class(&entry)] += entry.cost;
        let queue = self.lanes.entry(lane).or_insert_with(|| Lane { entries: BTreeMap::new(), jobs: 0 });
        queue.jobs += entry.members.len();
        queue.entries.insert(rank, entry);
    }

    fn take(&mut self, lane: LaneKey, rank: Rank) -> Option<Entry<T>> {
        let queue = self.lanes.get_mut(&lane)?;
        let entry = queue.entries.remove(&rank)?;
        queue.jobs -= entry.members.len();
        if queue.entries.is_empty() {
            self.lanes.remove(&lane);
        }
        self.backlog[class(&entry)] = self.backlog[class(&entry)].saturating_sub(entry.cost);
        for member in &entry.members {
            self.places.remove(&member.id);
        }
        if let Some(key) = &entry.key
            && self.sequences.get(key) == Some(&(lane, rank))
        {
            self.sequences.remove(key);
        }
        Some(entry)
    }

    /// Takes a job out; `false` when it does not wait here.
    pub(super) fn cancel(&mut self, id: JobId) -> bool {
        let Some((lane, rank)) = self.places.get(&id).copied() else { return false };
        if let Some(mut entry) = self.take(lane, rank) {
            entry.members.retain(|member| member.id != id);
            self.put(lane, entry);
        }
        true
    }

    /// Takes out all jobs of a model, or of all.
    pub(super) fn remove(&mut self, model: Option<ModelKey>) -> Vec<Member<T>> {
        let ids: Vec<(LaneKey, Rank)> = self
            .lanes
            .iter()
            .filter(|(lane, _)| model.is_none_or(|model| lane.model == model))
            .flat_map(|(lane, queue)| queue.entries.keys().map(|rank| (*lane, *rank)))
            .collect();
        ids.into_iter()
            .filter_map(|(lane, rank)| self.take(lane, rank))
            .flat_map(|entry| entry.members)
            .collect()
    }

    /// The first of every lane.
    pub(super) fn heads(&self) -> impl Iterator<Item = Head> {
        self.lanes.iter().filter_map(|(lane, queue)| Some(Head { lane: *lane, rank: head(queue)? }))
    }

    /// The bucket whose turn it is, the fullest unless a job has waited for `misfit_bound` after it was due; `None`
    /// when nothing waits.
    pub(super) fn choose_bucket(&self, now: Instant, misfit_bound: Duration) -> Option<Choice> {
        let oldest = self.heads().min_by_key(|head| head.rank)?;
        if now.saturating_duration_since(oldest.rank.0) > misfit_bound {
            let reason = if self.lanes.len() > 1 { Reason::Deadline } else { Reason::Idle };
            return Some(Choice { lane: oldest.lane, reason });
        }
        let fullest = self.lanes.iter().max_by_key(|(lane, queue)| self.tokens(**lane, queue));
        fullest.map(|(lane, _)| Choice { lane: *lane, reason: Reason::Idle })
    }

    /// Entries that wait in a lane.
    pub(super) fn entries_of(&self, lane: LaneKey) -> usize {
        self.lanes.get(&lane).map_or(0, |queue| queue.entries.len())
    }

    /// The jobs of a lane.
    pub(super) fn jobs_of(&self, lane: LaneKey) -> usize {
        self.lanes.get(&lane).map_or(0, |queue| queue.jobs)
    }

    /// The first deadline in a lane.
    pub(super) fn earliest(&self, lane: LaneKey) -> Option<Instant> {
        self.members(lane).filter_map(|member| member.deadline).min()
    }

    /// Whether somebody waits for a job of the lane.
    pub(super) fn is_interactive(&self, lane: LaneKey) -> bool {
        self.members(lane).any(|member| member.priority == Priority::Interactive)
    }

    fn members(&self, lane: LaneKey) -> impl Iterator<Item = &Member<T>> {
        let entries = self.lanes.get(&lane).into_iter().flat_map(|queue| queue.entries.values());
        entries.flat_map(|entry| &entry.members)
    }

    /// How full a lane is; ready vectors, which cost no encoding, count as one token each.
    fn tokens(&self, lane: LaneKey, queue: &Lane<T>) -> usize {
        queue.jobs * lane.end(&self.bucket_ends).unwrap_or(1)
    }

    /// The lanes of the same model with shorter sequences, the longest first.
    pub(super) fn shorter_lanes(&self, lane: LaneKey) -> Vec<LaneKey> {
        let shortest = LaneKey { bucket: READY + 1, ..lane };
        self.lanes.range(shortest.min(lane)..lane).rev().map(|(shorter, _)| *shorter).collect()
    }

    /// The deadlines of the lane's next entry.
    pub(super) fn next_deadlines(&self, lane: LaneKey) -> impl Iterator<Item = Instant> {
        self.next(lane).into_iter().flat_map(|entry| &entry.members).filter_map(|member| member.deadline)
    }

    /// The lane's next entry: its input and how many members it has.
    pub(super) fn peek(&self, lane: LaneKey) -> Option<(&Input, usize)> {
        self.next(lane).map(|entry| (&entry.input, entry.members.len()))
    }

    /// Whether nobody is waited for in the lane's next entry.
    pub(super) fn is_bulk_next(&self, lane: LaneKey) -> bool {
        self.next(lane).is_some_and(|entry| is_bulk(&entry.members))
    }

    fn next(&self, lane: LaneKey) -> Option<&Entry<T>> {
        self.lanes.get(&lane)?.entries.first_key_value().map(|(_, entry)| entry)
    }

    /// Takes the lane's next entry.
    pub(super) fn pop(&mut self, lane: LaneKey) -> Option<Entry<T>> {
        let rank = *self.lanes.get(&lane)?.entries.first_key_value()?.0;
        self.take(lane, rank)
    }
}

fn head<T>(lane: &Lane<T>) -> Option<Rank> {
    lane.entries.first_key_value().map(|(rank, _)| *rank)
}

/// Members count as interactive as soon as one of them is.
fn is_bulk<T>(members: &[Member<T>]) -> bool {
    members.iter().all(|member| member.priority == Priority::Bulk)
}

/// Where [`Queue::backlog`] counts it.
fn class<T>(entry: &Entry<T>) -> usize {
    usize::from(is_bulk(&entry.members))
}
