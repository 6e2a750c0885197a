//! Models on their way out: for each a thread waits until the last request has let go of it.
//!
//! To close sessions, drop an index and unmap tables takes milliseconds, which no request should wait for.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::model::Model;

/// Models that are unloaded and may still be in use.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    threads: Mutex<Vec<JoinHandle<()>>>,
    engine_ends: Arc<AtomicBool>,
}

impl Leaving {
    /// Takes a model's memory once nobody holds it any more.
    pub(super) fn add(&self, model: Arc<Model>) {
        let engine_ends = Arc::clone(&self.engine_ends);
        let outlast = move || model.outlast(&engine_ends);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        // Where there is no thread to be had, the model goes with the last who holds it.
        threads.extend(thread::Builder::new().name("engine-unload".to_owned()).spawn(outlast));
    }

    /// Waits for nobody any more; the threads, which end soon.
    pub(super) fn end(&self) -> Vec<JoinHandle<()>> {
        self.engine_ends.store(true, Ordering::SeqCst);
        let threads = mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in &threads {
            thread.thread().unpark();
        }
        threads
    }
}
