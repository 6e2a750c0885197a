//! The scheduler with a lock around it, a mailbox for each worker, and the counts.
//!
//! Whoever has news takes the lock, steps the scheduler and carries out what it says: a batch goes into the
//! mailbox of an idle worker, a refusal to its caller. A worker that finishes a batch gets its next one
//! from the same call, so between two batches there is one lock and no other thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::job::{Answer, EngineError, Want};
use super::metrics::Metrics;
use super::model::Core;
use super::scheduler::{Action, Batch, Event, JobId, Policy, Scheduler, Stage, Submission, WorkerId};

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
    scheduler: Mutex<Scheduler<Pending>>,
    mailboxes: Vec<Mailbox>,
    next_job: AtomicU64,
    empty: Notify,
    /// Where the callers wait.
    runtime: Handle,
    pub(crate) counts: Counts,
    pub(crate) metrics: Metrics,
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
        Self {
            mailboxes: (0..policy.workers).map(|_| Mailbox::default()).collect(),
            metrics: Metrics::new(policy.workers),
            scheduler: Mutex::new(Scheduler::new(policy)),
            next_job: AtomicU64::new(0),
            empty: Notify::new(),
            counts: Counts::default(),
            runtime,
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    pub(crate) fn next_job(&self) -> JobId {
        self.next_job.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn submit(&self, submission: Submission<Pending>) {
        self.step(Event::Submit(submission), None);
    }

    pub(crate) fn cancel(&self, id: JobId) {
        self.counts.cancelled.fetch_add(1, Ordering::Relaxed);
        self.metrics.cancelled();
        self.step(Event::Cancel(id), None);
    }

    /// Jobs that wait, and how long the oldest has.
    pub(crate) fn queue(&self) -> (usize, Duration) {
        let scheduler = self.lock();
        (scheduler.depth(), scheduler.oldest_wait(Instant::now()))
    }

    /// Steps the scheduler and carries out its actions. A batch for the worker `me`, who is calling, is returned
    /// instead of mailed.
    pub(crate) fn step(&self, event: Event<Pending>, me: Option<WorkerId>) -> Option<Batch<Pending>> {
        let (actions, empty) = {
            let mut scheduler = self.lock();
            let actions = scheduler.step(Instant::now(), event);
            (actions, scheduler.is_empty())
        };
        if empty {
            self.empty.notify_waiters();
        }
        let mut mine = None;
        for action in actions {
            match action {
                Action::Refuse { payload, error } => self.refuse(payload, error),
                Action::Dispatch { worker, batch } => {
                    if batch.stage == Stage::Answer {
                        self.counts.batches.fetch_add(1, Ordering::Relaxed);
                    }
                    if me == Some(worker) {
                        mine = Some(batch);
                    } else {
                        self.mailboxes[worker].put(|mail| mail.batch = Some(batch));
                    }
                }
            }
        }
        mine
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
            if self.lock().is_empty() {
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

    fn lock(&self) -> MutexGuard<'_, Scheduler<Pending>> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
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
