//! Runs what is to be done: so many jobs at a time, each under a lease.
//!
//! Everything that a node does about jobs is a turn ([`Runner::turn`]): it writes down what its attempts said and how
//! they ended, holds their leases for longer, and begins what waits. A turn has the time from its caller, and one is made
//! each second and whenever there is reason to; so tests make the turns of several nodes in any order at any time.
//!
//! The attempts themselves are on threads of their own that run behind all others, see [`Bench`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use marquee_core::clock::{millis, now_ms};
use marquee_core::domain::TimeMs;
use marquee_core::idle::run_behind_others;
use marquee_store::StoreError;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::job::{Ending, Event, Job, Outcome, Progress, State};
use super::kind::{Failure, Kind, Kinds, Restart};
use super::ledger::{ChangeError, Filter, LEASE, Lease, Ledger};
use super::log::Log;
use super::metrics::JobMetrics;
use super::run::{Run, Said};

/// Between two turns that nothing else asks for.
const TURN: Duration = Duration::from_secs(1);

/// A lease is renewed once so much of it is over.
const RENEWED_AFTER_MS: TimeMs = 2_000;

/// Between two writes of what an attempt said.
const WRITTEN_EVERY_MS: TimeMs = 1_000;

/// Between two looks at what is over and too old.
const SWEPT_EVERY_MS: TimeMs = 60 * 60 * 1_000;

/// How jobs are run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerOptions {
    /// So many at a time; none for a node that leaves them to others.
    pub at_once: usize,
    /// Percent of a processor that each gets.
    pub budget_percent: u32,
}

/// The threads that jobs run on. They run behind all others and end with this.
pub struct Bench(Option<Runtime>);

impl Bench {
    /// So many threads, one at least.
    ///
    /// # Errors
    /// When the system has none.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads.max(1)).thread_name("job").enable_all();
        Ok(Self(Some(builder.on_thread_start(run_behind_others).build()?)))
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A runtime waits for what runs on it otherwise, which no other one may.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs jobs on a node.
pub struct Runner {
    ledger: Arc<Ledger>,
    kinds: Kinds,
    options: RunnerOptions,
    bench: Bench,
    node: String,
    wake: Arc<Notify>,
    running: tokio::sync::Mutex<Running>,
    metrics: JobMetrics,
}

#[derive(Default)]
struct Running {
    attempts: HashMap<String, Attempt>,
    swept_ms: Option<TimeMs>,
}

/// An attempt that this node makes.
struct Attempt {
    kind: &'static str,
    lease: Lease,
    said: Arc<Mutex<Said>>,
    written_ms: TimeMs,
    stop: CancellationToken,
    is_cancelled: bool,
    task: JoinHandle<Result<Outcome, Failure>>,
    /// How it ended, once that is known.
    ending: Option<Ending>,
}

/// What a turn finds of an attempt.
enum Found {
    /// It goes on.
    GoesOn,
    /// Its job ended.
    Ended,
    /// Another node has its job, or may have.
    Lost,
}

impl Runner {
    /// Runs jobs of these kinds.
    pub fn new(ledger: Arc<Ledger>, kinds: Kinds, options: RunnerOptions, bench: Bench) -> Self {
        let metrics = JobMetrics::new(&kinds);
        Self {
            ledger,
            kinds,
            options,
            bench,
            node: format!("{:08x}", rand::random::<u32>()),
            wake: Arc::default(),
            running: tokio::sync::Mutex::default(),
            metrics,
        }
    }

