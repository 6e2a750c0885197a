//! The one place that wires the state together, starts them in order and stops them in order.
//!
//! The port opens as soon as the catalogue is in memory; health says NOT_SERVING until the model is
//! warm, and again while the server drains.

mod cpu_latency;
mod data;
mod files;
mod jobs;
mod metrics;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::now_ms;
use marquee_engine::runtime::RuntimeError;
use marquee_engine::{Bundle, Engine, Model};
use marquee_retrieval::{Planner, PlannerOptions, RetrievalError, Scorer, TableValues};
use marquee_shipped::ShippedError;
use marquee_store::{OnDamage, RedbStore, ScyllaSettings, ScyllaStore, Store, StoreError, all_movies};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use cpu_latency::{CpuLatencyGuard, hold_cpu_latency};
pub(crate) use data::find_model;
pub use data::import_sample;
use data::{Data, open_data};
pub(crate) use files::outlive_file_limits;
use jobs::{Opened, open_jobs};
pub use metrics::metrics;

use crate::access::accounts::Accounts;
use crate::access::audit::{Audit, Trail};
use crate::access::{self, Certificates, CertificatesError, Keys, Tokens, TokensError};
use crate::activation::{ActivationError, Activations, Started};
use crate::catalog::{Catalog, Follower};
use crate::config::{CacheUrl, Config, Exposed, StoreUrl, Switch};
use crate::edge::layers::{CallLog, ConnectionLimits, ConnectionTimes, ReceiveLimits};
use crate::edge::services::Unsaid;
use crate::edge::tls::{Followed, Tls};
use crate::edge::{
    AppState, ConsoleFacts, HttpOptions, PERSON, ServeError, ServerOptions, SlowCalls, TlsError, serve,
    streams,
};
use crate::experiments::Experiments;
use crate::import::ImportError;
use crate::jobs::kinds::{Parts, Planners};
use crate::judge::Live;
use crate::profiles::Profiles;
use crate::recommend::{Mismatch, NewMovies, Recommender, SimilarUsers};
use crate::registry::LoadModel;
use crate::rules::Rules;
use crate::shared::cache::{Cache, LocalCache, RedisCache, Space, TieredCache};
use crate::shared::events::{EventLog, LocalEvents, SharedEvents};
use crate::shared::limit::{Limiter, Shares};
use crate::shared::redis::{Redis, RedisError};
use crate::similar::{Keeper, Kept, Table};
use crate::telemetry::{Samples, Telemetry, TelemetryError, serve_metrics};
use crate::writes::WriteCoordinator;

/// Bytes of a remembered user vector, for sizing the cache: 256 numbers.
const VECTOR_BYTES: u64 = 1024;

/// The folder of the models' indexes in the data folder.
const INDEXES: &str = "indexes";

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Others would reach what is not for them.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds a part of a backup only.
    #[error(
        "the store holds a part of a backup only, because its restore did not come to its end; run `marquee-server restore` \
         with the same backup again"
    )]
    HalfRestored,
    /// The sample cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// What the program brings along cannot be unpacked.
    #[error(transparent)]
    Shipped(#[from] ShippedError),
    /// Tokens cannot be taken.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Certificates give what there is not.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The model cannot be loaded, or not activated.
    #[error(transparent)]
    Model(#[from] ActivationError),
    /// ONNX Runtime cannot be loaded, or the device cannot be had.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The index cannot be built.
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
    /// Redis cannot be used with these settings.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// There are no threads for jobs.
    #[error("there are no threads for jobs: {0}; let this user have more, or say --jobs-at-once 0")]
    Jobs(std::io::Error),
    /// Telemetry cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The system does not take the wake-up latency.
    #[error(
        "the system takes no wake-up latency: {0}; let this user write to /dev/cpu_dma_latency, or leave out \
         --wake-latency-us"
    )]
    CpuLatencyGuard(std::io::Error),
    /// The port cannot be opened.
    #[error("cannot listen on {address}: {source}; choose another --listen")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The server ended by itself.
    #[error("the server stopped: {0}")]
    Stopped(String),
}

