//! A worker: an OS thread that runs batches, one after another.
//!
//! It encodes what needs encoding and either hands the vectors back, to be scored with those of other workers,
//! or scores what wants scoring and answers. A failure, a panic included, fails the batch and nothing else: the
//! encoder is rebuilt, and a model that fails three times in a row is taken out of service.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::cost::BatchShape;
use super::job::{
    Answer, Ask, AskInput, BackendError, EncodedBatch, EngineError, Input, ItemRow, JobTimings, Query,
    ScorerQuery, TopK, Want,
};
use super::model::Core;
use super::pool::{Pending, Pool, Reply};
use super::scheduler::{Batch, Event, Group, Member, Ran, Reason, Stage, WorkerId};
use super::shortlist;

/// Starts a worker of the pool.
pub(crate) fn spawn(pool: Arc<Pool>, id: WorkerId, device: &str) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(format!("engine-{device}-{id}")).spawn(move || {
        let mut worker = Worker { pool, id, encoded: EncodedBatch::default() };
        while let Some(batch) = worker.pool.wait(id) {
            let mut next = Some(batch);
            while let Some(batch) = next.take() {
                next = worker.run(batch);
            }
        }
    })
}

struct Worker {
    pool: Arc<Pool>,
    id: WorkerId,
    encoded: EncodedBatch,
}

/// A batch while it runs.
struct Work {
    core: Arc<Core>,
    stage: Stage,
    tasks: Vec<Task>,
    reason: Reason,
    shape: BatchShape,
    used_tokens: usize,
    predicted: Duration,
    /// Whether all that was formed was done: only then does it teach the cost model.
    as_formed: bool,
    encode: Duration,
}

/// A group that was taken by the worker.
struct Task {
    group: Group<Pending>,
    /// Empty when nobody waited for it any more.
    vector: Arc<[f32]>,
    /// Where the device made one: the rows that hold the best items for [`Task::query`].
    shortlist: Vec<ItemRow>,
}

/// What the answers of a batch have in common.
#[derive(Clone, Copy)]
struct Outcome {
    answered: Instant,
    score: Duration,
    batch_size: usize,
}

/// What failed.
enum Failure {
    Encoder(BackendError),
    Scorer(BackendError),
}

impl Worker {
    /// Runs a batch, answers who has all that he wants, and returns the next batch.
    fn run(&mut self, batch: Batch<Pending>) -> Option<Batch<Pending>> {
        let Some(core) = core_of(&batch) else {
            return self.report(Event::Finished { worker: self.id, vectors: Vec::new(), ran: None });
        };
        let mut work = Work::new(core, batch, Instant::now());
        if let Err(failure) = self.encode(&mut work) {
            return self.fail(work, failure);
        }
        match work.stage {
            Stage::Encode => self.hand_back(work),
            Stage::Answer => match score(&mut work) {
                Ok((found, score)) => self.finish(work, found, score),
                Err(failure) => self.fail(work, failure),
            },
        }
    }

    fn report(&self, event: Event<Pending>) -> Option<Batch<Pending>> {
        self.pool.step(event, Some(self.id))
    }

    /// Encodes the sequences, and shortlists where the device can.
    fn encode(&mut self, work: &mut Work) -> Result<(), Failure> {
        let began = Instant::now();
        let encoded = self.encode_tasks(&work.core, &mut work.tasks);
        work.encode = began.elapsed();
        encoded.map_err(Failure::Encoder)?;
        self.refuse_without_vector(&mut work.tasks);
        self.pool.metrics.dispatched(work.reason, work.shape, work.used_tokens);
        Ok(())
    }

    fn encode_tasks(&mut self, core: &Core, tasks: &mut [Task]) -> Result<(), BackendError> {
        let items = core.bundle.items();
        let mut wanted: Vec<&mut Task> =
            tasks.iter_mut().filter(|task| !task.group.members.is_empty()).collect();
        let asks: Vec<Ask<'_>> = wanted
            .iter()
            .map(|task| Ask { input: AskInput::new(&task.group.input), query: task.query(items) })
            .collect();
        let sequences = asks.iter().filter(|ask| ask.is_sequence()).count();
        caught(|| core.encode(self.id, &asks, &mut self.encoded))?;
        let mut rows = self.encoded.vectors.chunks_exact(core.bundle.dimension());
        if rows.len() != sequences {
            let found = rows.len();
            return Err(BackendError(format!("the encoder returned {found} vectors of {sequences}")));
        }
        for (index, task) in wanted.iter_mut().enumerate() {
            if let Input::Sequence(_) = task.group.input {
                task.vector = rows.next().map_or_else(|| Arc::from([]), Arc::from);
            }
            task.shortlist = self.encoded.shortlists.get(index).to_vec();
        }
        Ok(())
    }

