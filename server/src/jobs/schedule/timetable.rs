//! Which schedules there are, what is kept of them in the store, and asking for the jobs that are due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_store::{Content, DocumentId, DocumentKind, Documents, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::super::job::{Arguments, Job};
use super::super::kind::NoJob;
use super::super::ledger::{AddError, Ledger};
use super::super::places::is_name;
use super::super::runner::Runner;
use super::{Schedule, When, WhenError};

/// Schedules that may be put.
const MAX_PUT: usize = 100;

/// How often it is looked what is due.
const TURN: Duration = Duration::from_secs(1);

/// How often a change is tried again that another one was faster than.
const TRIES: usize = 16;

/// Who put a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creator {
    /// The name.
    pub name: String,
    /// What the roles were.
    pub roles: Vec<String>,
    /// Whether it was an API key, which may be revoked since.
    pub by_key: bool,
}

/// Who may run jobs.
pub trait Rights: Send + Sync {
    /// Whether somebody still may, or nobody in particular.
    fn may_run(&self, creator: Option<&Creator>) -> bool;
}

/// Where nobody is asked who calls: everybody may.
pub struct Anybody;

impl Rights for Anybody {
    fn may_run(&self, _: Option<&Creator>) -> bool {
        true
    }
}

/// What is kept of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// What it is; `None` of one that stands in the configuration.
    put: Option<Put>,
    creator: Option<Creator>,
    is_paused: bool,
    /// What was due until then has been asked for, or is left out.
    until_ms: TimeMs,
    last_ms: Option<TimeMs>,
    error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Put {
    kind: String,
    arguments: Arguments,
    cron: String,
    zone: String,
    jitter_s: u64,
}

impl Kept {
    /// Of a schedule that is new.
    fn new(now_ms: TimeMs) -> Self {
        Self { put: None, creator: None, is_paused: false, until_ms: now_ms, last_ms: None, error: None }
    }

    fn content(&self) -> Content {
        Content::lasting(serde_json::to_vec(self).expect("texts and numbers are JSON"))
    }
}

/// A schedule, and how it stands with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The schedule.
    pub schedule: Schedule,
    /// Whether it stands in the configuration.
    pub is_configured: bool,
    /// Who put it.
    pub creator: Option<Creator>,
    /// Whether it rests.
    pub is_paused: bool,
    /// When it is due next.
    pub next_ms: Option<TimeMs>,
    /// When it asked for a job last.
    pub last_ms: Option<TimeMs>,
    /// Why it did not when it was last due.
    pub error: Option<String>,
}