/// A server that runs.
pub struct Running {
    /// The address that is really listened on.
    pub address: SocketAddr,
    /// The address of the metrics, if they are served.
    pub metrics_address: Option<SocketAddr>,
    origins: [String; 2],
    state: Arc<AppState>,
    profiles: Arc<Profiles>,
    loading: JoinHandle<Result<Started, StartError>>,
    following_activation: AbortOnDropHandle<()>,
    serving: JoinHandle<Result<(), ServeError>>,
    following: AbortOnDropHandle<()>,
    following_users: Option<AbortOnDropHandle<()>>,
    following_new_movies: Option<AbortOnDropHandle<()>>,
    keeping_similar: AbortOnDropHandle<()>,
    doing_jobs: AbortOnDropHandle<()>,
    asking: AbortOnDropHandle<()>,
    _looking_back: AbortOnDropHandle<((), ())>,
    judging: AbortOnDropHandle<()>,
    _following_tls: Option<AbortOnDropHandle<()>>,
    following_keys: AbortOnDropHandle<()>,
    auditing: Option<Writing>,
    recording: Option<Writing>,
    following_experiments: AbortOnDropHandle<()>,
    _following_tokens: Option<AbortOnDropHandle<()>>,
    stop: CancellationToken,
    config: Config,
    _cpu_latency: Option<CpuLatencyGuard>,
}

/// A task that writes what is recorded, and what tells it to end.
struct Writing {
    task: AbortOnDropHandle<()>,
    stop: CancellationToken,
}

impl Writing {
    fn start<F: Future<Output = ()> + Send + 'static>(run: impl FnOnce(CancellationToken) -> F) -> Self {
        let stop = CancellationToken::new();
        Self { task: AbortOnDropHandle::new(tokio::spawn(run(stop.clone()))), stop }
    }

    /// Ends once all is written.
    async fn end(self) {
        self.stop.cancel();
        let _ended = self.task.await;
    }
}

/// Builds the table of movies that are alike and keeps it in the data folder, which no server may have open.
///
/// # Errors
/// [`StartError`] when the store cannot be opened or read.
pub(crate) async fn build_similar(config: &Config) -> Result<Arc<Table>, StartError> {
    let Data { store, .. } = open_data(config).await?;
    Ok(Keeper::new(store, Arc::default(), &config.store.data_dir).build().await?)
}

/// The keys of the store that a server with these settings opens, and that none may have open if it is embedded.
///
/// # Errors
/// [`StartError`] when the store cannot be opened or read.
pub(crate) async fn open_keys(config: &Config) -> Result<Keys, StartError> {
    let Data { store, .. } = open_data(config).await?;
    Ok(Keys::open(store, Arc::new(config.security.roles.with_built_in())).await?)
}

/// Opens the store that the settings name; `on_damage` is what to do when the embedded one is damaged.
///
/// # Errors
/// [`StoreError`] when it cannot be opened.
pub async fn open_store(
    url: &StoreUrl,
    data_dir: &Path,
    on_damage: OnDamage,
) -> Result<Arc<dyn Store>, StoreError> {
    match url.url() {
        None => Ok(Arc::new(RedbStore::open_despite(data_dir, on_damage)?)),
        Some(url) => Ok(Arc::new(ScyllaStore::open(ScyllaSettings::parse(url)?).await?)),
    }
}

/// The link to Redis, if the settings name one.
async fn open_redis(url: &CacheUrl) -> Result<Option<Arc<Redis>>, RedisError> {
    match url.url() {
        None => Ok(None),
        Some(url) => Redis::connect(url).await.map(Some),
    }
}