    /// A sequence for which the model has no finite vector can't be scored; its companions can.
    fn refuse_without_vector(&self, tasks: &mut [Task]) {
        for task in tasks.iter_mut().filter(|task| !task.vector.iter().all(|value| value.is_finite())) {
            let why = "the model has no finite vector for this sequence".to_owned();
            for member in task.group.members.drain(..) {
                self.pool.refuse(member.payload, EngineError::BadJob(why.clone()));
            }
            task.vector = Arc::from([]);
        }
    }

    /// Gives back what wants scoring, and answers who wants the vector alone.
    fn hand_back(&self, work: Work) -> Option<Batch<Pending>> {
        let Work { core, tasks, predicted, encode, as_formed, .. } = work;
        self.ran(predicted, encode, Duration::ZERO);
        let answered = Instant::now();
        let mut replies = Vec::new();
        let mut groups = Vec::with_capacity(tasks.len());
        for Task { group, vector, .. } in tasks {
            // Who left meanwhile was not in the queue to be taken out of it.
            let here = group.members.into_iter().filter(|member| !member.payload.reply.is_closed());
            let (done, members): (Vec<_>, Vec<_>) =
                here.partition(|member| matches!(member.payload.want, Want::Vector));
            let outcome = Outcome { answered, score: Duration::ZERO, batch_size: done.len() };
            replies.extend(done.into_iter().map(|member| self.reply(member, &vector, None, outcome)));
            groups.push(Group { input: Input::Vector(vector), members });
        }
        if !replies.is_empty() {
            core.succeeded();
        }
        let encode = as_formed.then_some(encode);
        let next = self.report(Event::Encoded { worker: self.id, groups, encode });
        self.pool.answer(replies);
        next
    }

    /// Answers everybody.
    fn finish(&self, work: Work, found: Vec<TopK>, score: Duration) -> Option<Batch<Pending>> {
        work.core.succeeded();
        self.ran(work.predicted, work.encode, score);
        let outcome = Outcome { answered: Instant::now(), score, batch_size: work.shape.queries };
        let turnaround = outcome.answered.saturating_duration_since(work.begun());
        let ran = work.as_formed.then_some(Ran { encode: work.encode, score, turnaround });
        let vectors = work.tasks.iter().map(|task| Arc::clone(&task.vector)).collect();
        let next = self.report(Event::Finished { worker: self.id, vectors, ran });
        let mut found = found.into_iter();
        let mut replies = Vec::new();
        for Task { group, vector, .. } in work.tasks {
            for member in group.members {
                let top = match member.payload.want {
                    Want::Vector => None,
                    Want::TopK(_) => found.next(),
                };
                replies.push(self.reply(member, &vector, top, outcome));
            }
        }
        self.pool.answer(replies);
        next
    }

    fn ran(&self, predicted: Duration, encode: Duration, score: Duration) {
        self.pool.metrics.ran(self.id, predicted, encode, score);
        self.pool.counts.busy_us.fetch_add((encode + score).as_micros() as u64, Ordering::Relaxed);
    }

    fn reply(
        &self,
        member: Member<Pending>,
        vector: &Arc<[f32]>,
        top: Option<TopK>,
        outcome: Outcome,
    ) -> Reply {
        let Outcome { answered, score, batch_size } = outcome;
        let begun = member.payload.begun.unwrap_or(answered);
        let queue = begun.saturating_duration_since(member.submitted);
        self.pool.metrics.waited(queue);
        self.pool.counts.completed.fetch_add(1, Ordering::Relaxed);
        let (items, method) = top.map_or((Vec::new(), None), |top| (top.items, Some(top.method)));
        let encode = answered.saturating_duration_since(begun).saturating_sub(score);
        let timings = JobTimings { queue, encode, score };
        let answer = Answer { vector: Arc::clone(vector), items, method, timings, batch_size };
        Reply { to: member.payload.reply, answer }
    }

    fn fail(&mut self, work: Work, failure: Failure) -> Option<Batch<Pending>> {
        let core = &work.core;
        let (error, encoder_failed) = match failure {
            Failure::Encoder(error) => (error, true),
            Failure::Scorer(error) => (error, false),
        };
        tracing::error!(model = core.bundle.version(), worker = self.id, %error, "a batch failed");
        self.pool.metrics.failed();
        self.pool.counts.failed.fetch_add(1, Ordering::Relaxed);
        let next = self.report(Event::Failed { worker: self.id });
        debug_assert!(next.is_none(), "a worker that recovers gets no batch");
        for member in work.tasks.into_iter().flat_map(|task| task.group.members) {
            self.pool.refuse(member.payload, EngineError::Backend(error.0.clone()));
        }
        let rebuilt = if encoder_failed { core.rebuild(self.id) } else { Ok(()) };
        let out_of_service = match rebuilt {
            Ok(()) => core.failed(&error),
            Err(why) => Some(core.take_out_of_service(format!("its worker could not be rebuilt: {why}"))),
        };
        if let Some(why) = out_of_service {
            tracing::error!(model = core.bundle.version(), %why, "the model is out of service");
            self.report(Event::Close { model: Some(core.key), why });
        }
        self.report(Event::Recovered { worker: self.id })
    }
}

