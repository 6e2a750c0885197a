//! Backups in a bucket of an object store.
//!
//! A bucket has no folders and no renaming: a backup is there once its manifest is, which is written last and removed
//! first. Files go up and come down in pieces, several at a time, and are asked for again by themselves.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::path::Path as Key;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, copy};

use super::manifest::{CHECKSUMS, Manifest};
use super::target::{MANIFEST, is_name};
use super::{BackupError, parts};

/// What a bucket's address begins with.
pub(super) const S3: &str = "s3://";

/// A prefix of a bucket, and who asks for it.
pub(super) struct Bucket {
    /// As a person wrote it, without a slash at its end.
    url: String,
    prefix: Key,
    objects: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// The bucket of `s3://BUCKET/PREFIX`, asked for as the environment says. Asks for nothing yet.
    pub(super) fn open(url: &str) -> Result<Self, BackupError> {
        let url = url.trim_end_matches('/');
        let failed = |error| BackupError::Bucket { url: url.to_owned(), error };
        let objects = AmazonS3Builder::from_env().with_url(url).build().map_err(failed)?;
        let (_, prefix) = url.trim_start_matches(S3).split_once('/').unwrap_or_default();
        let prefix = Key::parse(prefix).map_err(|error| failed(error.into()))?;
        Ok(Self { url: url.to_owned(), prefix, objects: Arc::new(objects) })
    }

    #[cfg(test)]
    pub(super) fn of(objects: Arc<dyn ObjectStore>) -> Self {
        Self { url: "memory://backups".to_owned(), prefix: Key::from("backups"), objects }
    }

    fn failed(&self) -> impl Fn(Error) -> BackupError {
        |error| BackupError::Bucket { url: self.url.clone(), error }
    }

    /// Copies the files of the backup in `folder`, the manifest last; where it is then.
    pub(super) async fn upload(&self, folder: &Path, manifest: &Manifest) -> Result<String, BackupError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let key = self.prefix.clone().join(name.as_ref());
        for file in files(manifest) {
            let path = folder.join(file);
            let mut from = File::open(&path).await.map_err(BackupError::of(&path))?;
            let mut to = BufWriter::new(Arc::clone(&self.objects), key.clone().join(file));
            let written = async {
                copy(&mut from, &mut to).await?;
                to.shutdown().await
            };
            let failed =
                |error: io::Error| self.failed()(Error::Generic { store: "S3", source: error.into() });
            written.await.map_err(failed)?;
        }
        Ok(format!("{}/{name}", self.url))
    }

    /// Copies the backup that this is, or the newest one in it, into the folder.
    pub(super) async fn download(&self, folder: &Path) -> Result<(), BackupError> {
        let key = self.find().await?;
        self.copy(&key, MANIFEST, folder).await?;
        self.copy(&key, CHECKSUMS, folder).await?;
        let path = folder.to_owned();
        let manifest = tokio::task::spawn_blocking(move || super::manifest::read_manifest(&path)).await??;
        for part in &manifest.parts {
            self.copy(&key, &part.file, folder).await?;
        }
        Ok(())
    }

    async fn find(&self) -> Result<Key, BackupError> {
        if self.has_manifest(&self.prefix).await? {
            return Ok(self.prefix.clone());
        }
        let newest = self.backups().await?.pop();
        newest
            .map(|name| self.prefix.clone().join(name))
            .ok_or_else(|| BackupError::NotABackup(self.url.clone().into()))
    }

    async fn copy(&self, key: &Key, file: &str, folder: &Path) -> Result<(), BackupError> {
        let path = folder.join(file);
        let mut chunks = match self.objects.get(&key.clone().join(file)).await {
            Err(Error::NotFound { .. }) => {
                return Err(BackupError::damaged(
                    Path::new(&format!("{}/{file}", self.url)),
                    "it is missing",
                ));
            }
            object => object.map_err(self.failed())?.into_stream(),
        };
        let mut to = File::from_std(parts::create(&path).map_err(BackupError::of(&path))?);
        while let Some(chunk) = chunks.try_next().await.map_err(self.failed())? {
            to.write_all(&chunk).await.map_err(BackupError::of(&path))?;
        }
        to.flush().await.map_err(BackupError::of(&path))
    }

    /// Removes all but the newest `count` backups, and what uploads that were given up before have left.
    pub(super) async fn keep(&self, count: usize) -> Result<Vec<String>, BackupError> {
        let backups = self.backups().await?;
        let (gone, kept) = backups.split_at(backups.len().saturating_sub(count));
        let newest = kept.last().or(gone.last());
        let unfinished =
            self.names().await?.into_iter().filter(|name| Some(name) < newest && !backups.contains(name));
        for name in gone.iter().cloned().chain(unfinished.collect::<Vec<_>>()) {
            self.remove(&self.prefix.clone().join(name)).await?;
        }
        Ok(gone.iter().map(|name| format!("{}/{name}", self.url)).collect())
    }

    /// Removes a backup, so that half of it is none.
    async fn remove(&self, key: &Key) -> Result<(), BackupError> {
        match self.objects.delete(&key.clone().join(MANIFEST)).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(self.failed()(error)),
        }
        let files = self.objects.list(Some(key)).map_ok(|object| object.location).boxed();
        self.objects.delete_stream(files).try_for_each(async |_| Ok(())).await.map_err(self.failed())
    }

    /// The names of the backups here, the oldest first.
    async fn backups(&self) -> Result<Vec<String>, BackupError> {
        let mut backups = Vec::new();
        for name in self.names().await? {
            if self.has_manifest(&self.prefix.clone().join(name.as_str())).await? {
                backups.push(name);
            }
        }
        Ok(backups)
    }

    /// The names of backups here, whole or not, the oldest first.
    pub(super) async fn names(&self) -> Result<Vec<String>, BackupError> {
        let listed = self.objects.list_with_delimiter(Some(&self.prefix)).await.map_err(self.failed())?;
        let names = listed.common_prefixes.iter().filter_map(Key::filename);
        let mut names: Vec<_> = names.filter(|name| is_name(name)).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn has_manifest(&self, key: &Key) -> Result<bool, BackupError> {
        match self.objects.head(&key.clone().join(MANIFEST)).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed()(error)),
        }
    }
}

/// All files of a backup, the manifest last.
fn files(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.parts.iter().map(|part| part.file.as_str()).chain([CHECKSUMS, MANIFEST])
}
