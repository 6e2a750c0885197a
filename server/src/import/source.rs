//! Where a release lies: a folder or a zip, and the files in it that matter.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use xxhash_rust::xxh3::Xxh3;
use zip::ZipArchive;

use super::ImportError;

const BUFFER: usize = 256 * 1024;

/// What ends a folder's name within a file's: programs on Windows pack zips with backslashes, and what
/// other systems unpack of them are files with backslashes in their names.
const FOLDER_ENDS: [char; 2] = ['/', '\\'];

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Ratings,
    Movies,
    Tags,
    Links,
}

impl Table {
    /// The names of the file in the releases.
    pub(super) const fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::Ratings => &["ratings.csv", "ratings.dat", "u.data"],
            Self::Movies => &["movies.csv", "movies.dat", "u.item"],
            Self::Tags => &["tags.csv", "tags.dat"],
            Self::Links => &["links.csv"],
        }
    }
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    /// Its path below the release, for messages.
    pub(super) name: String,
    /// Bytes, unpacked.
    pub(super) size: u64,
    /// Changes when the file does: from its name and size and its checksum (zip) or its time (folder).
    pub(super) fingerprint: u64,
}

/// A release on disk.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Folder(PathBuf),
    Zip(PathBuf),
}

/// The files of a release by what they hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Release {
    pub(super) ratings: Option<SourceFile>,
    pub(super) movies: Option<SourceFile>,
    pub(super) tags: Option<SourceFile>,
    pub(super) links: Option<SourceFile>,
}

impl Source {
    /// A folder, or a file that is a zip by its first bytes.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let mut magic = [0; 4];
        let mut file = File::open(path).map_err(|error| ImportError::io(path.display(), error))?;
        match file.read_exact(&mut magic) {
            Ok(()) if magic == *b"PK\x03\x04" => Ok(Self::Zip(path.to_owned())),
            _ => Err(ImportError::NotARelease { path: path.to_owned() }),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Zip(path) => path,
        }
    }

    /// Finds the files by the names that the releases use; of several the one highest up.
    pub(super) fn release(&self) -> Result<Release, ImportError> {
        let mut files = match self {
            Self::Folder(path) => folder_files(path),
            Self::Zip(path) => zip_files(path),
        }
        .map_err(|error| ImportError::io(self.path().display(), error))?;
        files.sort_by_key(|file| (file.name.matches(FOLDER_ENDS).count(), file.name.clone()));
        let find = |table: Table| {
            let named = |file: &&SourceFile| table.file_names().contains(&base_name(&file.name));
            files.iter().find(named).cloned()
        };
        let release = Release {
            ratings: find(Table::Ratings),
            movies: find(Table::Movies),
            tags: find(Table::Tags),
            links: find(Table::Links),
        };
        if release.ratings.is_none() && release.movies.is_none() {
            return Err(ImportError::NotARelease { path: self.path().to_owned() });
        }
        Ok(release)
    }

    /// Calls `read` with the file's bytes from an offset on.
    pub(super) fn read<T>(
        &self,
        file: &SourceFile,
        offset: u64,
        read: impl FnOnce(&mut dyn BufRead) -> Result<T, ImportError>,
    ) -> Result<T, ImportError> {
        let failed = |error: io::Error| ImportError::io(&file.name, error);
        match self {
            Self::Folder(folder) => {
                let mut opened = File::open(folder.join(&file.name)).map_err(failed)?;
                opened.seek(SeekFrom::Start(offset)).map_err(failed)?;
                read(&mut BufReader::with_capacity(BUFFER, opened))
            }
            Self::Zip(path) => {
                let opened = File::open(path).map_err(failed)?;
                let mut archive =
                    ZipArchive::new(BufReader::new(opened)).map_err(|error| failed(error.into()))?;
                let entry = archive.by_name(&file.name).map_err(|error| failed(error.into()))?;
                let mut entry = BufReader::with_capacity(BUFFER, entry);
                // What is packed cannot be jumped over, only unpacked and dropped.
                io::copy(&mut entry.by_ref().take(offset), &mut io::sink()).map_err(failed)?;
                read(&mut entry)
            }
        }
    }
}

fn base_name(name: &str) -> &str {
    name.rsplit_once(FOLDER_ENDS).map_or(name, |(_, base)| base)
}

/// The files of a folder and of its folders, not deeper.
fn folder_files(root: &Path) -> io::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                let inner_name = format!("{name}/{}", inner.file_name().to_string_lossy());
                files.extend(folder_file(&inner.path(), inner_name)?);
            }
        } else {
            files.extend(folder_file(&entry.path(), name)?);
        }
    }
    Ok(files)
}

fn folder_file(path: &Path, name: String) -> io::Result<Option<SourceFile>> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Ok(None);
    }
    let changed = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fingerprint = fingerprint(&name, meta.len(), changed.as_nanos());
    Ok(Some(SourceFile { name, size: meta.len(), fingerprint }))
}

fn zip_files(path: &Path) -> io::Result<Vec<SourceFile>> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        let name = entry.name()?.into_owned();
        if entry.is_file() && !name.starts_with("__MACOSX/") {
            let fingerprint = fingerprint(&name, entry.size(), u128::from(entry.crc32()));
            files.push(SourceFile { name, size: entry.size(), fingerprint });
        }
    }
    Ok(files)
}

fn fingerprint(name: &str, size: u64, version: u128) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(name.as_bytes());
    hash.update(&size.to_le_bytes());
    hash.update(&version.to_le_bytes());
    hash.digest()
}
