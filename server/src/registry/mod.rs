//! The registry: versions of models, kept as folders of bundles until they are deleted.
//!
//! A version is the folder `NAME/VERSION` of the models' folder: the bundle's files as they came, and a record of what the
//! registry knows beside them, in a file that readers of bundles pass over. A version is there once its folder has its
//! name: it is written elsewhere ([`Upload`]), made durable and renamed, so that no kill leaves a half one. The folders
//! are all that is known, and are read whenever somebody asks; so nodes may share them.
//!
//! Which versions are loaded is the engine's business.

mod record;
mod staging;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use marquee_core::domain::TimeMs;
use marquee_engine::{BundleError, BundleSummary, Model};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::record::Record;
use self::staging::Staging;
pub use self::upload::{Fault, NewVersion, Part, Upload};

/// Most tags of a version.
pub const MAX_TAGS: usize = 32;

/// Longest name of a model, and of a version.
const MAX_NAME: usize = 64;

/// The name of a bundle's model card, which its manifest does not list.
pub const MODEL_CARD: &str = "MODEL_CARD.md";

/// The most bytes of a model card.
const MAX_CARD_BYTES: u64 = 1 << 20;

/// Loads, checks and warms the bundle in a folder; made where engine and retrieval are wired together.
pub(crate) type LoadModel =
    Arc<dyn Fn(PathBuf) -> BoxFuture<'static, Result<Arc<Model>, BundleError>> + Send + Sync>;

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Versions of all names together.
    pub versions: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Why the registry does not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// An upload is none, by its part at fault.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is no such version.
    #[error("there is no version {version:?} of {name:?}; ListModelVersions says which there are")]
    Unknown {
        /// The name.
        name: String,
        /// The version.
        version: String,
    },
    /// Another bundle calls itself the same.
    #[error(
        "{name} {version} calls itself {model_version} too and is another bundle; export it with a version of its own, or \
         delete that one first"
    )]
    Taken {
        /// What both call themselves.
        model_version: String,
        /// The name of the one that is kept.
        name: String,
        /// Its version.
        version: String,
    },
    /// There is no room for it.
    #[error(
        "there is no room for another version: {kept} are kept with {kept_mib} MiB, {versions} with {mib} MiB may be \
         (--models-max-versions, --models-max-mib); delete others first (DeleteModelVersion)"
    )]
    NoRoom {
        /// How many are kept.
        kept: usize,
        /// What they take.
        kept_mib: u64,
        /// How many may be kept.
        versions: usize,
        /// What they may take.
        mib: u64,
    },
    /// It would have too many tags.
    #[error("a version has at most {MAX_TAGS} tags; remove some")]
    TooManyTags,
    /// It serves.
    #[error("{name} {version} is active; activate another one before it is deleted")]
    Active {
        /// The name.
        name: String,
        /// The version.
        version: String,
    },
    /// It is what is gone back to.
    #[error(
        "{name} {version} is what RollBackModel goes back to; activate another one, which makes the one that is active now \
         what is gone back to, before it is deleted"
    )]
    Before {
        /// The name.
        name: String,
        /// The version.
        version: String,
    },
    /// Another bundle is being taken.
    #[error("another bundle is being uploaded, and one is at a time; wait for the time in RetryInfo")]
    Busy,
    /// The disk does not do it.
    #[error("{} cannot be {done}: {why}; look at the disk of --models-dir", path.display())]
    Disk {
        /// What was at its turn.
        path: PathBuf,
        /// What was to be done with it.
        done: &'static str,
        /// What the system said.
        why: String,
    },
}

impl RegistryError {
    fn disk(path: &Path, done: &'static str, error: &io::Error) -> Self {
        Self::Disk { path: path.to_owned(), done, why: error.to_string() }
    }
}

