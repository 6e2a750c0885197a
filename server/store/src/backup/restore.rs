//! A store that holds nothing becomes one that holds what a backup does.
//!
//! All is checked before anything is written. A note in the store says that a restore has begun, so that a server does
//! not serve half of it, and one that broke off goes on: every write may be repeated.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use marquee_core::clock::now_ms;
use marquee_core::domain::{MovieRecord, Preferences, UserId};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::manifest::{Counts, Manifest, hash, verify};
use super::{BackupError, CHUNKS_WAITING, RESTORE_NOTE, parts};
use crate::{DocumentId, DocumentKind, DocumentRecord, Record, Store, StoreError, UserRecord};

/// Records that are read at once.
const CHUNK: usize = 1_000;
/// Writes under way at once: the embedded store makes one group of them.
const WRITES_AT_ONCE: usize = 256;

const BEGUN: &str = "begun ";
const COMPLETE: &[u8] = b"complete";

/// How a backup is restored.
#[derive(Clone, Default)]
pub struct Restoring<'a> {
    /// Users who were deleted since the backup was made, and are not to come back.
    pub without: HashSet<UserId>,
    /// Hears from time to time what is restored so far.
    pub progress: Option<&'a (dyn Fn(Counts) + Send + Sync)>,
}

/// Restores the backup that `source` is, or the newest one in it, into a store that holds nothing; what it holds now.
///
/// # Errors
/// [`BackupError`]; nothing is written if a file of the backup is damaged or the store holds something. What breaks
/// off later may be repeated, and goes on.
pub async fn restore(
    source: &Path,
    store: &dyn Store,
    restoring: &Restoring<'_>,
) -> Result<Manifest, BackupError> {
    let source = source.to_owned();
    let (folder, manifest) = spawn_blocking(move || verify(&source)).await??;
    begin(store, &manifest).await?;
    let mut counts = Counts::default();
    load(store, &folder, &manifest, async |records: Vec<Record>| {
        let records: Vec<_> = records.into_iter().filter(|record| restoring.wants(record)).collect();
        for record in &records {
            counts.add(record);
        }
        put(store, records).await?;
        restoring.progress.inspect(|progress| progress(counts));
        Ok(())
    })
    .await?;
    store.sum_up(Duration::ZERO, now_ms()).await?;
    store.put_note(RESTORE_NOTE, COMPLETE).await?;
    Ok(Manifest { counts, ..manifest })
}

/// Whether the store holds a part of a backup only, because its restore did not come to its end.
///
/// # Errors
/// [`StoreError`] when it cannot be read.
pub async fn is_half_restored(store: &dyn Store) -> Result<bool, StoreError> {
    let note = store.get_note(RESTORE_NOTE).await?;
    Ok(note.is_some_and(|note| note.starts_with(BEGUN.as_bytes())))
}

/// Documents whose part is the user whom they are about.
const OF_USERS: [DocumentKind; 3] = [DocumentKind::UserKey, DocumentKind::Exposure, DocumentKind::AuditSalt];

impl Restoring<'_> {
    fn wants(&self, record: &Record) -> bool {
        let user_id = match record {
            Record::User(UserRecord { user, .. }) => Some(user.user_id),
            Record::Document(document) if OF_USERS.contains(&document.kind) => document.part.parse().ok(),
            _ => None,
        };
        user_id.is_none_or(|user_id| !self.without.contains(&user_id))
    }
}

/// Says in the store that the restore of this backup has begun, if that may be.
async fn begin(store: &dyn Store, manifest: &Manifest) -> Result<(), BackupError> {
    let text = manifest.text().unwrap_or_default();
    let begun = format!("{BEGUN}{}", hash(text.as_bytes()));
    match store.get_note(RESTORE_NOTE).await? {
        Some(note) if note == begun.as_bytes() => return Ok(()),
        Some(note) if note.starts_with(BEGUN.as_bytes()) => return Err(BackupError::OtherRestore),
        _ => {}
    }
    if !is_empty(store).await? {
        return Err(BackupError::NotEmpty);
    }
    Ok(store.put_note(RESTORE_NOTE, begun.as_bytes()).await?)
}

async fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    let (sender, mut records) = mpsc::channel(1);
    let (exported, first) = tokio::join!(store.export(sender), async move { records.recv().await });
    exported?;
    Ok(first.is_none())
}

/// Reads the parts on a thread of its own and hands their records to `put`.
async fn load(
    store: &dyn Store,
    folder: &Path,
    manifest: &Manifest,
    mut put: impl AsyncFnMut(Vec<Record>) -> Result<(), StoreError>,
) -> Result<(), BackupError> {
    store.ping().await?;
    let (sender, mut chunks) = mpsc::channel(CHUNKS_WAITING);
    let (folder, parts): (PathBuf, _) = (folder.to_owned(), manifest.parts.clone());
    let reading = spawn_blocking(move || {
        // A restore that was given up takes no more.
        let mut take = |records| sender.blocking_send(records).is_ok();
        parts.iter().try_for_each(|part| parts::read(&folder, part, CHUNK, &mut take))
    });
    while let Some(chunk) = chunks.recv().await {
        put(chunk).await?;
    }
    reading.await?
}

async fn put(store: &dyn Store, records: Vec<Record>) -> Result<(), StoreError> {
    let mut movies: Vec<MovieRecord> = Vec::new();
    let mut others = Vec::with_capacity(records.len());
    for record in records {
        match record {
            Record::Movie(movie) => movies.push(movie),
            other => others.push(put_record(store, other)),
        }
    }
    if !movies.is_empty() {
        store.put_movies(&movies).await?;
    }
    stream::iter(others).buffer_unordered(WRITES_AT_ONCE).try_collect().await
}

async fn put_record(store: &dyn Store, record: Record) -> Result<(), StoreError> {
    match record {
        Record::Movie(movie) => store.put_movies(&[movie]).await.map(drop),
        Record::Rule(rule) => store.put_rule(&rule).await.map(drop),
        Record::Note { key, value } => store.put_note(&key, &value).await,
        Record::Document(document) => put_document(store, &document).await,
        Record::User(user) => put_user(store, user).await,
    }
}

/// One that has expired meanwhile stays away.
async fn put_document(store: &dyn Store, document: &DocumentRecord) -> Result<(), StoreError> {
    let DocumentRecord { kind, part, key, content } = document;
    let now_ms = now_ms();
    if content.is_over(now_ms) {
        return Ok(());
    }
    store.documents().put(DocumentId { kind: *kind, part, key }, content, now_ms).await
}

async fn put_user(store: &dyn Store, UserRecord { user, events }: UserRecord) -> Result<(), StoreError> {
    if user.preferences != Preferences::default() {
        store.set_preferences(user.user_id, user.preferences, user.created_ms).await?;
    } else if events.is_empty() {
        store.register(user.user_id, user.created_ms).await?;
    }
    store.record(&events, user.created_ms).await.map(drop)
}
