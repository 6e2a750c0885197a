//! Records in the store: a part for each day, in it the newest first.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use futures::{Stream, TryStreamExt as _, stream};
use marquee_core::clock::millis;
use marquee_core::domain::{TimeMs, UserId};
use marquee_store::{Content, Document, DocumentId, DocumentKind, Store, StoreError};
use serde::{Deserialize, Serialize};

use super::pseudonym::Pseudonyms;

const DAY_MS: TimeMs = 24 * 60 * 60 * 1_000;

/// Records that are read at once.
const READ: usize = 500;

/// Records that are read for a page at most.
const READ_FOR_A_PAGE: usize = 20_000;

/// Days before those that are kept, which may hold records yet: kept longer before, or while no server ran.
const SWEPT_DAYS: i64 = 400;

/// What is kept of a call, or of calls that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it ended.
    pub time_ms: TimeMs,
    /// Who called; `None` where nobody is known.
    pub caller: Option<String>,
    /// From where.
    pub origin: String,
    /// What was called, as `package.Service/Method`.
    pub method: String,
    /// Whom the request named, by a pseudonym.
    pub user: Option<String>,
    /// How the call is named in the log.
    pub request_id: Option<String>,
    /// The name of its code.
    pub outcome: String,
    /// How many calls it is of.
    pub calls: u64,
}

/// Which records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From when on.
    pub from_ms: Option<TimeMs>,
    /// Until before when.
    pub until_ms: Option<TimeMs>,
    /// Of whom; `Some(None)` for calls of nobody who is known.
    pub caller: Option<Option<String>>,
    /// Of which method.
    pub method: Option<String>,
    /// What became of them.
    pub outcome: Option<String>,
    /// Of which user, by a pseudonym.
    pub user: Option<String>,
}

impl Filter {
    fn wants(&self, record: &Record) -> bool {
        self.from_ms.is_none_or(|from_ms| record.time_ms >= from_ms)
            && self.until_ms.is_none_or(|until_ms| record.time_ms < until_ms)
            && self.caller.as_ref().is_none_or(|caller| *caller == record.caller)
            && self.method.as_ref().is_none_or(|method| *method == record.method)
            && self.outcome.as_ref().is_none_or(|outcome| *outcome == record.outcome)
            && self.user.as_ref().is_none_or(|user| Some(user) == record.user.as_ref())
    }
}

/// The place of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its day, from the first of 1970.
    pub day: i64,
    /// Its key within the day.
    pub key: String,
}

/// A part of the trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records, newest first.
    pub records: Vec<Record>,
    /// After which place the next page goes on, if there may be one.
    pub next: Option<Place>,
}

/// The records of a store. All methods may be called from many tasks at once.
pub struct Trail {
    store: Arc<dyn Store>,
    retention_ms: TimeMs,
    /// Tells the records of nodes that share the store apart.
    node: u32,
    added: AtomicU32,
    swept: AtomicI64,
}

