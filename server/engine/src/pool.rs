//! The scheduler and its inbox, a mailbox for each worker, and the counts.
//!
//! Whoever has news hands it in. Who finds nobody at the scheduler steps it, with what others hand in meanwhile
//! too, and carries out what it says: a batch goes into the mailbox of an idle worker, a refusal to its caller.
//! So nobody waits for a lock: with sixteen cores and a hundred thousand jobs a second, callers spent a third of
//! their time waiting for one. A worker that finishes a batch and steps the scheduler itself gets its next batch
//! from the same call, without another thread, and leaves the rest of the news to others. Workers' news goes first: a
//! device waits for it, while those who bring jobs wait for the device.

use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::job::{Answer, EngineError, Want};
use super::metrics::Metrics;
use super::model::Core;
use super::scheduler::{Action, Batch, Event, JobId, Phase, Policy, Scheduler, Submission, WorkerId};

/// A job on its way: what it wants, of which model, and who waits for it.
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
    /// Events that the scheduler has not been told; less for a moment when one is told before it is counted.
    handed_in: AtomicIsize,
    /// Whether somebody is at the scheduler.
    attended: AtomicBool,
    desk: Mutex<Desk>,
    mailboxes: Vec<Mailbox>,
    queue_limit: usize,
    next_job: AtomicU64,
    empty: Notify,
    /// Where the callers wait.
    runtime: Handle,
    pub(crate) counts: Counts,
    pub(crate) metrics: Metrics,
}

/// The scheduler, and what it has not been told yet.
#[derive(Debug)]
struct Desk {
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
            handed_in: AtomicIsize::new(0),
            attended: AtomicBool::new(false),
            desk: Mutex::new(Desk {
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
        let desk = self.lock();
        (desk.scheduler.depth(), desk.scheduler.oldest_wait(Instant::now()))
    }

    /// Hands in an event. Unless another thread is at the scheduler, and takes it along, the scheduler is stepped
    /// and its actions are carried out: a batch for the worker `me`, who is calling, is returned instead of mailed.
    pub(crate) fn step(
        self: &Arc<Self>,
        event: Event<Pending>,
        me: Option<WorkerId>,
    ) -> Option<Batch<Pending>> {
        let inbox = if me.is_some() { &self.from_workers } else { &self.from_others };
        // The receiver lives as long as the pool.
        let _ = inbox.send(event);
        self.handed_in.fetch_add(1, Ordering::SeqCst);
        let mine = self.attend(me);
        if mine.is_some() && self.has_news() {
            let pool = Arc::clone(self);
            self.runtime.spawn(async move { pool.attend(None) });
        }
        mine
    }

    /// Steps the scheduler while there is news, unless another thread does. Ends at once when there is a batch for
    /// the worker `me`, and returns it: under load there is always news, and the device would wait for its worker.
    fn attend(&self, me: Option<WorkerId>) -> Option<Batch<Pending>> {
        let mut mine = None;
        // Who finds the turn taken has counted his news before, so that it is seen here when the turn has ended.
        while mine.is_none()
            && self.has_news()
            && let Some(_turn) = Turn::take(&self.attended)
        {
            // What an event leads to is done before the next is looked at: a worker would wait for its batch.
            while mine.is_none()
                && let Some(actions) = self.decide()
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

    fn has_news(&self) -> bool {
        self.handed_in.load(Ordering::SeqCst) > 0
    }

    /// Tells the scheduler the next event, and what is to be done about it; `None` when there is nothing new.
    fn decide(&self) -> Option<Vec<Action<Pending>>> {
        let Desk { scheduler, from_workers, from_others } = &mut *self.lock();
        let event = from_workers.try_recv().or_else(|_| from_others.try_recv()).ok()?;
        self.handed_in.fetch_sub(1, Ordering::SeqCst);
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
        // Nobody listens any more when the caller has gone; that is no failure.
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
            if !self.has_news() && self.lock().scheduler.is_empty() {
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

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of who steps the scheduler; it ends with him, should he panic too.
struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    /// `None` when it is another's.
    fn take(attended: &'a AtomicBool) -> Option<Self> {
        (!attended.swap(true, Ordering::SeqCst)).then(|| Self(attended))
    }
}

impl Drop for Turn<'_> {
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
                // Whoever waits for this batch learns that the engine stopped when its sender is dropped.
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
            bulk_handicap: Duration::ZERO,
            padding: Padding::None,
        };
        Arc::new(Pool::new(policy, Handle::current()))
    }

    /// Waits until a thread has its turn, and for the desk, which the test holds.
    fn somebody_attends(pool: &Pool) {
        while !pool.attended.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn what_many_threads_hand_in_at_once_is_all_taken() {
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
        assert_eq!(pool.handed_in.load(Ordering::Relaxed), 0);
        assert!(pool.decide().is_none());
        assert_eq!(pool.counts.cancelled.load(Ordering::Relaxed), (THREADS * EVENTS) as u64);
        pool.emptied().await;
    }

    #[tokio::test]
    async fn who_hands_in_while_another_steps_the_scheduler_goes_on_at_once() {
        let pool = pool();
        let desk = pool.lock();
        thread::scope(|scope| {
            let first = scope.spawn(|| pool.cancel(1));
            somebody_attends(&pool);
            pool.cancel(2);
            assert_eq!(pool.handed_in.load(Ordering::Relaxed), 2);
            assert!(!first.is_finished());
            drop(desk);
        });
        assert_eq!(pool.handed_in.load(Ordering::Relaxed), 0);
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
        let desk = pool.lock();
        thread::scope(|scope| {
            let first = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| pool.submit(submission(&core)))));
            somebody_attends(&pool);
            // There is no such worker: the scheduler ends here.
            pool.step(Event::Recovered { worker: 99 }, None);
            drop(desk);
            assert!(first.join().unwrap().is_err());
        });
        assert!(pool.mailboxes[0].mail.lock().unwrap().batch.is_some());
    }

