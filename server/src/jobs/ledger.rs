//! Jobs in the store: those that are to be done, those that are over, what they logged, and who runs which.
//!
//! A job that is to be done is in the part `open`. Its end is one write there, and moved to the part `over` afterwards;
//! a node that ends in between leaves that to whoever looks next, and whoever reads sees the job once. All changes are
//! compare-and-set, so no writer undoes what another one did.
//!
//! A lease says which attempt runs the jobs of a key. It is gone when it is not renewed, by the clocks of the nodes;
//! one whose clock is wrong takes a job too early or too late, and the token in the job keeps the two apart.

use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::millis;
use marquee_core::domain::TimeMs;
use marquee_store::{Content, Document, DocumentId, DocumentKind, Documents, Store, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::job::{Event, Job, Refused, State};
use super::log::{Line, Log};

/// How long a lease holds that is not renewed.
pub(super) const LEASE: Duration = Duration::from_secs(6);

/// Jobs that may wait or run.
pub(super) const MAX_OPEN: usize = 100;

const OPEN: &str = "open";
const OVER: &str = "over";

/// How often a change is tried again that another one was faster than.
const TRIES: usize = 16;

/// Jobs that are read at once.
const PAGE: usize = 500;

/// How long what was logged stays after the last line.
const LOG_KEPT_MS: TimeMs = 30 * 24 * 60 * 60 * 1_000;

/// Which jobs are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this kind.
    pub kind: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Of this schedule.
    pub schedule: Option<String>,
}

impl Filter {
    fn wants(&self, job: &Job) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == job.kind)
            && self.state.is_none_or(|state| state == job.state)
            && self.schedule.as_ref().is_none_or(|name| job.schedule.as_ref() == Some(name))
    }
}

/// How much of what is over is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// So many jobs, the newest.
    pub jobs: usize,
    /// For so long.
    pub age: Duration,
}

/// Why a job is not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is none.
    #[error("there is no job {0:?}; ListJobs says which there are")]
    Unknown(String),
    /// It does not take the change.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a job is not added.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AddError {
    /// As many wait or run as may.
    #[error("{MAX_OPEN} jobs wait or run, as many as may; cancel some, or come again when some are over")]
    TooMany,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A lease that this node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// Of the jobs of this key.
    key: String,
    /// Of this attempt.
    pub(super) token: String,
    /// Until when it holds if it is not renewed.
    pub(super) until_ms: TimeMs,
}

/// The jobs of a store. All methods may be called from many tasks, and nodes, at once.
pub struct Ledger {
    store: Arc<dyn Store>,
    history: History,
}

impl Ledger {
    /// The jobs of this store, of which so much history is kept.
    pub fn new(store: Arc<dyn Store>, history: History) -> Self {
        Self { store, history }
    }

