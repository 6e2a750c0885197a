//! The one writer: a thread that makes writes durable in groups.
//!
//! While the disk works for one group, the next gathers in the channel; so the busier the store, the
//! larger the groups, and no write ever waits for a timer. A caller hears of success after the fsync
//! of its group, never before, and readers see the group no earlier.
//!
//! After a failed write to the disk nobody knows what it holds, so the writer refuses all that follows
//! and starts over from what is durable, again and again until the disk takes it. Readers go on.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::files::Files;
use super::standing::Standing;
use super::state::State;
use super::view::{View, closed};
use crate::StoreError;

/// Callers that may wait in the channel; more wait before it.
const WAITING: usize = 4096;
/// A group takes no further write once it holds so many events or movies.
const GROUP_WORK: usize = 16_384;
/// Between two attempts to start over, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Work inside a group, or why there is none. It returns how to answer its caller, once the group is durable
/// or failed.
type Write = Box<dyn FnOnce(Result<&mut State, StoreError>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The handle of the writer thread. Dropping it finishes what was accepted and closes the file.
pub(super) struct Writer {
    inbox: Option<mpsc::Sender<Write>>,
    standing: Arc<Standing>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which owns the files and shows readers what is durable.
    pub(super) fn start(files: Files, view: Arc<View>) -> Result<Self, StoreError> {
        let (inbox, writes) = mpsc::channel(WAITING);
        let standing = Arc::new(Standing::default());
        let mut run = Run { files, writes, view, standing: Arc::clone(&standing) };
        let thread = Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run.run())
            .map_err(|error| StoreError::Open(format!("the writer thread cannot start: {error}")))?;
        Ok(Self { inbox: Some(inbox), standing, thread: Some(thread) })
    }

    /// Does the work in the next group and returns when it is durable.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.standing.check()?;
        let (reply, outcome) = oneshot::channel();
        let write: Write = Box::new(move |state| {
            let done = state.and_then(work);
            // A caller that went away has no use for the outcome.
            Box::new(move |committed| drop(reply.send(committed.and(done))))
        });
        let closing = || StoreError::Unavailable("it is closing".to_owned());
        self.inbox.as_ref().ok_or_else(closing)?.send(write).await.map_err(|_| closing())?;
        if self.standing.check().is_err() {
            self.wake();
        }
        outcome.await.map_err(|_| closing())?
    }

    /// Ends a pause of the thread.
    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox = None;
        self.wake();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

/// What the thread has.
struct Run {
    files: Files,
    writes: mpsc::Receiver<Write>,
    view: Arc<View>,
    standing: Arc<Standing>,
}

impl Run {
    fn run(&mut self) {
        while let Some(first) = self.writes.blocking_recv() {
            if self.group(first).is_err() {
                self.sit_out();
            }
        }
        // Without standing, what is in memory is not what is durable.
        if self.standing.check().is_ok()
            && let Err(error) = self.files.close(&self.view)
        {
            tracing::error!(%error, "last checkpoint failed; the next start replays the journal");
        }
        self.view.close();
    }

    /// Makes a group durable, the first write and those that wait, and answers the callers.
    fn group(&mut self, first: Write) -> Result<(), StoreError> {
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(write) = next {
            let state = self.files.state();
            replies.push(write(Ok(state)));
            next = if state.work() < GROUP_WORK { self.writes.try_recv().ok() } else { None };
        }
        let refuse = |error: &StoreError| self.standing.refuse(error);
        let durable = self.files.make_durable(&self.view).inspect_err(refuse);
        for reply in replies {
            reply(durable.as_ref().map_err(Standing::refusal).copied());
        }
        durable?;
        self.files.tidy(&self.view).inspect_err(refuse)
    }

    /// Refuses writes until the files could start over, or nobody can send any more.
    fn sit_out(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.files.start_over(&self.view) {
                Ok(()) => return self.standing.take_again(),
                Err(error) => tracing::debug!(%error, "store files not reopened; trying again"),
            }
            let end = Instant::now() + pause;
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                match self.writes.try_recv() {
                    Ok(write) => {
                        let refused = self.standing.check().and_then(|()| Err(closed()));
                        write(refused)(Ok(()));
                    }
                    Err(TryRecvError::Empty) => park_timeout(left),
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}
