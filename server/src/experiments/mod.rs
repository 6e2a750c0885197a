//! Experiments: which users are answered by which arm, what they do then, and what follows.
//!
//! Definitions are stored objects, held in memory by each node as rules are: a node looks four times a second whether
//! another one has changed them. Who is in which arm is computed ([`marquee_experiments`]), without a lock and without
//! asking anyone. What is answered and what users do is told to a [`Recorder`], which writes a row for each user and
//! experiment; `tally` keeps the sums of the rows, and `results` reads them. Where two rankings are merged in one answer,
//! `interleaving` says whose movies are taken.

mod changes;
mod definition;
mod held;
mod interleaving;
mod plan;
mod preference;
mod recorder;
mod records;
mod results;
mod row;
mod shadow;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use marquee_core::clock::now_ms;
use marquee_core::domain::{TimeMs, UserId};
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError};
use tokio::time::Instant;

pub use self::changes::Written;
pub use self::definition::{
    Arm, DEFAULT_TOP, Definition, Experiment, ExperimentKind, Fault, Metric, Overrides, Places, Purpose,
    Retrieval, Shadow, State, What,
};
pub use self::held::Applied;
use self::held::{Held, Holdout};
pub use self::interleaving::coins;
pub use self::plan::{MetricPlan, Plan, PlanQuestion};
pub use self::preference::PreferenceResults;
pub(crate) use self::recorder::METRICS;
pub use self::recorder::Recorder;
use self::recorder::{Answered, Told};
pub use self::records::{Exposure, Shadowed};
pub use self::results::{ArmEffect, MetricResults, Results};
use self::row::UserRow;
pub use self::shadow::ShadowResults;
use self::tally::{SHARDS, Tally, shard_of};

/// Experiments at most.
const MAX_EXPERIMENTS: usize = 1_000;
/// How often it is asked whether another node has changed them.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Events of a user that are counted at most, the newest.
const EVENTS: usize = 1_000;
/// Rows that are read at once.
const READ: usize = 1_000;

/// All experiments. All methods may be called from many tasks at once.
pub struct Experiments {
    store: Arc<dyn Store>,
    holdout: Holdout,
    held: ArcSwap<Held>,
    tallies: Mutex<HashMap<String, Arc<Tally>>>,
    told: Told,
    /// Held while the past is read for a plan.
    planning: tokio::sync::Mutex<()>,
    /// Held from a write until it is read back, so that what is read last is what was written last.
    writing: tokio::sync::Mutex<()>,
}

/// Why something is not done with an experiment.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExperimentError {
    /// Something is wrong with the definition by itself.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is none of this name.
    #[error("there is no experiment {0:?}; ListExperiments says which there are")]
    Unknown(String),
    /// There is one of this name.
    #[error("there is an experiment {0:?} already; choose another name, or change that by UpdateExperiment")]
    Taken(String),
    /// There are as many as there may be.
    #[error("there are {MAX_EXPERIMENTS} experiments, as many as there may be")]
    TooMany,
    /// It is not in the state for that.
    #[error("{0}")]
    NotNow(String),
    /// Somebody else changed it at this moment.
    #[error("the experiment was changed by somebody else at this moment; try again")]
    Changed,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who asks for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who.
    pub user_id: UserId,
    /// What the request says of who asks.
    pub labels: &'a HashMap<String, String>,
    /// How many events the history has that came with the request; `None` where the store has the history.
    pub events: Option<u64>,
}

