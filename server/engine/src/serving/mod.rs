//! The engine as the server holds it: its models, the devices that they run on, and the end.
//!
//! A bundle is loaded, checked and warmed on a thread of its own; activating its model is one swap of a pointer. Jobs
//! hold the model they were submitted to, so those in flight finish on it, also when it is unloaded: its memory goes
//! when the last who holds it has let it go.

mod devices;
mod extensions;
mod load;
mod model;
mod model_core;
mod model_set;
mod pool;
mod prepare;
mod unload;
mod work;
pub(crate) mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use marquee_retrieval::Scorer;

use devices::Devices;
use load::{Begun, Loads};
pub use model::Model;
#[cfg(test)]
pub(crate) use model_core::Core;
use model_set::ModelSet;
pub use model_set::{Before, ModelSetError, ModelState};
pub(crate) use pool::Pool;
use prepare::{LoadRequest, Prepared};
use unload::Leaving;

use crate::bundle::{Announced, Bundle, BundleError, Wanted, require_wanted};
use crate::job::EngineError;
use crate::metrics;
use crate::runtime::{self, Device};
use crate::scheduler::Event;
use crate::session::{EncoderBackend, Precision};

/// How long the end waits for the step that a load is at; the longest makes and warms a session.
const LOADING_STEP: Duration = Duration::from_secs(10);

/// How the engine works. The defaults are those of the server's settings.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Worker threads on a CPU, each with a one-thread session.
    pub workers: usize,
    /// Worker threads on a GPU, each with a session and a stream, and with a partner who ranks and answers: while
    /// one runs, the next batch forms.
    pub gpu_workers: usize,
    /// The most jobs that wait; more are refused.
    pub queue_limit: usize,
    /// The most jobs that are scored together on a CPU.
    pub batch_jobs: usize,
    /// How much later a bulk job ranks than an interactive one that arrived with it.
    pub bulk_handicap: Duration,
    /// What computes the encoders on a CPU.
    pub encoder: EncoderBackend,
    /// The most models that are loaded at once.
    pub max_models: usize,
    /// The most bytes that they take together; not bounded when `None`.
    pub max_model_bytes: Option<u64>,
}

impl EngineOptions {
    /// Jobs that may wait where nothing else is said.
    pub const QUEUE_LIMIT: usize = 1024;
    /// The most models at once where nothing else is said.
    pub const MAX_MODELS: usize = 4;
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().map_or(1, usize::from),
            gpu_workers: 8,
            queue_limit: Self::QUEUE_LIMIT,
            batch_jobs: 32,
            bulk_handicap: Duration::from_millis(250),
            encoder: EncoderBackend::default(),
            max_models: Self::MAX_MODELS,
            max_model_bytes: None,
        }
    }
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    loads: Loads,
    next_key: AtomicU64,
}

/// What loads need of the engine.
#[derive(Debug)]
struct Shared {
    options: EngineOptions,
    models: ModelSet,
    devices: Mutex<Devices>,
    leaving: Leaving,
}

/// The engine at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineStats {
    /// Jobs that wait.
    pub queue_depth: usize,
    /// How long the oldest of them has.
    pub queue_age: Duration,
    /// Worker threads.
    pub workers: usize,
    /// Jobs answered since the start.
    pub completed: u64,
    /// Jobs refused or failed since the start.
    pub rejected: u64,
    /// Jobs whose caller went away since the start.
    pub cancelled: u64,
    /// Batches that failed since the start.
    pub failed_batches: u64,
    /// Batches since the start.
    pub batches: u64,
    /// The time that workers have spent on batches since the start.
    pub busy: Duration,
}

impl Engine {
    /// An engine without models; workers start with the first model for their device.
    pub fn start(options: EngineOptions) -> Self {
        let options = EngineOptions {
            workers: options.workers.max(1),
            gpu_workers: options.gpu_workers.max(1),
            queue_limit: options.queue_limit.max(1),
            batch_jobs: options.batch_jobs.max(1),
            max_models: options.max_models.max(1),
            ..options
        };
        let shared = Shared {
            options,
            models: ModelSet::new(options.max_models, options.max_model_bytes),
            devices: Mutex::default(),
            leaving: Leaving::default(),
        };
        let shared = Arc::new(shared);
        let observed = Arc::downgrade(&shared);
        metrics::observe_models(move || {
            let loaded = observed.upgrade().map_or_else(Vec::new, |shared| shared.models.loaded());
            loaded.iter().map(|model| model.counted_by()).collect()
        });
        Self { shared, loads: Loads::default(), next_key: AtomicU64::new(0) }
    }