/// A version that is kept.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The name that it was uploaded under.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it was made, as its upload said.
    pub created_ms: TimeMs,
    /// The version of this name that it follows.
    pub parent: Option<String>,
    /// What was noted of it.
    pub tags: BTreeMap<String, String>,
    /// What its files take.
    pub bytes: u64,
    /// What the bundle says of itself.
    pub summary: BundleSummary,
    /// Where it is.
    pub folder: PathBuf,
}

impl Registered {
    /// Its place in lists: the newest first, then by name.
    pub fn place(&self) -> Place {
        Place { version: self.version.clone(), name: self.name.clone() }
    }
}

/// Where a version stands in lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The version, which begins with its time.
    pub version: String,
    /// The name.
    pub name: String,
}

impl Place {
    fn is_after(&self, other: &Self) -> bool {
        (&other.version, &self.name) > (&self.version, &other.name)
    }
}

/// What a version is to those who serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers those who name no version.
    Active,
    /// It is what is gone back to.
    Before,
}

/// Which versions are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those of this name.
    pub name: Option<String>,
    /// Those that have this tag, and this value of it where one is said.
    pub tag: Option<(String, Option<String>)>,
}

impl Wanted {
    fn fits(&self, found: &Registered) -> bool {
        self.name.as_ref().is_none_or(|name| *name == found.name)
            && self.tag.as_ref().is_none_or(|(tag, value)| {
                let has = found.tags.get(tag);
                has.is_some_and(|has| value.as_ref().is_none_or(|value| value == has))
            })
    }
}

/// The registry. What it does waits for the disk: it is called where that may be.
#[derive(Debug)]
pub struct Registry {
    folder: PathBuf,
    quota: Quota,
    turn: Arc<Semaphore>,
}

