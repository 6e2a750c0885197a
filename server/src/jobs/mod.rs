//! Long work that the server does itself: imports, measurements, backups, what is to be kept up.
//!
//! A job is of a [`Kind`], is kept in the store ([`Ledger`]) and run by whichever node takes it first ([`Runner`]), at
//! most one of a key at a time. A node holds a lease of the job's key and renews it; when it is gone, another one goes on
//! within ten seconds, at the checkpoint where the kind has one. Every attempt has a token, and what one says that has
//! been replaced changes nothing ([`Job::step`]).
//!
//! Jobs are no remote execution: folders, targets and commands stand in the configuration and a job names one, see
//! [`Places`].

mod commands;
mod job;
mod kind;
pub mod kinds;
mod ledger;
mod log;
mod metrics;
mod places;
mod run;
mod runner;
mod schedule;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use marquee_core::clock::now_ms;
use tokio::time::sleep;

pub use self::commands::{Command, Commands, CommandsError};
pub use self::job::{Arguments, Ending, Event, Job, Outcome, Progress, Refused, State};
pub use self::kind::{Argument, Failure, Kind, Kinds, NoJob, Restart};
pub use self::ledger::{AddError, ChangeError, Filter, History, Ledger};
pub use self::log::{Line, Log};
pub(crate) use self::metrics::METRICS;
pub use self::places::{Places, PlacesError};
pub use self::run::Run;
pub use self::runner::{Bench, Runner, RunnerOptions};
pub use self::schedule::{
    Anybody, Creator, Entry, Rights, Schedule, ScheduleError, Schedules, SchedulesError, Shipped, Timetable,
    When, WhenError,
};

/// How often whoever watches a job is told what is new.
const WATCH: Duration = Duration::from_millis(250);

/// Why a job is not run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// It is none.
    #[error(transparent)]
    NoJob(#[from] NoJob),
    /// It is not taken.
    #[error(transparent)]
    Add(#[from] AddError),
}

/// What whoever watches a job is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The job.
    pub job: Job,
    /// The lines that are new.
    pub lines: Vec<Line>,
}

/// The jobs of a server.
pub struct Jobs {
    ledger: Arc<Ledger>,
    runner: Arc<Runner>,
}

impl Jobs {
    /// Those of this ledger, run by this runner.
    pub fn new(ledger: Arc<Ledger>, runner: Arc<Runner>) -> Self {
        Self { ledger, runner }
    }

    /// The kinds.
    pub fn kinds(&self) -> &Kinds {
        self.runner.kinds()
    }

    /// Has a job run by the first node that is free.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(
        &self,
        kind: &str,
        arguments: Arguments,
        creator: Option<String>,
    ) -> Result<Job, RunError> {
        let kind = self.kinds().checked(kind, &arguments)?;
        let job = Job { creator, ..Job::new(kind.name(), kind.key(&arguments), arguments, now_ms()) };
        self.ledger.add(&job, now_ms()).await?;
        self.runner.wake();
        Ok(job)
    }

    /// A job.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] when there is none.
    pub async fn get(&self, job_id: &str) -> Result<Job, ChangeError> {
        let job = self.ledger.get(job_id, now_ms()).await?;
        job.ok_or_else(|| ChangeError::Unknown(job_id.to_owned()))
    }

    /// Jobs after `after`, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`ChangeError::Store`].
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Job>, ChangeError> {
        Ok(self.ledger.list(filter, after, limit, now_ms()).await?)
    }

    /// Asks a job to end; one that waits ends at once, one that runs within seconds, and one that is over stays as it
    /// is.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] when there is none.
    pub async fn cancel(&self, job_id: &str) -> Result<Job, ChangeError> {
        match self.ledger.change(job_id, Event::IsCancelled, now_ms()).await {
            Err(ChangeError::Refused(Refused::Over)) => self.get(job_id).await,
            changed => {
                self.runner.wake();
                changed
            }
        }
    }

    /// A job as it is now, then whenever it is another or logged something, until it is over.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] at once when there is none; the stream ends with an error of the store.
    pub async fn watch(
        self: Arc<Self>,
        job_id: String,
    ) -> Result<impl Stream<Item = Result<Seen, ChangeError>> + Send + 'static, ChangeError> {
        self.get(&job_id).await?;
        let watch = Watch { jobs: self, job_id, told: None, line: 0 };
        Ok(stream::try_unfold(
            watch,
            |mut watch| async move { Ok(watch.next().await?.map(|seen| (seen, watch))) },
        ))
    }
}

/// What has been told of a job.
struct Watch {
    jobs: Arc<Jobs>,
    job_id: String,
    told: Option<Job>,
    line: u64,
}

impl Watch {
    async fn next(&mut self) -> Result<Option<Seen>, ChangeError> {
        if self.told.as_ref().is_some_and(|job| job.state.is_over()) {
            return Ok(None);
        }
        loop {
            let job = self.jobs.get(&self.job_id).await?;
            let (lines, end) = self.jobs.ledger.lines(&self.job_id, self.line, now_ms()).await?;
            self.line = end;
            if self.told.as_ref() != Some(&job) || !lines.is_empty() {
                self.told = Some(job.clone());
                return Ok(Some(Seen { job, lines }));
            }
            sleep(WATCH).await;
        }
    }
}
