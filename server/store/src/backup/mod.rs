//! Backups: a store as a folder of files that any store can be made of again.
//!
//! A backup is logical, so that what one kind of store held another kind can take, and it is plain: lines of JSON,
//! compressed by gzip, a [`Manifest`] that says what belongs to it, and the checksums of all files as `sha256sum -c`
//! reads them. A folder gets its name when it is whole and on the disk, so that half a backup is never taken for one.
//!
//! An embedded store is written as of one moment, from a snapshot beside which writers go on; a cluster user by user,
//! each as of the moment when it is read. What was acknowledged before the backup began is in it, of both.
//!
//! Begin with [`write()`] and [`restore`], or with a [`Place`], which may be a bucket of an object store. All are given up by dropping them.

mod bucket;
#[cfg(test)]
mod bucket_tests;
mod lines;
mod manifest;
mod parts;
mod place;
mod restore;
mod target;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use marquee_core::clock::now_ms;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

pub use self::manifest::{Counts, Manifest, Part, verify};
use self::parts::Parts;
pub use self::place::{Fetched, Made, Place, staging};
pub use self::restore::{Restoring, is_half_restored, restore};
use self::target::Target;
pub use self::target::{find, keep};
use crate::{Store, StoreError};

/// Chunks of records that wait to be compressed.
const CHUNKS_WAITING: usize = 4;

/// The note of a restore in a store, which no backup holds.
const RESTORE_NOTE: &str = "restore";

/// Why a backup was not made, is none, or was not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read, or does not take what it is given.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder cannot be used.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A bucket cannot be used.
    #[error("{url}: {error}; see AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    Bucket {
        /// Which one, with its prefix.
        url: String,
        /// Why.
        error: object_store::Error,
    },
    /// Somebody else writes there.
    #[error("another backup is being written to {}; wait for its end", .0.display())]
    Busy(PathBuf),
    /// There is nothing to restore.
    #[error("{} holds no backup; give the folder with a manifest.json, or one that holds such folders", .0.display())]
    NotABackup(PathBuf),
    /// A file is not as it was written.
    #[error("{} is damaged: {what}; take an older backup, or another copy of this one", path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It was written by a newer program.
    #[error("{} has format {found} and this program reads {expected}; use a newer program", path.display())]
    Format {
        /// The backup.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest one that this program knows.
        expected: u32,
    },
    /// The store to restore into holds something.
    #[error("the store is not empty; restore into a --data-dir or a keyspace that holds nothing")]
    NotEmpty,
    /// The store holds half of another backup.
    #[error(
        "the store holds half of another backup; restore that one to its end, or into a store that holds nothing"
    )]
    OtherRestore,
    /// A thread that read or wrote files panicked, which is an error of this program.
    #[error("the thread for files stopped: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl BackupError {
    /// Makes an error of a file's.
    fn of(path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::File { path: path.to_owned(), error }
    }

    fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}

/// A rest between two chunks, for whoever is to leave the machine to others.
pub type Rest<'a> = BoxFuture<'a, ()>;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its folder, below the target.
    pub path: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

/// Writes a backup of the store into a new folder below `target`, which is made if needed; the folder's name is the
/// moment, in UTC. `pace` hears after each chunk what is written so far, and says when to go on; [`at_once`] does so.
///
/// Writers go on. Dropping the future gives the backup up and leaves nothing behind.
///
/// # Errors
/// [`BackupError`] when the store cannot be read or the target not be written; there is no backup then.
///
/// ```
/// use marquee_store::{RedbStore, Store, backup};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (folder, backups, other) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
/// let store = RedbStore::open(folder.path())?;
/// store.register(7, 1_000).await?;
/// let made = backup::write(&store, backups.path(), &backup::at_once).await?;
/// assert_eq!(made.manifest.counts.users, 1);
///
/// let restored = RedbStore::open(other.path())?;
/// backup::restore(backups.path(), &restored, &backup::Restoring::default()).await?;
/// assert_eq!(restored.user(7).await?, store.user(7).await?);
/// # Ok(())
/// # }
/// ```
pub async fn write<'a>(
    store: &dyn Store,
    target: &Path,
    pace: &(dyn Fn(Counts) -> Rest<'a> + Send + Sync),
) -> Result<Backup, BackupError> {
    let (sender, mut chunks) = mpsc::channel(CHUNKS_WAITING);
    let (target, began_ms) = (target.to_owned(), now_ms());
    let target = spawn_blocking(move || Target::begin(&target, began_ms)).await??;
    let exported = async { Ok(store.export(sender).await?) };
    let written = async {
        let mut parts = Parts::new(target);
        while let Some(chunk) = chunks.recv().await {
            parts = spawn_blocking(move || parts.with(&chunk)).await??;
            pace(parts.counts()).await;
        }
        Ok::<_, BackupError>(parts)
    };
    let ((), parts) = tokio::try_join!(exported, written)?;
    let store = store.name();
    spawn_blocking(move || parts.finish(store, began_ms)).await?
}

/// A pace without rests.
pub fn at_once(_: Counts) -> Rest<'static> {
    Box::pin(std::future::ready(()))
}