/// Where user vectors are remembered: here, and in Redis if there is one.
fn open_cache(redis: Option<&Arc<Redis>>, limit_mib: u64) -> Option<Arc<dyn Cache>> {
    let local = (limit_mib > 0).then(|| LocalCache::new(limit_mib << 20, VECTOR_BYTES));
    let shared = redis.map(|redis| RedisCache::new(Arc::clone(redis)));
    match (local, shared) {
        (None, None) => None,
        (Some(local), None) => Some(Arc::new(local)),
        (None, Some(shared)) => Some(Arc::new(shared)),
        (Some(local), Some(shared)) => Some(Arc::new(TieredCache::new(local, shared))),
    }
}

/// Where nodes share what they know of sessions. A store of one's own is asked sooner than Redis.
fn open_session_cache(config: &Config, redis: Option<&Arc<Redis>>) -> Option<Arc<dyn Cache>> {
    let redis = redis.filter(|_| config.store.store.url().is_some())?;
    Some(Arc::new(RedisCache::of(Arc::clone(redis), Space::Session)))
}

/// The profiles, remembered here and in Redis. A store that other nodes may write to needs Redis for
/// that: without it nobody says when a profile changes, so none is remembered.
fn open_profiles(
    config: &Config,
    store: &Arc<dyn Store>,
    redis: Option<&Arc<Redis>>,
) -> Result<Profiles, RedisError> {
    let is_ours_alone = config.store.store.url().is_none();
    let limit_mib = if is_ours_alone || redis.is_some() { config.cache.profile_cache_mib } else { 0 };
    Profiles::new(Arc::clone(store), limit_mib << 20, redis)
}

/// The catalogue in memory, from what the store holds.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub async fn build_catalog(store: &dyn Store) -> Result<Catalog, StoreError> {
    Ok(Catalog::new(all_movies(store).await?, store.movie_stats().await?))
}

