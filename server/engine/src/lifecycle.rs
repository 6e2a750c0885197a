//! The engine as the server holds it: loading, activating and letting go of models, and the end.
//!
//! A bundle is loaded, checked and warmed on a thread of its own; activating it is one swap of a pointer.
//! Jobs hold the model they were submitted to, so those in flight finish on the old one. The version that
//! was active before stays loaded, for requests that pin it and for the way back; the one before that is
//! let go when its last job is done.
//!
//! One bundle is loaded at a time: each takes its memory, a thread, and the time that serving leaves over. A load
//! that nobody waits for any more ends at its next step.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use marquee_retrieval::Scorer;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::bundle::{Announced, Bundle, BundleError, Wanted, require_wanted};
use super::job::{EncodedBatch, Encoder, EngineError};
use super::model::{Core, Model};
use super::pool::Pool;
use super::runtime::Device;
use super::scheduler::{Event, Padding, Policy};
use super::session::{self, Placement, Precision};
use super::{affinity, metrics, worker};

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
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().map_or(1, usize::from),
            gpu_workers: 8,
            queue_limit: 4096,
            batch_jobs: 32,
            bulk_handicap: Duration::from_millis(250),
        }
    }
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    active: ArcSwapOption<Model>,
    registry: SharedRegistry,
    next_key: AtomicU64,
}

type SharedRegistry = Arc<Mutex<Registry>>;

#[derive(Debug, Default)]
struct Registry {
    pools: HashMap<Placement, Arc<Pool>>,
    threads: Vec<JoinHandle<()>>,
    /// Loaded models, the one that was active last at the end.
    models: Vec<Arc<Model>>,
    /// The folder of the bundle that is being loaded.
    loading: Option<String>,
    shutting_down: bool,
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

/// A model at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatus {
    /// `name@version`; the folder while it loads.
    pub version: String,
    /// The model's name; empty while it loads.
    pub name: String,
    /// The device and precision it runs on; empty while it loads.
    pub placement: String,
    /// What it does.
    pub state: ModelState,
}

/// What a model does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It is read, checked and warmed.
    Loading,
    /// It is loaded and serves requests that pin it.
    Standby,
    /// It serves requests that pin no version.
    Active,
    /// It failed three times in a row and takes no jobs.
    OutOfService(String),
}

impl Registry {
    /// The model of a bundle, if its version is loaded and serves.
    fn loaded(&self, bundle: &Announced, folder: &Path) -> Result<Option<Arc<Model>>, BundleError> {
        let version = bundle.version();
        let mut loaded = self.models.iter().filter(|model| model.in_service());
        match loaded.find(|model| model.bundle().version() == version) {
            Some(loaded) if loaded.bundle().seal() != bundle.seal() => Err(BundleError::VersionTaken {
                bundle: folder.display().to_string(),
                version: version.to_owned(),
            }),
            loaded => Ok(loaded.cloned()),
        }
    }

    /// Lets a model that is ready serve requests that name its version.
    fn register(&mut self, prepared: Prepared) -> Result<Arc<Model>, BundleError> {
        let Prepared { core, placement, precision, arithmetic, policy } = prepared;
        let bundle = core.bundle.folder().display().to_string();
        let failed = |why: String| BundleError::Scorer { bundle, why };
        if self.shutting_down {
            return Err(failed("the server is shutting down".to_owned()));
        }
        let pool = self.pool(placement, policy).map_err(|error| failed(error.to_string()))?;
        let placement = format!("{placement} {precision}");
        let model = Arc::new(Model { core: Arc::new(core), pool, placement, arithmetic });
        self.models.retain(|model| model.in_service());
        self.models.insert(0, Arc::clone(&model));
        tracing::info!(version = model.bundle().version(), placement = model.placement, "loaded a model");
        Ok(model)
    }

