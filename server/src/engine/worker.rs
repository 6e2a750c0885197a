//! A worker: an OS thread that runs batches, one after another.
//!
//! It encodes what needs encoding, scores what wants scoring and answers. A failure, a panic included, fails
//! the batch and nothing else: the encoder is rebuilt, and a model that fails three times in a row is taken
//! out of service.

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
use super::pool::{Pending, Pool};
use super::scheduler::{Batch, Event, Group, Ran, Reason, WorkerId};
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
    /// What was dispatched and what joined, in order.
    tasks: Vec<Task>,
    reason: Reason,
    shape: BatchShape,
    used_tokens: usize,
    predicted: Duration,
    /// Whether all that was taken was done: only then does it teach the cost model.
    as_formed: bool,
    encode: Duration,
}

/// A group that was taken by the worker.
struct Task {
    taken: Instant,
    group: Group<Pending>,
    /// Empty when nobody waited for it any more.
    vector: Arc<[f32]>,
    /// Where the device made one: the rows that hold the best items for [`Task::query`].
    shortlist: Vec<ItemRow>,
}

/// What failed.
enum Failure {
    Encoder(BackendError),
    Scorer(BackendError),
}

impl Worker {
    /// Runs a batch, answers its members, and returns the next batch.
    fn run(&mut self, batch: Batch<Pending>) -> Option<Batch<Pending>> {
        let Some(core) = core_of(&batch) else {
            return self.report(Event::Finished { worker: self.id, vectors: Vec::new(), ran: None });
        };
        let mut work = Work::new(core, &batch);
        match self.encode_all(&mut work, batch).and_then(|()| score(&mut work)) {
            Ok((found, score)) => {
                work.core.succeeded();
                self.pool.metrics.ran(self.id, work.predicted, work.encode, score);
                let busy = (work.encode + score).as_micros() as u64;
                self.pool.counts.busy_us.fetch_add(busy, Ordering::Relaxed);
                let ran = work.as_formed.then_some(Ran { encode: work.encode, score });
                let vectors = work.tasks.iter().map(|task| Arc::clone(&task.vector)).collect();
                // Before the answers: whoever is answered may send the next job at once, to this worker,
                // whose caches are warm.
                let next = self.report(Event::Finished { worker: self.id, vectors, ran });
                self.answer(work, found, score);
                next
            }
            Err(failure) => self.fail(work, failure),
        }
    }

    fn report(&self, event: Event<Pending>) -> Option<Batch<Pending>> {
        self.pool.step(event, Some(self.id))
    }

    /// Encodes the batch and, where it may grow, what joins it.
    fn encode_all(&mut self, work: &mut Work, batch: Batch<Pending>) -> Result<(), Failure> {
        let mut next = Some(batch);
        while let Some(batch) = next.take().filter(|batch| !batch.groups.is_empty()) {
            let taken = Instant::now();
            let first = work.take(batch, taken);
            let encoded = self.encode(work, first);
            work.encode += taken.elapsed();
            encoded.map_err(Failure::Encoder)?;
            self.refuse_without_vector(&mut work.tasks[first..]);
            next = self.report(Event::Encoded { worker: self.id });
            if let Some(more) = &next {
                work.reason = more.reason;
            }
        }
        self.pool.metrics.dispatched(work.reason, work.shape, work.used_tokens);
        Ok(())
    }

    /// Encodes the sequences that were taken from `first` on, and shortlists where the device can.
    fn encode(&mut self, work: &mut Work, first: usize) -> Result<(), BackendError> {
        let items = work.core.bundle.items();
        let mut wanted: Vec<&mut Task> =
            work.tasks[first..].iter_mut().filter(|task| !task.group.members.is_empty()).collect();
        let asks: Vec<Ask<'_>> = wanted
            .iter()
            .map(|task| Ask { input: AskInput::new(&task.group.input), query: task.query(items) })
            .collect();
        let sequences = asks.iter().filter(|ask| ask.is_sequence()).count();
        caught(|| work.core.encode(self.id, &asks, &mut self.encoded))?;
        let mut rows = self.encoded.vectors.chunks_exact(work.core.bundle.dimension());
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

    fn answer(&self, work: Work, found: Vec<TopK>, score: Duration) {
        let mut found = found.into_iter();
        let batch_size = work.shape.queries;
        let scored = Instant::now();
        for Task { taken, group, vector, .. } in work.tasks {
            for member in group.members {
                let top = match member.payload.want {
                    Want::Vector => None,
                    Want::TopK(_) => found.next(),
                };
                let queue = taken.saturating_duration_since(member.submitted);
                self.pool.metrics.waited(queue);
                self.pool.counts.completed.fetch_add(1, Ordering::Relaxed);
                let (items, method) = top.map_or((Vec::new(), None), |top| (top.items, Some(top.method)));
                let encode = scored.saturating_duration_since(taken).saturating_sub(score);
                let timings = JobTimings { queue, encode, score };
                let answer = Answer { vector: Arc::clone(&vector), items, method, timings, batch_size };
                // A caller that has gone in the meantime wants no answer.
                let _ = member.payload.reply.send(Ok(answer));
            }
        }
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
    fn new(core: Arc<Core>, batch: &Batch<Pending>) -> Self {
        Self {
            core,
            tasks: Vec::new(),
            reason: batch.reason,
            shape: BatchShape::default(),
            used_tokens: 0,
            predicted: Duration::ZERO,
            as_formed: true,
            encode: Duration::ZERO,
        }
    }

    /// Takes groups in, without the members who have gone; the number of the first of them.
    fn take(&mut self, batch: Batch<Pending>, taken: Instant) -> usize {
        let first = self.tasks.len();
        self.predicted = self.encode + batch.predicted;
        self.shape = self.shape + batch.shape;
        self.used_tokens += batch.used_tokens;
        for mut group in batch.groups {
            let formed = group.members.len();
            group.members.retain(|member| !member.payload.reply.is_closed());
            self.as_formed &= group.members.len() == formed;
            let vector = match &group.input {
                Input::Vector(vector) => Arc::clone(vector),
                Input::Sequence(_) => Arc::from([]),
            };
            self.tasks.push(Task { taken, group, vector, shortlist: Vec::new() });
        }
        first
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
