//! The scheduler: which job runs when, on which worker, in which batch.
//!
//! A pure state machine: events and their times go in, actions come out. It has no threads, no
//! clock and no knowledge of models, so that every rule below is tested by handing it events.
//!
//! 1. An idle worker takes what waits at once; while workers run, the next batches form in the queue. Of workers
//!    that share a device only the first few do so, and more of them join for batches that are worth it: small
//!    ones beside each other only slow each other down.
//! 2. A batch is bounded by jobs and by tokens, padding included. Where sequences are padded, those of one
//!    length bucket run together, with shorter ones in places that would hold padding, and a worker encodes and
//!    scores them in one go. Where each keeps its own length, a worker encodes one, or its share of those that wait
//!    where together they cost less, and hands the vectors back, and [`ready`] says when the vectors of all workers
//!    are scored together.
//! 3. A job's rank is the time of its arrival, for bulk jobs plus [`Policy::bulk_handicap`]; lower ranks go
//!    first. So bulk work waits behind interactive work, but only behind what arrived until then: nothing starves.
//! 4. A deadline is looked at on admission, against the predicted wait and compute; while waiting; and when the
//!    batch is formed, against the predicted end of that batch.
//! 5. The queue is bounded. Over the bound a job is refused with a prediction of when there is room.
//! 6. Identical sequences that wait, or of which one is being encoded, share one encoding.
//! 7. Every batch says why it was dispatched.

mod forming;
mod queue;
#[cfg(test)]
mod random_tests;
mod ready;
#[cfg(test)]
mod test_kit;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::cost::{BatchShape, CostModel, TokenClass};
use super::job::{DeadlinePoint, EngineError, Input, Priority};
use super::sequence::Sequence;
use queue::Queue;
use ready::Load;

/// Names a job for cancellation; unique in one scheduler.
pub(crate) type JobId = u64;
/// Names a model; jobs of different models never share a batch.
pub(crate) type ModelKey = u64;
/// The number of a worker, from 0.
pub(crate) type WorkerId = usize;

/// The fixed bounds of a scheduler.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// How many workers there are.
    pub(crate) workers: usize,
    /// The most jobs that wait.
    pub(crate) queue_limit: usize,
    /// The most jobs of a batch.
    pub(crate) batch_jobs: usize,
    /// The most tokens of a batch, padding included; one sequence may exceed it alone.
    pub(crate) batch_tokens: usize,
    /// Where sequences are not padded: the most tokens that a worker encodes together; one sequence may exceed it
    /// alone.
    pub(crate) encode_tokens: usize,
    /// How much later a bulk job ranks than an interactive one that arrived with it.
    pub(crate) bulk_handicap: Duration,
    /// How sequences of different lengths share a batch.
    pub(crate) padding: Padding,
}

/// How sequences of different lengths share a batch.
#[derive(Clone, Debug)]
pub(crate) enum Padding {
    /// Each is encoded at its own length; their vectors are scored together.
    None,
    /// All are padded to the upper end of their bucket, and the batch to one of a few sizes.
    Buckets {
        /// The buckets' upper ends, ascending; the last is the longest sequence.
        lengths: Vec<usize>,
        /// The sequences that a batch is filled up to, ascending; the last is the most that run at once.
        sizes: Vec<usize>,
        /// The fullest bucket goes first until a job has waited so long; then that job's does.
        misfit_bound: Duration,
        /// So many batches run beside each other, whatever their size.
        side_by_side: usize,
        /// A further one runs beside them if so many jobs wait for it.
        worth_joining: usize,
    },
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event<T> {
    /// A job wants to enter.
    Submit(Submission<T>),
    /// Nobody waits for the job any more.
    Cancel(JobId),
    /// A worker did a [`Phase::Encode`] and is free.
    Encoded {
        worker: WorkerId,
        /// The batch's groups, in order, as vectors: with the members that want items, and an empty vector for a
        /// group that was not encoded.
        groups: Vec<Group<T>>,
        /// How long it took; `None` when it did not run as it was formed.
        encode: Option<Duration>,
    },
    /// A worker did a [`Phase::Answer`] and is free.
    Finished {
        worker: WorkerId,
        /// The vectors of the batch's groups, in order; empty for a group that was not encoded.
        vectors: Vec<Arc<[f32]>>,
        /// How long it took; `None` when it did not run as it was formed.
        ran: Option<Ran>,
    },
    /// A worker's batch failed; the worker is not free before [`Event::Recovered`].
    Failed { worker: WorkerId },
    /// A worker that failed is free again.
    Recovered { worker: WorkerId },
    /// Nothing that waits, for this model or for any, is done any more.
    Close { model: Option<ModelKey>, why: EngineError },
    /// No further job is admitted.
    Drain,
}

/// How long the stages of a batch took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) encode: Duration,
    pub(crate) score: Duration,
    /// Since a worker first took the one of its jobs that has been in work longest.
    pub(crate) turnaround: Duration,
}

