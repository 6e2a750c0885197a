//! The trail of what callers changed of others' data, and of what they were refused.
//!
//! A call adds its [`Entry`] to a bounded queue and goes on; one task, the [`Writer`], writes what is queued to the
//! [`Trail`] in the store, and the rest when the server ends. What finds the queue full is lost and counted: a call does
//! not wait for its record. Refusals may fill half of the queue, so that no flood of them costs the record of a change.
//! Those of callers whom nobody knows are not queued at all, but summed up by the minute.
//!
//! A user stands in a record under a pseudonym, an HMAC whose salt is deleted with the user; so does a person who calls.

mod pseudonym;
mod sums;
#[cfg(test)]
mod tests;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::now_ms;
use marquee_core::domain::{TimeMs, UserId};
use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use marquee_store::{Store, StoreError};
use opentelemetry::metrics::Counter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::pseudonym::Pseudonyms;
use self::sums::Sums;
pub use self::trail::{Filter, Page, Place, Record, Trail};

/// Entries that may wait to be written.
const QUEUE: usize = 4_096;

/// For how long refusals of unknown callers are summed up.
const SUMMED: Duration = Duration::from_mins(1);

/// What stands before the pseudonym of a person who calls.
const PERSON: &str = "person-";

const FULL: &str = "queue";
const STORE: &str = "store";
const WHERE: Label = Label::one_of("where", &[FULL, STORE]);

metrics! {
    pub(crate) METRICS;
    LOST = Metric::counter(
        "marquee.audit.lost",
        "{record}",
        &[WHERE],
        "Records of the audit that are lost: the queue to the store was full, or the store took none",
    );
}

/// Who called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Who has this name.
    Named(String),
    /// The person who owns this user.
    Person(UserId),
}

/// A call that is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it ended.
    pub time_ms: TimeMs,
    /// Who called, if that is known.
    pub caller: Option<Caller>,
    /// From where.
    pub origin: String,
    /// What was called, as `package.Service/Method`.
    pub method: &'static str,
    /// Whom the request named.
    pub user_id: Option<UserId>,
    /// How the call is named in the log.
    pub request_id: Option<String>,
    /// The name of its code.
    pub outcome: &'static str,
}

enum Item {
    Entry(Entry),
    /// Answered once all before it is written.
    Mark(oneshot::Sender<()>),
}

/// Takes in what is recorded. All methods may be called from many tasks at once.
pub struct Audit {
    queue: mpsc::Sender<Item>,
    unknown: Arc<Sums>,
    lost: Counter<u64>,
}

impl Audit {
    /// What records to this trail, once the writer runs.
    pub fn new(store: Arc<dyn Store>, trail: Arc<Trail>) -> (Self, Writer) {
        let (queue, items) = mpsc::channel(QUEUE);
        let (unknown, lost) = (Arc::new(Sums::default()), LOST.u64_counter());
        let pseudonyms = Pseudonyms::new(store);
        let writer = Writer { items, unknown: Arc::clone(&unknown), trail, pseudonyms, lost: lost.clone() };
        (Self { queue, unknown, lost }, writer)
    }

    /// Records a change.
    pub fn change(&self, entry: Entry) {
        if self.queue.try_send(Item::Entry(entry)).is_err() {
            self.lost.add(1, &[WHERE.is(FULL)]);
        }
    }

    /// Records a refusal.
    pub fn refusal(&self, entry: Entry) {
        if entry.caller.is_none() {
            self.unknown.add(&entry);
        } else if self.queue.capacity() > QUEUE / 2 {
            self.change(entry);
        } else {
            self.lost.add(1, &[WHERE.is(FULL)]);
        }
    }

    /// Waits until what was recorded before is written, but for what is summed up.
    pub async fn written(&self) {
        let (mark, reached) = oneshot::channel();
        if self.queue.send(Item::Mark(mark)).await.is_ok() {
            let _writer_ended = reached.await;
        }
    }
}

/// Writes what is recorded.
pub struct Writer {
    items: mpsc::Receiver<Item>,
    unknown: Arc<Sums>,
    trail: Arc<Trail>,
    pseudonyms: Pseudonyms,
    lost: Counter<u64>,
}

impl Writer {
    /// Writes until `stop`, and then what is queued or summed up.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut minute = interval(SUMMED);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = minute.tick() => self.minute().await,
                Some(item) = self.items.recv() => self.take(item).await,
            }
        }
        self.items.close();
        while let Some(item) = self.items.recv().await {
            self.take(item).await;
        }
        self.write_sums().await;
    }

    async fn take(&self, item: Item) {
        match item {
            Item::Entry(entry) => {
                let written = self.record(entry).await;
                self.count(1, written);
            }
            Item::Mark(mark) => _ = mark.send(()),
        }
    }

    async fn minute(&self) {
        self.write_sums().await;
        if let Err(error) = self.trail.sweep(now_ms()).await {
            tracing::debug!(%error, "audit records past their time not removed; trying again");
        }
    }

    async fn write_sums(&self) {
        for sum in self.unknown.take() {
            let calls = sum.calls;
            let written = self.trail.add(&sum.record(now_ms())).await;
            self.count(calls, written);
        }
    }

    /// Writes the record of an entry.
    async fn record(&self, entry: Entry) -> Result<(), StoreError> {
        let Entry { time_ms, caller, origin, method, user_id, request_id, outcome } = entry;
        let caller = match caller {
            None => None,
            Some(Caller::Named(name)) => Some(name),
            Some(Caller::Person(user_id)) => {
                Some(format!("{PERSON}{}", self.pseudonyms.of(user_id, time_ms).await?))
            }
        };
        let user = match user_id {
            Some(user_id) => Some(self.pseudonyms.of(user_id, time_ms).await?),
            None => None,
        };
        let (method, outcome) = (method.to_owned(), outcome.to_owned());
        self.trail.add(&Record { time_ms, caller, origin, method, user, request_id, outcome, calls: 1 }).await
    }

    fn count(&self, calls: u64, written: Result<(), StoreError>) {
        if let Err(error) = written {
            tracing::warn!(%error, "a record of the audit is lost");
            self.lost.add(calls, &[WHERE.is(STORE)]);
        }
    }
}
