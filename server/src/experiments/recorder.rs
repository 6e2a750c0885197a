//! Writes what experiments are told: answers that were of an arm, and users who did something.
//!
//! An answer adds its [`Exposure`] to a bounded queue and goes on; a write of interactions notes its users. Once a second
//! one task, the [`Recorder`], writes what came: an answer once an hour for each user, experiment and arm, and the row
//! of each user concerned. What finds the queue full is lost and counted: no answer waits for its record.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use marquee_core::clock::now_ms;
use marquee_core::domain::{TimeMs, UserId};
use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use marquee_store::{DocumentId, DocumentKind, StoreError};
use opentelemetry::metrics::Counter;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Experiments;
use super::definition::{Experiment, State};
use super::held::Applied;
use super::records::{BUCKET_MS, Exposure, Record, Shadowed, bucket_of, record_of, record_of_shadow};

/// Answers that may wait to be written.
const QUEUE: usize = 16_384;
/// Users of whom it may be noted that they did something.
const TOUCHED: usize = 100_000;
/// How often is written.
const EVERY: Duration = Duration::from_secs(1);
/// Rows that are written at once.
const AT_ONCE: usize = 64;
/// Answers that are known to be recorded.
const KNOWN: usize = 1_000_000;
/// How often rows are counted at most: others who share the store may have written some.
const RECOUNT: Duration = Duration::from_mins(1);
/// Counting rests for so many times as long as it took.
const RECOUNT_REST: u32 = 50;

const FULL: &str = "queue";
const STORE: &str = "store";
const WHERE: Label = Label::one_of("where", &[FULL, STORE]);

metrics! {
    pub(crate) METRICS;
    LOST = Metric::counter(
        "marquee.experiments.lost",
        "{exposure}",
        &[WHERE],
        "Answers of experiments, and users who did something, that are not recorded: the queue to the store was full, or the \
         store took none",
    );
}

pub(super) enum Item {
    Exposed(Exposure),
    Shadowed(Shadowed),
    /// Answered once all before it is written.
    Mark(oneshot::Sender<()>),
}

/// What is told, until it is written.
pub(super) struct Told {
    queue: mpsc::Sender<Item>,
    touched: Mutex<FxHashSet<UserId>>,
    lost: AtomicU64,
    counter: Counter<u64>,
}

impl Told {
    pub(super) fn new() -> (Self, mpsc::Receiver<Item>) {
        let (queue, items) = mpsc::channel(QUEUE);
        let touched = Mutex::default();
        (Self { queue, touched, lost: AtomicU64::new(0), counter: LOST.u64_counter() }, items)
    }

    pub(super) fn exposed(&self, exposure: Exposure) {
        if self.queue.try_send(Item::Exposed(exposure)).is_err() {
            self.lose(1, FULL);
        }
    }

    pub(super) fn shadowed(&self, shadowed: Shadowed) {
        if self.queue.try_send(Item::Shadowed(shadowed)).is_err() {
            self.lose(1, FULL);
        }
    }

