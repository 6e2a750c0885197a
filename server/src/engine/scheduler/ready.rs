//! When ready vectors are scored, and when another sequence is encoded first.
//!
//! One pass over the catalogue serves all vectors that are there, whoever encoded them. So a vector that waits
//! for others saves passes, and costs its caller time:
//!
//! - Who is due first goes first: a sequence that is due before every ready vector is encoded.
//! - With no sequence waiting, vectors are scored at once.
//! - In a burst, they are scored when no more sequences wait than vectors are ready: what is ready waits for
//!   that, what waits saves a pass.
//! - Under [`LASTING`] load everybody's wait depends on the throughput. Then they are scored when the sequences
//!   that wait are just enough for the other workers meanwhile, one for each; and while somebody scores, whose
//!   callers will soon be back, when none waits.
//! - They wait no longer than the bound of a batch and their first deadline allow, and if somebody waits for one
//!   of them who should not wait for bulk jobs, then for no bulk job.

use std::time::Instant;

use super::queue::{Choice, Head, LaneKey};
use super::{BatchShape, LASTING, Reason, Scheduler, Stage, Worker};

impl<T> Scheduler<T> {
    /// What an idle worker does next where every sequence is encoded by itself.
    pub(super) fn choose_stage(&self, now: Instant) -> Option<Choice> {
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
        let few = if self.is_lasting(now) { self.few_under_lasting_load(held) } else { held };
        let is_held_up = self.queue.is_bulk_next(lane) && self.queue.is_interactive(ready);
        if self.queue.jobs_of(lane) <= few || is_held_up {
            return Some(Reason::Idle);
        }
        let (input, members) = self.queue.peek(lane)?;
        let first = self.shape_of(input, members);
        let after_it = self.costs.predict(first + BatchShape { queries: held, ..BatchShape::default() });
        let presses = self.queue.earliest(ready).is_some_and(|earliest| now + after_it > earliest);
        presses.then_some(Reason::Deadline)
    }

    /// How many sequences may wait under lasting load when so many vectors are scored. Few vectors are not worth a
    /// pass while there is anything to encode.
    fn few_under_lasting_load(&self, held: usize) -> usize {
        if self.somebody_scores() { 0 } else { self.policy.workers.min(held / 2) }
    }

    fn somebody_scores(&self) -> bool {
        let scores =
            |worker: &Worker| matches!(worker, Worker::Running(running) if running.stage == Stage::Answer);
        self.workers.iter().any(scores)
    }

    /// Whether no worker has been idle for so long that this is no burst.
    fn is_lasting(&self, now: Instant) -> bool {
        self.busy_since.is_some_and(|since| now.saturating_duration_since(since) >= LASTING)
    }
}
