//! The scheduler behind flat combining, a mailbox for each worker, and the counts.
//!
//! Flat combining (Hendler, Incze, Shavit and Tzafrir, SPAA 2010): a thread publishes its event and then becomes the
//! combiner, unless another thread is. The combiner applies what all threads have published to the scheduler, and
//! carries out the actions: a batch goes into the mailbox of an idle worker, a refusal to its caller. So no thread
//! waits for a lock: with sixteen cores and a hundred thousand jobs a second, callers spent a third of their time
//! waiting for one. The publication list is two queues here instead of a slot a thread, since threads come and go.
//!
//! A worker that finishes a batch and combines gets its next batch from the same call, without another thread, and
//! leaves the remaining events to others. Workers' events go first: a device waits for them, while those that bring
//! jobs wait for the device.

use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::model_core::Core;
use crate::job::{Answer, EngineError, Want};
use crate::metrics::Metrics;
use crate::scheduler::{Action, Batch, Event, JobId, Phase, Policy, Scheduler, Submission, WorkerId};

/// A job on its way: what it wants, of which model, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) want: Want,
    pub(crate) core: Arc<Core>,
    /// When a worker first took it.
    pub(crate) begun: Option<Instant>,
    pub(crate) reply: oneshot::Sender<Result<Answer, EngineError>>,
}

/// An answer on its way back.
pub(crate) struct Reply {
    pub(crate) to: oneshot::Sender<Result<Answer, EngineError>>,
    pub(crate) answer: Answer,
}

/// What one device does: its scheduler, its workers' mailboxes, its counts.
#[derive(Debug)]
pub(crate) struct Pool {
    from_workers: mpsc::Sender<Event<Pending>>,
    from_others: mpsc::Sender<Event<Pending>>,
    /// Events that are published and not applied; less for a moment when one is applied before it is counted.
    published: AtomicIsize,
    /// Whether a thread is the combiner.
    combining: AtomicBool,
    combined: Mutex<Combined>,
    mailboxes: Vec<Mailbox>,
    queue_limit: usize,
    next_job: AtomicU64,
    empty: Notify,
    /// Where the callers wait.
    runtime: Handle,
    pub(crate) counts: Counts,
    pub(crate) metrics: Metrics,
}

/// What the combiner works on: the scheduler, and the events that are published.
#[derive(Debug)]
struct Combined {
    scheduler: Scheduler<Pending>,
    from_workers: mpsc::Receiver<Event<Pending>>,
    from_others: mpsc::Receiver<Event<Pending>>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) completed: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) busy_us: AtomicU64,
}

#[derive(Debug, Default)]
struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Mail {
    batch: Option<Batch<Pending>>,
    /// Set once and for good: a batch that comes later is not run.
    stop: bool,
}

