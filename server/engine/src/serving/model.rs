//! A model in the engine, as those hold it who ask it.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Instant;

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use tokio::sync::oneshot;

use super::extensions::Extensions;
use super::model_core::Core;
use super::pool::{Pending, Pool};
use crate::bundle::Bundle;
use crate::job::{Answer, DeadlinePoint, EngineError, Input, Job, Want};
use crate::metrics::Serving;
use crate::scheduler::{JobId, Submission};

/// How many callers with a batch of requests the queue has room for.
const CALLERS_THAT_FILL_THE_QUEUE: usize = 16;

/// A loaded model. Cheap to hold; it goes when it is unloaded and the last holder lets it go.
#[derive(Debug)]
pub struct Model {
    pub(crate) core: Arc<Core>,
    pub(crate) pool: Arc<Pool>,
    placement: String,
    kernels: String,
    arithmetic: String,
    memory_bytes: u64,
    loaded_ms: TimeMs,
    extensions: Arc<Extensions>,
    /// Who takes the memory when the last holder has gone.
    outlasting: OnceLock<Thread>,
}

impl Model {
    /// A model that is loaded now.
    pub(crate) fn new(
        core: Arc<Core>,
        pool: Arc<Pool>,
        placement: String,
        kernels: String,
        arithmetic: String,
        memory_bytes: u64,
    ) -> Self {
        let (loaded_ms, extensions, outlasting) = (now_ms(), Arc::default(), OnceLock::new());
        Self { core, pool, placement, kernels, arithmetic, memory_bytes, loaded_ms, extensions, outlasting }
    }

    /// Waits until nobody else holds the model, or the engine ends, and takes its memory then.
    pub(super) fn outlast(self: Arc<Self>, engine_ends: &AtomicBool) {
        let owned = (Arc::clone(&self.core), Arc::clone(&self.extensions));
        let _ = self.outlasting.set(thread::current());
        let held = Arc::downgrade(&self);
        drop(self);
        while held.strong_count() > 0 && !engine_ends.load(Ordering::SeqCst) {
            thread::park();
        }
        drop(owned);
    }

    /// The bundle.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.core.bundle
    }

    /// The device and precision it runs on.
    pub fn placement(&self) -> &str {
        &self.placement
    }

    /// What encodes for it, as a short name: `onnxruntime`, or `native` with the instructions that serve.
    pub fn kernels(&self) -> &str {
        &self.kernels
    }

    pub(super) fn counted_by(&self) -> Serving {
        let (device, precision) = self.placement.split_once(' ').unwrap_or_default();
        let [device, precision, kernels] = [device, precision, &self.kernels].map(str::to_owned);
        Serving { device, precision, kernels }
    }

    /// Everything that its vectors depend on but the sequence: the bundle, the precision, the device and the
    /// kernels. Two models with the same text make the same vectors, on whatever node they are, as nearly as
    /// the device itself does: bitwise on a CPU.
    pub fn arithmetic(&self) -> &str {
        &self.arithmetic
    }

    /// Its number, which no other model of this engine has or had.
    pub fn number(&self) -> u64 {
        self.core.key
    }

    /// The bytes of its tables, and of its graph for each session; on a GPU each session has tables of its own. What
    /// its scorer builds from the tables is not among them.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// When it was loaded.
    pub fn loaded_ms(&self) -> TimeMs {
        self.loaded_ms
    }

    /// What the caller keeps of this model, of each type one; the first call makes it. It goes with the model.
    pub fn extension<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        self.extensions.get_or_insert_with(make)
    }

    pub(super) fn why_out_of_service(&self) -> Option<&str> {
        self.core.out_of_service()
    }

    /// Whether it takes jobs; `false` after three failures in a row.
    pub(crate) fn in_service(&self) -> bool {
        self.core.out_of_service().is_none()
    }

    /// How many jobs one caller shall have here at once: enough for a few callers to keep the device busy, and a
    /// part of the queue that leaves room for others.
    pub fn share_of_queue(&self) -> usize {
        (self.pool.queue_limit() / CALLERS_THAT_FILL_THE_QUEUE).max(1)
    }

    /// Runs a job.
    ///
    /// # Errors
    /// [`EngineError`] says why there is no answer.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the job: it leaves the queue, and what runs already is not answered.
    pub async fn submit(&self, job: Job) -> Result<Answer, EngineError> {
        if let Err(error) = self.check(&job) {
            self.pool.count_refusal(&error);
            return Err(error);
        }
        let deadline = job.deadline;
        let (reply, answer) = oneshot::channel();
        let id = self.pool.next_job();
        let mut guard = CancelOnDrop { pool: &self.pool, id, answered: false };
        self.pool.submit(Submission {
            id,
            model: self.core.key,
            input: job.input,
            deadline,
            priority: job.priority,
            payload: Pending { want: job.want, core: Arc::clone(&self.core), begun: None, reply },
        });
        let answered = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), answer).await,
            None => Ok(answer.await),
        };
        let Ok(answered) = answered else {
            // The guard takes the job out of the queue.
            let error = EngineError::DeadlineExceeded { point: DeadlinePoint::Queue };
            self.pool.count_refusal(&error);
            return Err(error);
        };
        guard.answered = true;
        // A sender is only dropped without an answer when its worker has stopped.
        answered.unwrap_or(Err(EngineError::ShuttingDown))
    }

    fn check(&self, job: &Job) -> Result<(), EngineError> {
        if let Some(why) = self.core.out_of_service() {
            return Err(EngineError::OutOfService(why.to_owned()));
        }
        let bundle = &self.core.bundle;
        match &job.input {
            Input::Sequence(rows) => {
                if !(1..=bundle.maximum_length()).contains(&rows.len()) {
                    let most = bundle.maximum_length();
                    return Err(EngineError::BadJob(format!(
                        "{} items, 1 to {most} are allowed",
                        rows.len()
                    )));
                }
                if let Some(row) = rows.iter().find(|row| **row as usize >= bundle.items()) {
                    return Err(EngineError::BadJob(format!("row {row} of {}", bundle.items())));
                }
            }
            Input::Vector(vector) => {
                if vector.len() != bundle.dimension() || !vector.iter().all(|value| value.is_finite()) {
                    return Err(EngineError::BadJob(format!(
                        "its vector has to be {} finite numbers",
                        bundle.dimension()
                    )));
                }
            }
        }
        match &job.want {
            Want::TopK(query) if query.k == 0 => Err(EngineError::BadJob("k is 0".to_owned())),
            _ => match job.deadline {
                Some(deadline) if deadline <= Instant::now() => {
                    Err(EngineError::DeadlineExceeded { point: DeadlinePoint::Admission })
                }
                _ => Ok(()),
            },
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if let Some(thread) = self.outlasting.get() {
            thread.unpark();
        }
    }
}

/// Takes a job out of the queue when its future is dropped before the answer.
struct CancelOnDrop<'a> {
    pool: &'a Arc<Pool>,
    id: JobId,
    answered: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.pool.cancel(self.id);
        }
    }
}
