//! How a batch is formed: which entries of the queue an idle worker takes, and whose deadline it is too late for.

use std::time::{Duration, Instant};

use super::queue::{Choice, Entry, LaneKey};
use super::{
    Action, Batch, BatchShape, DeadlinePoint, EngineError, Group, Input, Member, ModelKey, Padding, Phase,
    Reason, Scheduler, smallest_that_holds,
};

impl<T> Scheduler<T> {
    /// The next batch, without the jobs that are too late for it; `None` when nothing is left, or too little to run
    /// beside what does.
    pub(super) fn form(
        &mut self,
        now: Instant,
        actions: &mut Vec<Action<T>>,
    ) -> Option<(ModelKey, Batch<T>)> {
        loop {
            let choice = match self.policy.padding {
                Padding::None => self.choose_phase(now)?,
                Padding::Buckets { misfit_bound, .. } => self.queue.choose_bucket(now, misfit_bound)?,
            };
            if !self.has_room_beside(self.queue.jobs_of(choice.lane)) {
                return None;
            }
            let batch = self.fill(now, &choice, actions);
            if !batch.groups.is_empty() {
                return Some((choice.lane.model, batch));
            }
        }
    }

    /// Takes entries of the chosen lane, best rank first, while the bounds and the deadlines allow; then shorter
    /// sequences, where they cost nothing.
    fn fill(&mut self, now: Instant, choice: &Choice, actions: &mut Vec<Action<T>>) -> Batch<T> {
        let mut batch = Batch::empty(self.phase_of(choice.lane), choice.reason);
        let mut earliest: Option<Instant> = None;
        let share = self.share_of(choice.lane);
        while let Some((input, members)) = self.queue.peek(choice.lane) {
            let grown = batch.shape + self.shape_of(input, members);
            let first = batch.groups.is_empty();
            if !first && !self.is_in_bounds(grown) {
                batch.reason = Reason::Full;
                break;
            }
            let encodes = batch.phase == Phase::Encode;
            if !first && encodes && (batch.groups.len() >= share || grown.tokens > self.policy.encode_tokens)
            {
                break;
            }
            let predicted = self.costs.predict(grown);
            if earliest.is_some_and(|earliest| now + predicted > earliest) {
                batch.reason = Reason::Deadline;
                break;
            }
            let Some(mut entry) = self.queue.pop(choice.lane) else { break };
            let someone_left = refuse_late(now, predicted, &mut entry.members, actions);
            if someone_left && first {
                // The lane was chosen for a job that is gone now: another may be due before it.
                self.queue.put(choice.lane, entry);
                break;
            }
            if entry.members.is_empty() {
                continue;
            }
            let deadlines = entry.members.iter().filter_map(|member| member.deadline);
            earliest = deadlines.chain(earliest).min();
            let shape = batch.shape + self.shape_of(&entry.input, entry.members.len());
            batch.grow(entry, shape);
        }
        if batch.phase == Phase::Encode {
            batch.shape.queries = 0;
        }
        batch.predicted = self.costs.predict(batch.shape);
        self.fill_up(now, choice.lane, earliest, &mut batch);
        batch
    }

    /// Takes shorter sequences along in places that would hold padding, the longest first; `earliest` is the first
    /// deadline in the batch.
    fn fill_up(&mut self, now: Instant, lane: LaneKey, mut earliest: Option<Instant>, batch: &mut Batch<T>) {
        let Padding::Buckets { lengths, sizes, .. } = &self.policy.padding else { return };
        let Some(length) = lane.end(lengths).filter(|_| !batch.groups.is_empty()) else { return };
        let taken = batch.shape.sequences;
        let mut room = smallest_that_holds(sizes, taken) - taken;
        for shorter in self.queue.shorter_lanes(lane) {
            while room > 0
                && let Some((_, members)) = self.queue.peek(shorter)
            {
                let grown = batch.shape + BatchShape { sequences: 1, tokens: length, queries: members };
                let predicted = self.costs.predict(grown);
                let deadline = self.queue.next_deadlines(shorter).chain(earliest).min();
                if !self.is_in_bounds(grown) || deadline.is_some_and(|deadline| now + predicted > deadline) {
                    break;
                }
                let Some(entry) = self.queue.pop(shorter) else { break };
                batch.grow(entry, grown);
                (batch.predicted, earliest) = (predicted, deadline);
                room -= 1;
            }
        }
    }

    /// How many of a lane's entries a worker encodes together: as many as leave the same for every other worker, which
    /// is idle or soon will be.
    fn share_of(&self, lane: LaneKey) -> usize {
        self.queue.entries_of(lane).div_ceil(self.workers.len())
    }

    /// Whether a batch of more than one entry may have this shape.
    fn is_in_bounds(&self, shape: BatchShape) -> bool {
        shape.queries <= self.policy.batch_jobs && shape.tokens <= self.policy.batch_tokens
    }

    /// How far a worker goes with what waits in a lane.
    fn phase_of(&self, lane: LaneKey) -> Phase {
        match self.policy.padding {
            Padding::None if !lane.is_ready() => Phase::Encode,
            Padding::None | Padding::Buckets { .. } => Phase::Answer,
        }
    }
}

impl<T> Batch<T> {
    fn empty(phase: Phase, reason: Reason) -> Self {
        Self {
            phase,
            reason,
            shape: BatchShape::default(),
            used_tokens: 0,
            predicted: Duration::ZERO,
            groups: Vec::new(),
        }
    }

    /// Takes in an entry, with which the batch has this shape.
    fn grow(&mut self, entry: Entry<T>, shape: BatchShape) {
        let Entry { input, members, .. } = entry;
        self.shape = shape;
        self.used_tokens += match &input {
            Input::Sequence(sequence) => sequence.len(),
            Input::Vector(_) => 0,
        };
        self.groups.push(Group { input, members });
    }
}

/// Takes out the members that would be answered too late, and says whether there were any.
fn refuse_late<T>(
    now: Instant,
    predicted: Duration,
    members: &mut Vec<Member<T>>,
    actions: &mut Vec<Action<T>>,
) -> bool {
    let late = members.extract_if(.., |member| {
        member.deadline.is_some_and(|deadline| now >= deadline || now + predicted > deadline)
    });
    let before = actions.len();
    actions.extend(late.map(|member| {
        let passed = member.deadline.is_some_and(|deadline| now >= deadline);
        let point = if passed { DeadlinePoint::Queue } else { DeadlinePoint::Submission };
        Action::Refuse { payload: member.payload, error: EngineError::DeadlineExceeded { point } }
    }));
    actions.len() > before
}
