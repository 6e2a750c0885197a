//! Who joins a batch between two of its encodings: the rules of growth of [`super`].

use std::time::Instant;

use super::{Action, Batch, LASTING, Reason, Running, Scheduler, Worker, WorkerId, is_interactive, queue};

impl<T> Scheduler<T> {
    /// Says who joins a batch whose sequences are all encoded.
    pub(super) fn extend(&mut self, now: Instant, worker: WorkerId, actions: &mut Vec<Action<T>>) {
        let Worker::Running(mut running) = std::mem::replace(&mut self.workers[worker], Worker::Idle) else {
            return;
        };
        let more = self.joining(now, &mut running, actions);
        running.keys.extend(self.lead(running.model, &more.groups));
        running.shape = running.shape + more.shape;
        running.is_interactive |= is_interactive(&more.groups);
        running.predicted_end = now + more.predicted;
        self.workers[worker] = Worker::Running(running);
        actions.push(Action::Extend { more });
    }

    fn joining(&mut self, now: Instant, running: &mut Running, actions: &mut Vec<Action<T>>) -> Batch<T> {
        let held = running.shape.queries;
        if held >= self.policy.batch_jobs {
            return Batch::empty(Reason::Full);
        }
        let is_worth_it = held < self.queue.jobs() || held < self.share_under_lasting_load(now, held);
        let choice = is_worth_it.then(|| self.queue.choose(now, &self.policy)).flatten();
        match choice.filter(|choice| self.may_join(running, choice)) {
            Some(choice) => self.fill(now, &choice, running.shape, &mut running.earliest, actions),
            None => Batch::empty(Reason::Idle),
        }
    }

    /// A worker's part of all that waits and runs, for one that holds so many; 0 in a burst.
    fn share_under_lasting_load(&self, now: Instant, held: usize) -> usize {
        let is_lasting = self.busy_since.is_some_and(|since| now.saturating_duration_since(since) >= LASTING);
        let running = self.workers.iter().map(|worker| match worker {
            Worker::Running(running) => running.shape.queries,
            Worker::Idle | Worker::Recovering => 0,
        });
        let jobs = self.queue.jobs() + held + running.sum::<usize>();
        if is_lasting { jobs.div_ceil(self.policy.workers) } else { 0 }
    }

    /// Bulk jobs hold up nobody who is waited for.
    fn may_join(&self, running: &Running, choice: &queue::Choice) -> bool {
        let is_held_up = running.is_interactive && self.queue.is_bulk_next(choice.lane);
        choice.lane.model == running.model && !is_held_up
    }
}
