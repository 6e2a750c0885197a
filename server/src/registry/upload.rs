//! A bundle that is being taken: written to a folder of its own, file by file, each compared with what the manifest says.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use chrono::DateTime;
use marquee_core::domain::TimeMs;
use marquee_engine::BundleSummary;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::record::Record;
use super::staging::Staging;
use super::{MAX_CARD_BYTES, MAX_NAME, MODEL_CARD, Registered, Registry, RegistryError, Wanted, is_name};

/// Nobody writes to the files of a bundle: those that are mapped must stay as they are.
const READ_ONLY: u32 = 0o444;

/// Digits of the seal in the name of a version.
const SEAL_DIGITS: usize = 12;

/// What an upload is to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVersion {
    /// The name.
    pub name: String,
    /// The version of this name that it follows.
    pub parent: Option<String>,
    /// What is noted of it.
    pub tags: BTreeMap<String, String>,
}

impl NewVersion {
    /// Whether it can be called so.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if !is_name(&self.name) {
            return Err(Fault::Name(self.name.clone()));
        }
        match &self.parent {
            Some(parent) if !is_name(parent) => Err(Fault::Parent(parent.clone())),
            _ => Ok(()),
        }
    }
}

/// The part of an upload that a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The model's name.
    Name,
    /// The version that it follows.
    Parent,
    /// The name of a file.
    FileName,
    /// What a file holds.
    Content,
}

/// Why an upload is none, to be read after the name of the part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The name is none.
    #[error(
        "is {0:?}; 1 to {MAX_NAME} letters, digits, '.', '_' and '-' are accepted, the first a letter or a digit"
    )]
    Name(String),
    /// The version that it follows is none.
    #[error("is {0:?}, which is no version; ListModelVersions says which there are")]
    Parent(String),
    /// Another file came first.
    #[error("is {0:?}; bundle.json comes before all other files")]
    NotFirst(String),
    /// The manifest does not list the file.
    #[error("is {0:?}, which bundle.json does not list; send the files that it lists, and MODEL_CARD.md")]
    Unlisted(String),
    /// The file came before.
    #[error("is {0:?}, which came already; the parts of a file follow each other")]
    Twice(String),
    /// Files are not there.
    #[error("never was {}; send all files that bundle.json lists", .0.join(", "))]
    Missing(Vec<String>),
    /// The file is too large.
    #[error("makes {file} longer than {most} bytes; no such file of a bundle is")]
    TooLarge {
        /// The file.
        file: String,
        /// The most that it may have.
        most: u64,
    },
    /// The file is another one.
    #[error("gives {file} the sha256 {found}, bundle.json says {expected}; send the bundle again")]
    Different {
        /// The file.
        file: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The manifest is none.
    #[error("of bundle.json is no manifest: {0}; write the bundle again with marquee_onnx")]
    Manifest(String),
}

impl Fault {
    /// The part that it is in.
    pub fn part(&self) -> Part {
        match self {
            Self::Name(_) => Part::Name,
            Self::Parent(_) => Part::Parent,
            Self::NotFirst(_) | Self::Unlisted(_) | Self::Twice(_) | Self::Missing(_) => Part::FileName,
            Self::TooLarge { .. } | Self::Different { .. } | Self::Manifest(_) => Part::Content,
        }
    }
}

/// A bundle that is being taken. What was written goes when this is dropped before [`finish`](Self::finish).
#[derive(Debug)]
pub struct Upload {
    registry: Arc<Registry>,
    new: NewVersion,
    staging: Staging,
    /// What is kept already.
    kept: Vec<Registered>,
    /// Bytes for which there is room.
    room: u64,
    bytes: u64,
    files: Vec<String>,
    current: Option<Current>,
    summary: Option<BundleSummary>,
    _turn: OwnedSemaphorePermit,
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    name: String,
    file: File,
    most: u64,
    bytes: u64,
    digest: Sha256,
    /// Of the manifest alone, all of it.
    text: Vec<u8>,
}

impl Upload {
    pub(super) fn begin(
        registry: Arc<Registry>,
        turn: OwnedSemaphorePermit,
        new: NewVersion,
    ) -> Result<Self, RegistryError> {
        let kept = registry.all()?;
        let taken: u64 = kept.iter().map(|one| one.bytes).sum();
        let room = registry.quota.bytes.saturating_sub(taken);
        let staging = Staging::begin(&registry.folder)?;
        Ok(Self {
            registry,
            new,
            staging,
            kept,
            room,
            bytes: 0,
            files: Vec::new(),
            current: None,
            summary: None,
            _turn: turn,
        })
    }

