//! A file of a bundle in memory.
//!
//! A mapped file that somebody makes shorter ends the process with SIGBUS, and one that somebody writes to changes
//! after its hash was compared. So files are copied. Only those that are too large for that are mapped, and must be
//! left alone while they are served: they are looked at before and after their hash is taken, and one that the owner
//! may write to is warned of.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapMut};

use super::error::BundleError;

/// Larger files are mapped.
const LARGEST_COPY: u64 = 256 << 20;
/// Bits of a file's mode that let somebody write to it.
const MAY_WRITE: u32 = 0o222;

/// A file's bytes, and what it was when they were taken.
pub(super) struct BundleFile {
    path: PathBuf,
    found: Identity,
    pub(super) bytes: Mmap,
}

/// Tells whether a path still names the same file in the same state.
#[derive(Debug, PartialEq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl BundleFile {
    pub(super) fn open(path: &Path) -> Result<Self, BundleError> {
        Self::open_with(path, LARGEST_COPY)
    }

    /// Copies a file of up to so many bytes, and maps a larger one.
    fn open_with(path: &Path, largest_copy: u64) -> Result<Self, BundleError> {
        let read = |error| BundleError::read(path, &error);
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        let bytes = if metadata.len() <= largest_copy {
            copy(&file, metadata.len() as usize).map_err(read)?
        } else {
            if metadata.mode() & MAY_WRITE != 0 {
                tracing::warn!(
                    file = %path.display(),
                    "the file is mapped, and can be written to: a change to it would end the server; take the right to \
                     write away (chmod a-w) and replace bundles by folders of their own"
                );
            }
            map(&file).map_err(read)?
        };
        Ok(Self { path: path.to_owned(), found: Identity::from(&metadata), bytes })
    }

    /// Whether the path names what it named when it was opened, unchanged.
    pub(super) fn check(&self) -> Result<(), BundleError> {
        let read = |error| BundleError::read(&self.path, &error);
        if Identity::from(&self.path.metadata().map_err(read)?) == self.found {
            Ok(())
        } else {
            Err(BundleError::Changed { path: self.path.clone() })
        }
    }
}

fn copy(file: &File, length: usize) -> std::io::Result<Mmap> {
    let mut bytes = MmapMut::map_anon(length)?;
    file.read_exact_at(&mut bytes, 0)?;
    bytes.make_read_only()
}

fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is only read. A bundle is written once and replaced by a folder of its own, never
    // changed in place; the documentation of bundles says so, and who may still do it is warned above.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_made_shorter_after_it_was_read_is_still_whole_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let file = BundleFile::open(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(*file.bytes, vec![7; 100_000]);
    }

    #[test]
    fn a_file_that_was_changed_or_replaced_while_it_was_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        for largest_copy in [0, LARGEST_COPY] {
            std::fs::write(&path, vec![7; 100_000]).unwrap();
            let file = BundleFile::open_with(&path, largest_copy).unwrap();
            assert_eq!(*file.bytes, vec![7; 100_000]);
            file.check().unwrap();
            std::fs::write(folder.path().join("other"), vec![7; 100_000]).unwrap();
            std::fs::rename(folder.path().join("other"), &path).unwrap();
            assert!(matches!(file.check(), Err(BundleError::Changed { .. })));
        }
    }
}
