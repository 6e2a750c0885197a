//! A worker: an OS thread that runs batches, one after another.
//!
//! It encodes what needs encoding and either hands the vectors back, to be scored with those of other workers,
//! or ranks and answers. Beside a device that finds shortlists itself, a partner ranks and answers: so the device
//! has its next batch meanwhile. A failure, a panic included, fails the batch and nothing else: the encoder is
//! rebuilt, and a model that fails three times in a row is taken out of service.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SendError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use marquee_retrieval::BackendError;

use super::model_core::Core;
use super::pool::{Pending, Pool};
use super::work::{Outcome, Spent, Task, Work, caught, reply};
use crate::affinity::{self, Cpu};
use crate::job::{Ask, AskInput, EncodedBatch, EngineError, Input, Want};
use crate::scheduler::{Batch, Event, Group, Phase, Ran, WorkerId};

/// Batches that wait for a busy partner; the worker waits with the next.
const WAITING_FOR_PARTNER: usize = 1;

/// Starts a worker of the pool; on `cpu` it stays. Batches of `hand_over_from` queries or more are left to a partner,
/// another thread, to be ranked and answered; with `None` there is none.
pub(crate) fn spawn(
    pool: &Arc<Pool>,
    id: WorkerId,
    device: &str,
    cpu: Option<Cpu>,
    hand_over_from: Option<usize>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    let mut partner = None;
    if let Some(from) = hand_over_from {
        let (works, handed_over) = sync_channel(WAITING_FOR_PARTNER);
        let pool = Arc::clone(pool);
        let ranks = move || handed_over.into_iter().for_each(|work| rank_and_answer(&pool, id, work));
        threads.push(thread::Builder::new().name(format!("rank-{device}-{id}")).spawn(ranks)?);
        partner = Some(Partner { works, from });
    }
    let mut worker = Worker { pool: Arc::clone(pool), id, partner, encoded: EncodedBatch::default() };
    let runs = move || {
        if let Some(cpu) = cpu {
            affinity::stay_on(cpu);
        }
        while let Some(batch) = worker.pool.wait(id) {
            let mut next = Some(batch);
            while let Some(batch) = next.take() {
                next = worker.run(batch);
            }
        }
    };
    threads.push(thread::Builder::new().name(format!("engine-{device}-{id}")).spawn(runs)?);
    Ok(threads)
}

struct Worker {
    pool: Arc<Pool>,
    id: WorkerId,
    partner: Option<Partner>,
    encoded: EncodedBatch,
}

/// The thread that ranks and answers for a worker; it stops after the worker.
struct Partner {
    works: SyncSender<Work>,
    /// Fewer queries are ranked faster than handed over.
    from: usize,
}

impl Worker {
    /// Runs a batch, answers the jobs that are complete, and returns the next batch.
    fn run(&mut self, batch: Batch<Pending>) -> Option<Batch<Pending>> {
        let Some(mut work) = Work::new(batch, Instant::now()) else {
            return self.report(Event::Finished { worker: self.id, vectors: Vec::new(), ran: None });
        };
        if let Err(error) = self.encode(&mut work) {
            let core = Arc::clone(&work.core);
            self.fail(work, &error);
            return self.recover_encoder(&core);
        }
        let partner = self.partner.as_ref().filter(|partner| work.shape.queries >= partner.from);
        match (work.phase, partner) {
            (Phase::Encode, _) => self.hand_back(work),
            (Phase::Answer, Some(partner)) => self.hand_over(partner, work),
            (Phase::Answer, None) => self.answer(work),
        }
    }

    fn report(&self, event: Event<Pending>) -> Option<Batch<Pending>> {
        self.pool.step(event, Some(self.id))
    }

