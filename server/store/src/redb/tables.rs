//! redb's file, opened for as long as writes to it succeed.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Database, DatabaseError, StorageError, WriteTransaction};

use super::disk::DiskFile;
use super::fence::Fence;
use crate::StoreError;

/// Pages that redb keeps in memory.
const CACHE_BYTES: usize = 256 << 20;

/// A database and its way to the file. Once a write has failed it serves readers only, and another one
/// must be opened over the file.
pub(super) struct Tables {
    database: Database,
    fence: Fence,
}

/// What is looked at when a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Every page: a changed bit is an error then, and never an answer.
    Pages,
    /// Whether the last commit came to its end: enough for a file that this process has written.
    LastCommit,
}

impl Tables {
    /// Opens a file that is there and ours alone.
    pub(super) fn open(file: &Arc<DiskFile>, check: Check) -> Result<Arc<Self>, StoreError> {
        let fence = Fence::new(Arc::clone(file));
        let open = || {
            Database::builder()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(check == Check::Pages)
                .create_with_backend(fence.clone())
        };
        // What redb trusts of a file may make it panic where it is not as redb wrote it.
        let opened = catch_unwind(AssertUnwindSafe(open));
        let database = opened.map_err(|panic| corrupt(file, what(&*panic)))?;
        let database = database.map_err(|error| refusal(file, error))?;
        fence.check()?;
        Ok(Arc::new(Self { database, fence }))
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Commits; whether the disk has it.
    pub(super) fn commit(&self, transaction: WriteTransaction) -> Result<(), StoreError> {
        transaction.commit()?;
        self.fence.check()
    }

    /// Whether the file can still be read and written here.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.fence.check()
    }

    /// Leaves the file to another handle.
    pub(super) fn retire(&self) -> io::Result<()> {
        self.fence.retire()
    }
}

fn refusal(file: &DiskFile, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(what)) => corrupt(file, &what),
        // What redb says of a file that does not begin as its files do, or ends early.
        DatabaseError::Storage(StorageError::Io(error))
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            corrupt(file, &error)
        }
        other => StoreError::Open(format!("{file:?}: {other}")),
    }
}

fn corrupt(file: &DiskFile, what: &(impl std::fmt::Display + ?Sized)) -> StoreError {
    StoreError::Corrupt(format!("{file:?}: {what}"))
}

fn what(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it is not as redb writes it")
}