    /// Loads the bundle in `folder`, checks it, builds its scorer and warms it, on a thread of its own. The
    /// model then serves requests that pin it; [`activate`](Self::activate) makes it the one for all others.
    /// A version that is loaded already is not loaded again, one that failed is replaced. Who asks for a bundle that
    /// is being loaded waits for that load, whatever the other arguments; it ends soon after all callers went away.
    ///
    /// # Errors
    /// [`BundleError`] when anything is wrong, or there is no room for a further model; [`BundleError::Busy`] while
    /// another bundle is loaded. What is in service stays.
    pub async fn load<S, E>(
        &self,
        folder: &Path,
        device: Device,
        precision: Precision,
        make_scorer: S,
    ) -> Result<Arc<Model>, BundleError>
    where
        S: FnOnce(&Arc<Bundle>) -> Result<Arc<dyn Scorer>, E> + Send + 'static,
        E: std::fmt::Display,
    {
        let (permit, waiting) = loop {
            let waiting = match self.loads.begin(folder) {
                Begun::Granted(permit, waiting) => break (permit, waiting),
                Begun::Busy(waiting) => waiting,
                Begun::Ended => {
                    let (bundle, why) =
                        (folder.display().to_string(), "the server is shutting down".to_owned());
                    return Err(BundleError::Scorer { bundle, why });
                }
            };
            if !waiting.is_for(folder).await {
                let (bundle, loading) = (folder.display(), waiting.folder().display());
                return Err(BundleError::Busy { bundle: bundle.to_string(), loading: loading.to_string() });
            }
            match waiting.outcome().await {
                // It had been given up before this caller came.
                Err(BundleError::GivenUp { .. }) => {}
                outcome => return outcome,
            }
        };
        let (shared, options) = (Arc::clone(&self.shared), self.shared.options);
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let request = LoadRequest { device, precision, make_scorer, options, key };
        let started = self.loads.run(permit, move |folder, wanted| shared.load(folder, request, wanted));
        started.map_err(|error| BundleError::Scorer {
            bundle: folder.display().to_string(),
            why: error.to_string(),
        })?;
        waiting.outcome().await
    }

    /// Makes a loaded model the one for requests that pin none; nothing changes when it is so already. The one that
    /// was active before stays loaded.
    ///
    /// # Errors
    /// [`ModelSetError::NotLoaded`]; [`ModelSetError::Failed`] when the model is out of service.
    pub fn activate(&self, version: &str) -> Result<Arc<Model>, ModelSetError> {
        self.shared.models.activate(version)
    }

    /// Makes a loaded model the one for requests that pin none, as it was elsewhere or before a restart; `before` is what
    /// was active before it there, which is loaded here or not.
    ///
    /// # Errors
    /// [`ModelSetError::NotLoaded`] and [`ModelSetError::Failed`]; nothing changes then.
    pub fn take_over(&self, version: &str, before: Before) -> Result<Arc<Model>, ModelSetError> {
        self.shared.models.take_over(version, before)
    }

    /// What was active before the active model, and is gone back to unless it was gone back from.
    pub fn before(&self) -> Before {
        self.shared.models.before()
    }

    /// Makes the model that was active before the newest activation the active one again, and says which version was gone
    /// back from. Repeated, it goes back no further and says the same.
    ///
    /// # Errors
    /// [`ModelSetError::NothingBefore`] when none was active before, or it was unloaded; [`ModelSetError::Failed`] when it
    /// is out of service.
    pub fn roll_back(&self) -> Result<(Arc<Model>, String), ModelSetError> {
        self.shared.models.roll_back()
    }

    /// Takes a model out of service; no further request finds it. Who holds it already goes on with it, and its memory
    /// goes with the last of them, on a thread of its own.
    ///
    /// # Errors
    /// [`ModelSetError::NotLoaded`]; [`ModelSetError::Active`] for the one that serves requests that pin none.
    pub fn unload(&self, version: &str) -> Result<Arc<Model>, ModelSetError> {
        let model = self.shared.models.remove(version)?;
        tracing::info!(version, "unloaded a model");
        self.shared.leaving.add(Arc::clone(&model));
        Ok(model)
    }

    /// The model of a version, or the active one.
    ///
    /// # Errors
    /// [`EngineError::UnknownVersion`] when the version is not loaded; [`EngineError::OutOfService`] when no
    /// model is active yet.
    pub fn model(&self, version: Option<&str>) -> Result<Arc<Model>, EngineError> {
        if let Some(version) = version {
            let found = self.shared.models.get(version);
            return found.map_err(|_| EngineError::UnknownVersion(version.to_owned()));
        }
        let active = self.shared.models.active();
        active.ok_or_else(|| EngineError::OutOfService("no model is active yet".to_owned()))
    }