    /// The kinds.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Something is to be done: a turn is made soon.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Makes turns until `stop`, then gives back what it has.
    pub async fn run(&self, stop: CancellationToken) {
        self.show().await;
        loop {
            if let Err(error) = self.turn(now_ms()).await {
                tracing::debug!(%error, "jobs are as they were; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TURN) => {}
            }
        }
        self.leave(now_ms()).await;
    }

    /// Does what is to be done at this time.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer; the next turn does the rest.
    pub async fn turn(&self, now_ms: TimeMs) -> Result<(), StoreError> {
        let mut running = self.running.lock().await;
        self.look_after(&mut running, now_ms).await;
        let open = self.ledger.open(now_ms).await?;
        for job in &open {
            if let Some(attempt) = running.attempts.get_mut(&job.job_id)
                && job.cancel_asked
                && job.token.as_ref() == Some(&attempt.lease.token)
            {
                attempt.is_cancelled = true;
                attempt.stop.cancel();
            }
        }
        for job in open {
            if running.attempts.len() >= self.options.at_once {
                break;
            }
            if !running.attempts.contains_key(&job.job_id)
                && let Some(kind) = self.kinds.get(&job.kind)
                && let Some(attempt) = self.begin(Arc::clone(kind), &job, now_ms).await?
            {
                running.attempts.insert(job.job_id, attempt);
            }
        }
        if running.swept_ms.is_none_or(|swept_ms| now_ms - swept_ms >= SWEPT_EVERY_MS) {
            self.ledger.sweep(now_ms).await?;
            running.swept_ms = Some(now_ms);
        }
        Ok(())
    }

    /// Gives back what it has, so that another node goes on at once.
    pub async fn leave(&self, now_ms: TimeMs) {
        let mut running = self.running.lock().await;
        for (job_id, mut attempt) in running.attempts.drain() {
            let left = if attempt.task.is_finished() {
                self.end(&job_id, &mut attempt, now_ms).await.map(drop).map_err(ChangeError::from)
            } else {
                attempt.stop.cancel();
                attempt.task.abort();
                self.give_back(&job_id, &attempt, now_ms).await
            };
            if let Err(error) = left {
                tracing::warn!(job_id, %error, "the job is taken over when its lease is over");
            }
            self.metrics.is_over(attempt.kind);
        }
    }

    /// Shows what the newest jobs of all nodes gave.
    async fn show(&self) {
        for kind in self.kinds.iter() {
            let kind_is = Some(kind.name().to_owned());
            let filter = Filter { kind: kind_is, state: Some(State::Succeeded), ..Filter::default() };
            if let Ok(jobs) = self.ledger.list(&filter, None, 1, now_ms()).await
                && let Some(job) = jobs.first()
            {
                self.metrics.shows(kind.name(), job);
            }
        }
    }

    async fn look_after(&self, running: &mut Running, now_ms: TimeMs) {
        let mut over = Vec::new();
        for (job_id, attempt) in &mut running.attempts {
            let found = match self.look_at(job_id, attempt, now_ms).await {
                Ok(found) => found,
                // Whether it is still ours is not known: it is until its lease is over.
                Err(_) if now_ms < attempt.lease.until_ms => Found::GoesOn,
                Err(_) => Found::Lost,
            };
            match found {
                Found::GoesOn => continue,
                Found::Ended => {}
                Found::Lost => {
                    tracing::warn!(job_id, "another node has the job");
                    self.metrics.loses();
                    attempt.stop.cancel();
                    attempt.task.abort();
                }
            }
            self.metrics.is_over(attempt.kind);
            over.push(job_id.clone());
        }
        for job_id in over {
            running.attempts.remove(&job_id);
        }
    }

    async fn look_at(
        &self,
        job_id: &str,
        attempt: &mut Attempt,
        now_ms: TimeMs,
    ) -> Result<Found, StoreError> {
        if attempt.task.is_finished() {
            return self.end(job_id, attempt, now_ms).await;
        }
        let renew_at = attempt.lease.until_ms - millis(LEASE) + RENEWED_AFTER_MS;
        if now_ms >= renew_at && !self.ledger.renew(&mut attempt.lease, now_ms).await? {
            return Ok(Found::Lost);
        }
        if now_ms - attempt.written_ms >= WRITTEN_EVERY_MS {
            return self.write_down(job_id, attempt, now_ms).await;
        }
        Ok(Found::GoesOn)
    }

    /// Writes down what an attempt said.
    async fn write_down(
        &self,
        job_id: &str,
        attempt: &mut Attempt,
        now_ms: TimeMs,
    ) -> Result<Found, StoreError> {
        attempt.written_ms = now_ms;
        match self.write(job_id, attempt, now_ms).await {
            Ok(()) => Ok(Found::GoesOn),
            Err(ChangeError::Store(error)) => Err(error),
            Err(ChangeError::Refused(_) | ChangeError::Unknown(_)) => Ok(Found::Lost),
        }
    }

    async fn write(&self, job_id: &str, attempt: &Attempt, now_ms: TimeMs) -> Result<(), ChangeError> {
        let News { log, progress } = attempt.news();
        if let Some(log) = log {
            self.ledger.put_log(job_id, &log, now_ms).await.inspect_err(|_| attempt.is_unwritten())?;
        }
        if let Some((progress, checkpoint)) = progress {
            let report = Event::Reports { token: attempt.lease.token.clone(), progress, checkpoint };
            self.ledger.change(job_id, report, now_ms).await.inspect_err(|_| attempt.is_unwritten())?;
        }
        Ok(())
    }

    /// Writes down how an attempt ended.
    async fn end(&self, job_id: &str, attempt: &mut Attempt, now_ms: TimeMs) -> Result<Found, StoreError> {
        if let Found::Lost = self.write_down(job_id, attempt, now_ms).await? {
            return Ok(Found::Lost);
        }
        let event = Event::Ends { token: attempt.lease.token.clone(), ending: attempt.ending().await };
        let job = match self.ledger.change(job_id, event, now_ms).await {
            Ok(job) => job,
            Err(ChangeError::Store(error)) => return Err(error),
            Err(ChangeError::Refused(_) | ChangeError::Unknown(_)) => return Ok(Found::Lost),
        };
        self.metrics.ends(attempt.kind, &job);
        tell(&job);
        // What cannot be given back is over by itself.
        let _is_given_back = self.ledger.release(&attempt.lease, now_ms).await;
        self.wake();
        Ok(Found::Ended)
    }

    async fn give_back(&self, job_id: &str, attempt: &Attempt, now_ms: TimeMs) -> Result<(), ChangeError> {
        self.write(job_id, attempt, now_ms).await?;
        let event = Event::IsPutBack { token: attempt.lease.token.clone() };
        self.ledger.change(job_id, event, now_ms).await?;
        Ok(self.ledger.release(&attempt.lease, now_ms).await?)
    }

    /// Begins an attempt at a job that waits or whose node is gone, if no other node does.
    async fn begin(
        &self,
        kind: Arc<dyn Kind>,
        job: &Job,
        now_ms: TimeMs,
    ) -> Result<Option<Attempt>, StoreError> {
        let Some(bench) = self.bench.handle() else { return Ok(None) };
        let token = format!("{:032x}", rand::random::<u128>());
        let Some(lease) = self.ledger.claim(&job.key, &token, now_ms).await? else { return Ok(None) };
        let resumes = kind.restart() == Restart::Resumes;
        let begins = Event::Begins { token: token.clone(), node: self.node.clone(), resumes };
        let begun = match self.ledger.change(&job.job_id, begins, now_ms).await {
            Ok(begun) => begun,
            Err(error) => {
                self.ledger.release(&lease, now_ms).await?;
                return if let ChangeError::Store(error) = error { Err(error) } else { Ok(None) };
            }
        };
        if begun.state.is_over() {
            self.metrics.ends(kind.name(), &begun);
            tell(&begun);
            self.ledger.release(&lease, now_ms).await?;
            return Ok(None);
        }
        let log = self.ledger.log(&job.job_id, now_ms).await?;
        let stop = CancellationToken::new();
        if begun.cancel_asked {
            stop.cancel();
        }
        let run = Run::new(&begun, log, self.options.budget_percent, stop.clone());
        if begun.attempts > 1 {
            run.log(format!("attempt {} begins on node {}", begun.attempts, self.node));
        }
        let (said, name, wake) = (run.said(), kind.name(), Arc::clone(&self.wake));
        let (must_fail, stopped) = (fails_now(kind.restart(), &begun), stop.clone());
        let task = bench.spawn(async move {
            let _wakes = Wakes(wake);
            if let Some(why) = must_fail {
                return Err(Failure::new(why));
            }
            tokio::select! {
                biased;
                () = stopped.cancelled() => Err(Failure::new("the job was stopped")),
                outcome = kind.run(&run) => outcome,
            }
        });
        self.metrics.begins(name);
        Ok(Some(Attempt {
            kind: name,
            lease,
            said,
            written_ms: now_ms,
            stop,
            is_cancelled: begun.cancel_asked,
            task,
            ending: None,
        }))
    }
}

/// Wakes the runner when an attempt is over, however it is.
struct Wakes(Arc<Notify>);

impl Drop for Wakes {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Why a job fails instead of being tried again.
fn fails_now(restart: Restart, begun: &Job) -> Option<&'static str> {
    match restart {
        Restart::Fails(why) if begun.attempts > 1 => Some(why),
        _ => None,
    }
}

/// Says how a job ended.
fn tell(job: &Job) {
    let Job { job_id, kind, .. } = job;
    match (&job.error, &job.outcome) {
        (Some(error), _) => tracing::warn!(job_id, kind, error, "job failed"),
        (None, Some(outcome)) => tracing::info!(job_id, kind, summary = outcome.summary, "job done"),
        (None, None) => tracing::info!(job_id, kind, "job cancelled"),
    }
}

/// What an attempt said that is not written.
struct News {
    log: Option<Log>,
    progress: Option<(Progress, Option<String>)>,
}

impl Attempt {
    fn news(&self) -> News {
        let mut said = self.lock();
        let log = std::mem::take(&mut said.is_log_new).then(|| said.log.clone());
        let progress = std::mem::take(&mut said.is_progress_new);
        News { log, progress: progress.then(|| (said.progress.clone(), said.checkpoint.clone())) }
    }

    /// What was news is so still.
    fn is_unwritten(&self) {
        let mut said = self.lock();
        (said.is_log_new, said.is_progress_new) = (true, true);
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it ended; to be asked once it has.
    async fn ending(&mut self) -> Ending {
        if let Some(ending) = &self.ending {
            return ending.clone();
        }
        let ending = match (&mut self.task).await {
            Ok(Ok(outcome)) => Ending::Success(outcome),
            _ if self.is_cancelled => Ending::Cancelled,
            Ok(Err(failure)) => Ending::Failure(failure.to_string()),
            Err(error) => {
                Ending::Failure(format!("the job broke off, which is an error of this program: {error}"))
            }
        };
        self.ending.insert(ending).clone()
    }
}