    /// The pool of a device; the first model for it starts its workers. Callers wait on the runtime of the thread
    /// that calls this.
    fn pool(&mut self, placement: Placement, policy: Policy) -> std::io::Result<Arc<Pool>> {
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
}

impl Engine {
    /// An engine without models; workers start with the first model for their device.
    pub fn start(options: EngineOptions) -> Self {
        Self {
            options: EngineOptions {
                workers: options.workers.max(1),
                gpu_workers: options.gpu_workers.max(1),
                queue_limit: options.queue_limit.max(1),
                batch_jobs: options.batch_jobs.max(1),
                ..options
            },
            active: ArcSwapOption::empty(),
            registry: SharedRegistry::default(),
            next_key: AtomicU64::new(0),
        }
    }

    /// Loads the bundle in `folder`, checks it, builds its scorer and warms it, on a thread of its own. The
    /// model then serves requests that pin it; [`activate`](Self::activate) makes it the one for all others.
    /// A version that is loaded already is not loaded again, and loading ends soon after the caller goes away.
    ///
    /// # Errors
    /// [`BundleError`] when anything is wrong, [`BundleError::Busy`] while another one is loaded; what is in service
    /// stays.
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
        let folder = folder.to_owned();
        let name = folder.display().to_string();
        let turn = Turn::take(&self.registry, &name)?;
        let (options, key) = (self.options, self.next_key.fetch_add(1, Ordering::Relaxed));
        let (done, loaded) = oneshot::channel();
        let failed = |why: String| BundleError::Scorer { bundle: name.clone(), why };
        let runtime = Handle::current();
        let thread = thread::Builder::new().name("engine-load".to_owned()).spawn(move || {
            let _runtime = runtime.enter();
            yield_to_requests();
            let wanted = || !done.is_closed();
            let result = turn.load(&folder, &wanted, |bundle| {
                prepare(bundle, device, precision, make_scorer, options, key, &wanted)
            });
            drop(turn);
            // The caller may have gone at the last moment; then the model stays for those who name its version.
            let _ = done.send(result);
        });
        thread.map_err(|error| failed(error.to_string()))?;
        loaded.await.map_err(|_| failed("loading panicked".to_owned()))?
    }