impl Registry {
    /// Of the versions in a folder, which is made with the first of them. What uploads of killed servers left is removed.
    pub fn open(folder: PathBuf, quota: Quota) -> Self {
        staging::clean(&folder);
        Self { folder, quota, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Versions after `after`, the newest first, at most `limit`.
    ///
    /// # Errors
    /// [`RegistryError::Disk`].
    pub fn list(
        &self,
        wanted: &Wanted,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Registered>, RegistryError> {
        let mut found = self.all()?;
        found.retain(|one| wanted.fits(one) && after.is_none_or(|after| one.place().is_after(after)));
        found.truncate(limit);
        Ok(found)
    }

    /// A version.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`] when there is none; [`RegistryError::Disk`].
    pub fn get(&self, name: &str, version: &str) -> Result<Registered, RegistryError> {
        let unknown = || RegistryError::Unknown { name: name.to_owned(), version: version.to_owned() };
        if !is_name(name) || !is_name(version) {
            return Err(unknown());
        }
        read(&self.folder.join(name).join(version))?.ok_or_else(unknown)
    }

    /// The version whose bundle has this seal, or whose model is called so where no seal is known.
    ///
    /// # Errors
    /// [`RegistryError::Disk`].
    pub fn find(&self, model_version: &str, seal: Option<&str>) -> Result<Option<Registered>, RegistryError> {
        let is_it = |one: &Registered| match seal {
            Some(seal) => one.summary.seal() == seal,
            None => one.summary.version() == model_version,
        };
        Ok(self.all()?.into_iter().find(is_it))
    }

    /// The model card of a version, if it came with one.
    ///
    /// # Errors
    /// [`RegistryError::Disk`].
    pub fn card(&self, of: &Registered) -> Result<Option<String>, RegistryError> {
        let path = of.folder.join(MODEL_CARD);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RegistryError::disk(&path, "read", &error)),
        }
    }

    /// Gives a version tags, and takes some from it.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`]; [`RegistryError::TooManyTags`]; [`RegistryError::Disk`].
    pub fn tag(
        &self,
        name: &str,
        version: &str,
        tags: BTreeMap<String, String>,
        removed: &[String],
    ) -> Result<Registered, RegistryError> {
        let mut found = self.get(name, version)?;
        found.tags.retain(|tag, _| !removed.contains(tag));
        found.tags.extend(tags);
        if found.tags.len() > MAX_TAGS {
            return Err(RegistryError::TooManyTags);
        }
        let staging = Staging::begin(&self.folder)?;
        Record::of(&found).write(staging.folder())?;
        let (from, to) = (staging.folder().join(record::FILE), found.folder.join(record::FILE));
        fs::rename(&from, &to).map_err(|error| RegistryError::disk(&to, "replaced", &error))?;
        staging::sync(&found.folder)?;
        Ok(found)
    }

    /// Removes a version, unless `role` says what it is needed for.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`]; [`RegistryError::Active`]; [`RegistryError::Before`]; [`RegistryError::Disk`].
    pub fn delete(
        &self,
        name: &str,
        version: &str,
        role: impl FnOnce(&Registered) -> Option<Role>,
    ) -> Result<Registered, RegistryError> {
        let found = self.get(name, version)?;
        let (named, of) = (name.to_owned(), version.to_owned());
        match role(&found) {
            Some(Role::Active) => return Err(RegistryError::Active { name: named, version: of }),
            Some(Role::Before) => return Err(RegistryError::Before { name: named, version: of }),
            None => {}
        }
        let staging = Staging::begin(&self.folder)?;
        let gone = staging.folder().join(version);
        fs::rename(&found.folder, &gone)
            .map_err(|error| RegistryError::disk(&found.folder, "removed", &error))?;
        staging::sync(&self.folder.join(name))?;
        Ok(found)
    }

    /// Begins to take a bundle.
    ///
    /// # Errors
    /// [`Fault`] for a name or a parent that is none; [`RegistryError::Busy`]; [`RegistryError::NoRoom`];
    /// [`RegistryError::Disk`].
    pub fn begin(self: &Arc<Self>, new: NewVersion) -> Result<Upload, RegistryError> {
        new.check()?;
        let turn: OwnedSemaphorePermit =
            Arc::clone(&self.turn).try_acquire_owned().map_err(|_| RegistryError::Busy)?;
        Upload::begin(Arc::clone(self), turn, new)
    }

    /// All versions, the newest first. What is none, as something that people put there, is passed over.
    fn all(&self) -> Result<Vec<Registered>, RegistryError> {
        let mut found = Vec::new();
        for name in folders(&self.folder)? {
            for version in folders(&name)? {
                found.extend(read(&version)?);
            }
        }
        found.sort_by(|one, other| (&other.version, &one.name).cmp(&(&one.version, &other.name)));
        Ok(found)
    }

    /// That there is no room.
    fn no_room(&self, kept: &[Registered]) -> RegistryError {
        let kept_bytes: u64 = kept.iter().map(|one| one.bytes).sum();
        RegistryError::NoRoom {
            kept: kept.len(),
            kept_mib: kept_bytes >> 20,
            versions: self.quota.versions,
            mib: self.quota.bytes >> 20,
        }
    }
}

/// The folders in a folder that may be names or versions, links left out; none of a folder that is not there.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let unreadable = |error| RegistryError::disk(folder, "read", &error);
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(unreadable)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && entry.file_name().to_str().is_some_and(is_name) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The version in a folder; `None` where there is none.
fn read(folder: &Path) -> Result<Option<Registered>, RegistryError> {
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir());
    let Some(record) = (if is_folder { Record::read(folder)? } else { None }) else { return Ok(None) };
    let parts = (folder.parent().and_then(Path::file_name), folder.file_name());
    let (Some(name), Some(version)) = parts else { return Ok(None) };
    match BundleSummary::read(folder) {
        Ok(summary) => Ok(Some(Registered {
            name: name.to_string_lossy().into_owned(),
            version: version.to_string_lossy().into_owned(),
            created_ms: record.created_ms,
            parent: record.parent,
            tags: record.tags,
            bytes: record.bytes,
            summary,
            folder: folder.to_owned(),
        })),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "version of a model passed over");
            Ok(None)
        }
    }
}

/// Whether a text may name a model or a version: no way out of the folder, and no file that is hidden.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
