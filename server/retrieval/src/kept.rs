//! Indexes in files: one is built once, and mapped by whoever starts after that.
//!
//! Beside the file stands its hash. What is damaged or half written is as if it were not there: a graph with wrong links
//! would lead usearch out of its memory.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use usearch::Index;
use xxhash_rust::xxh3::Xxh3;

use super::RetrievalError;

/// Bytes that are hashed at once.
const CHUNK: usize = 1 << 20;

/// The file of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    file: PathBuf,
}

impl IndexFile {
    /// In this folder, under a name that no index of another table or of other options has.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self { file: folder.join(format!("{name}.usearch")) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Maps the file into an index that is empty; whether there is one that is whole.
    pub(crate) fn map(&self, index: &Index) -> bool {
        let is_whole = fs::read_to_string(self.sum())
            .is_ok_and(|expected| hash_of(&self.file).is_ok_and(|found| found == expected));
        let Some(path) = self.file.to_str().filter(|_| is_whole) else { return false };
        let mapped =
            index.view(path).inspect_err(|error| tracing::warn!(%error, path, "the index is built anew"));
        mapped.is_ok()
    }

    /// Keeps an index.
    pub(crate) fn write(&self, index: &Index) -> Result<(), RetrievalError> {
        let failed = |error: io::Error| RetrievalError::Index(error.to_string());
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let unnamed = self.file.with_extension("new");
        let path = unnamed.to_str().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        index.save(path).map_err(RetrievalError::index)?;
        let sum = hash_of(&unnamed).map_err(failed)?;
        // Until the hash is there too, the file counts as none.
        let _was_there = fs::remove_file(self.sum());
        fs::rename(&unnamed, &self.file).map_err(failed)?;
        fs::write(self.sum(), sum).map_err(failed)
    }

    fn sum(&self) -> PathBuf {
        self.file.with_extension("xxh3")
    }
}

fn hash_of(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut chunk) = (File::open(path)?, Xxh3::new(), vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(format!("{:016x}", hash.digest()));
        }
        hash.update(&chunk[..read]);
    }
}