    /// The loaded models, the one that was loaded last at the end.
    pub fn models(&self) -> Vec<Arc<Model>> {
        self.shared.models.loaded()
    }

    /// What a model does.
    pub fn state(&self, model: &Model) -> ModelState {
        self.shared.models.state(model)
    }

    /// The folder of the bundle that is being loaded, if one is.
    pub fn loading(&self) -> Option<PathBuf> {
        self.loads.folder()
    }

    /// The engine at a glance, over all devices.
    pub fn stats(&self) -> EngineStats {
        let mut stats = EngineStats::default();
        for pool in self.shared.devices().pools() {
            let (depth, age) = pool.queue();
            stats.queue_depth += depth;
            stats.queue_age = stats.queue_age.max(age);
            stats.workers += pool.workers();
            stats.completed += pool.counts.completed.load(Ordering::Relaxed);
            stats.rejected += pool.counts.rejected.load(Ordering::Relaxed);
            stats.cancelled += pool.counts.cancelled.load(Ordering::Relaxed);
            stats.failed_batches += pool.counts.failed.load(Ordering::Relaxed);
            stats.batches += pool.counts.batches.load(Ordering::Relaxed);
            stats.busy += Duration::from_micros(pool.counts.busy_us.load(Ordering::Relaxed));
        }
        stats
    }

    /// Admits no further job, waits up to `limit` for those in flight, stops the workers and lets the models
    /// go. Jobs that are left are answered with [`EngineError::ShuttingDown`]. A bundle that is being loaded is given
    /// up at the next step, which is waited for ten seconds at most.
    pub async fn shutdown(&self, limit: Duration) {
        let loading = self.loads.end();
        let pools: Vec<Arc<Pool>> = self.shared.devices().pools().cloned().collect();
        let drained = async {
            for pool in &pools {
                pool.step(Event::Drain, None);
                pool.emptied().await;
            }
        };
        if tokio::time::timeout(limit, drained).await.is_err() {
            tracing::warn!("jobs still in flight at the shutdown timeout");
        }
        if let Some(loading) = loading
            && !loading.end_within(LOADING_STEP).await
        {
            tracing::warn!("a bundle still being loaded at the end");
        }
        let threads = self.stop();
        // Sessions have to be gone before the process ends; a worker stops after the batch it is at.
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a worker ended with a panic");
        }
    }

    /// Tells the workers to stop, and lets go of the models; the threads that end then.
    fn stop(&self) -> Vec<JoinHandle<()>> {
        self.loads.end();
        let mut devices = self.shared.devices();
        let mut threads = devices.stop();
        self.shared.models.clear();
        threads.extend(self.shared.leaving.end());
        threads
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn devices(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model of the bundle in `folder`: the loaded one, or a new one.
    fn load<S, E>(
        &self,
        folder: &Path,
        request: LoadRequest<S>,
        wanted: Wanted<'_>,
    ) -> Result<Arc<Model>, BundleError>
    where
        S: FnOnce(&Arc<Bundle>) -> Result<Arc<dyn Scorer>, E>,
        E: std::fmt::Display,
    {
        let announced = Announced::read(folder)?;
        if let Some(loaded) = self.models.serving(&announced, folder)? {
            return Ok(loaded);
        }
        let version = announced.version().to_owned();
        let require_room = |bytes| self.models.require_room(&version, folder, bytes);
        require_room(request.least_memory_bytes(&announced, runtime::has_cuda().unwrap_or(false)))?;
        let prepared = request.prepare(announced.open(wanted)?, wanted, require_room)?;
        require_wanted(wanted, folder)?;
        self.register(prepared, folder)
    }

    /// Lets a model that is ready serve requests that name its version.
    fn register(&self, prepared: Prepared, folder: &Path) -> Result<Arc<Model>, BundleError> {
        let Prepared { core, placement, precision, kernels, arithmetic, policy, memory_bytes } = prepared;
        // Held until the model is in the set: who stops the devices then sees it there.
        let mut devices = self.devices();
        let pool = devices.pool(placement, policy).map_err(|error| BundleError::Scorer {
            bundle: folder.display().to_string(),
            why: error.to_string(),
        })?;
        let placement = format!("{placement} {precision}");
        let model = Arc::new(Model::new(Arc::new(core), pool, placement, kernels, arithmetic, memory_bytes));
        if let Some(failed) = self.models.insert(&model) {
            self.leaving.add(failed);
        }
        let (version, kernels) = (model.bundle().version(), model.kernels());
        tracing::info!(version, placement = model.placement(), kernels, "loaded a model");
        Ok(model)
    }
}