    #[tokio::test]
    async fn a_worker_leaves_with_its_batch_and_the_runtime_takes_in_the_rest() {
        let (pool, core) = (pool(), core());
        let desk = pool.lock();
        let batch = thread::scope(|scope| {
            let free = Event::Finished { worker: 0, vectors: Vec::new(), ran: None };
            let worker = scope.spawn(|| pool.step(free, Some(0)));
            somebody_attends(&pool);
            pool.submit(submission(&core));
            pool.cancel(7);
            drop(desk);
            worker.join().unwrap()
        });
        assert_eq!(batch.unwrap().groups.len(), 1);
        assert_eq!(pool.handed_in.load(Ordering::SeqCst), 1);
        tokio::task::yield_now().await;
        assert_eq!(pool.handed_in.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn the_scheduler_hears_of_a_free_worker_before_it_hears_of_jobs() {
        let (pool, core) = (pool(), core());
        let turn = Turn::take(&pool.attended);
        pool.submit(submission(&core));
        pool.step(Event::Finished { worker: 0, vectors: Vec::new(), ran: None }, Some(0));
        assert!(pool.decide().unwrap().is_empty());
        assert!(matches!(pool.decide().unwrap()[..], [Action::Dispatch { worker: 0, .. }]));
        assert!(pool.decide().is_none());
        drop(turn);
    }

    #[tokio::test]
    async fn a_panic_at_the_scheduler_does_not_keep_others_from_it() {
        let pool = pool();
        let nobody = Event::Recovered { worker: 99 };
        assert!(catch_unwind(AssertUnwindSafe(|| pool.step(nobody, None))).is_err());
        pool.cancel(1);
        assert_eq!(pool.handed_in.load(Ordering::Relaxed), 0);
        assert!(pool.decide().is_none());
    }
}