    /// Makes a model the one for requests that pin none; nothing changes when it is so already. The one that was
    /// active before stays loaded, older ones are let go when their last job is done.
    pub fn activate(&self, model: Arc<Model>) {
        let mut registry = self.registry();
        let before = self.active.swap(Some(Arc::clone(&model)));
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, &model)) {
            return;
        }
        tracing::info!(version = model.bundle().version(), "activated a model");
        // There is no way back to one that failed: then those before it stay.
        let unloaded: Vec<Arc<Model>> = match before.as_ref().filter(|before| before.in_service()) {
            Some(before) => {
                let keep = |other: &Arc<Model>| Arc::ptr_eq(other, &model) || Arc::ptr_eq(other, before);
                registry.models.extract_if(.., |other| !keep(other)).collect()
            }
            None => Vec::new(),
        };
        if !registry.models.iter().any(|other| Arc::ptr_eq(other, &model)) {
            registry.models.push(model);
        }
        drop(registry);
        if !unloaded.is_empty() {
            // Closing sessions and unmapping tables takes milliseconds that no request should wait for; where
            // there is no thread to be had, the models go here.
            let _ = thread::Builder::new().name("engine-unload".to_owned()).spawn(move || drop(unloaded));
        }
    }

    /// The model of a version, or the active one.
    ///
    /// # Errors
    /// [`EngineError::UnknownVersion`] when the version is not loaded; [`EngineError::OutOfService`] when no
    /// model is active yet.
    pub fn model(&self, version: Option<&str>) -> Result<Arc<Model>, EngineError> {
        let Some(version) = version else {
            return self
                .active
                .load_full()
                .ok_or_else(|| EngineError::OutOfService("no model is active yet".to_owned()));
        };
        let registry = self.registry();
        let found = registry.models.iter().find(|model| model.bundle().version() == version);
        found.cloned().ok_or_else(|| EngineError::UnknownVersion(version.to_owned()))
    }

    /// The engine at a glance, over all devices.
    pub fn stats(&self) -> EngineStats {
        let registry = self.registry();
        let mut stats = EngineStats::default();
        for pool in registry.pools.values() {
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

    /// The models at a glance.
    pub fn models(&self) -> Vec<ModelStatus> {
        let registry = self.registry();
        let active = self.active.load();
        let loading = registry.loading.iter().map(|folder| ModelStatus {
            version: folder.clone(),
            name: String::new(),
            placement: String::new(),
            state: ModelState::Loading,
        });
        let loaded = registry.models.iter().map(|model| ModelStatus {
            version: model.bundle().version().to_owned(),
            name: model.bundle().name().to_owned(),
            placement: model.placement.clone(),
            state: match model.core.out_of_service() {
                Some(why) => ModelState::OutOfService(why.to_owned()),
                None if active.as_ref().is_some_and(|active| Arc::ptr_eq(active, model)) => {
                    ModelState::Active
                }
                None => ModelState::Standby,
            },
        });
        loaded.chain(loading).collect()
    }

    /// Admits no further job, waits up to `limit` for those in flight, stops the workers and lets the models
    /// go. Jobs that are left are answered with [`EngineError::ShuttingDown`].
    pub async fn shutdown(&self, limit: Duration) {
        let pools: Vec<Arc<Pool>> = {
            let mut registry = self.registry();
            registry.shutting_down = true;
            registry.pools.values().cloned().collect()
        };
        let drained = async {
            for pool in &pools {
                pool.step(Event::Drain, None);
                pool.emptied().await;
            }
        };
        if tokio::time::timeout(limit, drained).await.is_err() {
            tracing::warn!("jobs still in flight at the shutdown timeout");
        }
        let threads = self.stop();
        // Sessions have to be gone before the process ends; a worker stops after the batch it is at.
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a worker ended with a panic");
        }
    }

    /// Tells the workers to stop, and lets go of the models.
    fn stop(&self) -> Vec<JoinHandle<()>> {
        let mut registry = self.registry();
        registry.shutting_down = true;
        for pool in registry.pools.values() {
            pool.step(Event::Drain, None);
            pool.step(Event::Close { model: None, why: EngineError::ShuttingDown }, None);
            pool.stop();
        }
        self.active.store(None);
        registry.models.clear();
        std::mem::take(&mut registry.threads)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(registry: &Mutex<Registry>) -> MutexGuard<'_, Registry> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to load a bundle, which ends with the load, however that ends.
struct Turn {
    registry: SharedRegistry,
}

impl Turn {
    /// Takes the turn for the bundle in `folder`, unless another one has it.
    fn take(registry: &SharedRegistry, folder: &str) -> Result<Self, BundleError> {
        let registry = Arc::clone(registry);
        let mut locked = lock(&registry);
        if let Some(loading) = &locked.loading {
            return Err(BundleError::Busy { bundle: folder.to_owned(), loading: loading.clone() });
        }
        locked.loading = Some(folder.to_owned());
        drop(locked);
        Ok(Self { registry })
    }

    /// The model of the bundle in `folder`: the loaded one, or the one that `prepare` makes.
    fn load(
        &self,
        folder: &Path,
        wanted: Wanted<'_>,
        prepare: impl FnOnce(Bundle) -> Result<Prepared, BundleError>,
    ) -> Result<Arc<Model>, BundleError> {
        let announced = Announced::read(folder)?;
        if let Some(loaded) = lock(&self.registry).loaded(&announced, folder)? {
            return Ok(loaded);
        }
        let prepared = prepare(announced.open(wanted)?)?;
        require_wanted(wanted, folder)?;
        lock(&self.registry).register(prepared)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.registry).loading = None;
    }
}

/// Lets every other thread go before this one, so that loading takes the time that serving leaves over.
#[cfg(target_os = "linux")]
fn yield_to_requests() {
    // On Linux a nice value is the thread's own. Where it can't be set, loading only costs more.
    let _ = rustix::process::nice(LOADING_NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn yield_to_requests() {}

/// A model that is ready to be registered.
struct Prepared {
    core: Core,
    placement: Placement,
    precision: String,
    arithmetic: String,
    policy: Policy,
}

fn prepare<S, E>(
    bundle: Bundle,
    device: Device,
    precision: Precision,
    make_scorer: S,
    options: EngineOptions,
    key: u64,
    wanted: Wanted<'_>,
) -> Result<Prepared, BundleError>
where
    S: FnOnce(&Arc<Bundle>) -> Result<Arc<dyn Scorer>, E>,
    E: std::fmt::Display,
{
    let bundle = Arc::new(bundle);
    let (placement, graph) = session::place(&bundle, device, precision)?;
    let policy = policy(placement, options, bundle.maximum_length());
    let precision = match placement {
        Placement::Cpu => precision.to_string(),
        Placement::Cuda(_) => "fp16".to_owned(),
    };
    let scorer = make_scorer(&bundle).map_err(|error| BundleError::Scorer {
        bundle: bundle.folder().display().to_string(),
        why: error.to_string(),
    })?;
    let source = Arc::clone(&bundle);
    let make_encoder = Box::new(move || session::build(&source, placement, &graph));
    let mut encoders = Vec::with_capacity(policy.workers);
    for _ in 0..policy.workers {
        require_wanted(wanted, bundle.folder())?;
        let mut encoder = make_encoder()?;
        warm_up(&bundle, encoder.as_mut())?;
        encoders.push(encoder);
    }
    let arithmetic = format!("{} {precision} {}", bundle.seal(), session::kernels(placement));
    let core = Core::new(key, bundle, scorer, make_encoder, encoders);
    Ok(Prepared { core, placement, precision, arithmetic, policy })
}

/// Runs sequences of every length class once, so that no request pays for first-time allocations.
fn warm_up(bundle: &Bundle, encoder: &mut dyn Encoder) -> Result<(), BundleError> {
    let sequence = vec![0; bundle.maximum_length()];
    let lengths = (0..).map(|power| 1_usize << power).take_while(|length| *length < sequence.len());
    let mut out = EncodedBatch::default();
    for length in lengths.chain([sequence.len()]) {
        encoder.encode(&[&sequence[..length]], &mut out).map_err(|error| BundleError::Graph {
            bundle: bundle.folder().display().to_string(),
            file: format!("the encoder, warmed at length {length},"),
            why: error.to_string(),
        })?;
    }
    Ok(())
}

fn policy(placement: Placement, options: EngineOptions, longest: usize) -> Policy {
    let EngineOptions { workers, gpu_workers, queue_limit, batch_jobs, bulk_handicap } = options;
    match placement {
        Placement::Cpu => Policy {
            workers,
            queue_limit,
            batch_jobs,
            batch_tokens: batch_jobs * longest,
            bulk_handicap,
            padding: Padding::None,
        },
        Placement::Cuda(_) => Policy {
            workers: gpu_workers,
            queue_limit: queue_limit.max(32 * GPU_BATCH_JOBS),
            batch_jobs: GPU_BATCH_JOBS,
            batch_tokens: GPU_BATCH_JOBS * longest,
            bulk_handicap,
            padding: Padding::Buckets {
                lengths: session::gpu_buckets(longest),
                sizes: session::GPU_BATCHES.to_vec(),
                misfit_bound: GPU_MISFIT_BOUND,
                side_by_side: GPU_SIDE_BY_SIDE,
                worth_joining: GPU_WORTH_JOINING,
            },
        },
    }
}

#[cfg(target_os = "linux")]
const LOADING_NICENESS: i32 = 15;
const GPU_BATCH_JOBS: usize = session::GPU_BATCHES[session::GPU_BATCHES.len() - 1];
/// To rank so many shortlists takes as long as to wake a thread for it, several times over.
const GPU_HAND_OVER_FROM: usize = 64;
const GPU_MISFIT_BOUND: Duration = Duration::from_millis(3);
/// Batches that run on a GPU at once, whatever their size.
const GPU_SIDE_BY_SIDE: usize = 3;
/// The jobs for which another batch joins them.
const GPU_WORTH_JOINING: usize = 64;
