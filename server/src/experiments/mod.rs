//! Experiments: which users are answered by which arm, what they do then, and what follows.
//!
//! Definitions are stored objects, held in memory by each node as rules are: a node looks four times a second whether
//! another one has changed them. Who is in which arm is computed ([`marquee_experiments`]), without a lock and without
//! asking anyone. What is answered and what users do is told to a [`Recorder`], which writes a row for each user and
//! experiment; `tally` keeps the sums of the rows, and `results` reads them.

mod definition;
mod held;
mod plan;
mod recorder;
mod results;
mod row;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use marquee_core::clock::now_ms;
use marquee_core::domain::{TimeMs, UserId};
use marquee_experiments::{Ranges, parts_of};
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError, to_its_end};
use tokio::time::Instant;

pub use self::definition::{
    Arm, DEFAULT_TOP, Definition, Experiment, Fault, Metric, Overrides, Places, Purpose, Retrieval, State,
    What,
};
pub use self::held::Applied;
use self::held::{Held, Holdout};
pub use self::plan::{MetricPlan, Plan, PlanQuestion};
pub(crate) use self::recorder::METRICS;
use self::recorder::{Answered, Told};
pub use self::recorder::{Exposure, Recorder};
pub use self::results::{ArmEffect, MetricResults, Results};
use self::row::UserRow;
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

/// What is stored of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it.
    All,
    /// Nothing: it is only asked whether the change could be made, and what would come of it.
    Nothing,
}

