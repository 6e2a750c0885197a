//! What an attempt sees of its job, and says of it: how far it is, what it logs, where another one would go on.
//!
//! It says so into memory; the runner writes it down, at most once a second. [`Run::breathe`] keeps an attempt within its
//! share of a processor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use marquee_core::clock::now_ms;
use tokio_util::sync::CancellationToken;

use super::job::{Arguments, Job, Progress};
use super::log::Log;

/// The shortest rest: less is not worth a turn of the timer.
const SHORTEST_REST: Duration = Duration::from_millis(2);

/// The longest rest: what took long was waiting more than work.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// An attempt at a job.
pub struct Run {
    job_id: String,
    arguments: Arguments,
    checkpoint: Option<String>,
    budget_percent: u32,
    said: Arc<Mutex<Said>>,
    stop: CancellationToken,
    began: Mutex<Instant>,
}

/// What an attempt has said, and how much of it is written.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) progress: Progress,
    /// Where another attempt would go on.
    pub(super) checkpoint: Option<String>,
    pub(super) log: Log,
    pub(super) is_progress_new: bool,
    pub(super) is_log_new: bool,
}

impl Run {
    /// An attempt at `job`, which gets so much of a processor, after what was logged before.
    pub(super) fn new(job: &Job, log: Log, budget_percent: u32, stop: CancellationToken) -> Self {
        let said = Said { progress: job.progress.clone(), log, ..Said::default() };
        Self {
            job_id: job.job_id.clone(),
            arguments: job.arguments.clone(),
            checkpoint: job.checkpoint.clone(),
            budget_percent: budget_percent.clamp(1, 100),
            said: Arc::new(Mutex::new(said)),
            stop,
            began: Mutex::new(Instant::now()),
        }
    }

    /// What was said.
    pub(super) fn said(&self) -> Arc<Mutex<Said>> {
        Arc::clone(&self.said)
    }

    /// The job's name.
    pub fn job_id(&self) -> &str {
        &self.job_id
    }

    /// What an argument says, if it says anything.
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where the attempt before would have gone on.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// Says how far it is: `done` of `total`, which is 0 while nobody knows.
    pub fn reached(&self, done: u64, total: u64, message: impl Into<String>) {
        let mut said = self.lock();
        let progress = Progress { done, total, message: message.into() };
        if said.progress != progress {
            (said.progress, said.is_progress_new) = (progress, true);
        }
    }

    /// Says where another attempt would go on.
    pub fn keep(&self, checkpoint: impl Into<String>) {
        let mut said = self.lock();
        (said.checkpoint, said.is_progress_new) = (Some(checkpoint.into()), true);
    }

    /// Logs a line, here and in the job.
    pub fn log(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        tracing::info!(job_id = self.job_id, "{text}");
        let mut said = self.lock();
        said.log.add(now_ms(), text);
        said.is_log_new = true;
    }

    /// Whether nobody waits for it any more; for work between two points where it waits.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Rests as long as its budget asks for after what was done since the last rest. To be called between steps of
    /// some milliseconds.
    pub async fn breathe(&self) {
        let rest = self.rest();
        if rest >= SHORTEST_REST {
            tokio::time::sleep(rest.min(LONGEST_REST)).await;
            *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        } else {
            tokio::task::yield_now().await;
        }
    }

    /// How long to rest now.
    fn rest(&self) -> Duration {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        rest_after(began.elapsed(), self.budget_percent)
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rest after so much work, so that work is so much of both.
fn rest_after(work: Duration, budget_percent: u32) -> Duration {
    work * (100 - budget_percent) / budget_percent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(budget_percent: u32) -> Run {
        let arguments = [("path".to_owned(), "nightly".to_owned()), ("note".to_owned(), String::new())];
        let job = Job::new("import", "import".to_owned(), arguments.into(), 1);
        Run::new(&job, Log::default(), budget_percent, CancellationToken::new())
    }

    #[test]
    fn rest_is_what_the_budget_leaves() {
        let work = Duration::from_millis(30);
        assert_eq!(rest_after(work, 50), work);
        assert_eq!(rest_after(work, 25), 3 * work);
        assert_eq!(rest_after(work, 100), Duration::ZERO);
    }

    #[test]
    fn what_is_said_twice_is_written_once() {
        let run = run(50);
        run.reached(1, 2, "half");
        assert!(std::mem::take(&mut run.lock().is_progress_new));
        run.reached(1, 2, "half");
        assert!(!run.lock().is_progress_new);
    }

    #[test]
    fn an_argument_that_says_nothing_is_not_there() {
        let run = run(50);
        assert_eq!(
            (run.argument("path"), run.argument("note"), run.argument("none")),
            (Some("nightly"), None, None)
        );
    }
}