    /// Adds a job that waits.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn add(&self, job: &Job, now_ms: TimeMs) -> Result<(), AddError> {
        if self.documents().list(DocumentKind::Job, OPEN, None, MAX_OPEN, now_ms).await?.len() >= MAX_OPEN {
            return Err(AddError::TooMany);
        }
        self.documents().put(job_in(OPEN, &job.job_id), &Content::lasting(written(job)), now_ms).await?;
        Ok(())
    }

    /// All jobs that are to be done, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(&self, now_ms: TimeMs) -> Result<Vec<Job>, StoreError> {
        let mut jobs = Vec::new();
        for job in self.part(OPEN, None, 2 * MAX_OPEN, now_ms).await? {
            // Its node ended before it was moved.
            if job.state.is_over() { self.put_away(&job, now_ms).await? } else { jobs.push(job) }
        }
        jobs.reverse();
        Ok(jobs)
    }

    /// A job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, job_id: &str, now_ms: TimeMs) -> Result<Option<Job>, StoreError> {
        for part in [OPEN, OVER] {
            if let Some(bytes) = self.documents().get(job_in(part, job_id), now_ms).await? {
                return read(&bytes).map(Some);
            }
        }
        Ok(None)
    }

    /// Jobs after `after`, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
        now_ms: TimeMs,
    ) -> Result<Vec<Job>, StoreError> {
        let mut found: Vec<Job> = self.part(OPEN, after, 2 * MAX_OPEN, now_ms).await?;
        found.retain(|job| filter.wants(job));
        let open = found.len();
        let mut last = after.map(str::to_owned);
        while found.len() - open < limit {
            let page = self.part(OVER, last.as_deref(), PAGE, now_ms).await?;
            let Some(newest) = page.last() else { break };
            last = Some(newest.job_id.clone());
            found.extend(page.into_iter().filter(|job| filter.wants(job)));
        }
        // One that is being moved stands in both; what is over is said first.
        found.sort_by_key(|job| (job.job_id.clone(), !job.state.is_over()));
        found.dedup_by(|one, other| one.job_id == other.job_id);
        found.truncate(limit);
        Ok(found)
    }

    /// Changes a job by an event; the job as it is then.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change(&self, job_id: &str, event: Event, now_ms: TimeMs) -> Result<Job, ChangeError> {
        for _ in 0..TRIES {
            let Some(bytes) = self.documents().get(job_in(OPEN, job_id), now_ms).await? else {
                let is_over = self.documents().get(job_in(OVER, job_id), now_ms).await?.is_some();
                return Err(if is_over {
                    ChangeError::Refused(Refused::Over)
                } else {
                    ChangeError::Unknown(job_id.to_owned())
                });
            };
            let mut job: Job = read(&bytes)?;
            job.step(now_ms, event.clone())?;
            let content = Content::lasting(written(&job));
            if self.documents().replace(job_in(OPEN, job_id), &bytes, &content, now_ms).await? {
                if job.state.is_over() {
                    self.put_away(&job, now_ms).await?;
                }
                return Ok(job);
            }
        }
        Err(StoreError::Unavailable(format!("others change the job {job_id}")).into())
    }

    /// Takes the lease of a key for an attempt, if nobody has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn claim(
        &self,
        key: &str,
        token: &str,
        now_ms: TimeMs,
    ) -> Result<Option<Lease>, StoreError> {
        let lease = Lease { key: key.to_owned(), token: token.to_owned(), until_ms: until(now_ms) };
        let is_ours = self.documents().insert(lease_of(key), &lease.content(), now_ms).await?;
        Ok(is_ours.then_some(lease))
    }

    /// Holds a lease for longer; whether it was still this attempt's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn renew(&self, lease: &mut Lease, now_ms: TimeMs) -> Result<bool, StoreError> {
        let renewed = Lease { until_ms: until(now_ms), ..lease.clone() };
        let token = lease.token.as_bytes();
        let is_ours =
            self.documents().replace(lease_of(&lease.key), token, &renewed.content(), now_ms).await?;
        if is_ours {
            *lease = renewed;
        }
        Ok(is_ours)
    }

    /// Gives a lease back, if it is still this attempt's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn release(&self, lease: &Lease, now_ms: TimeMs) -> Result<(), StoreError> {
        let gone = Content { value: Vec::new(), expires_ms: Some(now_ms) };
        self.documents().replace(lease_of(&lease.key), lease.token.as_bytes(), &gone, now_ms).await?;
        Ok(())
    }

    /// Keeps what a job logged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_log(&self, job_id: &str, log: &Log, now_ms: TimeMs) -> Result<(), StoreError> {
        let expires_ms = Some(now_ms.saturating_add(LOG_KEPT_MS));
        self.documents().put(log_of(job_id), &Content { value: written(log), expires_ms }, now_ms).await
    }

    /// What a job logged, the newest lines.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn log(&self, job_id: &str, now_ms: TimeMs) -> Result<Log, StoreError> {
        let bytes = self.documents().get(log_of(job_id), now_ms).await?;
        bytes.map_or(Ok(Log::default()), |bytes| read(&bytes))
    }

    /// The lines of a job from a number on, and the number of the line after them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lines(
        &self,
        job_id: &str,
        from: u64,
        now_ms: TimeMs,
    ) -> Result<(Vec<Line>, u64), StoreError> {
        let log = self.log(job_id, now_ms).await?;
        Ok((log.from(from).cloned().collect(), log.end()))
    }

    /// Removes what is over beyond what is kept; how many jobs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self, now_ms: TimeMs) -> Result<usize, StoreError> {
        let mut removed = 0;
        let mut kept = 0;
        let mut last: Option<String> = None;
        loop {
            let page = self.part(OVER, last.as_deref(), PAGE, now_ms).await?;
            let Some(oldest) = page.last() else { return Ok(removed) };
            last = Some(oldest.job_id.clone());
            for job in page {
                if kept < self.history.jobs {
                    kept += 1;
                    continue;
                }
                self.documents().remove(log_of(&job.job_id), now_ms).await?;
                self.documents().remove(job_in(OVER, &job.job_id), now_ms).await?;
                removed += 1;
            }
        }
    }

    /// Moves a job that is over out of those that are to be done.
    async fn put_away(&self, job: &Job, now_ms: TimeMs) -> Result<(), StoreError> {
        let age = millis(self.history.age);
        let expires_ms = Some(job.ended_ms.unwrap_or(now_ms).saturating_add(age));
        let content = Content { value: written(job), expires_ms };
        self.documents().put(job_in(OVER, &job.job_id), &content, now_ms).await?;
        self.documents().remove(job_in(OPEN, &job.job_id), now_ms).await?;
        Ok(())
    }

    async fn part(
        &self,
        part: &str,
        after: Option<&str>,
        limit: usize,
        now_ms: TimeMs,
    ) -> Result<Vec<Job>, StoreError> {
        let documents = self.documents().list(DocumentKind::Job, part, after, limit, now_ms).await?;
        documents.iter().map(|Document { value, .. }| read(value)).collect()
    }

    fn documents(&self) -> &dyn Documents {
        self.store.documents()
    }
}

impl Lease {
    fn content(&self) -> Content {
        Content { value: self.token.clone().into_bytes(), expires_ms: Some(self.until_ms) }
    }
}

fn until(now_ms: TimeMs) -> TimeMs {
    now_ms.saturating_add(millis(LEASE))
}

fn job_in<'a>(part: &'a str, job_id: &'a str) -> DocumentId<'a> {
    DocumentId { kind: DocumentKind::Job, part, key: job_id }
}

fn log_of(job_id: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::JobLog, part: "", key: job_id }
}

fn lease_of(key: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::JobLease, part: "", key }
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and finite numbers are JSON")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(format!("a job: {error}")))
}
