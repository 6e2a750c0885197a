//! What belongs to a backup, and whether it is all there as it was written.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use marquee_core::domain::TimeMs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BackupError;
use super::lines::Section;
use super::target::{MANIFEST, find};
use crate::Record;

pub(super) const CHECKSUMS: &str = "SHA256SUMS";
/// The newest format that this program reads, and the one that it writes.
pub(super) const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The number of its format.
    pub format: u32,
    /// The version of the program that made it.
    pub program: String,
    /// The kind of the store that it is of: `redb` or `cql`.
    pub store: String,
    /// When it began, in UTC, and in milliseconds since 1970. What was acknowledged before is in it.
    pub made_at: String,
    /// As `made_at`.
    pub made_ms: TimeMs,
    /// How much of what is in it.
    pub counts: Counts,
    /// Its files, in the order in which they are restored.
    pub parts: Vec<Part>,
}

/// How much of what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Movies.
    pub movies: u64,
    /// Rules.
    pub rules: u64,
    /// Notes of other code.
    pub notes: u64,
    /// Documents.
    pub documents: u64,
    /// Users.
    pub users: u64,
    /// Events of all users.
    pub interactions: u64,
}

impl Counts {
    pub(super) fn add(&mut self, record: &Record) {
        match record {
            Record::Movie(_) => self.movies += 1,
            Record::Rule(_) => self.rules += 1,
            Record::Note { .. } => self.notes += 1,
            Record::Document(_) => self.documents += 1,
            Record::User(user) => {
                self.users += 1;
                self.interactions += user.events.len() as u64;
            }
        }
    }
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub file: String,
    /// What is in it.
    pub(super) section: Section,
    /// Its lines.
    pub records: u64,
    /// Its length.
    pub bytes: u64,
    /// Its checksum, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// The text of the file.
    pub(super) fn text(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The file of checksums, with the manifest's own.
    pub(super) fn checksums(&self, manifest: &str) -> String {
        let mut checksums = format!("{}  {MANIFEST}\n", hash(manifest.as_bytes()));
        for part in &self.parts {
            writeln!(checksums, "{}  {}", part.sha256, part.file).expect("writing to memory does not fail");
        }
        checksums
    }
}

pub(super) fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Checks every byte of the backup that `source` is, or of the newest one in it; where it is, and what it holds.
///
/// # Errors
/// [`BackupError`] names the file that is not as it was written.
pub fn verify(source: &Path) -> Result<(PathBuf, Manifest), BackupError> {
    let folder = find(source)?;
    let manifest = read_manifest(&folder)?;
    for part in &manifest.parts {
        check(&folder.join(&part.file), part)?;
    }
    Ok((folder, manifest))
}

/// What every manifest says.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// What the manifest in a folder says, once its checksum and the list of checksums agree with it.
pub(super) fn read_manifest(folder: &Path) -> Result<Manifest, BackupError> {
    let (path, checksums) = (folder.join(MANIFEST), folder.join(CHECKSUMS));
    let bytes = fs::read(&path).map_err(BackupError::of(&path))?;
    let said = fs::read(&checksums).map_err(BackupError::of(&checksums))?;
    let own = hash(&bytes);
    if !said.starts_with(own.as_bytes()) {
        return Err(BackupError::damaged(&path, format!("its checksum is not the one in {CHECKSUMS}")));
    }
    let text = String::from_utf8(bytes).map_err(|error| BackupError::damaged(&path, error.to_string()))?;
    let broken = |error: serde_json::Error| BackupError::damaged(&path, error.to_string());
    // Before all else, which a newer program may have written otherwise.
    let Format { format: found } = serde_json::from_str(&text).map_err(broken)?;
    if found > FORMAT {
        return Err(BackupError::Format { path: folder.to_owned(), found, expected: FORMAT });
    }
    let manifest: Manifest = serde_json::from_str(&text).map_err(broken)?;
    if manifest.checksums(&text).as_bytes() != said {
        return Err(BackupError::damaged(&checksums, format!("it is not what {MANIFEST} says")));
    }
    // Whoever wrote it may not name a file elsewhere.
    let is_a_name = |file: &str| Path::new(file).file_name().is_some_and(|name| name == file);
    if let Some(part) = manifest.parts.iter().find(|part| !is_a_name(&part.file)) {
        return Err(BackupError::damaged(&path, format!("{:?} is no name of a file", part.file)));
    }
    Ok(manifest)
}

fn check(path: &Path, part: &Part) -> Result<(), BackupError> {
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BackupError::damaged(path, "it is missing"),
        _ => BackupError::of(path)(error),
    })?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer).map_err(BackupError::of(path))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hash.update(&buffer[..read]);
    }
    if bytes != part.bytes {
        return Err(BackupError::damaged(path, format!("it has {bytes} bytes of {}", part.bytes)));
    }
    let found = hex::encode(hash.finalize());
    if found != part.sha256 {
        let what = format!("its sha256 is {found} and {MANIFEST} says {}", part.sha256);
        return Err(BackupError::damaged(path, what));
    }
    Ok(())
}
