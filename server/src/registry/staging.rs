//! Folders that are not versions yet, or no more: each is locked by who works in it, and goes with them.
//!
//! What a killed server left is not locked, and is removed at the next start of a server over the same folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::RegistryError;

/// The folder of all of them, in the models' folder; no name of a model begins so.
const FOLDER: &str = ".staging";

/// A folder to work in.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    /// Held as long as somebody works in it.
    _lock: File,
}

impl Staging {
    /// A new one, beside the versions and on the same disk.
    pub(super) fn begin(models: &Path) -> Result<Self, RegistryError> {
        let all = models.join(FOLDER);
        fs::create_dir_all(&all).map_err(|error| RegistryError::disk(&all, "made", &error))?;
        let folder = all.join(format!("{:032x}", rand::random::<u128>()));
        let made = fs::create_dir(&folder).and_then(|()| {
            let lock = File::open(&folder)?;
            lock.lock()?;
            Ok(lock)
        });
        let lock = made.map_err(|error| RegistryError::disk(&folder, "made", &error))?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes what is in it durable, and gives it its place, where nothing is.
    pub(super) fn become_version(self, place: &Path) -> Result<(), RegistryError> {
        let parent = place.parent().unwrap_or(place);
        sync(&self.folder)?;
        fs::create_dir_all(parent).map_err(|error| RegistryError::disk(parent, "made", &error))?;
        fs::rename(&self.folder, place).map_err(|error| RegistryError::disk(place, "made", &error))?;
        sync(parent)?;
        parent.parent().map_or(Ok(()), sync)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.folder.display(), %error, "folder of an upload not removed");
        }
    }
}

/// Makes the entries of a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), RegistryError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| RegistryError::disk(folder, "written", &error))
}

/// Removes what nobody works in any more.
pub(super) fn clean(models: &Path) {
    let Ok(entries) = fs::read_dir(models.join(FOLDER)) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_left = File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok());
        if is_left && let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(folder = %path.display(), %error, "what an upload left is not removed");
        }
    }
}
