//! One bundle is loaded at a time, and whoever asks for the same meanwhile waits for it too.
//!
//! Each load takes its memory, a thread, and the time that serving leaves over: another bundle is refused while one
//! is loaded. A load that nobody waits for any more ends at its next step, and so does the one that goes on when the
//! engine ends: ONNX Runtime crashes where a process ends while a thread makes a session.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::model::Model;
use crate::bundle::{BundleError, Wanted};

#[cfg(target_os = "linux")]
const LOADING_NICENESS: i32 = 15;

/// How a load ends.
pub(super) type Outcome = Result<Arc<Model>, BundleError>;

/// The load that is going on, if one is.
#[derive(Debug, Default)]
pub(super) struct Loads {
    current: Arc<Mutex<Option<Load>>>,
    engine_ends: Arc<AtomicBool>,
    /// The thread of the newest load.
    newest: Mutex<Option<LoadThread>>,
}

#[derive(Clone, Debug)]
struct Load {
    folder: PathBuf,
    outcome: Arc<watch::Sender<Option<Outcome>>>,
}

/// A thread that loads.
#[derive(Debug)]
pub(super) struct LoadThread {
    thread: JoinHandle<()>,
    /// Hears when all that the thread held is gone.
    ended: oneshot::Receiver<()>,
}

/// What comes of the wish to load.
pub(super) enum Begun {
    /// The caller loads, and waits for it.
    Granted(LoadPermit, LoadWaiter),
    /// Another caller loads, and can be waited for.
    Busy(LoadWaiter),
    /// The engine ends, and nothing is loaded any more.
    Ended,
}

impl Loads {
    /// The folder of the bundle that is being loaded.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        lock(&self.current).as_ref().map(|load| load.folder.clone())
    }

    /// Takes the permit for the bundle in `folder`, unless there is a load already.
    pub(super) fn begin(&self, folder: &Path) -> Begun {
        let mut current = lock(&self.current);
        if self.engine_ends.load(Ordering::SeqCst) {
            return Begun::Ended;
        }
        if let Some(load) = &*current {
            return Begun::Busy(load.wait());
        }
        let load = Load { folder: folder.to_owned(), outcome: Arc::new(watch::Sender::new(None)) };
        let waiting = load.wait();
        *current = Some(load.clone());
        Begun::Granted(LoadPermit { current: Arc::clone(&self.current), load }, waiting)
    }

    /// Loads on a thread of its own, which may use the caller's runtime.
    pub(super) fn run(
        &self,
        permit: LoadPermit,
        load: impl FnOnce(&Path, Wanted<'_>) -> Outcome + Send + 'static,
    ) -> std::io::Result<()> {
        let runtime = Handle::current();
        let engine_ends = Arc::clone(&self.engine_ends);
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // Dropped after all that the load held.
            let _end = end;
            let _runtime = runtime.enter();
            yield_to_requests();
            let Load { folder, outcome } = permit.load.clone();
            let loaded = load(&folder, &|| !outcome.is_closed() && !engine_ends.load(Ordering::SeqCst));
            // Another one may begin before the callers go on.
            drop(permit);
            // They may have gone at the last moment; then the model stays for those who name its version.
            outcome.send_replace(Some(loaded));
        };
        let mut newest = lock(&self.newest);
        let thread = thread::Builder::new().name("engine-load".to_owned()).spawn(run)?;
        *newest = Some(LoadThread { thread, ended });
        Ok(())
    }

    /// Lets no further load begin, and the one that goes on end at its next step; its thread.
    pub(super) fn end(&self) -> Option<LoadThread> {
        let current = lock(&self.current);
        self.engine_ends.store(true, Ordering::SeqCst);
        drop(current);
        lock(&self.newest).take()
    }
}

impl LoadThread {
    /// Waits up to `limit` for the thread to end; whether it did.
    pub(super) async fn end_within(self, limit: Duration) -> bool {
        let Self { thread, ended } = self;
        if timeout(limit, ended).await.is_err() {
            return false;
        }
        // It has nothing left to do. A panic has been told to those who waited for the load.
        let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        true
    }
}

impl Load {
    fn wait(&self) -> LoadWaiter {
        LoadWaiter { folder: self.folder.clone(), outcome: self.outcome.subscribe() }
    }
}

/// The right to load a bundle, which ends with the load, however that ends.
pub(super) struct LoadPermit {
    current: Arc<Mutex<Option<Load>>>,
    load: Load,
}

impl Drop for LoadPermit {
    fn drop(&mut self) {
        *lock(&self.current) = None;
    }
}

/// A caller who waits for a load.
pub(super) struct LoadWaiter {
    folder: PathBuf,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl LoadWaiter {
    /// The folder of the bundle that is waited for.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is the bundle in `folder`.
    pub(super) async fn is_for(&self, folder: &Path) -> bool {
        self.folder == folder
            || match tokio::join!(tokio::fs::canonicalize(&self.folder), tokio::fs::canonicalize(folder)) {
                (Ok(waited_for), Ok(folder)) => waited_for == folder,
                _ => false,
            }
    }

    /// How the load ends.
    pub(super) async fn outcome(mut self) -> Outcome {
        let ended = self.outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        ended.unwrap_or_else(|| {
            let (bundle, why) = (self.folder.display().to_string(), "loading panicked".to_owned());
            Err(BundleError::Scorer { bundle, why })
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets every other thread go before this one, so that loading takes the time that serving leaves over.
#[cfg(target_os = "linux")]
fn yield_to_requests() {
    // On Linux a nice value is the thread's own. Where it can't be set, loading only costs more.
    let _ = rustix::process::nice(LOADING_NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn yield_to_requests() {}