/// Why a schedule is not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Its name is none.
    #[error("has other letters than a to z, 0 to 9, - and _")]
    Id,
    /// Its time is none.
    #[error(transparent)]
    When(#[from] WhenError),
    /// Its job is none.
    #[error(transparent)]
    NoJob(#[from] NoJob),
    /// There is none.
    #[error("there is no schedule {0:?}; ListSchedules says which there are")]
    Unknown(String),
    /// It stands in the configuration.
    #[error("the schedule {0:?} stands in the configuration: change it there, or pause it")]
    Configured(String),
    /// There are as many as may be.
    #[error("{MAX_PUT} schedules were put, as many as may be; delete some")]
    TooMany,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The schedules of a server.
pub struct Timetable {
    store: Arc<dyn Store>,
    ledger: Arc<Ledger>,
    runner: Arc<Runner>,
    configured: BTreeMap<String, Schedule>,
    rights: Arc<dyn Rights>,
}

impl Timetable {
    /// Those of the configuration and those in the store, by the rights of those who put them.
    pub fn new(
        store: Arc<dyn Store>,
        ledger: Arc<Ledger>,
        runner: Arc<Runner>,
        configured: Vec<Schedule>,
        rights: Arc<dyn Rights>,
    ) -> Self {
        let configured = configured.into_iter().map(|it| (it.schedule_id.clone(), it)).collect();
        Self { store, ledger, runner, configured, rights }
    }

    /// Asks for what is due until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.turn(now_ms()).await {
                tracing::debug!(%error, "schedules are not looked at; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TURN) => {}
            }
        }
    }

    /// Asks for what is due at this time.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn turn(&self, now_ms: TimeMs) -> Result<(), StoreError> {
        for (schedule, kept) in self.read(now_ms).await? {
            let Some(kept) = kept else {
                let id = id_of(&schedule.schedule_id);
                self.documents().insert(id, &Kept::new(now_ms).content(), now_ms).await?;
                continue;
            };
            let is_due = due_at(&schedule, kept.until_ms).is_some_and(|due_ms| due_ms <= now_ms);
            if is_due && !kept.is_paused {
                self.fire(&schedule, kept, now_ms).await?;
            }
        }
        Ok(())
    }

    /// All schedules by name.
    ///
    /// # Errors
    /// [`ScheduleError::Store`].
    pub async fn list(&self, now_ms: TimeMs) -> Result<Vec<Entry>, ScheduleError> {
        let read = self.read(now_ms).await?;
        Ok(read.into_iter().map(|(schedule, kept)| self.entry(schedule, kept, now_ms)).collect())
    }

    /// Adds or replaces a schedule.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn put(
        &self,
        schedule: Schedule,
        creator: Option<Creator>,
        now_ms: TimeMs,
    ) -> Result<Entry, ScheduleError> {
        if !is_name(&schedule.schedule_id) {
            return Err(ScheduleError::Id);
        }
        self.require_put(&schedule.schedule_id)?;
        self.runner.kinds().checked(&schedule.kind, &schedule.arguments)?;
        let others = self.read(now_ms).await?;
        let of_others = others.iter().filter(|(other, _)| other.schedule_id != schedule.schedule_id);
        if of_others.filter(|(other, _)| !self.configured.contains_key(&other.schedule_id)).count() >= MAX_PUT
        {
            return Err(ScheduleError::TooMany);
        }
        let put = Put {
            kind: schedule.kind.clone(),
            arguments: schedule.arguments.clone(),
            cron: schedule.when.fields().to_owned(),
            zone: schedule.when.zone().to_owned(),
            jitter_s: schedule.jitter.as_secs(),
        };
        let kept = Kept { put: Some(put), creator, ..Kept::new(now_ms) };
        self.documents().put(id_of(&schedule.schedule_id), &kept.content(), now_ms).await?;
        Ok(self.entry(schedule, Some(kept), now_ms))
    }

    /// Removes a schedule that was put; whether it was there.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn delete(&self, schedule_id: &str, now_ms: TimeMs) -> Result<bool, ScheduleError> {
        self.require_put(schedule_id)?;
        Ok(self.documents().remove(id_of(schedule_id), now_ms).await?)
    }

    /// Has a schedule rest.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn pause(&self, schedule_id: &str, now_ms: TimeMs) -> Result<Entry, ScheduleError> {
        self.change(schedule_id, now_ms, |kept| kept.is_paused = true).await
    }

    /// Has a schedule go on; what was due meanwhile is left out.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn resume(&self, schedule_id: &str, now_ms: TimeMs) -> Result<Entry, ScheduleError> {
        let resume = |kept: &mut Kept| {
            if std::mem::take(&mut kept.is_paused) {
                kept.until_ms = now_ms;
            }
        };
        self.change(schedule_id, now_ms, resume).await
    }

    /// Asks for the job of a schedule that is due, unless another node does.
    async fn fire(&self, schedule: &Schedule, kept: Kept, now_ms: TimeMs) -> Result<(), StoreError> {
        let id = id_of(&schedule.schedule_id);
        let fired = Kept { until_ms: now_ms, last_ms: Some(now_ms), error: None, ..kept.clone() };
        if !self.documents().replace(id, &kept.content().value, &fired.content(), now_ms).await? {
            return Ok(());
        }
        if let Err(why) = self.ask(schedule, fired.creator.as_ref(), now_ms).await {
            tracing::warn!(schedule_id = schedule.schedule_id, why, "the schedule did not ask for its job");
            let failed = Kept { last_ms: kept.last_ms, error: Some(why), ..fired.clone() };
            self.documents().replace(id, &fired.content().value, &failed.content(), now_ms).await?;
        }
        Ok(())
    }

    /// Asks for a job; why not otherwise.
    async fn ask(
        &self,
        schedule: &Schedule,
        creator: Option<&Creator>,
        now_ms: TimeMs,
    ) -> Result<(), String> {
        let is_configured = self.configured.contains_key(&schedule.schedule_id);
        if !is_configured && !self.rights.may_run(creator) {
            return Err("who put it may not run jobs any more; put it again by somebody who may".to_owned());
        }
        let kind = self.runner.kinds().checked(&schedule.kind, &schedule.arguments);
        let kind = kind.map_err(|error| error.to_string())?;
        let key = kind.key(&schedule.arguments);
        let open = self.ledger.open(now_ms).await.map_err(|error| error.to_string())?;
        if open.iter().any(|job| job.key == key && job.schedule.as_ref() == Some(&schedule.schedule_id)) {
            return Err("its job before is not over".to_owned());
        }
        let job = Job {
            creator: creator.map(|creator| creator.name.clone()),
            schedule: Some(schedule.schedule_id.clone()),
            ..Job::new(kind.name(), key, schedule.arguments.clone(), now_ms)
        };
        self.ledger.add(&job, now_ms).await.map_err(|error: AddError| error.to_string())?;
        self.runner.wake();
        Ok(())
    }

    async fn change(
        &self,
        schedule_id: &str,
        now_ms: TimeMs,
        change: impl Fn(&mut Kept),
    ) -> Result<Entry, ScheduleError> {
        for _ in 0..TRIES {
            let found = self.read(now_ms).await?;
            let found = found.into_iter().find(|(schedule, _)| schedule.schedule_id == schedule_id);
            let (schedule, before) = found.ok_or_else(|| ScheduleError::Unknown(schedule_id.to_owned()))?;
            let mut kept = before.clone().unwrap_or_else(|| Kept::new(now_ms));
            change(&mut kept);
            let (id, content) = (id_of(schedule_id), kept.content());
            let is_changed = match before {
                Some(before) => {
                    self.documents().replace(id, &before.content().value, &content, now_ms).await?
                }
                None => self.documents().insert(id, &content, now_ms).await?,
            };
            if is_changed {
                return Ok(self.entry(schedule, Some(kept), now_ms));
            }
        }
        Err(StoreError::Unavailable(format!("others change the schedule {schedule_id}")).into())
    }

    fn require_put(&self, schedule_id: &str) -> Result<(), ScheduleError> {
        if self.configured.contains_key(schedule_id) {
            return Err(ScheduleError::Configured(schedule_id.to_owned()));
        }
        Ok(())
    }

    /// All schedules by name, with what is kept of them.
    async fn read(&self, now_ms: TimeMs) -> Result<Vec<(Schedule, Option<Kept>)>, StoreError> {
        let most = 2 * MAX_PUT + self.configured.len();
        let documents = self.documents().list(DocumentKind::JobSchedule, "", None, most, now_ms).await?;
        let mut found: BTreeMap<String, (Schedule, Option<Kept>)> =
            self.configured.iter().map(|(name, schedule)| (name.clone(), (schedule.clone(), None))).collect();
        for document in documents {
            let kept: Kept = serde_json::from_slice(&document.value)
                .map_err(|error| StoreError::Corrupt(format!("a schedule: {error}")))?;
            if let Some((_, of_configured)) = found.get_mut(&document.key) {
                *of_configured = Some(kept);
            } else if let Some(schedule) = kept.put.as_ref().and_then(|put| schedule_of(&document.key, put)) {
                found.insert(document.key, (schedule, Some(kept)));
            }
        }
        Ok(found.into_values().collect())
    }

    fn entry(&self, schedule: Schedule, kept: Option<Kept>, now_ms: TimeMs) -> Entry {
        let kept = kept.unwrap_or_else(|| Kept::new(now_ms));
        let next_ms = due_at(&schedule, kept.until_ms).filter(|_| !kept.is_paused);
        Entry {
            is_configured: self.configured.contains_key(&schedule.schedule_id),
            schedule,
            creator: kept.creator,
            is_paused: kept.is_paused,
            next_ms,
            last_ms: kept.last_ms,
            error: kept.error,
        }
    }

    fn documents(&self) -> &dyn Documents {
        self.store.documents()
    }
}

