//! A file of a bundle in memory.
//!
//! A mapped file that somebody makes shorter ends the process with SIGBUS, and one that somebody writes to changes
//! after its hash was compared. So files are copied. Only those that are too large for that are mapped, and must be
//! left alone while they are served: they are looked at before and after their hash is taken, and one that the owner
//! may write to is warned of.
//!
//! Whoever may name a folder may name one that holds pipes, devices or endless files: a file is opened without
//! waiting for it, is read only when it is a regular one of a size that makes sense, and only up to that size.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapMut};

use super::error::BundleError;

/// Larger files are mapped.
const LARGEST_COPY: u64 = 256 << 20;
/// Bytes that are copied at once.
const COPIED_AT_ONCE: usize = 4 << 20;
/// Bits of a file's mode that let somebody write to it.
const MAY_WRITE: u32 = 0o222;

/// Says whether somebody still waits for what is being loaded.
pub(crate) type Wanted<'a> = &'a (dyn Fn() -> bool + Sync);

/// Gives up what nobody waits for.
pub(crate) fn require_wanted(wanted: Wanted<'_>, path: &Path) -> Result<(), BundleError> {
    if wanted() { Ok(()) } else { Err(BundleError::GivenUp { path: path.to_owned() }) }
}

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
    /// Takes a regular file of at most so many bytes into memory.
    pub(super) fn open(path: &Path, max_bytes: u64, wanted: Wanted<'_>) -> Result<Self, BundleError> {
        Self::open_with(path, max_bytes, wanted, LARGEST_COPY)
    }

    /// Copies a file of up to so many bytes, and maps a larger one.
    fn open_with(
        path: &Path,
        max_bytes: u64,
        wanted: Wanted<'_>,
        largest_copy: u64,
    ) -> Result<Self, BundleError> {
        let read = |error| BundleError::read(path, &error);
        let (file, metadata) = open_regular(path, max_bytes)?;
        let bytes = if metadata.len() <= largest_copy {
            copy(&file, path, metadata.len() as usize, wanted)?
        } else {
            if metadata.mode() & MAY_WRITE != 0 {
                tracing::warn!(
                    file = %path.display(),
                    "memory-mapped bundle file is writable: a change to it would crash the server; make it read-only \
                     (chmod a-w) and replace bundles by folders of their own"
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

/// The text of a regular file of at most so many bytes.
pub(super) fn read_text(path: &Path, max_bytes: u64) -> Result<String, BundleError> {
    let (file, metadata) = open_regular(path, max_bytes)?;
    let mut bytes = vec![0; metadata.len() as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|error| BundleError::read(path, &error))?;
    String::from_utf8(bytes).map_err(|error| BundleError::read(path, &error))
}

/// Opens a regular file of at most so many bytes.
fn open_regular(path: &Path, max_bytes: u64) -> Result<(File, Metadata), BundleError> {
    let read = |error| BundleError::read(path, &error);
    // To open a device may already do something, so one is looked at first; what was opened in the end counts.
    check(path, &path.metadata().map_err(read)?, max_bytes)?;
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    check(path, &metadata, max_bytes)?;
    Ok((file, metadata))
}

fn check(path: &Path, metadata: &Metadata, most: u64) -> Result<(), BundleError> {
    let (path, bytes) = (path.to_owned(), metadata.len());
    if !metadata.is_file() {
        return Err(BundleError::NotAFile { path, kind: kind_of(metadata.file_type()) });
    }
    if bytes > most { Err(BundleError::TooLarge { path, bytes, most }) } else { Ok(()) }
}

fn kind_of(other: FileType) -> &'static str {
    if other.is_dir() {
        "a folder"
    } else if other.is_fifo() {
        "a pipe"
    } else if other.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn copy(file: &File, path: &Path, length: usize, wanted: Wanted<'_>) -> Result<Mmap, BundleError> {
    let read = |error| BundleError::read(path, &error);
    let mut bytes = MmapMut::map_anon(length).map_err(read)?;
    for (part, into) in bytes.chunks_mut(COPIED_AT_ONCE).enumerate() {
        require_wanted(wanted, path)?;
        file.read_exact_at(into, (part * COPIED_AT_ONCE) as u64).map_err(read)?;
    }
    bytes.make_read_only().map_err(read)
}

fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is only read. A bundle is written once and replaced by a folder of its own, never
    // changed in place; the documentation of bundles says so, and who may still do it is warned above.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: u64 = 1 << 20;

    fn pipe(path: &Path) {
        let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path is a C string that lives longer than the call.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join(name);
        pipe(&of("pipe"));
        let _socket = std::os::unix::net::UnixListener::bind(of("socket")).unwrap();
        std::fs::create_dir(of("folder")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", of("zero")).unwrap();
        for (name, what) in
            [("pipe", "a pipe"), ("socket", "a socket"), ("folder", "a folder"), ("zero", "a device")]
        {
            for refused in
                [read_text(&of(name), ENOUGH).err(), BundleFile::open(&of(name), ENOUGH, &|| true).err()]
            {
                assert!(
                    matches!(&refused, Some(BundleError::NotAFile { kind, .. }) if *kind == what),
                    "{refused:?}"
                );
            }
        }
        std::os::unix::fs::symlink(of("loop"), of("loop")).unwrap();
        assert!(matches!(read_text(&of("loop"), ENOUGH), Err(BundleError::Read { .. })));
    }

    #[test]
    fn a_file_is_read_up_to_the_size_that_it_says_and_no_larger_one_is_read_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge");
        File::create(&path).unwrap().set_len(1 << 43).unwrap();
        let refused = read_text(&path, ENOUGH).unwrap_err();
        assert!(matches!(refused, BundleError::TooLarge { bytes, most: ENOUGH, .. } if bytes == 1 << 43));
        assert!(matches!(BundleFile::open(&path, ENOUGH, &|| true), Err(BundleError::TooLarge { .. })));
        // It says that it is empty, and is not.
        if cfg!(target_os = "linux") {
            assert_eq!(read_text(Path::new("/proc/self/status"), ENOUGH).unwrap(), "");
        }
    }

    #[test]
    fn a_file_that_nobody_waits_for_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, vec![7; 3 * COPIED_AT_ONCE]).unwrap();
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let wanted = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
        let given_up = BundleFile::open(&path, u64::MAX, &wanted);
        assert!(matches!(given_up, Err(BundleError::GivenUp { .. })));
        assert_eq!(asked.into_inner(), 3);
    }

    #[test]
    fn a_file_that_is_made_shorter_after_it_was_read_is_still_whole_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let file = BundleFile::open(&path, ENOUGH, &|| true).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(*file.bytes, vec![7; 100_000]);
    }

    #[test]
    fn a_file_that_was_changed_or_replaced_while_it_was_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        for largest_copy in [0, LARGEST_COPY] {
            std::fs::write(&path, vec![7; 100_000]).unwrap();
            let file = BundleFile::open_with(&path, ENOUGH, &|| true, largest_copy).unwrap();
            assert_eq!(*file.bytes, vec![7; 100_000]);
            file.check().unwrap();
            std::fs::write(folder.path().join("other"), vec![7; 100_000]).unwrap();
            std::fs::rename(folder.path().join("other"), &path).unwrap();
            assert!(matches!(file.check(), Err(BundleError::Changed { .. })));
        }
    }
}