/// A job that wants to enter.
#[derive(Debug)]
pub(crate) struct Submission<T> {
    pub(crate) id: JobId,
    pub(crate) model: ModelKey,
    pub(crate) input: Input,
    pub(crate) deadline: Option<Instant>,
    pub(crate) priority: Priority,
    pub(crate) payload: T,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action<T> {
    /// The worker, which is idle, runs the batch.
    Dispatch { worker: WorkerId, batch: Batch<T> },
    /// The job is answered with an error.
    Refuse { payload: T, error: EngineError },
}

/// Jobs that run together.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    /// What is done; a [`Phase::Encode`] scores no queries.
    pub(crate) shape: BatchShape,
    /// The tokens without padding.
    pub(crate) used_tokens: usize,
    /// From now until the worker is free.
    pub(crate) predicted: Duration,
    pub(crate) groups: Vec<Group<T>>,
}

/// How far a worker goes with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It encodes and hands the vectors back: [`Event::Encoded`].
    Encode,
    /// It encodes what is no vector yet, scores and answers: [`Event::Finished`].
    Answer,
}

/// Jobs of one batch with the same input.
#[derive(Debug)]
pub(crate) struct Group<T> {
    pub(crate) input: Input,
    pub(crate) members: Vec<Member<T>>,
}

/// A job that was admitted.
#[derive(Debug)]
pub(crate) struct Member<T> {
    pub(crate) id: JobId,
    pub(crate) submitted: Instant,
    /// The time that decides its rank.
    pub(crate) due: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) priority: Priority,
    pub(crate) payload: T,
}

/// Why a batch took no more jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// There were no more, or each is encoded by itself.
    Idle,
    /// The batch reached its bound of jobs or tokens.
    Full,
    /// A deadline or the bound on a misfit's wait pressed.
    Deadline,
}

/// What one encoding is shared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SequenceKey {
    model: ModelKey,
    sequence: Sequence,
}

impl SequenceKey {
    /// `None` for a ready vector, which has no encoding.
    fn of(model: ModelKey, input: &Input) -> Option<Self> {
        match input {
            Input::Sequence(sequence) => Some(Self { model, sequence: sequence.clone() }),
            Input::Vector(_) => None,
        }
    }
}

/// What a busy worker does.
#[derive(Debug)]
struct Running {
    shape: BatchShape,
    predicted_end: Instant,
    /// The keys of the batch's groups, in order; `None` for ready vectors.
    keys: Vec<Option<SequenceKey>>,
}

#[derive(Debug)]
enum Worker {
    Idle,
    Running(Running),
    Recovering,
}

/// The state machine; `T` is what the caller wants back with each job.
#[derive(Debug)]
pub(crate) struct Scheduler<T> {
    policy: Policy,
    costs: CostModel,
    queue: Queue<T>,
    workers: Vec<Worker>,
    /// Idle workers; the last that became idle is taken first, its caches are warm.
    idle: Vec<WorkerId>,
    load: Load,
    /// Jobs that wait for an encoding that runs.
    followers: FxHashMap<SequenceKey, Vec<Member<T>>>,
    following: usize,
    draining: bool,
}

impl<T> Scheduler<T> {
    pub(crate) fn new(policy: Policy) -> Self {
        let token_class = match policy.padding {
            Padding::None if policy.encode_tokens == 0 => TokenClass::Sequence,
            Padding::None | Padding::Buckets { .. } => TokenClass::Batch,
        };
        Self {
            costs: CostModel::new(token_class),
            queue: Queue::new(policy.padding.lengths(), policy.batch_jobs),
            workers: (0..policy.workers).map(|_| Worker::Idle).collect(),
            idle: (0..policy.workers).rev().collect(),
            load: Load::default(),
            followers: FxHashMap::default(),
            following: 0,
            draining: false,
            policy,
        }
    }

    /// Jobs that wait.
    pub(crate) fn depth(&self) -> usize {
        self.queue.jobs() + self.following
    }

    /// How long the job that waits longest has waited.
    pub(crate) fn oldest_wait(&self, now: Instant) -> Duration {
        self.queue.oldest().map_or(Duration::ZERO, |submitted| now.saturating_duration_since(submitted))
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.depth() == 0 && self.idle.len() == self.workers.len()
    }

