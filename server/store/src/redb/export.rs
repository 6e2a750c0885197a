//! Everything in the tables, for a backup: of one moment, since a snapshot is.

use marquee_core::domain::{MovieId, UserId};
use tokio::sync::mpsc::Sender;

use super::event::unpack;
use super::head::HeadView;
use super::snapshot::Snapshot;
use crate::{Content, DocumentKind, DocumentRecord, Record, StoreError, UserRecord};

/// Records that are sent at once, and events of users that are.
const CHUNK: usize = 1_000;
const CHUNK_EVENTS: usize = 20_000;

/// Gathers records and sends them.
struct Chunks<'a> {
    to: &'a Sender<Vec<Record>>,
    records: Vec<Record>,
    events: usize,
}

/// Nobody receives any more.
struct Unwanted;

impl Chunks<'_> {
    fn add(&mut self, record: Record) -> Result<(), Unwanted> {
        if let Record::User(user) = &record {
            self.events += user.events.len();
        }
        self.records.push(record);
        if self.records.len() < CHUNK && self.events < CHUNK_EVENTS { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), Unwanted> {
        self.events = 0;
        let records = std::mem::take(&mut self.records);
        if records.is_empty() { Ok(()) } else { self.to.blocking_send(records).map_err(|_| Unwanted) }
    }
}

impl Snapshot {
    /// Sends everything, on a thread that may wait.
    pub(super) fn export(&self, to: &Sender<Vec<Record>>) -> Result<(), StoreError> {
        let mut chunks = Chunks { to, records: Vec::new(), events: 0 };
        for record in self.records() {
            if chunks.add(record?).is_err() {
                return Ok(());
            }
        }
        // Nobody has to want the last one either.
        let _ended = chunks.send();
        Ok(())
    }

    fn records(&self) -> impl Iterator<Item = Result<Record, StoreError>> {
        let rules = flattened(self.rules()).map(|rule| rule.map(Record::Rule));
        self.all_movies()
            .chain(rules)
            .chain(self.all_notes())
            .chain(self.all_documents())
            .chain(self.all_users())
    }

    fn all_movies(&self) -> impl Iterator<Item = Result<Record, StoreError>> {
        let mut after: Option<MovieId> = None;
        let pages = std::iter::from_fn(move || match self.movies(after, CHUNK) {
            Ok(page) => {
                after = Some(page.last()?.movie_id);
                Some(Ok(page))
            }
            Err(error) => Some(Err(error)),
        });
        pages.flat_map(flattened).map(|movie| movie.map(Record::Movie))
    }

    fn all_notes(&self) -> impl Iterator<Item = Result<Record, StoreError>> {
        flattened(self.notes.range_owned::<&str>(..).map_err(StoreError::from)).map(|entry| {
            let (key, value) = entry??;
            Ok(Record::Note { key: key.value().to_owned(), value: value.value().to_vec() })
        })
    }

    fn all_documents(&self) -> impl Iterator<Item = Result<Record, StoreError>> {
        flattened(self.documents.range_owned::<(&str, &str, &str)>(..).map_err(StoreError::from)).map(
            |entry| {
                let (name, row) = entry??;
                let ((kind, part, key), (expires_ms, value)) = (name.value(), row.value());
                let unknown = || StoreError::Corrupt(format!("a document is of the unknown kind {kind}"));
                let kind = DocumentKind::of_name(kind).ok_or_else(unknown)?;
                let content = Content { value: value.to_vec(), expires_ms };
                let (part, key) = (part.to_owned(), key.to_owned());
                Ok(Record::Document(DocumentRecord { kind, part, key, content }))
            },
        )
    }

    fn all_users(&self) -> impl Iterator<Item = Result<Record, StoreError>> {
        flattened(self.users.range_owned::<u64>(..).map_err(StoreError::from)).map(|entry| {
            let (user_id, head) = entry??;
            Ok(Record::User(self.whole(user_id.value(), head.value())?))
        })
    }

    /// The user with the whole history.
    fn whole(&self, user_id: UserId, head: &[u8]) -> Result<UserRecord, StoreError> {
        let head = HeadView::new(head)?;
        let mut events = Vec::new();
        if head.has_older() {
            for run in self.runs(user_id) {
                events.extend_from_slice(&run?);
            }
        }
        events.extend_from_slice(head.newest);
        let events = events.iter().map(|packed| unpack(user_id, packed)).collect::<Result<_, _>>()?;
        Ok(UserRecord { user: head.user(user_id)?, events })
    }
}

/// What there is, or why there is nothing.
fn flattened<T>(
    items: Result<impl IntoIterator<Item = T>, StoreError>,
) -> impl Iterator<Item = Result<T, StoreError>> {
    let (items, failure) = match items {
        Ok(items) => (Some(items), None),
        Err(error) => (None, Some(Err(error))),
    };
    items.into_iter().flatten().map(Ok).chain(failure)
}