    /// Encodes the sequences, and shortlists where the device can.
    fn encode(&mut self, work: &mut Work) -> Result<(), BackendError> {
        let began = Instant::now();
        self.encode_tasks(&work.core, &mut work.tasks)?;
        work.encode = began.elapsed();
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

    /// Gives back what is to be scored, and answers the jobs that want the vector alone.
    fn hand_back(&self, work: Work) -> Option<Batch<Pending>> {
        let Work { core, tasks, predicted, encode, as_formed, .. } = work;
        self.worked(predicted, encode);
        self.pool.metrics.stages(encode, Duration::ZERO);
        let answered = Instant::now();
        let mut replies = Vec::new();
        let mut groups = Vec::with_capacity(tasks.len());
        for Task { group, vector, .. } in tasks {
            // A job that was cancelled meanwhile was not in the queue to be taken out of it.
            let here = group.members.into_iter().filter(|member| !member.payload.reply.is_closed());
            let (done, members): (Vec<_>, Vec<_>) =
                here.partition(|member| matches!(member.payload.want, Want::Vector));
            let outcome = Outcome { answered, score: Duration::ZERO, batch_size: done.len() };
            replies.extend(done.into_iter().map(|member| reply(&self.pool, member, &vector, None, outcome)));
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

    /// Ranks, and answers everybody.
    fn answer(&self, work: Work) -> Option<Batch<Pending>> {
        match work.rank(&self.pool) {
            Ok((found, spent)) => {
                let next = self.finished(&work, spent);
                work.answer(&self.pool, found, spent.score);
                next
            }
            Err(error) => {
                self.fail(work, &error);
                self.report(Event::Recovered { worker: self.id })
            }
        }
    }

    /// Leaves ranking and answers to the partner.
    fn hand_over(&self, partner: &Partner, work: Work) -> Option<Batch<Pending>> {
        let next = self.finished(&work, work.spent());
        if let Err(SendError(work)) = partner.works.send(work) {
            rank_and_answer(&self.pool, self.id, work);
        }
        next
    }

    /// Says that the worker is free, and what it took; the next batch.
    fn finished(&self, work: &Work, Spent { encode, score }: Spent) -> Option<Batch<Pending>> {
        self.worked(work.predicted, encode + score);
        let turnaround = Instant::now().saturating_duration_since(work.begun());
        let ran = work.as_formed.then_some(Ran { encode, score, turnaround });
        self.report(Event::Finished { worker: self.id, vectors: work.vectors(), ran })
    }

    fn worked(&self, predicted: Duration, time: Duration) {
        self.pool.metrics.worked(self.id, predicted, time);
        self.pool.counts.busy_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// Fails a batch; the worker is to recover.
    fn fail(&self, work: Work, error: &BackendError) {
        let next = self.report(Event::Failed { worker: self.id });
        debug_assert!(next.is_none(), "a worker that recovers gets no batch");
        fail(&self.pool, self.id, work, error);
    }

    fn recover_encoder(&self, core: &Core) -> Option<Batch<Pending>> {
        if let Err(why) = core.rebuild(self.id) {
            let why = core.take_out_of_service(format!("its worker could not be rebuilt: {why}"));
            close(&self.pool, core, why);
        }
        self.report(Event::Recovered { worker: self.id })
    }
}

/// What a partner does with a batch whose vectors are there.
fn rank_and_answer(pool: &Arc<Pool>, id: WorkerId, work: Work) {
    match work.rank(pool) {
        Ok((found, spent)) => work.answer(pool, found, spent.score),
        Err(error) => fail(pool, id, work, &error),
    }
}

/// Answers a batch that failed, and counts the failure against its model.
fn fail(pool: &Arc<Pool>, id: WorkerId, work: Work, error: &BackendError) {
    let core = Arc::clone(&work.core);
    tracing::error!(model = core.bundle.version(), worker = id, %error, "a batch failed");
    pool.metrics.failed();
    pool.counts.failed.fetch_add(1, Ordering::Relaxed);
    work.refuse(pool, error);
    if let Some(why) = core.failed(error) {
        close(pool, &core, why);
    }
}

/// Refuses all that waits for a model that is out of service.
fn close(pool: &Arc<Pool>, core: &Core, why: EngineError) {
    tracing::error!(model = core.bundle.version(), %why, "the model is out of service");
    pool.step(Event::Close { model: Some(core.key), why }, None);
}