impl Experiments {
    /// The experiments of a store, and what records for them once it runs. This share of all users takes part in none.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn open(store: Arc<dyn Store>, holdout: f64) -> Result<(Arc<Self>, Recorder), StoreError> {
        let (told, items) = Told::new();
        let experiments = Arc::new(Self {
            store,
            holdout: Holdout::new(holdout),
            held: ArcSwap::default(),
            tallies: Mutex::default(),
            told,
            planning: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        });
        experiments.read().await?;
        let recorder = Recorder {
            experiments: Arc::clone(&experiments),
            items,
            waiting: Vec::new(),
            compared: Vec::new(),
            known: rustc_hash::FxHashSet::default(),
            recount_at: Instant::now(),
            recounting: None,
        };
        Ok((experiments, recorder))
    }

    /// Reads them anew whenever another node that shares the store has changed them; until it is aborted.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = None;
        loop {
            if let Err(error) = self.step(&mut seen).await {
                tracing::debug!(%error, "experiments of other nodes not read; trying again");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn step(&self, seen: &mut Option<i64>) -> Result<(), StoreError> {
        let revision = self.store.revision().await?.access;
        if *seen != Some(revision) {
            let _no_write = self.writing.lock().await;
            self.read().await?;
            *seen = Some(revision);
        }
        Ok(())
    }

    /// The experiments that somebody takes part in, and the arm of each.
    ///
    /// # Errors
    /// [`StoreError`] when it has to be known how many events the user has, and cannot be.
    pub async fn applied(&self, asked: Asked<'_>) -> Result<Vec<Applied>, StoreError> {
        let mut applied = {
            let held = self.held.load();
            if held.is_idle() {
                return Ok(Vec::new());
            }
            held.candidates(asked.user_id, &self.holdout)
        };
        let events = match asked.events {
            Some(events) => events,
            None if applied.iter().any(Applied::asks_for_events) => {
                self.store.user_stats(asked.user_id).await?.map_or(0, |stats| stats.interactions)
            }
            None => 0,
        };
        applied.retain(|applied| applied.is_for(asked.labels, events));
        Ok(applied)
    }

    /// The arm of this name in a running experiment, for whoever wants to try it out.
    ///
    /// # Errors
    /// [`ExperimentError::Unknown`] where there is no such experiment, [`Fault`] where it has no such arm.
    pub fn forced(&self, name: &str, arm: &str) -> Result<Applied, ExperimentError> {
        let experiment = self.known(name)?;
        let fault = || Fault {
            field: "forced_arm.arm".to_owned(),
            description: format!("is {arm:?}, which is no arm of the experiment {name:?}"),
        };
        let arm = experiment.definition.arm(arm).ok_or_else(fault)?;
        Ok(Applied { experiment, arm, forced: true })
    }

    /// Records an answer, soon.
    pub fn exposed(&self, exposure: Exposure) {
        self.told.exposed(exposure);
    }

    /// Records how the model in the shadow compares, soon.
    pub fn shadowed(&self, shadowed: Shadowed) {
        self.told.shadowed(shadowed);
    }

    /// Counts anew what these users did, soon.
    pub fn touched(&self, users: impl Iterator<Item = UserId>) {
        if self.held.load().iter().any(|experiment| experiment.started_ms.is_some()) {
            self.told.touched(users);
        }
    }

    /// Removes all that is recorded of a user.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not acknowledge it; repeating the call ends it.
    pub async fn forget(&self, user_id: UserId, now_ms: TimeMs) -> Result<(), StoreError> {
        let held = self.held.load_full();
        if held.iter().all(|experiment| experiment.started_ms.is_none()) {
            return Ok(());
        }
        // What waits to be written would come back.
        self.told.written().await;
        for experiment in held.iter().filter(|experiment| experiment.started_ms.is_some()) {
            let tally = self.tally(experiment.name());
            let _no_count = tally.rows.read().await;
            let (part, key) = place_of(experiment.name(), user_id);
            let id = DocumentId { kind: DocumentKind::ExperimentUnit, part: &part, key: &key };
            let row = self.store.documents().get(id, now_ms).await?;
            if self.store.documents().remove(id, now_ms).await? {
                let row = row.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                tally.change(user_id, row.as_ref(), None);
            }
        }
        self.store.documents().remove_part(DocumentKind::Exposure, &user_id.to_string()).await
    }

    /// The experiment of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Experiment>> {
        self.held.load().get(name).cloned()
    }

    /// At most `limit` experiments after a name, by name.
    pub fn list(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Experiment>> {
        let held = self.held.load();
        let after = held.iter().filter(|experiment| after.is_none_or(|after| experiment.name() > after));
        after.take(limit).cloned().collect()
    }

    /// What is known of an experiment by now, all that this node was told before included.
    ///
    /// # Errors
    /// [`ExperimentError`] when there is none, or its rows cannot be read.
    pub async fn results(&self, name: &str) -> Result<Results, ExperimentError> {
        self.told.written().await;
        let experiment = self.known(name)?;
        Ok(self.read_counted(&experiment).await?)
    }

    /// What is known of an experiment, once its rows have been counted.
    async fn read_counted(&self, experiment: &Experiment) -> Result<Results, StoreError> {
        if let Some(results) = self.read_now(experiment) {
            return Ok(results);
        }
        self.recount(experiment).await?;
        self.read_now(experiment).ok_or_else(|| StoreError::Unavailable("users are being counted".to_owned()))
    }

    /// What its sums say; `None` before its rows have been counted.
    fn read_now(&self, experiment: &Experiment) -> Option<Results> {
        Some(results::read(experiment, &self.tally(experiment.name()).sums()?, self.told.lost()))
    }

    /// Reads all of them.
    async fn read(&self) -> Result<(), StoreError> {
        let kind = DocumentKind::Experiment;
        let documents = self.store.documents().list(kind, "", None, 2 * MAX_EXPERIMENTS, TimeMs::MIN).await?;
        let experiments = documents.into_iter().filter_map(|document| {
            let read = serde_json::from_slice(&document.value);
            read.inspect_err(|error| {
                tracing::warn!(experiment = document.key, %error, "an experiment is not understood and not run");
            })
            .ok()
        });
        self.held.store(Arc::new(Held::new(experiments)));
        Ok(())
    }

    fn known(&self, name: &str) -> Result<Arc<Experiment>, ExperimentError> {
        self.get(name).ok_or_else(|| ExperimentError::Unknown(name.to_owned()))
    }

    fn tally(&self, name: &str) -> Arc<Tally> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tallies.entry(name.to_owned()).or_default())
    }

    /// Counts a user from the history: one who has a row, or was answered by an arm.
    async fn count_user(
        &self,
        experiment: &Experiment,
        user_id: UserId,
        answered: Option<Answered>,
        now_ms: TimeMs,
    ) -> Result<(), StoreError> {
        let tally = self.tally(experiment.name());
        let _no_count = tally.rows.read().await;
        let (part, key) = place_of(experiment.name(), user_id);
        let id = DocumentId { kind: DocumentKind::ExperimentUnit, part: &part, key: &key };
        let documents = self.store.documents();
        loop {
            let stored = documents.get(id, now_ms).await?;
            let before: Option<UserRow> =
                stored.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
            let new = || answered.map(|first| UserRow::new(first.arm, first.time_ms, experiment.phase));
            let Some(mut row) = before.clone().or_else(new) else { return Ok(()) };
            row.crossed |= answered.is_some_and(|answered| answered.crossed || answered.arm != row.arm);
            let profile = self.store.profile(user_id, EVENTS).await?;
            let definition = &experiment.definition;
            let records = if definition.asks_for_records() {
                self.records(definition, row.arm, row.first_ms, user_id, now_ms).await?
            } else {
                None
            };
            let events = profile.as_ref().map_or(&[][..], |profile| &profile.newest);
            row.count(definition, events, records.as_ref());
            if before.as_ref() == Some(&row) {
                return Ok(());
            }
            let content = Content::lasting(serde_json::to_vec(&row).expect("numbers are JSON"));
            let is_written = match &stored {
                Some(stored) => documents.replace(id, stored, &content, now_ms).await?,
                None => documents.insert(id, &content, now_ms).await?,
            };
            if is_written {
                tally.change(user_id, before.as_ref(), Some(&row));
                return Ok(());
            }
        }
    }

    /// Whether a user is counted in an experiment, as far as the store says.
    async fn has_row(&self, name: &str, user_id: UserId, now_ms: TimeMs) -> bool {
        let (part, key) = place_of(name, user_id);
        let id = DocumentId { kind: DocumentKind::ExperimentUnit, part: &part, key: &key };
        self.store.documents().get(id, now_ms).await.is_ok_and(|row| row.is_some())
    }

    /// Counts the rows of an experiment.
    async fn recount(&self, experiment: &Experiment) -> Result<(), StoreError> {
        let tally = self.tally(experiment.name());
        let _one_at_a_time = tally.counting.lock().await;
        tally.begin();
        for shard in 0..SHARDS {
            let _no_change = tally.rows.write().await;
            let rows = self.rows_of(experiment.name(), shard).await?;
            tally.count(rows.iter());
        }
        if !tally.end() {
            tracing::debug!(experiment = experiment.name(), "other nodes have counted users");
        }
        Ok(())
    }

    /// The rows of a part.
    async fn rows_of(&self, name: &str, shard: u32) -> Result<Vec<UserRow>, StoreError> {
        let (part, mut rows, mut after) = (part_of(name, shard), Vec::new(), None);
        loop {
            let kind = DocumentKind::ExperimentUnit;
            let page = self.store.documents().list(kind, &part, after.as_deref(), READ, TimeMs::MIN).await?;
            let is_last = page.len() < READ;
            after = page.last().map(|document| document.key.clone());
            rows.extend(page.iter().filter_map(|document| serde_json::from_slice(&document.value).ok()));
            if is_last {
                return Ok(rows);
            }
        }
    }

    /// Counts the rows of all experiments that count, resting after each for so many times as long as it took.
    async fn recount_all(&self, rest: u32) {
        let held = self.held.load_full();
        for experiment in held.iter().filter(|experiment| experiment.counts_at(now_ms())) {
            let began = Instant::now();
            if let Err(error) = self.recount(experiment).await {
                tracing::debug!(%error, "the users of an experiment are not counted; trying again");
            }
            tokio::time::sleep(began.elapsed() * rest).await;
        }
    }
}

/// The part and the key of a user's row.
fn place_of(name: &str, user_id: UserId) -> (String, String) {
    (part_of(name, shard_of(user_id)), user_id.to_string())
}

fn part_of(name: &str, shard: u32) -> String {
    format!("{name}/{shard}")
}
