//! The one writer: a thread that commits in groups.
//!
//! While a commit waits for the disk, the next group gathers in the channel; so the busier the
//! store, the larger the groups, and no write ever waits for a timer. A caller hears of success
//! after the fsync of its group, never before.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use arc_swap::ArcSwapOption;
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::group::Group;
use super::snapshot::Snapshot;
use crate::store::StoreError;

/// Callers that may wait in the channel; more wait before it.
const WAITING: usize = 4096;
/// A group takes no further write once it holds so many events or movies.
const GROUP_WORK: usize = 65_536;

/// Work inside a group. It returns how to tell its caller, once the group is durable or failed.
type Write = Box<dyn FnOnce(&mut Group<'_>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The handle of the writer thread. Dropping it finishes what was accepted and closes the file.
pub(super) struct Writer {
    inbox: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which owns the file and publishes a snapshot after every commit.
    pub(super) fn start(
        database: Database,
        published: Arc<ArcSwapOption<Snapshot>>,
    ) -> Result<Self, StoreError> {
        let (inbox, writes) = mpsc::channel(WAITING);
        let thread = Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&database, writes, &published))
            .map_err(|error| StoreError::Open(format!("the writer thread cannot start: {error}")))?;
        Ok(Self { inbox: Some(inbox), thread: Some(thread) })
    }

    /// Does the work in the next group and returns when it is durable.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Group<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let write: Write = Box::new(move |group| {
            let done = work(group);
            // A caller that went away has no use for the outcome.
            Box::new(move |committed| drop(tell.send(committed.and(done))))
        });
        let closed = || StoreError::Unavailable("it is closing".to_owned());
        self.inbox.as_ref().ok_or_else(closed)?.send(write).await.map_err(|_| closed())?;
        told.await.map_err(|_| closed())?
    }

    pub(super) fn is_running(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| !inbox.is_closed())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

fn run(database: &Database, mut writes: mpsc::Receiver<Write>, published: &ArcSwapOption<Snapshot>) {
    while let Some(first) = writes.blocking_recv() {
        let mut replies = Vec::new();
        let committed = commit(database, first, &mut writes, &mut replies).map(|snapshot| {
            published.store(Some(Arc::new(snapshot)));
        });
        if let Err(error) = &committed {
            tracing::error!(%error, writes = replies.len(), "a group of writes failed");
        }
        for reply in replies {
            reply(committed.clone());
        }
    }
    published.store(None);
}

/// Commits the first write and those that wait behind it; what readers see from now on.
fn commit(
    database: &Database,
    first: Write,
    waiting: &mut mpsc::Receiver<Write>,
    replies: &mut Vec<Reply>,
) -> Result<Snapshot, StoreError> {
    let transaction = database.begin_write()?;
    let mut group = Group::open(&transaction)?;
    let mut next = Some(first);
    while let Some(write) = next {
        replies.push(write(&mut group));
        next = if group.work() < GROUP_WORK { waiting.try_recv().ok() } else { None };
    }
    group.finish()?;
    transaction.commit()?;
    Snapshot::open(database)
}