/// Starts a server: store, sample, catalogue, port; then the model, on a thread of its own.
///
/// # Errors
/// [`StartError`] for all that goes wrong before the port is open; what goes wrong with the model is
/// said by [`Running::ready`].
pub async fn start(config: Config, telemetry: &Telemetry) -> Result<Running, StartError> {
    for warning in config.exposure()? {
        tracing::warn!("{warning}");
    }
    let (tls, followed_tls) = open_tls(&config)?.unzip();
    let cpu_latency = config.server.wake_latency_us.map(|latency_us| hold_cpu_latency(latency_us.into()));
    let cpu_latency = cpu_latency.transpose().map_err(StartError::CpuLatencyGuard)?;
    let (bundle, model_origin) = find_model(&config)?;
    let Data { store, origin } = open_data(&config).await?;
    let origins = [model_origin, origin];
    let revision = store.revision().await?;
    let catalog = Arc::new(build_catalog(store.as_ref()).await?);
    let rules = Arc::new(Rules::open(Arc::clone(&store), Arc::clone(&catalog)).await?);
    let follower = Follower {
        store: Arc::clone(&store),
        catalog: Arc::clone(&catalog),
        rules: Arc::clone(&rules) as _,
        revision,
        interval: config.store.statistics_interval,
    };
    let roles = Arc::new(config.security.roles.with_built_in());
    let tokens = match config.security.token_options()? {
        Some(options) => Some(Arc::new(Tokens::open(options, Arc::clone(&roles)).await?)),
        None => None,
    };
    let certificates = Arc::new(Certificates::new(&config.security.certificate_roles, &roles)?);
    let person = roles.get(PERSON).cloned().unwrap_or_default();
    let keys = Arc::new(Keys::open(Arc::clone(&store), Arc::clone(&roles)).await?);
    let engine = Arc::new(Engine::start(config.engine.options()));
    let redis = open_redis(&config.cache.cache).await?;
    let cache = open_cache(redis.as_ref(), config.cache.vector_cache_mib);
    let profiles = Arc::new(open_profiles(&config, &store, redis.as_ref())?);
    let events: Arc<dyn EventLog> = match &redis {
        None => Arc::new(LocalEvents::new(now_ms())),
        Some(redis) => Arc::new(SharedEvents::new(Arc::clone(redis))),
    };
    let mismatch = if config.engine.allow_mismatched_model { Mismatch::Allowed } else { Mismatch::Refused };
    let recommender =
        Recommender::new(Arc::clone(&engine), Arc::clone(&catalog), Arc::clone(&profiles), cache);
    let similar = Arc::new(Kept::empty());
    let keeper = Arc::new(Keeper::new(Arc::clone(&store), Arc::clone(&similar), &config.store.data_dir));
    let recommender = recommender.with_similar(similar);
    let (recommender, seen) = recommender.on_mismatch(mismatch).under(Arc::clone(&rules)).sampled();
    let recommender = Arc::new(recommender);
    let live = Live::new(Arc::clone(&recommender), Arc::clone(&catalog), seen);
    let similar_users = (config.retrieval.similar_users == Switch::On).then(|| {
        let (recommender, store) = (Arc::clone(&recommender), Arc::clone(&store));
        let changes = Arc::clone(profiles.changes());
        Arc::new(SimilarUsers::new(recommender, store, changes, config.retrieval.similar_users_max))
    });
    let stop = CancellationToken::new();
    let new_movies = (config.ranking.new_movies == Switch::On)
        .then(|| Arc::new(NewMovies::new(Arc::clone(&recommender), Arc::clone(&events), stop.clone())));
    let coordinator = WriteCoordinator::new(
        Arc::clone(&store),
        Arc::clone(&catalog),
        Arc::clone(&profiles),
        Arc::clone(&events),
        config.store.max_clock_skew,
    );
    let holdout = f64::from(config.ranking.holdout_percent) / 100.0;
    let (experiments, experiment_recorder) = Experiments::open(Arc::clone(&store), holdout).await?;
    let coordinator = coordinator.told_to(Arc::clone(&experiments));
    let accounts = Arc::new(Accounts::new(
        Arc::clone(&store),
        open_session_cache(&config, redis.as_ref()),
        coordinator.clone(),
        person,
        config.security.session_times(),
        config.security.sign_up == Switch::On,
    ));
    let trail = Arc::new(Trail::new(Arc::clone(&store), config.security.audit_retention()));
    let recorder = config.security.audits().then(|| Audit::new(Arc::clone(&store), Arc::clone(&trail)));
    let (audit, audit_writer) = recorder.unzip();
    let planners = Arc::<Planners>::default();
    let load = loader(&engine, &recommender, Arc::clone(&planners), &config);
    let registry = Arc::new(config.registry());
    let samples = Arc::new(Samples::new(telemetry.registry(), streams()));
    let parts = Parts {
        store: Arc::clone(&store),
        coordinator: coordinator.clone(),
        planners: Arc::clone(&planners),
        samples: Arc::clone(&samples),
        catalog: Arc::clone(&catalog),
        profiles: Arc::clone(&profiles),
        recommender: Arc::clone(&recommender),
        similar: Arc::clone(&keeper),
        engine: Arc::clone(&engine),
        registry: Arc::clone(&registry),
        load: Arc::clone(&load),
    };
    let activations = Arc::new(Activations::new(
        Arc::clone(&store),
        Arc::clone(&registry),
        Arc::clone(&engine),
        Arc::clone(&load),
        bundle.clone(),
        config.engine.kept(),
    ));
    let Opened { jobs, runner, timetable } = open_jobs(&config, parts, Arc::clone(&keys), roles)?;
    let state = Arc::new(AppState {
        load,
        registry,
        activations,
        engine,
        catalog,
        store,
        coordinator,
        events,
        recommender,
        rules,
        experiments,
        keys,
        tokens,
        accounts,
        certificates,
        trail,
        audit: audit.map(Arc::new),
        similar_users,
        shares: config
            .server
            .caller_share
            .map(|share| Arc::new(Shares::new(share.of(config.engine.queue_limit)))),
        limiter: config.server.rate_limit.map(|rate| Arc::new(Limiter::new(rate, redis))),
        jobs,
        timetable: Arc::clone(&timetable),
        health: Arc::default(),
        samples,
        slow_calls: Arc::new(SlowCalls::new(streams())),
        exemplars: telemetry.exemplars(),
    });
    state.health.set_serving(false).await;

    let listen = |source| StartError::Listen { address: config.server.listen, source };
    let listener = TcpListener::bind(config.server.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let metrics_address = match config.telemetry.metrics_listen {
        Some(metrics) => {
            let serving = state.health.serving();
            let exemplars = telemetry.exemplars().unwrap_or_default();
            Some(serve_metrics(metrics, telemetry.registry(), exemplars, serving, stop.clone()).await?)
        }
        None => None,
    };
    let options = server_options(&config, &bundle, tls);
    let serving = tokio::spawn(serve(listener, Arc::clone(&state), options, stop.clone()));
    let loading = tokio::spawn(first_model(Arc::clone(&state)));
    let following_activation = {
        let (mut serving, activations) = (state.health.serving(), Arc::clone(&state.activations));
        AbortOnDropHandle::new(tokio::spawn(async move {
            // Before that it is being started.
            if serving.wait_for(|serving| *serving).await.is_ok() {
                activations.follow().await;
            }
        }))
    };
    let following = AbortOnDropHandle::new(tokio::spawn(follower.run()));
    let following_keys = AbortOnDropHandle::new(tokio::spawn(access::follow(Arc::clone(&state.keys))));
    let auditing = audit_writer.map(|writer| Writing::start(|stop| writer.run(stop)));
    let recording = Writing::start(|stop| experiment_recorder.run(stop));
    let following_experiments = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&state.experiments).follow()));
    let following_tokens =
        state.tokens.clone().map(|tokens| AbortOnDropHandle::new(tokio::spawn(tokens.follow())));
    let following_users = state.similar_users.clone().map(SimilarUsers::follow);
    let following_users = following_users.map(|follow| AbortOnDropHandle::new(tokio::spawn(follow)));
    let following_new_movies = new_movies.map(NewMovies::follow);
    let following_new_movies =
        following_new_movies.map(|follow| AbortOnDropHandle::new(tokio::spawn(follow)));
    let keeping_similar = AbortOnDropHandle::new(tokio::spawn(async move { keeper.run().await }));
    let doing_jobs = {
        let (stop, stop_schedules) = (stop.clone(), stop.clone());
        let run = async move { tokio::join!(runner.run(stop), timetable.run(stop_schedules)) };
        AbortOnDropHandle::new(tokio::spawn(async move { _ = run.await }))
    };
    let looking_back =
        futures::future::join(Arc::clone(&state.samples).follow(), Arc::clone(&state.slow_calls).follow());
    let looking_back = AbortOnDropHandle::new(tokio::spawn(looking_back));
    let judging = AbortOnDropHandle::new(tokio::spawn(live.run()));
    let asking = Arc::clone(&state.health).follow(Arc::clone(&state.store));
    let asking = AbortOnDropHandle::new(tokio::spawn(asking));
    let following_tls = followed_tls.map(|tls| tls.run(config.security.tls_reload_interval));
    let following_tls = following_tls.map(|follow| AbortOnDropHandle::new(tokio::spawn(follow)));
    Ok(Running {
        address,
        metrics_address,
        origins,
        state,
        profiles,
        loading,
        following_activation,
        serving,
        following,
        following_users,
        following_new_movies,
        keeping_similar,
        doing_jobs,
        asking,
        _looking_back: looking_back,
        judging,
        _following_tls: following_tls,
        following_keys,
        auditing,
        recording: Some(recording),
        following_experiments,
        _following_tokens: following_tokens,
        stop,
        config,
        _cpu_latency: cpu_latency,
    })
}

