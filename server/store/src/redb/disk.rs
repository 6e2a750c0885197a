//! The files of the store's folder. Every byte that the store writes goes through [`DiskFile`], and so
//! does every fault that a test gives the disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::StoreError;

/// Bytes that are written or copied at once.
const CHUNK: usize = 1 << 20;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    Resize,
    Sync,
}

/// Says whether an operation on a file of this name fails before it reaches the disk.
type Fault = dyn Fn(&str, Operation) -> io::Result<()> + Send + Sync;

/// The folder. Faults are for tests: no other program gives any.
#[derive(Clone)]
pub(super) struct Disk {
    folder: PathBuf,
    fault: Option<Arc<Fault>>,
    /// Locked while the store is open.
    _lock: Arc<File>,
}

impl Disk {
    /// The folder, which is made if needed, for this process alone.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Open(format!("{}: {error}", folder.display()));
        make_folder(folder).map_err(failed)?;
        let lock = File::open(folder).map_err(failed)?;
        match try_lock(&lock) {
            Ok(true) => {}
            Ok(false) => return Err(in_use(folder)),
            // Some file systems lock files only, and that of the tables is locked too.
            Err(error) => tracing::debug!(%error, "data folder not locked"),
        }
        Ok(Self { folder: folder.to_owned(), fault: None, _lock: Arc::new(lock) })
    }

    #[cfg(test)]
    pub(super) fn with_fault(
        self,
        fault: impl Fn(&str, Operation) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { fault: Some(Arc::new(fault)), ..self }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The length of a file; `None` if it is not there.
    pub(super) fn length(&self, name: &str) -> io::Result<Option<u64>> {
        match self.path(name).metadata() {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a file that is there.
    pub(super) fn file(&self, name: &'static str) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
        Ok(DiskFile { name, file, fault: self.fault.clone(), unsynced: Mutex::default() })
    }

    /// Makes a file of so many zeros. It has its name only once it is whole and durable.
    pub(super) fn make_zeros(&self, name: &str, length: u64) -> io::Result<()> {
        let path = self.path(&unfinished(name));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let zeros = vec![0; CHUNK];
        for start in (0..length).step_by(CHUNK) {
            file.write_all_at(&zeros[..CHUNK.min((length - start) as usize)], start)?;
        }
        file.sync_all()?;
        self.finish(name)
    }

    /// Gives a file that was made as [`unfinished`] its name.
    pub(super) fn finish(&self, name: &str) -> io::Result<()> {
        std::fs::rename(self.path(&unfinished(name)), self.path(name))?;
        sync_folder(&self.folder)
    }
}

/// The error of a folder that another process has.
/// Whether another one has the folder.
pub(super) fn is_locked(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|folder| matches!(try_lock(&folder), Ok(false)))
}

pub(super) fn in_use(folder: &Path) -> StoreError {
    StoreError::Open(format!(
        "{}: another server is using it; stop that one, or choose another --data-dir",
        folder.display()
    ))
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The name of a file while it is made.
pub(super) fn unfinished(name: &str) -> String {
    format!("{name}.new")
}

/// Makes a folder and those above it, each durable.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    make_folder(above)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => Err(error),
        _ => sync_folder(above),
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// An open file that knows what it has written and not yet made durable.
pub(super) struct DiskFile {
    name: &'static str,
    file: File,
    fault: Option<Arc<Fault>>,
    /// Written since the last sync: offset and length.
    unsynced: Mutex<Vec<(u64, usize)>>,
}

impl std::fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl DiskFile {
    /// Takes the file for this process alone, until it is closed; whether nobody else has it.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        try_lock(&self.file)
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.may(Operation::Read)?;
        self.file.read_exact_at(out, offset)
    }

    pub(super) fn read_whole(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length()? as usize];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.may(Operation::Write)?;
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).push((offset, bytes.len()));
        self.file.write_all_at(bytes, offset)
    }

    pub(super) fn resize(&self, length: u64) -> io::Result<()> {
        self.may(Operation::Resize)?;
        self.file.set_len(length)
    }

    /// Makes all that was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        self.may(Operation::Sync)?;
        self.file.sync_data()?;
        unsynced.clear();
        Ok(())
    }

    /// Writes again what a failed sync may have left in memory alone, and makes it durable.
    ///
    /// After such a failure Linux takes the pages for written: the next sync succeeds without them.
    pub(super) fn settle(&self) -> io::Result<()> {
        let unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let end = self.length()?;
        for (offset, length) in unsynced {
            let mut bytes = vec![0; length.min(end.saturating_sub(offset) as usize)];
            self.read(offset, &mut bytes)?;
            self.may(Operation::Write)?;
            self.file.write_all_at(&bytes, offset)?;
        }
        self.sync()
    }

    fn may(&self, operation: Operation) -> io::Result<()> {
        self.fault.as_ref().map_or(Ok(()), |fault| fault(self.name, operation))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_folder_is_made_with_those_above_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(&folder.path().join("a/b/c")).expect("it is made");
        assert!(disk.folder().is_dir());
        std::fs::write(folder.path().join("file"), "").expect("a write");
        assert!(Disk::open(&folder.path().join("file/a")).is_err());
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path()).expect("it is there");
        std::fs::write(disk.path(&unfinished("zeros")), "left over").expect("a write");
        assert_eq!(disk.length("zeros").expect("it can be asked"), None);
        disk.make_zeros("zeros", 3 << 20).expect("it is made");
        assert_eq!(disk.file("zeros").expect("it is there").read_whole().expect("a read"), vec![0; 3 << 20]);
        assert_eq!(disk.length(&unfinished("zeros")).expect("it can be asked"), None);
    }

    #[test]
    fn what_a_failed_sync_left_open_is_written_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fails = Arc::new(AtomicBool::new(true));
        let syncs = Arc::clone(&fails);
        let disk = Disk::open(folder.path()).expect("it is there").with_fault(move |_, operation| {
            let fails = operation == Operation::Sync && syncs.load(Ordering::Relaxed);
            if fails { Err(io::Error::other("a fault")) } else { Ok(()) }
        });
        disk.make_zeros("file", 100).expect("it is made");
        let file = disk.file("file").expect("it is there");
        file.write(90, &[7; 20]).expect("a write");
        file.sync().expect_err("a fault");
        file.settle().expect_err("a fault");
        fails.store(false, Ordering::Relaxed);
        file.resize(95).expect("it shrinks");
        file.settle().expect("no fault any more");
        assert_eq!(file.read_whole().expect("a read")[88..], [0, 0, 7, 7, 7, 7, 7]);
        assert!(file.unsynced.lock().expect("nobody panicked").is_empty());
    }
}