impl Pool {
    /// A pool whose callers wait on `runtime`.
    pub(crate) fn new(policy: Policy, runtime: Handle) -> Self {
        let (from_workers, of_workers) = mpsc::channel();
        let (from_others, of_others) = mpsc::channel();
        Self {
            mailboxes: (0..policy.workers).map(|_| Mailbox::default()).collect(),
            metrics: Metrics::new(policy.workers),
            queue_limit: policy.queue_limit,
            from_workers,
            from_others,
            published: AtomicIsize::new(0),
            combining: AtomicBool::new(false),
            combined: Mutex::new(Combined {
                scheduler: Scheduler::new(policy),
                from_workers: of_workers,
                from_others: of_others,
            }),
            next_job: AtomicU64::new(0),
            empty: Notify::new(),
            counts: Counts::default(),
            runtime,
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// The most jobs that wait.
    pub(crate) fn queue_limit(&self) -> usize {
        self.queue_limit
    }

    pub(crate) fn next_job(&self) -> JobId {
        self.next_job.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn submit(self: &Arc<Self>, submission: Submission<Pending>) {
        self.step(Event::Submit(submission), None);
    }

    pub(crate) fn cancel(self: &Arc<Self>, id: JobId) {
        self.counts.cancelled.fetch_add(1, Ordering::Relaxed);
        self.metrics.cancelled();
        self.step(Event::Cancel(id), None);
    }

    /// Jobs that wait, and how long the oldest has.
    pub(crate) fn queue(&self) -> (usize, Duration) {
        let combined = self.lock();
        (combined.scheduler.depth(), combined.scheduler.oldest_wait(Instant::now()))
    }

    /// Publishes an event and combines, unless another thread does and applies it. A batch for the worker `me`,
    /// which is calling, is returned instead of mailed.
    pub(crate) fn step(
        self: &Arc<Self>,
        event: Event<Pending>,
        me: Option<WorkerId>,
    ) -> Option<Batch<Pending>> {
        let publication = if me.is_some() { &self.from_workers } else { &self.from_others };
        // The receiver lives as long as the pool.
        let _ = publication.send(event);
        self.published.fetch_add(1, Ordering::SeqCst);
        let mine = self.combine(me);
        if mine.is_some() && self.has_events() {
            let pool = Arc::clone(self);
            self.runtime.spawn(async move { pool.combine(None) });
        }
        mine
    }

    /// Applies events while there are any, unless another thread does. Ends at once when there is a batch for the
    /// worker `me`, and returns it: under load there are always events, and the device would wait for its worker.
    fn combine(&self, me: Option<WorkerId>) -> Option<Batch<Pending>> {
        let mut mine = None;
        // A thread that finds a combiner has counted its event before, so that the event is seen here once the
        // combiner has ended.
        while mine.is_none()
            && self.has_events()
            && let Some(_combiner) = Combiner::become_one(&self.combining)
        {
            // What an event leads to is done before the next is looked at: a worker would wait for its batch.
            while mine.is_none()
                && let Some(actions) = self.apply_next()
            {
                for action in actions {
                    mine = self.carry_out(action, me).or(mine);
                }
            }
            if self.lock().scheduler.is_empty() {
                self.empty.notify_waiters();
            }
        }
        mine
    }

    fn has_events(&self) -> bool {
        self.published.load(Ordering::SeqCst) > 0
    }

    /// Applies the next event to the scheduler: the actions that follow, or `None` when no event is published.
    fn apply_next(&self) -> Option<Vec<Action<Pending>>> {
        let Combined { scheduler, from_workers, from_others } = &mut *self.lock();
        let event = from_workers.try_recv().or_else(|_| from_others.try_recv()).ok()?;
        self.published.fetch_sub(1, Ordering::SeqCst);
        Some(scheduler.step(Instant::now(), event))
    }

    /// Carries out an action; a batch for the worker `me` is returned.
    fn carry_out(&self, action: Action<Pending>, me: Option<WorkerId>) -> Option<Batch<Pending>> {
        match action {
            Action::Refuse { payload, error } => self.refuse(payload, error),
            Action::Dispatch { worker, batch } => {
                if batch.phase == Phase::Answer {
                    self.counts.batches.fetch_add(1, Ordering::Relaxed);
                }
                if me == Some(worker) {
                    return Some(batch);
                }
                self.mailboxes[worker].put(|mail| mail.batch = Some(batch));
            }
        }
        None
    }

    /// Answers the callers of a batch. Sent from the worker's thread, each answer would wake the runtime by itself,
    /// and it would take the processor, and its caches, from a worker for each.
    pub(crate) fn answer(&self, replies: Vec<Reply>) {
        if replies.is_empty() {
            return;
        }
        self.runtime.spawn(async move {
            for Reply { to, answer } in replies {
                // A caller that has gone in the meantime wants no answer.
                let _ = to.send(Ok(answer));
            }
        });
    }

    /// Counts a job that is answered with an error.
    pub(crate) fn count_refusal(&self, error: &EngineError) {
        self.counts.rejected.fetch_add(1, Ordering::Relaxed);
        self.metrics.refused(error);
    }

    pub(crate) fn refuse(&self, pending: Pending, error: EngineError) {
        self.count_refusal(&error);
        // The receiver is dropped when the caller has gone; that is no failure.
        let _ = pending.reply.send(Err(error));
    }

    /// The worker's next batch; `None` when it shall stop.
    pub(crate) fn wait(&self, worker: WorkerId) -> Option<Batch<Pending>> {
        self.mailboxes[worker].take()
    }

    /// Waits until nothing waits or runs.
    pub(crate) async fn emptied(&self) {
        loop {
            let notified = self.empty.notified();
            if !self.has_events() && self.lock().scheduler.is_empty() {
                return;
            }
            notified.await;
        }
    }

    pub(crate) fn stop(&self) {
        for mailbox in &self.mailboxes {
            mailbox.put(|mail| mail.stop = true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Combined> {
        self.combined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The role of the combiner; it ends with this value, after a panic too.
struct Combiner<'a>(&'a AtomicBool);

impl<'a> Combiner<'a> {
    /// `None` when another thread is the combiner.
    fn become_one(combining: &'a AtomicBool) -> Option<Self> {
        (!combining.swap(true, Ordering::SeqCst)).then(|| Self(combining))
    }
}

impl Drop for Combiner<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Mailbox {
    fn put(&self, change: impl FnOnce(&mut Mail)) {
        change(&mut self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<Batch<Pending>> {
        let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if mail.stop {
                // The callers of this batch learn that the engine stopped when its senders are dropped.
                mail.batch = None;
                return None;
            }
            match mail.batch.take() {
                Some(batch) => return Some(batch),
                None => mail = self.arrived.wait(mail).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::bundle::Bundle;
    use crate::job::{Input, Priority};
    use crate::scheduler::Padding;
    use crate::tests::{exact, fixture};

    const THREADS: usize = 8;
    const EVENTS: usize = 2000;

    fn pool() -> Arc<Pool> {
        let policy = Policy {
            workers: 1,
            queue_limit: 1,
            batch_jobs: 1,
            batch_tokens: 1,
            encode_tokens: 0,
            bulk_handicap: Duration::ZERO,
            padding: Padding::None,
        };
        Arc::new(Pool::new(policy, Handle::current()))
    }

    /// Waits until a thread is the combiner, which waits for the lock that the test holds.
    fn until_a_thread_combines(pool: &Pool) {
        while !pool.combining.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn what_many_threads_publish_at_once_is_all_applied() {
        let (pool, start) = (pool(), Barrier::new(THREADS));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    for job in 0..EVENTS {
                        pool.cancel(job as JobId);
                    }
                });
            }
        });
        assert_eq!(pool.published.load(Ordering::Relaxed), 0);
        assert!(pool.apply_next().is_none());
        assert_eq!(pool.counts.cancelled.load(Ordering::Relaxed), (THREADS * EVENTS) as u64);
        pool.emptied().await;
    }

    #[tokio::test]
    async fn a_thread_that_publishes_while_another_combines_goes_on_at_once() {
        let pool = pool();
        let combined = pool.lock();
        thread::scope(|scope| {
            let first = scope.spawn(|| pool.cancel(1));
            until_a_thread_combines(&pool);
            pool.cancel(2);
            assert_eq!(pool.published.load(Ordering::Relaxed), 2);
            assert!(!first.is_finished());
            drop(combined);
        });
        assert_eq!(pool.published.load(Ordering::Relaxed), 0);
    }

    fn submission(of: &Arc<Core>) -> Submission<Pending> {
        let (reply, _) = oneshot::channel();
        let payload = Pending { want: Want::Vector, core: Arc::clone(of), begun: None, reply };
        let input = Input::Sequence(std::iter::once(1).collect());
        Submission { id: 0, model: of.key, input, deadline: None, priority: Priority::Interactive, payload }
    }

    fn core() -> Arc<Core> {
        let bundle = Arc::new(Bundle::open(&fixture()).unwrap());
        let scorer = exact(&bundle).unwrap();
        let none = Box::new(|| panic!("no encoder is made here"));
        Arc::new(Core::new(0, bundle, scorer, none, Vec::new()))
    }

    #[tokio::test]
    async fn a_batch_is_with_its_worker_before_the_next_event_is_looked_at() {
        let (pool, core) = (pool(), core());
        let combined = pool.lock();
        thread::scope(|scope| {
            let first = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| pool.submit(submission(&core)))));
            until_a_thread_combines(&pool);
            // There is no such worker: the scheduler panics here.
            pool.step(Event::Recovered { worker: 99 }, None);
            drop(combined);
            assert!(first.join().unwrap().is_err());
        });
        assert!(pool.mailboxes[0].mail.lock().unwrap().batch.is_some());
    }

    #[tokio::test]
    async fn a_worker_leaves_with_its_batch_and_the_runtime_applies_the_rest() {
        let (pool, core) = (pool(), core());
        let combined = pool.lock();
        let batch = thread::scope(|scope| {
            let free = Event::Finished { worker: 0, vectors: Vec::new(), ran: None };
            let worker = scope.spawn(|| pool.step(free, Some(0)));
            until_a_thread_combines(&pool);
            pool.submit(submission(&core));
            pool.cancel(7);
            drop(combined);
            worker.join().unwrap()
        });
        assert_eq!(batch.unwrap().groups.len(), 1);
        assert_eq!(pool.published.load(Ordering::SeqCst), 1);
        tokio::task::yield_now().await;
        assert_eq!(pool.published.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_free_worker_is_applied_before_jobs_that_were_published_earlier() {
        let (pool, core) = (pool(), core());
        let combiner = Combiner::become_one(&pool.combining);
        pool.submit(submission(&core));
        pool.step(Event::Finished { worker: 0, vectors: Vec::new(), ran: None }, Some(0));
        assert!(pool.apply_next().unwrap().is_empty());
        assert!(matches!(pool.apply_next().unwrap()[..], [Action::Dispatch { worker: 0, .. }]));
        assert!(pool.apply_next().is_none());
        drop(combiner);
    }

    #[tokio::test]
    async fn a_combiner_that_panics_does_not_keep_others_from_combining() {
        let pool = pool();
        let nobody = Event::Recovered { worker: 99 };
        assert!(catch_unwind(AssertUnwindSafe(|| pool.step(nobody, None))).is_err());
        pool.cancel(1);
        assert_eq!(pool.published.load(Ordering::Relaxed), 0);
        assert!(pool.apply_next().is_none());
    }
}
