//! The devices that models run on: a pool of workers for each, whose threads start with its first model.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Handle;

use super::pool::Pool;
use super::worker;
use crate::job::EngineError;
use crate::scheduler::{Event, Policy};
use crate::session::Placement;
use crate::{affinity, metrics};

/// To rank so many shortlists takes as long as to wake a thread for it, several times over.
const GPU_HAND_OVER_FROM: usize = 64;

/// The pools by device, and their threads.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pools: HashMap<Placement, Arc<Pool>>,
    threads: Vec<JoinHandle<()>>,
    stopped: bool,
}

impl Devices {
    pub(super) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
    }

    /// The pool of a device; the first model for it starts its workers. Callers wait on the runtime of the thread
    /// that calls this.
    ///
    /// # Errors
    /// When there are no threads to be had, or all have been stopped.
    pub(super) fn pool(&mut self, placement: Placement, policy: Policy) -> io::Result<Arc<Pool>> {
        if self.stopped {
            return Err(io::Error::other("the server is shutting down"));
        }
        if let Some(pool) = self.pools.get(&placement) {
            return Ok(Arc::clone(pool));
        }
        let pool = Arc::new(Pool::new(policy, Handle::current()));
        let observed = Arc::downgrade(&pool);
        let device = placement.to_string();
        metrics::observe_queue(&device, move || observed.upgrade().map(|pool| pool.queue()));
        let (cpus, hand_over_from) = match placement {
            Placement::Cpu => (affinity::of_workers(pool.workers()), None),
            Placement::Cuda(_) => (Vec::new(), Some(GPU_HAND_OVER_FROM)),
        };
        for worker in 0..pool.workers() {
            let cpu = cpus.get(worker).copied();
            self.threads.extend(worker::spawn(&pool, worker, &device, cpu, hand_over_from)?);
        }
        self.pools.insert(placement, Arc::clone(&pool));
        Ok(pool)
    }

    /// Answers all that waits with [`EngineError::ShuttingDown`], and tells the workers to stop; their threads.
    pub(super) fn stop(&mut self) -> Vec<JoinHandle<()>> {
        self.stopped = true;
        for pool in self.pools.values() {
            pool.step(Event::Drain, None);
            pool.step(Event::Close { model: None, why: EngineError::ShuttingDown }, None);
            pool.stop();
        }
        mem::take(&mut self.threads)
    }
}