/// The certificates, if the settings name some, and what takes over their changes.
fn open_tls(config: &Config) -> Result<Option<(Arc<Tls>, Followed)>, TlsError> {
    config.security.tls_files(config.server.http_gateway).map(Tls::load).transpose()
}

/// What the settings say of calls and connections; `bundle` is the one of the start.
fn server_options(config: &Config, bundle: &Path, tls: Option<Arc<Tls>>) -> ServerOptions {
    ServerOptions {
        connections: ConnectionLimits {
            total: files::connections_within(config.server.max_connections),
            per_address: config.server.max_connections_per_address,
            proxies: config.security.tls_terminated_by.clone(),
        },
        tls,
        times: ConnectionTimes {
            handshake: config.server.handshake_timeout,
            idle: config.server.idle_timeout,
            unread: config.server.send_timeout,
        },
        receive: ReceiveLimits {
            buffer: config.server.receive_buffer_mib << 20,
            message: config.server.max_message_kib << 10,
            timeout: config.server.receive_timeout,
        },
        http: config.server.http_gateway.then(|| HttpOptions {
            hosts: config.server.allowed_hosts.clone(),
            origins: config.server.cors_origins.clone(),
            console: (config.server.console == Switch::On).then(|| ConsoleFacts {
                asks_who: config.security.auth == Switch::On,
                signs_up: config.security.sign_up == Switch::On,
            }),
        }),
        max_concurrent_streams: config.server.max_concurrent_streams,
        max_watchers: config.server.max_watchers,
        unsaid: Unsaid { method: config.retrieval.retrieval_method, presets: config.ranking.presets.clone() },
        bundles: config.open_bundles(bundle),
        asks_who: config.security.auth == Switch::On,
        reflection: config.security.reflection,
        log: CallLog { slow: config.telemetry.log_slow_calls, one_in: config.telemetry.log_calls_one_in },
    }
}

