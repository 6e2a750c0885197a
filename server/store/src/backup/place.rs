//! Where backups are kept, as a setting or an argument names it: a folder, or a bucket of an object store.
//!
//! What reads and writes backups knows folders alone. One for a bucket is written to a folder first and copied from
//! there, and one of a bucket is copied to a folder first; so both are the same files, checked in the same way.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::bucket::{Bucket, S3};
use super::target::{find, keep};
use super::{Backup, BackupError, Counts, Manifest, Rest, write};
use crate::Store;

/// A folder, or a bucket with a prefix: `/backups`, `s3://backups/marquee`.
///
/// ```
/// use marquee_store::backup::Place;
///
/// let place: Place = "s3://backups/marquee".parse().unwrap();
/// assert!(matches!(place, Place::Bucket(_)));
/// assert_eq!(place.to_string(), "s3://backups/marquee");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// `s3://BUCKET/PREFIX`, of whatever speaks Amazon's S3. Who asks, and where, is in the environment, in Amazon's
    /// own variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`.
    Bucket(String),
}

/// A backup that was made at a place.
#[derive(Clone, Debug)]
pub struct Made {
    /// Where it is, for a person to read.
    pub at: String,
    /// What it holds.
    pub manifest: Manifest,
}

/// A backup in a folder, for as long as this lives.
#[derive(Debug)]
pub struct Fetched {
    folder: PathBuf,
    /// Where it was copied to.
    _copy: Option<TempDir>,
}

impl Fetched {
    /// The backup's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Place {
    /// Writes a backup of the store here, as [`write()`](super::write()) does. One for a bucket is written below
    /// `staging` first, where nothing else may be.
    ///
    /// # Errors
    /// [`BackupError`]; there is no backup then.
    pub fn write<'p, 'a: 'p>(
        &'p self,
        store: &'p dyn Store,
        staging: &'p Path,
        pace: &'p (dyn Fn(Counts) -> Rest<'a> + Send + Sync),
    ) -> BoxFuture<'p, Result<Made, BackupError>> {
        match self {
            Self::Folder(folder) => Box::pin(async move {
                let Backup { path, manifest } = write(store, folder, pace).await?;
                Ok(Made { at: path.display().to_string(), manifest })
            }),
            Self::Bucket(url) => Box::pin(async move {
                let bucket = Bucket::open(url)?;
                // Before the store is read for nothing.
                bucket.names().await?;
                let Backup { path, manifest } = write(store, staging, pace).await?;
                let uploaded = bucket.upload(&path, &manifest).await;
                // With what an earlier one that was killed has left.
                keep_in(staging, 0).await?;
                Ok(Made { at: uploaded?, manifest })
            }),
        }
    }

    /// Removes all but the newest `count` backups; which ones went, oldest first.
    ///
    /// # Errors
    /// [`BackupError`] when one cannot be removed.
    pub async fn keep(&self, count: usize) -> Result<Vec<String>, BackupError> {
        match self {
            Self::Folder(folder) => keep_in(folder, count).await,
            Self::Bucket(url) => Bucket::open(url)?.keep(count).await,
        }
    }

    /// The backup that this is, or the newest one in it. That of a bucket is copied to the system's folder for
    /// temporary files.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`] when there is none, others when it cannot be copied.
    pub async fn fetch(&self) -> Result<Fetched, BackupError> {
        match self {
            Self::Folder(folder) => Ok(Fetched { folder: find(folder)?, _copy: None }),
            Self::Bucket(url) => {
                let bucket = Bucket::open(url)?;
                let temporary = std::env::temp_dir();
                let copy = TempDir::with_prefix("marquee-backup-").map_err(BackupError::of(&temporary))?;
                bucket.download(copy.path()).await?;
                Ok(Fetched { folder: copy.path().to_owned(), _copy: Some(copy) })
            }
        }
    }
}

/// Where a server with this data folder writes a backup for a bucket before it goes there.
pub fn staging(data_dir: &Path) -> PathBuf {
    data_dir.join("backup-staging")
}

async fn keep_in(folder: &Path, count: usize) -> Result<Vec<String>, BackupError> {
    let folder = folder.to_owned();
    let gone = spawn_blocking(move || keep(&folder, count)).await??;
    Ok(gone.iter().map(|path| path.display().to_string()).collect())
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text.starts_with(S3) { Self::Bucket(text.to_owned()) } else { Self::Folder(text.into()) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket(url) => f.write_str(url),
        }
    }
}