/// Who asks for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who.
    pub user_id: UserId,
    /// What the request says of who asks.
    pub labels: &'a HashMap<String, String>,
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
        let events = if applied.iter().any(Applied::asks_for_events) {
            self.store.user_stats(asked.user_id).await?.map_or(0, |stats| stats.interactions)
        } else {
            0
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

    /// Adds an experiment.
    ///
    /// # Errors
    /// [`ExperimentError`] when it is none, its name is taken, there are too many, or the store fails.
    pub async fn create(
        self: &Arc<Self>,
        definition: Definition,
        written: Written,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        definition.check()?;
        self.change(definition.name.clone(), written, move |held, before, now_ms| {
            if before.is_some() {
                return Err(ExperimentError::Taken(definition.name));
            }
            if held.len() >= MAX_EXPERIMENTS {
                return Err(ExperimentError::TooMany);
            }
            Ok(Experiment::draft(definition, now_ms))
        })
        .await
    }

    /// Replaces the definition of an experiment, as far as that may change.
    ///
    /// # Errors
    /// [`ExperimentError`] when it is none, there is none of the name, it may not change so, or the store fails.
    pub async fn update(
        self: &Arc<Self>,
        definition: Definition,
        written: Written,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        definition.check()?;
        self.change(definition.name.clone(), written, move |held, before, _| {
            let mut experiment = before.ok_or_else(|| ExperimentError::Unknown(definition.name.clone()))?;
            if experiment.definition == definition {
                return Ok(experiment);
            }
            if experiment.state == State::Stopped {
                return Err(ExperimentError::NotNow("the experiment is over; add another one".to_owned()));
            }
            if experiment.state != State::Draft {
                if let Some(field) = experiment.definition.differs_from(&definition) {
                    let why =
                        format!("{field} of an experiment that was started cannot change; add another one");
                    return Err(ExperimentError::NotNow(why));
                }
                let places = places(held, &definition, &experiment.places)?;
                if places.arms != experiment.places.arms {
                    experiment.phase += 1;
                }
                experiment.places = places;
            }
            experiment.definition = definition;
            Ok(experiment)
        })
        .await
    }

    /// Begins to divide users, or goes on.
    ///
    /// # Errors
    /// [`ExperimentError`] when there is none, it is over, the layer has no room, another layer overrides the same, or
    /// the store fails.
    pub async fn start(self: &Arc<Self>, name: String) -> Result<Arc<Experiment>, ExperimentError> {
        self.write(name.clone(), move |held, before, now_ms| {
            let mut experiment = before.ok_or(ExperimentError::Unknown(name))?;
            match experiment.state {
                State::Running => return Ok(experiment),
                State::Paused => {}
                State::Draft => experiment.places = places(held, &experiment.definition, &experiment.places)?,
                State::Stopped => {
                    return Err(ExperimentError::NotNow(
                        "the experiment is over; add another one".to_owned(),
                    ));
                }
            }
            if let Some((other, field)) = held.conflict(&experiment) {
                return Err(ExperimentError::NotNow(format!(
                    "the experiment {other:?} of another layer overrides {field} too; make it one layer"
                )));
            }
            experiment.state = State::Running;
            experiment.started_ms.get_or_insert(now_ms);
            Ok(experiment)
        })
        .await
    }

    /// Divides users no longer, until it is started again.
    ///
    /// # Errors
    /// [`ExperimentError`] when there is none, it does not run, or the store fails.
    pub async fn pause(self: &Arc<Self>, name: String) -> Result<Arc<Experiment>, ExperimentError> {
        self.write(name.clone(), move |_, before, _| {
            let mut experiment = before.ok_or(ExperimentError::Unknown(name))?;
            match experiment.state {
                State::Running | State::Paused => experiment.state = State::Paused,
                State::Draft | State::Stopped => {
                    return Err(ExperimentError::NotNow("the experiment does not run".to_owned()));
                }
            }
            Ok(experiment)
        })
        .await
    }

    /// Ends an experiment; `reason` where nobody asked for that.
    ///
    /// # Errors
    /// [`ExperimentError`] when there is none, or the store fails.
    pub async fn stop(
        self: &Arc<Self>,
        name: String,
        reason: Option<String>,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        self.write(name.clone(), move |_, before, now_ms| {
            let mut experiment = before.ok_or(ExperimentError::Unknown(name))?;
            if experiment.state != State::Stopped {
                experiment.state = State::Stopped;
                experiment.stopped_ms = Some(now_ms);
                experiment.stop_reason = reason;
            }
            Ok(experiment)
        })
        .await
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

    /// Writes what `change` makes of an experiment, to the end even when the caller goes away.
    async fn write(
        self: &Arc<Self>,
        name: String,
        change: impl FnOnce(&Held, Option<Experiment>, TimeMs) -> Result<Experiment, ExperimentError>
        + Send
        + 'static,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        self.change(name, Written::All, change).await
    }

    /// The same, or only what would come of it.
    async fn change(
        self: &Arc<Self>,
        name: String,
        written: Written,
        change: impl FnOnce(&Held, Option<Experiment>, TimeMs) -> Result<Experiment, ExperimentError>
        + Send
        + 'static,
    ) -> Result<Arc<Experiment>, ExperimentError> {
        let experiments = Arc::clone(self);
        to_its_end(async move {
            let _one_at_a_time = experiments.writing.lock().await;
            experiments.read().await?;
            let held = experiments.held.load_full();
            let before = held.get(&name).map(|experiment| Experiment::clone(experiment));
            let now_ms = now_ms();
            let after = change(&held, before.clone(), now_ms)?;
            if written == Written::Nothing {
                return Ok(Arc::new(after));
            }
            let written = experiments.put(before.as_ref(), &after, now_ms).await;
            // What was not acknowledged may be stored nevertheless.
            experiments.read().await?;
            if written? { Ok(Arc::new(after)) } else { Err(ExperimentError::Changed) }
        })
        .await
    }

    /// Stores an experiment if it is still what it was; whether it was.
    async fn put(
        &self,
        before: Option<&Experiment>,
        after: &Experiment,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError> {
        let id = DocumentId { kind: DocumentKind::Experiment, part: "", key: after.name() };
        let content = Content::lasting(stored(after));
        match before {
            Some(before) => self.store.documents().replace(id, &stored(before), &content, now_ms).await,
            None => self.store.documents().insert(id, &content, now_ms).await,
        }
    }

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
            let answers = if definition.metrics.iter().any(|metric| metric.what.is_of_answers()) {
                self.answers(definition, &row, user_id, now_ms).await?
            } else {
                None
            };
            let events = profile.as_ref().map_or(&[][..], |profile| &profile.newest);
            row.count(definition, events, answers.as_deref());
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

/// The places of an experiment and its arms under this definition: those that it has, and more.
fn places(held: &Held, definition: &Definition, before: &Places) -> Result<Places, ExperimentError> {
    let full = || {
        ExperimentError::NotNow(format!(
            "the layer {:?} has no room for it; stop an experiment of the layer, give it less traffic, or take another layer",
            definition.layer
        ))
    };
    let shrinks = || {
        ExperimentError::NotNow(
            "traffic and shares of an experiment that was started can only grow".to_owned(),
        )
    };
    let traffic = parts_of(definition.traffic);
    let mut arms = before.arms.clone();
    arms.resize(definition.arms.len(), Ranges::default());
    let is_less = |(arm, has): (&Arm, &Ranges)| parts_of(arm.share) < has.parts();
    if traffic < before.traffic.parts() || definition.arms.iter().zip(&arms).any(is_less) {
        return Err(shrinks());
    }
    for place in 0..arms.len() {
        let others: Vec<&Ranges> =
            arms.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, ranges)| ranges).collect();
        // Shares of a third are not whole numbers of parts.
        let free = marquee_experiments::PARTS - others.iter().map(|other| other.parts()).sum::<u32>();
        let wanted = parts_of(definition.arms[place].share).min(free);
        arms[place] = arms[place].resized(wanted, &others).ok_or_else(full)?;
    }
    let taken = held.taken(&definition.layer, &definition.name);
    Ok(Places { traffic: before.traffic.resized(traffic, &taken).ok_or_else(full)?, arms })
}

fn stored(experiment: &Experiment) -> Vec<u8> {
    serde_json::to_vec(experiment).expect("an experiment has no maps whose keys are no texts")
}

/// The part and the key of a user's row.
fn place_of(name: &str, user_id: UserId) -> (String, String) {
    (part_of(name, shard_of(user_id)), user_id.to_string())
}

fn part_of(name: &str, shard: u32) -> String {
    format!("{name}/{shard}")
}