    /// Takes a part of a file. The version that is kept already where the manifest turns out to be that of one: nothing
    /// more is needed then.
    ///
    /// # Errors
    /// [`RegistryError`]; nothing more is taken then.
    pub fn write(&mut self, file: &str, content: &[u8]) -> Result<Option<Registered>, RegistryError> {
        if self.current.as_ref().is_none_or(|current| current.name != file) {
            if let Some(known) = self.end_file()? {
                return Ok(Some(known));
            }
            self.begin_file(file)?;
        }
        let Some(current) = &mut self.current else { return Ok(None) };
        current.bytes += content.len() as u64;
        self.bytes += content.len() as u64;
        if current.bytes > current.most {
            return Err(Fault::TooLarge { file: file.to_owned(), most: current.most }.into());
        }
        if self.bytes > self.room && self.summary.is_some() {
            return Err(self.registry.no_room(&self.kept));
        }
        if self.summary.is_none() {
            current.text.extend_from_slice(content);
        }
        current.digest.update(content);
        let written = current.file.write_all(content);
        written.map_err(|error| RegistryError::disk(&self.staging.folder().join(file), "written", &error))?;
        Ok(None)
    }

    /// Keeps the bundle, once all of it is there, as one that was made at this time; whether it is new.
    ///
    /// # Errors
    /// [`RegistryError`]; nothing is kept then.
    pub fn finish(mut self, created_ms: TimeMs) -> Result<(Registered, bool), RegistryError> {
        if let Some(known) = self.end_file()? {
            return Ok((known, false));
        }
        let Some(summary) = self.summary else {
            return Err(Fault::Missing(vec![BundleSummary::FILE.to_owned()]).into());
        };
        let is_missing = |file: &&str| !self.files.iter().any(|there| there == file);
        let missing: Vec<_> = summary.files().map(|(file, _)| file).filter(is_missing).collect();
        if !missing.is_empty() {
            return Err(Fault::Missing(missing.into_iter().map(str::to_owned).collect()).into());
        }
        let time = DateTime::from_timestamp_millis(created_ms).unwrap_or_default();
        let digits = summary.seal().get(..SEAL_DIGITS).unwrap_or_default();
        let version = format!("{}-{digits}", time.format("%Y%m%dT%H%M%SZ"));
        let folder = self.registry.folder.join(&self.new.name).join(&version);
        let NewVersion { name, parent, tags } = self.new;
        let bytes = self.bytes;
        let registered = Registered { name, version, created_ms, parent, tags, bytes, summary, folder };
        Record::of(&registered).write(self.staging.folder())?;
        self.staging.become_version(&registered.folder)?;
        let Registered { name, version, summary, .. } = &registered;
        tracing::info!(name, version, model_version = summary.version(), bytes, "kept a version of a model");
        Ok((registered, true))
    }

    fn begin_file(&mut self, name: &str) -> Result<(), RegistryError> {
        let most = match &self.summary {
            None if name == BundleSummary::FILE => BundleSummary::MAX_BYTES,
            None => return Err(Fault::NotFirst(name.to_owned()).into()),
            _ if self.files.iter().any(|there| there == name) => {
                return Err(Fault::Twice(name.to_owned()).into());
            }
            _ if name == MODEL_CARD => MAX_CARD_BYTES,
            Some(summary) if summary.sha256(name).is_some() => summary.max_bytes(name),
            Some(_) => return Err(Fault::Unlisted(name.to_owned()).into()),
        };
        let path = self.staging.folder().join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(READ_ONLY).open(&path);
        let file = file.map_err(|error| RegistryError::disk(&path, "made", &error))?;
        let (name, digest) = (name.to_owned(), Sha256::new());
        self.current = Some(Current { name, file, most, bytes: 0, digest, text: Vec::new() });
        Ok(())
    }

    /// Ends the file that is written, if one is, and compares it with what it should be.
    fn end_file(&mut self) -> Result<Option<Registered>, RegistryError> {
        let Some(Current { name, file, digest, text, .. }) = self.current.take() else { return Ok(None) };
        let path = self.staging.folder().join(&name);
        file.sync_all().map_err(|error| RegistryError::disk(&path, "written", &error))?;
        let found = hex::encode(digest.finalize());
        let expected = self.summary.as_ref().map(|summary| summary.sha256(&name).map(str::to_owned));
        self.files.push(name.clone());
        match expected {
            None => self.announced(&text),
            Some(Some(expected)) if expected != found => {
                Err(Fault::Different { file: name, found, expected }.into())
            }
            Some(_) => Ok(None),
        }
    }

    /// Takes the manifest; the version that is kept already, if there is one of this bundle.
    fn announced(&mut self, manifest: &[u8]) -> Result<Option<Registered>, RegistryError> {
        let summary = BundleSummary::parse(manifest).map_err(Fault::Manifest)?;
        let (seal, model_version) = (summary.seal(), summary.version());
        let of_name = Wanted { name: Some(self.new.name.clone()), tag: None };
        let known = self.kept.iter().find(|one| of_name.fits(one) && one.summary.seal() == seal);
        if let Some(known) = known {
            return Ok(Some(known.clone()));
        }
        let mut others = self.kept.iter();
        let other = others.find(|one| one.summary.version() == model_version && one.summary.seal() != seal);
        if let Some(Registered { name, version, .. }) = other.cloned() {
            return Err(RegistryError::Taken { model_version, name, version });
        }
        if self.kept.len() >= self.registry.quota.versions {
            return Err(self.registry.no_room(&self.kept));
        }
        self.summary = Some(summary);
        Ok(None)
    }
}