/// Loads models as the settings say, on which device, in which precision, with which retrieval, and says how each fits
/// the catalogue.
fn loader(
    engine: &Arc<Engine>,
    recommender: &Arc<Recommender>,
    planners: Arc<Planners>,
    config: &Config,
) -> LoadModel {
    let (engine, recommender) = (Arc::clone(engine), Arc::clone(recommender));
    let (device, precision) = (config.engine.device, config.engine.precision);
    let options = config.retrieval.options();
    let indexes = config.store.data_dir.join(INDEXES);
    Arc::new(move |folder| {
        let (engine, recommender) = (Arc::clone(&engine), Arc::clone(&recommender));
        let (planners, indexes) = (Arc::clone(&planners), indexes.clone());
        Box::pin(async move {
            let scorer = move |bundle: &Arc<Bundle>| {
                let planner = planner_of(bundle, options, &indexes)?;
                planners.add(bundle.version(), &planner);
                Ok::<Arc<dyn Scorer>, RetrievalError>(planner)
            };
            let model = engine.load(&folder, device, precision, scorer).await?;
            recommender.mismatch_of(&model);
            Ok(model)
        })
    })
}

/// A bundle's output embeddings, which live as long as the bundle.
struct OutputEmbeddings(Arc<Bundle>);

impl AsRef<[f32]> for OutputEmbeddings {
    fn as_ref(&self) -> &[f32] {
        self.0.output_embeddings()
    }
}

/// The retrieval of a bundle, whose index is kept in the folder `indexes`.
fn planner_of(
    bundle: &Arc<Bundle>,
    options: PlannerOptions,
    indexes: &Path,
) -> Result<Arc<Planner>, RetrievalError> {
    let values = TableValues::shared(OutputEmbeddings(Arc::clone(bundle)));
    let file = options.ann.file(indexes, bundle.seal());
    let (dimension, movies) = (bundle.dimension(), &bundle.vocabulary);
    Ok(Arc::new(Planner::build_keeping(values, dimension, movies, options, file)?))
}

