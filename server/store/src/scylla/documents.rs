//! Documents in the cluster: one table, a partition a part.
//!
//! Every write is a lightweight transaction, so that writers on any nodes see each other whatever their clocks say;
//! their timestamps must not mix with those of plain writes, so there are none. What a write expects is the value as it
//! lies there: what has expired already and is still there is replaced as if it were not.

use async_trait::async_trait;
use marquee_core::clock::wall;
use marquee_core::domain::TimeMs;

use super::link::applied;
use super::statements::Statement;
use super::{ScyllaStore, cql_limit};
use crate::{Content, Document, DocumentId, DocumentKind, Documents, StoreError};

/// How often a write is tried again that others were faster than.
const TRIES: usize = 16;

/// Documents that are removed at once with their part.
const PAGE: usize = 1_000;

/// The last second, since 1970, at which servers let a row go: in January 2038. What stays longer goes by its own time
/// alone.
const LAST_SECOND: i64 = i32::MAX as i64 - 1;

/// What lies there: the value, and when it expires.
type ContentRow = (Option<Vec<u8>>, Option<i64>);
pub(super) type DocumentRow = (String, Option<Vec<u8>>, Option<i64>);

impl ScyllaStore {
    /// What lies there, over or not.
    async fn lying(&self, id: DocumentId<'_>) -> Result<Option<Content>, StoreError> {
        let row: Option<ContentRow> =
            self.link.first(Statement::Document, (id.kind.name(), id.part, id.key)).await?;
        Ok(row.and_then(|(value, expires_ms)| value.map(|value| Content { value, expires_ms })))
    }

    /// Writes the document if what lies there says what is expected, or nothing lies there; whether it did.
    async fn write_document(
        &self,
        id: DocumentId<'_>,
        expected: Option<&[u8]>,
        content: &Content,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError> {
        let ttl = content.expires_ms.map_or(0, |expires_ms| ttl_seconds(expires_ms, now_ms));
        let values = (ttl, &content.value, content.expires_ms, id.kind.name(), id.part, id.key, expected);
        let written = self.link.execute(Statement::WriteDocument, values).await;
        // One whose answer was lost may be there nevertheless.
        self.document_changed(id.kind).await?;
        applied(written?)
    }

    /// Removes what lies there; whether there was anything.
    async fn remove_document(&self, id: DocumentId<'_>) -> Result<bool, StoreError> {
        let removed = self.link.execute(Statement::RemoveDocument, (id.kind.name(), id.part, id.key)).await;
        self.document_changed(id.kind).await?;
        applied(removed?)
    }

    /// Says so to those who hold all documents of the kind.
    async fn document_changed(&self, kind: DocumentKind) -> Result<(), StoreError> {
        if kind.is_held() { self.access_changed().await } else { Ok(()) }
    }
}

/// In how many seconds a row may go, 0 for never; it is read by its own time until then.
fn ttl_seconds(expires_ms: TimeMs, now_ms: TimeMs) -> i32 {
    let seconds = expires_ms.saturating_sub(now_ms).max(0) / 1_000 + 1;
    let is_too_late = wall().as_secs().cast_signed().saturating_add(seconds) >= LAST_SECOND;
    // No time to live at all.
    if is_too_late { 0 } else { seconds as i32 }
}

#[async_trait]
impl Documents for ScyllaStore {
    async fn get(&self, id: DocumentId<'_>, now_ms: TimeMs) -> Result<Option<Vec<u8>>, StoreError> {
        let lying = self.lying(id).await?;
        Ok(lying.filter(|content| !content.is_over(now_ms)).map(|content| content.value))
    }

    async fn insert(
        &self,
        id: DocumentId<'_>,
        content: &Content,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError> {
        let lying = self.lying(id).await?;
        if lying.as_ref().is_some_and(|lying| !lying.is_over(now_ms)) {
            return Ok(false);
        }
        self.write_document(id, lying.as_ref().map(|over| over.value.as_slice()), content, now_ms).await
    }

    async fn replace(
        &self,
        id: DocumentId<'_>,
        expected: &[u8],
        content: &Content,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError> {
        let lying = self.lying(id).await?;
        if !lying.is_some_and(|lying| lying.value == expected && !lying.is_over(now_ms)) {
            return Ok(false);
        }
        self.write_document(id, Some(expected), content, now_ms).await
    }

    async fn put(&self, id: DocumentId<'_>, content: &Content, now_ms: TimeMs) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let lying = self.lying(id).await?;
            let expected = lying.as_ref().map(|lying| lying.value.as_slice());
            if self.write_document(id, expected, content, now_ms).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable(format!("others write the {} {:?}", id.kind.name(), id.key)))
    }

    async fn remove(&self, id: DocumentId<'_>, now_ms: TimeMs) -> Result<bool, StoreError> {
        match self.lying(id).await? {
            Some(lying) if !lying.is_over(now_ms) => self.remove_document(id).await,
            _ => Ok(false),
        }
    }

    async fn list(
        &self,
        kind: DocumentKind,
        part: &str,
        after: Option<&str>,
        limit: usize,
        now_ms: TimeMs,
    ) -> Result<Vec<Document>, StoreError> {
        let mut documents = Vec::new();
        let mut after = after.unwrap_or_default().to_owned();
        while documents.len() < limit {
            let wanted = limit - documents.len();
            let values = (kind.name(), part, &after, cql_limit(wanted));
            let rows: Vec<DocumentRow> = self.link.all(Statement::Documents, values).await?;
            let is_last = rows.len() < wanted;
            if let Some((key, ..)) = rows.last() {
                after.clone_from(key);
            }
            for (key, value, expires_ms) in rows {
                let content = value.map(|value| Content { value, expires_ms });
                if let Some(content) = content.filter(|content| !content.is_over(now_ms)) {
                    documents.push(Document { key, value: content.value });
                }
            }
            if is_last {
                break;
            }
        }
        Ok(documents)
    }

    async fn remove_part(&self, kind: DocumentKind, part: &str) -> Result<(), StoreError> {
        loop {
            // By a time when nothing has expired.
            let documents = self.list(kind, part, None, PAGE, TimeMs::MIN).await?;
            for Document { key, .. } in &documents {
                self.remove_document(DocumentId { kind, part, key }).await?;
            }
            if documents.len() < PAGE {
                return Ok(());
            }
        }
    }
}