fn id_of(schedule_id: &str) -> DocumentId<'_> {
    DocumentId { kind: DocumentKind::JobSchedule, part: "", key: schedule_id }
}

fn schedule_of(schedule_id: &str, put: &Put) -> Option<Schedule> {
    Some(Schedule {
        schedule_id: schedule_id.to_owned(),
        kind: put.kind.clone(),
        arguments: put.arguments.clone(),
        when: When::new(&put.cron, &put.zone).ok()?,
        jitter: Duration::from_secs(put.jitter_s),
    })
}

/// When a schedule is due first after a time: at the next occurrence, put off by as much as its jitter says of that one.
fn due_at(schedule: &Schedule, after_ms: TimeMs) -> Option<TimeMs> {
    let occurrence_ms = schedule.when.after(after_ms)?;
    let jitter_ms = schedule.jitter.as_millis() as u64;
    let drawn = xxh3_64(format!("{} {occurrence_ms}", schedule.schedule_id).as_bytes());
    Some(occurrence_ms.saturating_add((drawn % (jitter_ms + 1)) as TimeMs))
}

#[cfg(test)]
mod tests {
    use marquee_store::RedbStore;

    use super::super::super::kind::{Failure, Kind, Kinds};
    use super::super::super::ledger::{Filter, History};
    use super::super::super::run::Run;
    use super::super::super::runner::{Bench, RunnerOptions};
    use super::super::super::{Event, Outcome};
    use super::*;

