//! Everything in the keyspace, for a backup: page by page along the token ring, each user as of its reading.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use marquee_core::domain::UserId;
use tokio::sync::mpsc::Sender;

use super::documents::DocumentRow;
use super::statements::Statement;
use super::{ScyllaStore, USERS_AT_ONCE, cql_limit};
use crate::{Content, DocumentKind, DocumentRecord, Record, Store as _, StoreError, UserRecord};

/// Rows of a page, and users of one.
const PAGE: usize = 1_000;
const USERS_A_PAGE: usize = 256;

impl ScyllaStore {
    pub(super) async fn send_everything(&self, to: &Sender<Vec<Record>>) -> Result<(), StoreError> {
        self.send_movies(to).await?;
        let rules = self.rules().await?;
        send(to, rules.into_iter().map(Record::Rule).collect()).await;
        let notes: Vec<(String, Option<Vec<u8>>)> = self.link.all(Statement::Notes, ()).await?;
        let note =
            |(key, value): (String, Option<Vec<u8>>)| Record::Note { key, value: value.unwrap_or_default() };
        send(to, notes.into_iter().map(note).collect()).await;
        self.send_documents(to).await?;
        self.send_users(to).await
    }

    async fn send_movies(&self, to: &Sender<Vec<Record>>) -> Result<(), StoreError> {
        let mut after = None;
        while !to.is_closed() {
            let page = self.movies(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.movie_id);
            send(to, page.into_iter().map(Record::Movie).collect()).await;
        }
        Ok(())
    }

    async fn send_documents(&self, to: &Sender<Vec<Record>>) -> Result<(), StoreError> {
        let limit = cql_limit(PAGE);
        let mut after: Option<(String, String)> = None;
        while !to.is_closed() {
            let page: Vec<(String, String)> = match &after {
                None => self.link.all(Statement::FirstParts, (limit,)).await?,
                Some((kind, part)) => self.link.all(Statement::PartsAfter, (kind, part, limit)).await?,
            };
            for (kind, part) in &page {
                self.send_part(kind, part, to).await?;
            }
            match page.into_iter().last() {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        Ok(())
    }

    async fn send_part(&self, kind: &str, part: &str, to: &Sender<Vec<Record>>) -> Result<(), StoreError> {
        let unknown = || StoreError::Corrupt(format!("documents are of the unknown kind {kind}"));
        let known = DocumentKind::of_name(kind).ok_or_else(unknown)?;
        let mut after = String::new();
        while !to.is_closed() {
            let values = (kind, part, &after, cql_limit(PAGE));
            let rows: Vec<DocumentRow> = self.link.all(Statement::Documents, values).await?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after.clone_from(last);
            let documents = rows.into_iter().filter_map(|(key, value, expires_ms)| {
                let content = Content { value: value?, expires_ms };
                Some(Record::Document(DocumentRecord { kind: known, part: part.to_owned(), key, content }))
            });
            send(to, documents.collect()).await;
        }
        Ok(())
    }

    async fn send_users(&self, to: &Sender<Vec<Record>>) -> Result<(), StoreError> {
        let mut after = None;
        while !to.is_closed() {
            let page = self.users(after, USERS_A_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            let users: Vec<_> = page.into_iter().map(|user_id| self.whole(user_id)).collect();
            let users: Vec<_> = stream::iter(users).buffered(USERS_AT_ONCE).try_collect().await?;
            send(to, users.into_iter().flatten().map(Record::User).collect()).await;
        }
        Ok(())
    }

    /// The user with the whole history; `None` for one who was deleted meanwhile.
    async fn whole(&self, user_id: UserId) -> Result<Option<UserRecord>, StoreError> {
        let (Some((_, mut events)), Some(found)) =
            (self.partition(user_id).await?, self.found(user_id).await?)
        else {
            return Ok(None);
        };
        events.reverse();
        Ok(Some(UserRecord { user: found.user, events }))
    }
}

/// Whether anybody wants it is asked before the next page.
async fn send(to: &Sender<Vec<Record>>, records: Vec<Record>) {
    if !records.is_empty() {
        let _unwanted = to.send(records).await;
    }
}
