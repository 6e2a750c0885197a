//! Documents in the file: a table of their own, behind the one writer.
//!
//! A change takes what has expired of its part along.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use marquee_core::domain::TimeMs;
use redb::WriteTransaction;

use super::RedbStore;
use super::schema::{DOCUMENTS, StoredDocuments};
use super::snapshot::Snapshot;
use crate::{Content, Document, DocumentId, DocumentKind, Documents, StoreError};

/// Which document, owned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    kind: DocumentKind,
    part: String,
    key: String,
}

impl Name {
    fn of(DocumentId { kind, part, key }: DocumentId<'_>) -> Self {
        Self { kind, part: part.to_owned(), key: key.to_owned() }
    }

    fn key(&self) -> (&str, &str, &str) {
        (self.kind.name(), &self.part, &self.key)
    }
}

/// Documents that changed since the last checkpoint; `None` for one that is removed.
#[derive(Debug, Default)]
pub(super) struct ChangedDocuments(HashMap<Name, Option<Content>>);

impl ChangedDocuments {
    /// Writes what changed.
    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut table = transaction.open_table(DOCUMENTS)?;
        for (name, content) in &self.0 {
            match content {
                Some(content) => {
                    table.insert(name.key(), (content.expires_ms, content.value.as_slice()))?;
                }
                None => {
                    table.remove(name.key())?;
                }
            }
        }
        Ok(())
    }

    /// What the document says, if there is one at this time.
    fn live(&self, stored: &Snapshot, name: &Name, now_ms: TimeMs) -> Result<Option<Content>, StoreError> {
        let content = match self.0.get(name) {
            Some(changed) => changed.clone(),
            None => read(&stored.documents, name)?,
        };
        Ok(content.filter(|content| !content.is_over(now_ms)))
    }

    /// Puts what `change` makes of the document, if it makes anything; whether it did.
    fn change(
        &mut self,
        stored: &Snapshot,
        name: Name,
        now_ms: TimeMs,
        change: impl FnOnce(Option<Content>) -> Option<Option<Content>>,
    ) -> Result<bool, StoreError> {
        let Some(content) = change(self.live(stored, &name, now_ms)?) else { return Ok(false) };
        for over in expired(&stored.documents, &name, now_ms)? {
            self.0.entry(over).or_insert(None);
        }
        self.0.insert(name, content);
        Ok(true)
    }

    fn remove_part(&mut self, stored: &Snapshot, kind: DocumentKind, part: &str) -> Result<(), StoreError> {
        for (name, content) in &mut self.0 {
            if name.kind == kind && name.part == part {
                *content = None;
            }
        }
        for entry in of_part(&stored.documents, kind, part, None)? {
            self.0.insert(Name { kind, part: part.to_owned(), key: entry?.0 }, None);
        }
        Ok(())
    }
}

fn read(table: &StoredDocuments, name: &Name) -> Result<Option<Content>, StoreError> {
    Ok(table.get_owned(name.key())?.map(|row| content(row.value())))
}

fn content((expires_ms, value): (Option<i64>, &[u8])) -> Content {
    Content { value: value.to_vec(), expires_ms }
}

/// The documents of a part after a key, by ascending key.
fn of_part(
    table: &StoredDocuments,
    kind: DocumentKind,
    part: &str,
    after: Option<&str>,
) -> Result<impl Iterator<Item = Result<(String, Content), StoreError>> + use<>, StoreError> {
    let first = (kind.name(), part, after.unwrap_or_default());
    let range = table.range_owned::<(&str, &str, &str)>((Bound::Excluded(first), Bound::Unbounded))?;
    let part = part.to_owned();
    let rows = range.map(move |entry| {
        let (key, row) = entry?;
        let (of_kind, of_part, key) = key.value();
        let is_of_part = of_kind == kind.name() && of_part == part;
        Ok(is_of_part.then(|| (key.to_owned(), content(row.value()))))
    });
    Ok(rows.map_while(Result::transpose))
}

/// The documents of the same part that are over.
fn expired(table: &StoredDocuments, name: &Name, now_ms: TimeMs) -> Result<Vec<Name>, StoreError> {
    let mut over = Vec::new();
    for entry in of_part(table, name.kind, &name.part, None)? {
        let (key, content) = entry?;
        if content.is_over(now_ms) {
            over.push(Name { key, ..name.clone() });
        }
    }
    Ok(over)
}

impl RedbStore {
    /// Puts what `change` makes of the document, once it is durable; whether it made anything.
    async fn change_document(
        &self,
        id: DocumentId<'_>,
        now_ms: TimeMs,
        change: impl FnOnce(Option<Content>) -> Option<Option<Content>> + Send + 'static,
    ) -> Result<bool, StoreError> {
        let name = Name::of(id);
        let changed = move |documents: &mut ChangedDocuments, stored: &Arc<Snapshot>| {
            documents.change(stored, name, now_ms, change)
        };
        self.writer.submit(move |state| state.change_documents(changed)).await
    }
}

#[async_trait]
impl Documents for RedbStore {
    async fn get(&self, id: DocumentId<'_>, now_ms: TimeMs) -> Result<Option<Vec<u8>>, StoreError> {
        let found = read(&self.view.stored()?.documents, &Name::of(id))?;
        Ok(found.filter(|content| !content.is_over(now_ms)).map(|content| content.value))
    }

    async fn insert(
        &self,
        id: DocumentId<'_>,
        content: &Content,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError> {
        let content = content.clone();
        self.change_document(id, now_ms, |found| found.is_none().then_some(Some(content))).await
    }

    async fn replace(
        &self,
        id: DocumentId<'_>,
        expected: &[u8],
        content: &Content,
        now_ms: TimeMs,
    ) -> Result<bool, StoreError> {
        let (expected, content) = (expected.to_vec(), content.clone());
        let change = move |found: Option<Content>| {
            found.is_some_and(|found| found.value == expected).then_some(Some(content))
        };
        self.change_document(id, now_ms, change).await
    }

    async fn put(&self, id: DocumentId<'_>, content: &Content, now_ms: TimeMs) -> Result<(), StoreError> {
        let content = content.clone();
        self.change_document(id, now_ms, |_| Some(Some(content))).await.map(drop)
    }

    async fn remove(&self, id: DocumentId<'_>, now_ms: TimeMs) -> Result<bool, StoreError> {
        self.change_document(id, now_ms, |found| found.map(|_| None)).await
    }

    async fn list(
        &self,
        kind: DocumentKind,
        part: &str,
        after: Option<&str>,
        limit: usize,
        now_ms: TimeMs,
    ) -> Result<Vec<Document>, StoreError> {
        let (part, after) = (part.to_owned(), after.map(str::to_owned));
        self.scan(move |snapshot| {
            let mut documents = Vec::new();
            for entry in of_part(&snapshot.documents, kind, &part, after.as_deref())? {
                if documents.len() == limit {
                    break;
                }
                let (key, content) = entry?;
                if !content.is_over(now_ms) {
                    documents.push(Document { key, value: content.value });
                }
            }
            Ok(documents)
        })
        .await
    }

    async fn remove_part(&self, kind: DocumentKind, part: &str) -> Result<(), StoreError> {
        let part = part.to_owned();
        let removed = move |documents: &mut ChangedDocuments, stored: &Arc<Snapshot>| {
            documents.remove_part(stored, kind, &part)
        };
        self.writer.submit(move |state| state.change_documents(removed)).await
    }
}