    const HOUR: TimeMs = 60 * 60 * 1_000;

    struct Nothing;

    #[async_trait::async_trait]
    impl Kind for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }

        fn about(&self) -> &'static str {
            "Does nothing."
        }

        async fn run(&self, _: &Run) -> Result<Outcome, Failure> {
            Ok(Outcome::default())
        }
    }

    /// The rights of those with a name.
    struct Named(&'static str);

    impl Rights for Named {
        fn may_run(&self, creator: Option<&Creator>) -> bool {
            creator.is_some_and(|creator| creator.name == self.0)
        }
    }

    struct World {
        store: Arc<dyn Store>,
        ledger: Arc<Ledger>,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
            let history = History { jobs: 100, age: Duration::from_hours(24 * 365) };
            Self { ledger: Arc::new(Ledger::new(Arc::clone(&store), history)), store, _folder: folder }
        }

        fn node(&self, rights: impl Rights + 'static) -> Timetable {
            let kinds = Kinds::new([Arc::new(Nothing) as Arc<dyn Kind>]);
            let options = RunnerOptions { at_once: 0, budget_percent: 100 };
            let runner = Runner::new(Arc::clone(&self.ledger), kinds, options, Bench::new(1).unwrap());
            let (store, ledger) = (Arc::clone(&self.store), Arc::clone(&self.ledger));
            let configured = vec![schedule("hourly", "0 * * * *", 0)];
            Timetable::new(store, ledger, Arc::new(runner), configured, Arc::new(rights))
        }

        /// When jobs were asked for, in hours.
        async fn asked(&self, now_ms: TimeMs) -> Vec<TimeMs> {
            let jobs = self.ledger.list(&Filter::default(), None, 100, now_ms).await.unwrap();
            jobs.iter().rev().map(|job| job.created_ms / HOUR).collect()
        }

        async fn finish(&self, now_ms: TimeMs) {
            for job in self.ledger.open(now_ms).await.unwrap() {
                self.ledger.change(&job.job_id, Event::IsCancelled, now_ms).await.unwrap();
            }
        }
    }

    fn schedule(schedule_id: &str, cron: &str, jitter_s: u64) -> Schedule {
        let (kind, zone) = ("nothing".to_owned(), "UTC".to_owned());
        let put = Put { kind, arguments: Arguments::new(), cron: cron.to_owned(), zone, jitter_s };
        schedule_of(schedule_id, &put).unwrap()
    }

    fn creator(name: &str) -> Creator {
        Creator { name: name.to_owned(), roles: Vec::new(), by_key: false }
    }

    #[tokio::test]
    async fn of_all_nodes_one_asks_for_a_job_each_time() {
        let world = World::new();
        let (one, other) = (world.node(Anybody), world.node(Anybody));
        for minute in 0..=200 {
            let now_ms = minute * 60_000 + 500;
            for node in [&one, &other] {
                node.turn(now_ms).await.unwrap();
            }
            world.finish(now_ms).await;
        }
        assert_eq!(world.asked(4 * HOUR).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn what_was_missed_is_made_up_once() {
        let world = World::new();
        world.node(Anybody).turn(1).await.unwrap();
        let later = world.node(Anybody);
        for now_ms in [10 * HOUR + 1, 10 * HOUR + 2, 11 * HOUR] {
            later.turn(now_ms).await.unwrap();
            world.finish(now_ms).await;
        }
        assert_eq!(world.asked(12 * HOUR).await, [10, 11]);
    }

    #[tokio::test]
    async fn a_schedule_whose_job_is_not_over_asks_for_no_other() {
        let world = World::new();
        let node = world.node(Anybody);
        for hour in 0..4 {
            node.turn(hour * HOUR + 1).await.unwrap();
        }
        assert_eq!(world.asked(4 * HOUR).await, [1]);
        let entry = node.list(4 * HOUR).await.unwrap().remove(0);
        assert_eq!(entry.error.as_deref(), Some("its job before is not over"));
        assert_eq!(entry.last_ms, Some(HOUR + 1));
    }

    #[tokio::test]
    async fn what_is_due_while_a_schedule_rests_is_left_out() {
        let world = World::new();
        let node = world.node(Anybody);
        node.turn(1).await.unwrap();
        assert_eq!(node.pause("hourly", 10).await.unwrap().next_ms, None);
        node.turn(2 * HOUR + 1).await.unwrap();
        assert_eq!(node.resume("hourly", 2 * HOUR + 2).await.unwrap().next_ms, Some(3 * HOUR));
        node.turn(2 * HOUR + 3).await.unwrap();
        assert!(world.asked(3 * HOUR).await.is_empty());
        node.turn(3 * HOUR).await.unwrap();
        assert_eq!(world.asked(3 * HOUR).await, [3]);
    }

    #[tokio::test]
    async fn a_schedule_has_the_rights_of_who_put_it_each_time() {
        let world = World::new();
        let node = world.node(Named("shop"));
        node.pause("hourly", 1).await.unwrap();
        node.put(schedule("mine", "30 * * * *", 0), Some(creator("shop")), 1).await.unwrap();
        node.put(schedule("theirs", "40 * * * *", 0), Some(creator("gone")), 1).await.unwrap();
        for minute in 0..60 {
            node.turn(minute * 60_000 + 10).await.unwrap();
        }
        let jobs = world.ledger.list(&Filter::default(), None, 9, HOUR).await.unwrap();
        let asked: Vec<_> =
            jobs.iter().map(|job| (job.schedule.as_deref(), job.creator.as_deref())).collect();
        assert_eq!(asked, [(Some("mine"), Some("shop"))]);
        let entries = node.list(HOUR).await.unwrap();
        let theirs = entries.iter().find(|entry| entry.schedule.schedule_id == "theirs").unwrap();
        assert!(theirs.error.as_ref().unwrap().contains("may not run jobs any more"));
    }

    #[tokio::test]
    async fn what_the_configuration_says_is_changed_there_alone() {
        let world = World::new();
        let node = world.node(Anybody);
        let put = node.put(schedule("hourly", "5 * * * *", 0), None, 1).await;
        assert!(matches!(put, Err(ScheduleError::Configured(_))));
        assert!(matches!(node.delete("hourly", 1).await, Err(ScheduleError::Configured(_))));
        assert!(matches!(node.pause("daily", 1).await, Err(ScheduleError::Unknown(_))));
        node.put(schedule("daily", "0 0 * * *", 0), None, 1).await.unwrap();
        assert_eq!(node.list(1).await.unwrap().len(), 2);
        assert!(node.delete("daily", 2).await.unwrap() && !node.delete("daily", 2).await.unwrap());
        let mut other = schedule("other", "0 0 * * *", 0);
        other.kind = "magic".to_owned();
        assert!(matches!(node.put(other, None, 1).await, Err(ScheduleError::NoJob(_))));
        assert!(matches!(node.put(schedule("A", "0 0 * * *", 0), None, 1).await, Err(ScheduleError::Id)));
    }

    #[test]
    fn jitter_is_within_its_bound_and_the_same_for_all() {
        let (calm, jittered) = (schedule("a", "0 * * * *", 0), schedule("a", "0 * * * *", 600));
        let put_off = |hour: TimeMs| {
            let after_ms = hour * HOUR;
            due_at(&jittered, after_ms).unwrap() - due_at(&calm, after_ms).unwrap()
        };
        let all: Vec<TimeMs> = (0..50).map(put_off).collect();
        assert!(all.iter().all(|put_off| (0..=600_000).contains(put_off)));
        assert!(
            all.iter().any(|put_off| *put_off != all[0]) && all == (0..50).map(put_off).collect::<Vec<_>>()
        );
    }
}
