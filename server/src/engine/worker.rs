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

use super::job::{
    Answer, BackendError, EncodedBatch, EngineError, Input, ItemRow, JobTimings, ScorerQuery, TopK, Want,
};
use super::model::Core;
use super::pool::{Pending, Pool};
use super::scheduler::{Batch, Event, Group, Ran, WorkerId};

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

/// A batch that ran.
struct Done {
    vectors: Vec<Arc<[f32]>>,
    encode: Duration,
    score: Duration,
    /// For each member that wants items, in order.
    found: Vec<TopK>,
}

/// What failed.
enum Failure {
    Encoder(BackendError),
    Scorer(BackendError),
}

impl Worker {
    /// Runs a batch, answers its members, and returns the next batch.
    fn run(&mut self, mut batch: Batch<Pending>) -> Option<Batch<Pending>> {
        let began = Instant::now();
        let formed = batch.groups.iter().map(|group| group.members.len()).sum::<usize>();
        for group in &mut batch.groups {
            group.members.retain(|member| !member.payload.reply.is_closed());
        }
        let mut live = batch.groups.iter().flat_map(|group| &group.members);
        let Some(first) = live.next() else {
            return self.report(Event::Finished { worker: self.id, vectors: Vec::new(), ran: None });
        };
        let core = Arc::clone(&first.payload.core);
        let as_formed = live.count() + 1 == formed;
        match self.compute(&core, &batch.groups) {
            Ok(done) => {
                core.succeeded();
                self.pool.metrics.ran(self.id, batch.predicted, done.encode, done.score);
                self.pool.counts.busy_us.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                let ran = as_formed.then_some(Ran { encode: done.encode, score: done.score });
                let vectors = done.vectors.clone();
                self.answer(batch, began, done);
                self.report(Event::Finished { worker: self.id, vectors, ran })
            }
            Err(failure) => self.fail(&core, batch, failure),
        }
    }

    fn report(&self, event: Event<Pending>) -> Option<Batch<Pending>> {
        self.pool.step(event, Some(self.id))
    }

    fn compute(&mut self, core: &Core, groups: &[Group<Pending>]) -> Result<Done, Failure> {
        let began = Instant::now();
        let vectors = self.encode(core, groups).map_err(Failure::Encoder)?;
        let encoded = Instant::now();
        let found = score(core, groups, &vectors).map_err(Failure::Scorer)?;
        Ok(Done { vectors, found, encode: encoded - began, score: encoded.elapsed() })
    }

    /// One vector for each group; groups that nobody waits for any more get an empty one.
    fn encode(&mut self, core: &Core, groups: &[Group<Pending>]) -> Result<Vec<Arc<[f32]>>, BackendError> {
        let wanted = |group: &&Group<Pending>| !group.members.is_empty();
        let sequences: Vec<&[ItemRow]> = groups
            .iter()
            .filter(wanted)
            .filter_map(|group| match &group.input {
                Input::Sequence(sequence) => Some(&**sequence),
                Input::Vector(_) => None,
            })
            .collect();
        let encoded = &mut self.encoded;
        if !sequences.is_empty() {
            caught(|| core.encode(self.id, &sequences, encoded))?;
        }
        let mut rows = encoded.vectors.chunks_exact(core.bundle.dimension());
        groups
            .iter()
            .map(|group| match &group.input {
                Input::Vector(vector) => Ok(Arc::clone(vector)),
                Input::Sequence(_) if group.members.is_empty() => Ok(Arc::from([])),
                Input::Sequence(_) => rows
                    .next()
                    .map(Arc::from)
                    .ok_or_else(|| BackendError("the encoder returned too few vectors".to_owned())),
            })
            .collect()
    }

    fn answer(&self, batch: Batch<Pending>, began: Instant, done: Done) {
        let mut found = done.found.into_iter();
        let batch_size = batch.shape.queries;
        for (group, vector) in batch.groups.into_iter().zip(done.vectors) {
            for member in group.members {
                let top = match member.payload.want {
                    Want::Vector => None,
                    Want::TopK(_) => found.next(),
                };
                let queue = began.saturating_duration_since(member.submitted);
                self.pool.metrics.waited(queue);
                self.pool.counts.completed.fetch_add(1, Ordering::Relaxed);
                let (items, method) = top.map_or((Vec::new(), None), |top| (top.items, Some(top.method)));
                let timings = JobTimings { queue, encode: done.encode, score: done.score };
                let answer = Answer { vector: Arc::clone(&vector), items, method, timings, batch_size };
                // A caller that has gone in the meantime wants no answer.
                let _ = member.payload.reply.send(Ok(answer));
            }
        }
    }

    fn fail(&mut self, core: &Core, batch: Batch<Pending>, failure: Failure) -> Option<Batch<Pending>> {
        let (error, encoder_failed) = match failure {
            Failure::Encoder(error) => (error, true),
            Failure::Scorer(error) => (error, false),
        };
        tracing::error!(model = core.bundle.version(), worker = self.id, %error, "a batch failed");
        self.pool.metrics.failed();
        self.pool.counts.failed.fetch_add(1, Ordering::Relaxed);
        let next = self.report(Event::Failed { worker: self.id });
        debug_assert!(next.is_none(), "a worker that recovers gets no batch");
        for member in batch.groups.into_iter().flat_map(|group| group.members) {
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

/// The best items of every member that wants some, in order.
fn score(core: &Core, groups: &[Group<Pending>], vectors: &[Arc<[f32]>]) -> Result<Vec<TopK>, BackendError> {
    let queries: Vec<ScorerQuery<'_>> = groups
        .iter()
        .zip(vectors)
        .flat_map(|(group, vector)| group.members.iter().map(move |member| (&member.payload.want, vector)))
        .filter_map(|(want, vector)| match want {
            Want::Vector => None,
            Want::TopK(query) => Some(ScorerQuery { vector, query }),
        })
        .collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let found = caught(|| core.scorer.top_k(&queries))?;
    if found.len() == queries.len() {
        Ok(found)
    } else {
        Err(BackendError(format!("the scorer answered {} of {} queries", found.len(), queries.len())))
    }
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