    /// Notes users who did something.
    pub(super) fn touched(&self, users: impl Iterator<Item = UserId>) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        for user_id in users {
            if touched.len() < TOUCHED {
                touched.insert(user_id);
            } else {
                self.lose(1, FULL);
            }
        }
    }

    /// Waits until what was told before is written.
    pub(super) async fn written(&self) {
        let (mark, reached) = oneshot::channel();
        if self.queue.send(Item::Mark(mark)).await.is_ok() {
            let _recorder_ended = reached.await;
        }
    }

    /// What was lost since the node started.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn lose(&self, count: u64, place: &'static str) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.counter.add(count, &[WHERE.is(place)]);
    }

    fn take_touched(&self) -> FxHashSet<UserId> {
        std::mem::take(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes what is told.
pub struct Recorder {
    pub(super) experiments: Arc<Experiments>,
    pub(super) items: mpsc::Receiver<Item>,
    pub(super) waiting: Vec<Exposure>,
    pub(super) compared: Vec<Shadowed>,
    /// Hashes of answers that are recorded: experiment, arm, user and hour.
    pub(super) known: FxHashSet<u64>,
    pub(super) recount_at: Instant,
    pub(super) recounting: Option<AbortOnDropHandle<()>>,
}

/// A user's row that is to be written: with the first answer, if there was one just now.
struct Row {
    experiment: Arc<Experiment>,
    user_id: UserId,
    answered: Option<Answered>,
}

/// What the answers to a user, since rows were written last, were of.
#[derive(Clone, Copy)]
pub(super) struct Answered {
    /// The arm of the first one.
    pub(super) arm: usize,
    /// When that was.
    pub(super) time_ms: TimeMs,
    /// Whether there was one of another arm.
    pub(super) crossed: bool,
}

impl Recorder {
    /// Writes until `stop`, and then what waits.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.tick().await,
                Some(item) = self.items.recv() => self.take(item).await,
            }
        }
        self.items.close();
        while let Some(item) = self.items.recv().await {
            self.take(item).await;
        }
        self.flush().await;
    }

    async fn take(&mut self, item: Item) {
        match item {
            Item::Exposed(exposure) => self.waiting.push(exposure),
            Item::Shadowed(shadowed) => self.compared.push(shadowed),
            Item::Mark(mark) => {
                self.flush().await;
                _ = mark.send(());
            }
        }
    }

    async fn tick(&mut self) {
        self.flush().await;
        let is_counting = self.recounting.as_ref().is_some_and(|counting| !counting.is_finished());
        if Instant::now() >= self.recount_at && !is_counting {
            self.recount_at = Instant::now() + RECOUNT;
            let experiments = Arc::clone(&self.experiments);
            // Beside the writing, which goes on.
            let counting = tokio::spawn(async move { experiments.recount_all(RECOUNT_REST).await });
            self.recounting = Some(AbortOnDropHandle::new(counting));
        }
    }

    /// Writes what waits.
    async fn flush(&mut self) {
        let told = &self.experiments.told;
        let exposures = std::mem::take(&mut self.waiting);
        let compared = std::mem::take(&mut self.compared);
        let touched = told.take_touched();
        if exposures.is_empty() && compared.is_empty() && touched.is_empty() {
            return;
        }
        let mut rows: FxHashMap<(String, UserId), Row> = FxHashMap::default();
        let mut records = Vec::new();
        for exposure in exposures {
            for applied in exposure.applied.iter().filter(|applied| !applied.forced) {
                if self.known.insert(hash_of(&exposure, applied)) {
                    let (arm, time_ms) = (applied.arm, exposure.time_ms);
                    let row = || Row {
                        experiment: Arc::clone(&applied.experiment),
                        user_id: exposure.user_id,
                        answered: Some(Answered { arm, time_ms, crossed: false }),
                    };
                    let key = (applied.experiment.name().to_owned(), exposure.user_id);
                    if let Some(answered) = &mut rows.entry(key).or_insert_with(row).answered {
                        answered.crossed |= answered.arm != arm;
                    }
                    records.push(record_of(&exposure, applied));
                }
            }
        }
        let now_ms = now_ms();
        for shadowed in compared {
            let Some(experiment) = self.experiments.get(&shadowed.experiment) else { continue };
            let user_id = shadowed.user_id;
            let key = (shadowed.experiment.clone(), user_id);
            // Who was deleted since then has no row, and gets no record.
            if !rows.contains_key(&key) && !self.experiments.has_row(&key.0, user_id, now_ms).await {
                continue;
            }
            let text = format!("{}//{user_id}/{}", key.0, shadowed.time_ms / BUCKET_MS);
            if self.known.insert(xxhash_rust::xxh3::xxh3_64(text.as_bytes())) {
                records.push(record_of_shadow(&shadowed, &experiment.definition));
                rows.entry(key).or_insert(Row { experiment, user_id, answered: None });
            }
        }
        if self.known.len() > KNOWN {
            self.known.clear();
        }
        let held = self.experiments.held.load_full();
        for user_id in touched {
            for experiment in held.counting(user_id, now_ms) {
                let key = (experiment.name().to_owned(), user_id);
                let experiment = Arc::clone(experiment);
                rows.entry(key).or_insert(Row { experiment, user_id, answered: None });
            }
        }
        let names: FxHashSet<String> = rows.keys().map(|(name, _)| name.clone()).collect();
        let mut writes: Vec<BoxFuture<'static, Result<(), StoreError>>> = Vec::new();
        for record in records {
            writes.push(Arc::clone(&self.experiments).put_record(record, now_ms).boxed());
        }
        let records_lost = lost_of(writes.drain(..)).await;
        for row in rows.into_values() {
            writes.push(Arc::clone(&self.experiments).put_row(row, now_ms).boxed());
        }
        let rows_lost = lost_of(writes.drain(..)).await;
        if records_lost + rows_lost > 0 {
            told.lose(records_lost + rows_lost, STORE);
            // They are written with the next answers.
            self.known.clear();
        }
        for name in names {
            self.experiments.stop_if_breached(&name).await;
        }
    }
}

/// How many of many writes failed.
async fn lost_of(writes: impl Iterator<Item = BoxFuture<'static, Result<(), StoreError>>>) -> u64 {
    let outcomes = stream::iter(writes).buffer_unordered(AT_ONCE);
    outcomes
        .fold(0, async |lost, outcome| match outcome {
            Ok(()) => lost,
            Err(error) => {
                tracing::warn!(%error, "what an experiment was told is lost");
                lost + 1
            }
        })
        .await
}

fn hash_of(exposure: &Exposure, applied: &Applied) -> u64 {
    let Exposure { user_id, time_ms, .. } = exposure;
    let failed = exposure.took_us.is_none();
    let bucket = bucket_of(applied, *time_ms);
    let text = format!("{}/{}/{user_id}/{bucket}/{failed}", applied.experiment.name(), applied.arm);
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

impl Experiments {
    async fn put_record(self: Arc<Self>, record: Record, now_ms: TimeMs) -> Result<(), StoreError> {
        let id = DocumentId { kind: DocumentKind::Exposure, part: &record.part, key: &record.key };
        // The first of an hour stays.
        self.store.documents().insert(id, &record.content, now_ms).await.map(|_| ())
    }

    async fn put_row(self: Arc<Self>, row: Row, now_ms: TimeMs) -> Result<(), StoreError> {
        self.count_user(&row.experiment, row.user_id, row.answered, now_ms).await
    }

    /// Stops an experiment whose guardrail is breached.
    async fn stop_if_breached(self: &Arc<Self>, name: &str) {
        let Some(experiment) = self.get(name).filter(|experiment| experiment.state == State::Running) else {
            return;
        };
        let reason = match self.read_counted(&experiment).await {
            Ok(results) => results.breach().map(str::to_owned),
            Err(error) => {
                tracing::warn!(%error, experiment = name, "the users of an experiment are not counted; trying again");
                None
            }
        };
        let Some(reason) = reason else { return };
        tracing::warn!(experiment = name, reason, "an experiment is stopped");
        if let Err(error) = self.stop(name.to_owned(), Some(reason)).await {
            tracing::warn!(%error, experiment = name, "an experiment that should stop goes on; trying again");
        }
    }
}