    /// Tells the scheduler what happened at `now`; `now` never goes back.
    pub(crate) fn step(&mut self, now: Instant, event: Event<T>) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        match event {
            Event::Submit(submission) => self.submit(now, submission, &mut actions),
            Event::Cancel(id) => self.cancel(id),
            Event::Encoded { worker, groups, encode } => {
                if let Some(running) = self.free(worker) {
                    if let Some(encode) = encode {
                        self.costs.observe_encoding(running.shape, encode);
                    }
                    self.collect(&running, groups);
                }
            }
            Event::Finished { worker, vectors, ran } => {
                if let Some(running) = self.free(worker) {
                    if let Some(Ran { encode, score, turnaround }) = ran {
                        self.costs.observe_encoding(running.shape, encode);
                        self.costs.observe_scoring(running.shape, score);
                        self.costs.observe_turnaround(turnaround);
                    }
                    self.release_followers(&running, &vectors);
                }
            }
            Event::Failed { worker } => {
                if let Worker::Running(running) =
                    std::mem::replace(&mut self.workers[worker], Worker::Recovering)
                {
                    self.release_followers(&running, &[]);
                }
            }
            Event::Recovered { worker } => {
                self.workers[worker] = Worker::Idle;
                self.idle.push(worker);
            }
            Event::Close { model, why } => self.close(model, &why, &mut actions),
            Event::Drain => self.draining = true,
        }
        self.assign(now, &mut actions);
        self.load.look(now, !self.idle.is_empty());
        actions
    }

    fn submit(&mut self, now: Instant, job: Submission<T>, actions: &mut Vec<Action<T>>) {
        if let Err(error) = self.admit(now, &job) {
            actions.push(Action::Refuse { payload: job.payload, error });
            return;
        }
        let Submission { id, model, input, deadline, priority, payload } = job;
        let due = match priority {
            Priority::Interactive => now,
            Priority::Bulk => now + self.policy.bulk_handicap,
        };
        let member = Member { id, submitted: now, due, deadline, priority, payload };
        let key = SequenceKey::of(model, &input);
        if let Some(followers) = key.as_ref().and_then(|key| self.followers.get_mut(key)) {
            followers.push(member);
            self.following += 1;
        } else {
            self.enqueue(model, input, key, member);
        }
    }

    /// Whether there is room, and time.
    fn admit(&self, now: Instant, job: &Submission<T>) -> Result<(), EngineError> {
        let depth = self.depth();
        if self.draining {
            return Err(EngineError::ShuttingDown);
        }
        if depth >= self.policy.queue_limit {
            return Err(EngineError::Overloaded { depth, retry_after: self.retry_after() });
        }
        match job.deadline {
            Some(deadline) if now >= deadline || now + self.predict_answer(now, job) > deadline => {
                Err(EngineError::DeadlineExceeded { point: DeadlinePoint::Admission })
            }
            _ => Ok(()),
        }
    }

    /// How long from `now` until the job would be answered.
    fn predict_answer(&self, now: Instant, job: &Submission<T>) -> Duration {
        let alone = self.costs.predict(self.shape_of(&job.input, 1));
        if !self.idle.is_empty() && self.has_room_beside(1) {
            return alone;
        }
        let running: Duration = self
            .workers
            .iter()
            .map(|worker| match worker {
                Worker::Running(running) => running.predicted_end.saturating_duration_since(now),
                Worker::Idle | Worker::Recovering => Duration::ZERO,
            })
            .sum();
        let ahead = self.queue.backlog(job.priority) + running;
        ahead / self.policy.workers as u32 + alone.max(self.costs.typical_turnaround())
    }

    /// When a quarter of what waits will have been done.
    fn retry_after(&self) -> Duration {
        let drained = self.queue.backlog(Priority::Bulk) / (4 * self.policy.workers as u32);
        drained.clamp(Duration::from_millis(1), Duration::from_secs(10))
    }

    fn shape_of(&self, input: &Input, queries: usize) -> BatchShape {
        match input {
            Input::Vector(_) => BatchShape { sequences: 0, tokens: 0, queries },
            Input::Sequence(sequence) => {
                BatchShape { sequences: 1, tokens: self.policy.padding.padded(sequence.len()), queries }
            }
        }
    }

    fn enqueue(&mut self, model: ModelKey, input: Input, key: Option<SequenceKey>, member: Member<T>) {
        let alone = self.costs.predict(self.shape_of(&input, 1));
        let follower = self.costs.predict(BatchShape { queries: 1, ..BatchShape::default() });
        self.queue.insert(model, input, key, member, queue::Cost { alone, follower });
    }

    fn cancel(&mut self, id: JobId) {
        if self.queue.cancel(id) {
            return;
        }
        if let Some(members) =
            self.followers.values_mut().find(|members| members.iter().any(|member| member.id == id))
        {
            members.retain(|member| member.id != id);
            self.following -= 1;
        }
    }

    fn free(&mut self, worker: WorkerId) -> Option<Running> {
        match std::mem::replace(&mut self.workers[worker], Worker::Idle) {
            Worker::Running(running) => {
                self.idle.push(worker);
                Some(running)
            }
            Worker::Idle | Worker::Recovering => None,
        }
    }

    /// Takes in what a worker encoded: it waits for scoring now, with the jobs that waited for the encoding.
    fn collect(&mut self, running: &Running, groups: Vec<Group<T>>) {
        for (key, Group { input, members }) in running.keys.iter().zip(groups) {
            if let (Some(key), Input::Vector(vector)) = (key, input) {
                self.release(key, Some(&vector), members);
            }
        }
    }

    /// Releases the jobs that waited for the encodings of a batch; `vectors` are those of its groups, in order.
    fn release_followers(&mut self, running: &Running, vectors: &[Arc<[f32]>]) {
        for (group, key) in running.keys.iter().enumerate() {
            if let Some(key) = key {
                self.release(key, vectors.get(group), Vec::new());
            }
        }
    }

    /// Jobs that wanted or waited for an encoding wait for the scoring of its vector; without one, jobs that
    /// waited for it wait for an encoding of their own.
    fn release(&mut self, key: &SequenceKey, vector: Option<&Arc<[f32]>>, mut members: Vec<Member<T>>) {
        let followers = self.followers.remove(key).unwrap_or_default();
        self.following -= followers.len();
        if let Some(vector) = vector.filter(|vector| !vector.is_empty()) {
            members.extend(followers);
            let each = self.costs.predict(BatchShape { queries: 1, ..BatchShape::default() });
            self.queue.insert_encoded(key, vector, members, each);
        } else {
            for member in followers {
                let input = Input::Sequence(key.sequence.clone());
                self.enqueue(key.model, input, Some(key.clone()), member);
            }
        }
    }

    fn close(&mut self, model: Option<ModelKey>, why: &EngineError, actions: &mut Vec<Action<T>>) {
        let mut members = self.queue.remove(model);
        for (_, followers) in
            self.followers.iter_mut().filter(|(key, _)| model.is_none_or(|model| key.model == model))
        {
            self.following -= followers.len();
            members.append(followers);
        }
        actions.extend(
            members.into_iter().map(|Member { payload, .. }| Action::Refuse { payload, error: why.clone() }),
        );
    }

    /// Whether a batch of so many jobs may run beside those that do.
    fn has_room_beside(&self, jobs: usize) -> bool {
        let Padding::Buckets { side_by_side, worth_joining, .. } = self.policy.padding else { return true };
        let running = self.workers.iter().filter(|worker| matches!(worker, Worker::Running(_))).count();
        running < side_by_side || jobs >= worth_joining
    }

    /// Gives work to idle workers while there is any.
    fn assign(&mut self, now: Instant, actions: &mut Vec<Action<T>>) {
        while let Some(worker) = self.idle.pop() {
            let Some((model, batch)) = self.form(now, actions) else {
                self.idle.push(worker);
                return;
            };
            let keys = self.lead(model, &batch.groups);
            let Batch { shape, predicted, phase, .. } = batch;
            if phase == Phase::Answer {
                self.load.scores(shape.queries);
            }
            let running = Running { shape, predicted_end: now + predicted, keys };
            self.workers[worker] = Worker::Running(running);
            actions.push(Action::Dispatch { worker, batch });
        }
    }

    /// Remembers which sequences are being encoded; their keys, in order.
    fn lead(&mut self, model: ModelKey, groups: &[Group<T>]) -> Vec<Option<SequenceKey>> {
        let keys: Vec<_> = groups.iter().map(|group| SequenceKey::of(model, &group.input)).collect();
        for key in keys.iter().flatten() {
            self.followers.entry(key.clone()).or_default();
        }
        keys
    }
}

impl Padding {
    /// The length at which a sequence runs.
    pub(crate) fn padded(&self, length: usize) -> usize {
        match self {
            Self::None => length,
            Self::Buckets { lengths, .. } => smallest_that_holds(lengths, length),
        }
    }

    fn lengths(&self) -> Vec<usize> {
        match self {
            Self::None => Vec::new(),
            Self::Buckets { lengths, .. } => lengths.clone(),
        }
    }
}

/// The least of ascending sizes that holds `count`; `count` itself when none does.
fn smallest_that_holds(sizes: &[usize], count: usize) -> usize {
    sizes.iter().copied().find(|size| *size >= count).unwrap_or(count)
}
