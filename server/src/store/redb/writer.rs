//! The one writer: a thread that makes writes durable in groups.
//!
//! While the disk works for one group, the next gathers in the channel; so the busier the store, the
//! larger the groups, and no write ever waits for a timer. A caller hears of success after the fsync
//! of its group, never before, and readers see the group no earlier.
//!
//! After a failed write to the disk nobody knows what it holds, so the writer refuses all that
//! follows; the next start recovers what was acknowledged.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpoint;
use super::journal::Journal;
use super::snapshot::Snapshot;
use super::state::State;
use super::view::View;
use crate::store::StoreError;

/// Callers that may wait in the channel; more wait before it.
const WAITING: usize = 4096;
/// A group takes no further write once it holds so many events or movies.
const GROUP_WORK: usize = 16_384;

/// Work inside a group. It returns how to tell its caller, once the group is durable or failed.
type Write = Box<dyn FnOnce(&mut State) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The handle of the writer thread. Dropping it finishes what was accepted and closes the file.
pub(super) struct Writer {
    inbox: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which owns the files and shows readers what is durable.
    pub(super) fn start(mut files: Files, view: Arc<View>) -> Result<Self, StoreError> {
        let (inbox, writes) = mpsc::channel(WAITING);
        let thread = Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&mut files, writes, &view))
            .map_err(|error| StoreError::Open(format!("the writer thread cannot start: {error}")))?;
        Ok(Self { inbox: Some(inbox), thread: Some(thread) })
    }

    /// Does the work in the next group and returns when it is durable.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let write: Write = Box::new(move |state| {
            let done = work(state);
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

fn run(files: &mut Files, mut writes: mpsc::Receiver<Write>, view: &View) {
    while let Some(first) = writes.blocking_recv() {
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(write) = next {
            replies.push(write(&mut files.state));
            next = if files.state.work() < GROUP_WORK { writes.try_recv().ok() } else { None };
        }
        let durable = files.make_durable(view);
        for reply in replies {
            reply(durable.clone());
        }
        if let Err(error) = durable {
            tracing::error!(%error, "the store stops: a write to the disk failed");
            view.close();
            return;
        }
    }
    let closed = files.close(view);
    view.close();
    if let Err(error) = closed {
        tracing::error!(%error, "the last checkpoint failed; the journal is recovered at the next start");
    }
}

/// The database, its journal, and what is in memory between them.
pub(super) struct Files {
    database: Arc<Database>,
    journal: Journal,
    state: State,
    /// The checkpoint under way.
    under_way: Option<JoinHandle<Result<Checkpoint, StoreError>>>,
}

impl Files {
    /// Records the journal's events again, if the store was not closed well.
    pub(super) fn recover(database: Database, journal: Journal) -> Result<Self, StoreError> {
        let state = State::new(Arc::new(Snapshot::open(&database)?))?;
        let mut files = Self { database: Arc::new(database), journal, state, under_way: None };
        let events = files.journal.recover()?;
        if !events.is_empty() {
            tracing::info!(events = events.len(), "recording the journal's events again");
            for (event, now_ms) in events {
                files.state.record(&[event], now_ms)?;
            }
            files.journal.skip_epoch();
            files.checkpoint()?;
        }
        Ok(files)
    }

    /// What readers see first.
    pub(super) fn view(&self) -> Result<View, StoreError> {
        let view = View::new(Snapshot::open(&self.database)?);
        view.count(self.state.counts());
        Ok(view)
    }

    /// Makes the group durable and then shows it to readers.
    fn make_durable(&mut self, view: &View) -> Result<(), StoreError> {
        if self.under_way.as_ref().is_some_and(JoinHandle::is_finished) {
            self.end_checkpoint(view)?;
        }
        if self.state.needs_checkpoint() || !Journal::has_room_for(self.state.entries().len()) {
            self.end_checkpoint(view)?;
            view.show_checkpoint(self.checkpoint()?);
        } else {
            self.journal.append(self.state.entries())?;
            self.state.publish(&view.recent);
            if self.state.wants_checkpoint() || self.journal.is_full() {
                self.end_checkpoint(view)?;
                self.begin_checkpoint(view)?;
            }
        }
        view.count(self.state.counts());
        Ok(())
    }

    /// A checkpoint on this thread: its group is durable with it.
    fn checkpoint(&mut self) -> Result<Arc<Snapshot>, StoreError> {
        let checkpoint = self.state.freeze(self.journal.next_epoch()).write(&self.database)?;
        self.state.adopt(&checkpoint);
        self.journal.restart();
        Ok(checkpoint.stored)
    }

    /// A checkpoint on a thread of its own, of groups that the journal made durable.
    fn begin_checkpoint(&mut self, view: &View) -> Result<(), StoreError> {
        if self.state.needs_checkpoint() {
            // The next group is one.
            return Ok(());
        }
        let changes = self.state.freeze(self.journal.next_epoch());
        self.journal.restart();
        view.recent.freeze();
        let database = Arc::clone(&self.database);
        let thread = Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || changes.write(&database))
            .map_err(|error| StoreError::Unavailable(format!("a checkpoint cannot start: {error}")))?;
        self.under_way = Some(thread);
        Ok(())
    }

    /// Waits for the checkpoint under way, if there is one, and goes on from it.
    fn end_checkpoint(&mut self, view: &View) -> Result<(), StoreError> {
        let Some(thread) = self.under_way.take() else { return Ok(()) };
        let panicked = |_| StoreError::Unavailable("its checkpoint panicked".to_owned());
        let checkpoint = thread.join().map_err(panicked)??;
        self.state.adopt(&checkpoint);
        view.show_frozen(checkpoint.stored);
        Ok(())
    }

    fn close(&mut self, view: &View) -> Result<(), StoreError> {
        self.end_checkpoint(view)?;
        if self.journal.is_empty() { Ok(()) } else { self.checkpoint().map(drop) }
    }
}