impl Trail {
    /// The trail of a store, in which records are kept for so long.
    pub fn new(store: Arc<dyn Store>, retention: Duration) -> Self {
        let retention_ms = millis(retention);
        let (added, swept) = (AtomicU32::new(0), AtomicI64::new(TimeMs::MIN));
        Self { store, retention_ms, node: rand::random(), added, swept }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not acknowledge it.
    pub async fn add(&self, record: &Record) -> Result<(), StoreError> {
        let part = day_of(record.time_ms).to_string();
        let sequence = self.added.fetch_add(1, Ordering::Relaxed);
        let key = format!("{}-{:08x}-{:08x}", backwards(record.time_ms), u32::MAX - sequence, self.node);
        let id = DocumentId { kind: DocumentKind::AuditRecord, part: &part, key: &key };
        let value = serde_json::to_vec(record).expect("texts and numbers are JSON");
        let expires_ms = Some(record.time_ms.saturating_add(self.retention_ms));
        self.store.documents().put(id, &Content { value, expires_ms }, record.time_ms).await
    }

    /// The records that a filter wants, at most `size`, after a place.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Place>,
        size: usize,
        now_ms: TimeMs,
    ) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let (mut last, mut read) = (None, 0);
        let start = after.unwrap_or_else(|| first_place(filter, now_ms));
        for day in self.days(filter, now_ms).rev().skip_while(|day| *day > start.day) {
            let mut from = if day == start.day { start.key.clone() } else { String::new() };
            loop {
                let documents = self.documents(day, &from, READ, now_ms).await?;
                let is_end = documents.len() < READ;
                for Document { key, value } in documents {
                    let record = serde_json::from_slice(&value).ok().filter(|record| filter.wants(record));
                    if record.is_some() && page.records.len() == size {
                        page.next = last;
                        return Ok(page);
                    }
                    page.records.extend(record);
                    read += 1;
                    last = Some(Place { day, key: key.clone() });
                    from = key;
                }
                if read >= READ_FOR_A_PAGE {
                    page.next = last;
                    return Ok(page);
                }
                if is_end {
                    break;
                }
            }
        }
        Ok(page)
    }

    /// All records that a filter wants, read as they are taken.
    pub fn export(
        self: Arc<Self>,
        filter: Filter,
        now_ms: TimeMs,
    ) -> impl Stream<Item = Result<Record, StoreError>> + Send {
        let pages =
            stream::try_unfold((self, filter, Some(None)), move |(trail, filter, after)| async move {
                let Some(after) = after else { return Ok::<_, StoreError>(None) };
                let Page { records, next } = trail.list(&filter, after, READ, now_ms).await?;
                let records = stream::iter(records.into_iter().map(Ok));
                Ok(Some((records, (trail, filter, next.map(Some)))))
            });
        pages.try_flatten()
    }

    /// Under which name a user stands in records; `None` where none can be told to be about that user.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn pseudonym_of(&self, user_id: UserId, now_ms: TimeMs) -> Result<Option<String>, StoreError> {
        Pseudonyms::new(Arc::clone(&self.store)).known(user_id, now_ms).await
    }

    /// Gives back the room of days that are past their time, once a day.
    pub(super) async fn sweep(&self, now_ms: TimeMs) -> Result<(), StoreError> {
        let oldest = day_of(now_ms.saturating_sub(self.retention_ms));
        if self.swept.load(Ordering::Relaxed) == oldest {
            return Ok(());
        }
        for day in oldest - SWEPT_DAYS..oldest {
            if !self.documents(day, "", 1, TimeMs::MIN).await?.is_empty() {
                self.store.documents().remove_part(DocumentKind::AuditRecord, &day.to_string()).await?;
            }
        }
        self.swept.store(oldest, Ordering::Relaxed);
        Ok(())
    }

    async fn documents(
        &self,
        day: i64,
        after: &str,
        limit: usize,
        now_ms: TimeMs,
    ) -> Result<Vec<Document>, StoreError> {
        let after = Some(after).filter(|after| !after.is_empty());
        self.store.documents().list(DocumentKind::AuditRecord, &day.to_string(), after, limit, now_ms).await
    }

    /// The days that may hold what is wanted.
    fn days(&self, filter: &Filter, now_ms: TimeMs) -> RangeInclusive<i64> {
        let oldest = now_ms.saturating_sub(self.retention_ms);
        let from_ms = filter.from_ms.unwrap_or(oldest).max(oldest);
        day_of(from_ms)..=first_place(filter, now_ms).day
    }
}

/// The place before the newest record that may be wanted. The clocks of nodes differ, so it may lie in the future.
fn first_place(filter: &Filter, now_ms: TimeMs) -> Place {
    let latest = now_ms.saturating_add(DAY_MS);
    let newest = filter.until_ms.map_or(latest, |until_ms| until_ms.saturating_sub(1).min(latest));
    Place { day: day_of(newest), key: backwards(newest) }
}

fn day_of(time_ms: TimeMs) -> i64 {
    time_ms.div_euclid(DAY_MS)
}

/// A text that comes the earlier, the later the time.
fn backwards(time_ms: TimeMs) -> String {
    format!("{:016x}", TimeMs::MAX.saturating_sub(time_ms.max(0)))
}