/// Loads the first model, activates it, then lets health say SERVING.
async fn first_model(state: Arc<AppState>) -> Result<Started, StartError> {
    let started = state.activations.start().await?;
    state.health.set_serving(true).await;
    Ok(started)
}

impl Running {
    /// Waits until the model is warm and health says SERVING.
    ///
    /// # Errors
    /// [`StartError`] when the model cannot be loaded.
    pub async fn ready(&mut self) -> Result<Arc<Model>, StartError> {
        let loaded = (&mut self.loading).await.map_err(|error| StartError::Stopped(error.to_string()))?;
        let Started { model, origin } = loaded?;
        if let Some(origin) = origin {
            self.origins[0] = origin;
        }
        Ok(model)
    }

    /// Where it is called.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.config.security.tls_cert.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where a browser finds the console; `None` where none is served.
    pub(crate) fn console(&self) -> Option<String> {
        let server = &self.config.server;
        (server.http_gateway && server.console == Switch::On).then(|| format!("{}/", self.url()))
    }

    /// Whether users may be named on the terminal and in the log: callers are not asked who they are, and are all of
    /// this machine.
    pub(crate) fn may_name_users(&self) -> bool {
        self.config.security.auth == Switch::Off && self.config.is_of_this_machine()
    }

    /// Sentences that say where the model and the movies come from.
    pub(crate) fn origins(&self) -> &[String] {
        &self.origins
    }

    /// The pipeline, for what is shown at start.
    pub fn recommender(&self) -> &Recommender {
        &self.state.recommender
    }

    /// The store, for what looks at histories.
    pub(crate) fn store(&self) -> &dyn Store {
        self.state.store.as_ref()
    }

    /// The catalogue, for what is shown at start.
    pub fn catalog(&self) -> &Catalog {
        &self.state.catalog
    }

    /// How long the server goes on after SIGTERM while health says NOT_SERVING.
    pub(crate) fn drain_delay(&self) -> Duration {
        self.config.server.drain_delay
    }

    /// Lets health say NOT_SERVING. Calls are served as before, over new connections too.
    pub async fn leave(&mut self) {
        self.loading.abort();
        self.state.health.set_serving(false).await;
    }

    /// Stops: health says NOT_SERVING, no new connections, calls in flight end within the shutdown timeout,
    /// the engine stops, the store is flushed as its last handle goes.
    ///
    /// # Errors
    /// [`StartError::Stopped`] when the server had failed before.
    pub async fn stop(mut self) -> Result<(), StartError> {
        self.leave().await;
        self.stop.cancel();
        let limit = self.config.server.shutdown_timeout;
        let drained = match tokio::time::timeout(limit, &mut self.serving).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(StartError::Stopped(error.to_string())),
            Ok(Err(error)) => Err(StartError::Stopped(error.to_string())),
            Err(_) => {
                tracing::warn!(?limit, "calls still in flight at the shutdown timeout are aborted");
                self.serving.abort();
                Ok(())
            }
        };
        for writing in [self.auditing.take(), self.recording.take()].into_iter().flatten() {
            writing.end().await;
        }
        // It gives back what it runs, which takes no longer than the store does.
        let _given_back = tokio::time::timeout(limit, &mut self.doing_jobs).await;
        self.state.engine.shutdown(limit).await;
        if let Some(following) = self.following_new_movies.take() {
            let _ended = following.await;
        }
        let tasks =
            [&mut self.following, &mut self.following_keys, &mut self.keeping_similar, &mut self.asking];
        let tasks = tasks.into_iter().chain([
            &mut self.following_experiments,
            &mut self.following_activation,
            &mut self.judging,
        ]);
        for task in tasks.chain(&mut self.following_users) {
            task.abort();
            let _ended = task.await;
        }
        self.profiles.leave().await;
        drained
    }
}