impl Work {
    /// A batch without the members who have gone.
    fn new(core: Arc<Core>, batch: Batch<Pending>, taken: Instant) -> Self {
        let Batch { stage, reason, shape, used_tokens, predicted, groups } = batch;
        let mut as_formed = true;
        let tasks = groups.into_iter().map(|mut group| {
            let formed = group.members.len();
            group.members.retain(|member| !member.payload.reply.is_closed());
            as_formed &= group.members.len() == formed;
            for member in &mut group.members {
                member.payload.begun.get_or_insert(taken);
            }
            let vector = match &group.input {
                Input::Vector(vector) => Arc::clone(vector),
                Input::Sequence(_) => Arc::from([]),
            };
            Task { group, vector, shortlist: Vec::new() }
        });
        let tasks = tasks.collect();
        Self { core, stage, tasks, reason, shape, used_tokens, predicted, as_formed, encode: Duration::ZERO }
    }

    /// When a worker took the first of its jobs.
    fn begun(&self) -> Instant {
        let members = self.tasks.iter().flat_map(|task| &task.group.members);
        members.filter_map(|member| member.payload.begun).min().unwrap_or_else(Instant::now)
    }
}

impl Task {
    /// What the device is asked to make a shortlist for.
    fn query(&self, items: usize) -> Option<&Query> {
        shortlist::query_for(self.group.members.iter().map(|member| &member.payload.want), items)
    }

    /// The answer of one of its queries from the shortlist; `None` where that does not suffice.
    fn answer_from_shortlist(&self, core: &Core, wanted: &ScorerQuery<'_>) -> Option<TopK> {
        if self.shortlist.is_empty() {
            return None;
        }
        let made_for = self.query(core.bundle.items())?;
        let served = shortlist::serves(made_for, wanted.query);
        if served { core.scorer.rank_shortlist(wanted, &self.shortlist) } else { None }
    }
}

/// The model of a batch.
fn core_of(batch: &Batch<Pending>) -> Option<Arc<Core>> {
    let mut members = batch.groups.iter().flat_map(|group| &group.members);
    members.next().map(|member| Arc::clone(&member.payload.core))
}

/// The best items of every member that wants some, in order, and how long they took.
fn score(work: &mut Work) -> Result<(Vec<TopK>, Duration), Failure> {
    let began = Instant::now();
    let found = best_items(&work.core, &work.tasks).map_err(Failure::Scorer)?;
    // A device that was given ready vectors has only scored: its time is the price of the queries.
    let on_device = if work.shape.tokens == 0 { std::mem::take(&mut work.encode) } else { Duration::ZERO };
    let here = if found.is_empty() { Duration::ZERO } else { began.elapsed() };
    Ok((found, on_device + here))
}

/// From shortlists where they suffice, else by the scorer.
fn best_items(core: &Core, tasks: &[Task]) -> Result<Vec<TopK>, BackendError> {
    let mut found: Vec<Option<TopK>> = Vec::new();
    let mut rest: Vec<ScorerQuery<'_>> = Vec::new();
    for task in tasks {
        for member in &task.group.members {
            let Want::TopK(query) = &member.payload.want else { continue };
            let wanted = ScorerQuery { vector: &task.vector, query };
            let answer = task.answer_from_shortlist(core, &wanted);
            if answer.is_none() {
                rest.push(wanted);
            }
            found.push(answer);
        }
    }
    if rest.is_empty() {
        return Ok(found.into_iter().flatten().collect());
    }
    let mut scored = caught(|| core.scorer.top_k(&rest))?;
    if scored.len() != rest.len() {
        return Err(BackendError(format!("the scorer answered {} of {} queries", scored.len(), rest.len())));
    }
    if rest.len() == found.len() {
        return Ok(scored);
    }
    let mut scored = scored.drain(..);
    Ok(found.into_iter().filter_map(|answer| answer.or_else(|| scored.next())).collect())
}

/// Turns a panic into an error.
fn caught<R>(work: impl FnOnce() -> Result<R, BackendError>) -> Result<R, BackendError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(BackendError(format!("panicked: {}", text(&*panic)))))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
