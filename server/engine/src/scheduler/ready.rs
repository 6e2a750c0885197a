//! When ready vectors are scored, and when another sequence is encoded first.
//!
//! One pass over the catalogue serves all vectors that are there, whichever worker encoded them. So a vector that waits
//! for others saves passes, and costs its caller time:
//!
//! - Earliest deadline first: a sequence that is due before every ready vector is encoded.
//! - With no sequence waiting, vectors are scored at once.
//! - In a burst, they are scored when no more sequences wait than vectors are ready: what is ready waits for
//!   that, what waits saves a pass.
//! - Under [`LASTING`] load everybody's wait depends on the throughput, and passes are to be larger: they are scored
//!   when no more than half as many sequences wait. To wait for fewer would keep what is ready behind the whole
//!   queue, for passes that are hardly cheaper. Nor are fewer than half as many as in the last pass scored then: right
//!   after it few wait because its callers are not back yet, and a pass of three costs more than half of one of nine.
//! - They wait no longer than the bound of a batch and their first deadline allow, and if somebody waits for one
//!   of them that should not wait for bulk jobs, then for no bulk job.

use std::time::{Duration, Instant};

use super::queue::{Choice, Head, LaneKey};
use super::{BatchShape, Reason, Scheduler};

/// For how long the workers must have been busy for the load to be a lasting one and not a burst.
pub(super) const LASTING: Duration = Duration::from_millis(100);
/// The longest time that a worker may be idle under lasting load: until callers who were answered together
/// are back. With sixteen callers two workers run dry after many a pass.
pub(super) const MOMENT: Duration = Duration::from_millis(3);

/// Since when the workers have been busy, and how much they score at a time.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Since when no worker has been idle for longer than a [`MOMENT`].
    busy_since: Option<Instant>,
    /// Since when a worker is idle.
    idle_since: Option<Instant>,
    /// The vectors that were last scored together.
    last_pass: usize,
}

impl Load {
    /// Takes in whether a worker is idle from `now` on.
    pub(super) fn look(&mut self, now: Instant, somebody_is_idle: bool) {
        if !self.is_busy(now) {
            self.busy_since = None;
        }
        if somebody_is_idle {
            self.idle_since.get_or_insert(now);
        } else {
            self.busy_since.get_or_insert(now);
            self.idle_since = None;
        }
    }

    /// Takes in that so many vectors are scored together.
    pub(super) fn scores(&mut self, vectors: usize) {
        self.last_pass = vectors;
    }

    /// Whether so many ready vectors are scored while so many sequences wait.
    fn is_worth_a_pass(&self, now: Instant, held: usize, waiting: usize) -> bool {
        if self.is_lasting(now) { 2 * waiting <= held && 2 * held >= self.last_pass } else { waiting <= held }
    }

    /// Whether this is no burst.
    fn is_lasting(&self, now: Instant) -> bool {
        let lasts = |since| now.saturating_duration_since(since) >= LASTING;
        self.is_busy(now) && self.busy_since.is_some_and(lasts)
    }

    fn is_busy(&self, now: Instant) -> bool {
        self.idle_since.is_none_or(|since| now.saturating_duration_since(since) <= MOMENT)
    }
}

impl<T> Scheduler<T> {
    /// What an idle worker does next where every sequence keeps its own length.
    pub(super) fn choose_phase(&self, now: Instant) -> Option<Choice> {
        let sequence = self.queue.heads().filter(|head| !head.lane.is_ready()).min_by_key(|head| head.rank);
        let ready = self.queue.heads().filter(|head| head.lane.is_ready());
        let due = ready.filter(|head| sequence.is_none_or(|sequence| head.rank < sequence.rank));
        let scored = due
            .filter_map(|head| Some((head, self.reason_to_score(now, head.lane, sequence)?)))
            .min_by_key(|(head, _)| head.rank);
        let chosen = scored.or_else(|| Some((sequence?, Reason::Idle)));
        chosen.map(|(Head { lane, .. }, reason)| Choice { lane, reason })
    }

    /// Why the ready vectors of a lane are scored now; `None` when the sequence is encoded first.
    fn reason_to_score(&self, now: Instant, ready: LaneKey, sequence: Option<Head>) -> Option<Reason> {
        let held = self.queue.jobs_of(ready);
        if held >= self.policy.batch_jobs {
            return Some(Reason::Full);
        }
        let Some(Head { lane, .. }) = sequence.filter(|sequence| sequence.lane.model == ready.model) else {
            return Some(Reason::Idle);
        };
        let is_held_up = self.queue.is_bulk_next(lane) && self.queue.is_interactive(ready);
        if self.load.is_worth_a_pass(now, held, self.queue.jobs_of(lane)) || is_held_up {
            return Some(Reason::Idle);
        }
        let (input, members) = self.queue.peek(lane)?;
        let first = self.shape_of(input, members);
        let after_it = self.costs.predict(first + BatchShape { queries: held, ..BatchShape::default() });
        let presses = self.queue.earliest(ready).is_some_and(|earliest| now + after_it > earliest);
        presses.then_some(Reason::Deadline)
    }
}
