//! `marquee.v1.OperationsService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_engine::{BundleError, Engine, Model, ModelSetError, ModelState};
use marquee_proto::v1;
use marquee_proto::v1::activate_model_request::Target;
use marquee_proto::v1::operations_service_server::OperationsService;
use marquee_store::Store;
use tonic::{Request, Response, Status};

use super::model;
use crate::activation::{ActivationError, Activations};
use crate::edge::layers::Origin;
use crate::edge::places::Places as Watchers;
use crate::edge::slow_calls::Kept;
use crate::edge::tls::Tls;
use crate::edge::{ApiError, Bundles, SlowCalls, convert, valid};
use crate::recommend::Usage;
use crate::registry::{LoadModel, Registered, Registry};
use crate::telemetry::{Calls, Figures, PAST, ProcessUsage, Samples};

/// The windows over which calls are told of.
const WINDOWS: [Duration; 3] = [Duration::from_mins(1), Duration::from_mins(5), Duration::from_mins(15)];

/// Slow calls that are listed when a request does not say how many.
const DEFAULT_SLOW_CALLS: u32 = 20;

/// The service.
pub(crate) struct OperationsApi {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    load: LoadModel,
    activations: Arc<Activations>,
    places: Places,
    lately: Lately,
    tls: Option<Arc<Tls>>,
    watchers: Watchers,
    started_ms: TimeMs,
}

/// Where bundles are that callers may have loaded.
pub(crate) struct Places {
    /// Folders that they may name.
    pub(crate) bundles: Bundles,
    /// Versions that were uploaded.
    pub(crate) registry: Arc<Registry>,
}

/// A bundle that a caller names.
enum Named {
    Folder(String),
    Registered(v1::RegisteredModel),
}

/// What is known of calls.
pub(crate) struct Lately {
    pub(crate) samples: Arc<Samples>,
    pub(crate) slow_calls: Arc<SlowCalls>,
    /// Calls that watch at once.
    pub(crate) max_watchers: usize,
}

impl OperationsApi {
    /// The service over an engine, a store, what loads models from the places that callers may name and activates them,
    /// what is known of calls, and what encrypts them if anything does; the server starts now.
    pub(crate) fn new(
        engine: Arc<Engine>,
        store: Arc<dyn Store>,
        load: LoadModel,
        activations: Arc<Activations>,
        places: Places,
        lately: Lately,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let watchers = Watchers::new(lately.max_watchers);
        Self { engine, store, load, activations, places, lately, tls, watchers, started_ms: now_ms() }
    }

    /// Loads a bundle of this machine; with it the version of the registry that it is, if one was named.
    async fn loaded(&self, named: Named) -> Result<(Arc<Model>, Option<Registered>), ApiError> {
        let (bundles, registry) = (self.places.bundles.clone(), Arc::clone(&self.places.registry));
        let find = move || match named {
            Named::Folder(folder) => bundles.find(&folder).map(|folder| (folder, None)),
            Named::Registered(v1::RegisteredModel { name, version }) => {
                let found = registry.get(&name, &version).map_err(model::refused)?;
                Ok((found.folder.clone(), Some(found)))
            }
        };
        let found = tokio::task::spawn_blocking(find).await;
        let (folder, registered) = found.map_err(|error| ApiError::Bundle(error.to_string()))??;
        Ok(((self.load)(folder).await.map_err(not_loaded)?, registered))
    }

    fn described(&self, model: &Model) -> v1::Model {
        let bundle = model.bundle();
        let (device, precision) = model.placement().split_once(' ').unwrap_or_default();
        let (state, error) = match self.engine.state(model) {
            ModelState::Active => (v1::ModelState::Active, String::new()),
            ModelState::Standby => (v1::ModelState::Standby, String::new()),
            ModelState::Failed(why) => (v1::ModelState::Failed, why),
        };
        let metrics = bundle.metrics.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        v1::Model {
            version: bundle.version().to_owned(),
            name: bundle.name().to_owned(),
            state: state.into(),
            items: bundle.items() as u32,
            dimension: bundle.dimension() as u32,
            maximum_length: bundle.maximum_length() as u32,
            device: device.to_owned(),
            precision: precision.to_owned(),
            kernels: model.kernels().to_owned(),
            metrics: metrics.collect(),
            error,
            memory_bytes: model.memory_bytes(),
            load_time: Some(convert::timestamp(model.loaded_ms())),
            usage: Some(usage(model)),
        }
    }
}

/// Why a bundle is not loaded.
fn not_loaded(error: BundleError) -> ApiError {
    match error {
        BundleError::Busy { .. } => ApiError::LoadingAnother(error.to_string()),
        BundleError::TooManyModels { .. } | BundleError::TooMuchMemory { .. } => {
            ApiError::NoRoomForModel(error.to_string())
        }
        other => ApiError::Bundle(other.to_string()),
    }
}

/// Why another model does not become the active one.
fn not_activated(error: ActivationError) -> ApiError {
    match error {
        ActivationError::Models(error) => error.into(),
        ActivationError::Bundle(error) => not_loaded(error),
        ActivationError::Registry(error) => model::refused(error),
        ActivationError::Store(error) => error.into(),
    }
}

/// The bundle that a request names.
fn named(request: v1::LoadModelRequest) -> Result<Named, ApiError> {
    match (request.bundle_dir, request.registered) {
        (folder, None) if !folder.is_empty() => Ok(Named::Folder(folder)),
        (folder, Some(registered)) if folder.is_empty() => Ok(Named::Registered(registered)),
        _ => Err(ApiError::invalid("bundle_dir", "must be there, or registered, and not both")),
    }
}

/// The requests that a model has answered.
fn usage(model: &Model) -> v1::ModelUsage {
    let counts = Usage::of(model).counts();
    v1::ModelUsage {
        recommendations: counts.recommendations,
        similar_movies: counts.similar_movies,
        encodings: counts.encodings,
        pinned: counts.pinned,
        last_time: counts.last_ms.map(convert::timestamp),
    }
}

/// The periods of this past, then each as it ends.
fn periods(samples: Arc<Samples>, past: Duration) -> impl Stream<Item = Figures> + Send {
    let (seen, counts) = samples.from(past);
    let chunks = stream::unfold((samples, seen, counts), |(samples, seen, mut counts)| async move {
        counts.wait_for(|count| *count > seen).await.ok()?;
        let (periods, seen) = samples.since(seen);
        Some((stream::iter(periods), (samples, seen, counts)))
    });
    chunks.flatten()
}

fn method_stats(samples: &Samples) -> Vec<v1::MethodStats> {
    let methods = samples.methods(&WINDOWS).into_iter();
    let stats = methods.map(|method| v1::MethodStats {
        method: method.method.unwrap_or_default(),
        windows: method.windows.iter().map(call_window).collect(),
    });
    stats.collect()
}

fn call_window(calls: &Calls) -> v1::CallWindow {
    let us = |seconds: f64| (seconds * 1e6).round() as u32;
    v1::CallWindow {
        seconds: calls.seconds,
        calls: calls.by_code.iter().map(|(code, count)| (code.clone(), *count)).collect(),
        calls_per_second: calls.per_second(),
        latencies: calls.latencies.map(|latencies| v1::Latencies {
            p50_us: us(latencies.p50),
            p95_us: us(latencies.p95),
            p99_us: us(latencies.p99),
        }),
    }
}

fn process_stats() -> v1::ProcessStats {
    let usage = ProcessUsage::now();
    v1::ProcessStats {
        cpu_seconds: usage.cpu_seconds,
        resident_bytes: usage.resident_bytes.unwrap_or_default(),
    }
}

fn sample(figures: &Figures) -> v1::StatsSample {
    v1::StatsSample {
        time: Some(convert::timestamp(figures.time_ms)),
        calls: Some(call_window(&figures.calls)),
        in_flight: figures.in_flight as u32,
        connections: figures.connections as u32,
        queue_depth: figures.queue_depth as u32,
        batch_size: figures.batch_size,
        busy_ratio: figures.busy_ratio,
        vector_cache_hit_ratio: figures.vector_cache_hit_ratio,
        profile_cache_hit_ratio: figures.profile_cache_hit_ratio,
        redis_failure_ratio: figures.redis_failure_ratio,
        refused_calls: figures.refused_calls,
        cpu_cores: figures.cpu_cores,
        resident_bytes: figures.resident_bytes,
    }
}

fn slow_call(kept: Kept) -> v1::SlowCall {
    v1::SlowCall {
        method: kept.method.to_owned(),
        time: Some(convert::timestamp(kept.ended_ms)),
        duration_us: kept.duration.as_micros() as u64,
        code: kept.call.code.to_owned(),
        request_id: kept.call.request_id,
        caller: kept.call.caller,
        timings: kept.call.timings,
    }
}

#[tonic::async_trait]
impl OperationsService for OperationsApi {
    async fn get_stats(
        &self,
        _: Request<v1::GetStatsRequest>,
    ) -> Result<Response<v1::GetStatsResponse>, Status> {
        let store = self.store.stats().await.map_err(ApiError::from)?;
        let engine = self.engine.stats();
        let active = self.engine.model(None).ok();
        let (model_version, placement) =
            active.as_deref().map(|model| (model.bundle().version(), model.placement())).unwrap_or_default();
        Ok(Response::new(v1::GetStatsResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(convert::timestamp(self.started_ms)),
            movies: store.movies as u32,
            users: store.users,
            interactions: store.interactions,
            model_version: model_version.to_owned(),
            device: placement.split(' ').next().unwrap_or_default().to_owned(),
            queue_depth: engine.queue_depth as u32,
            workers: engine.workers as u32,
            completed_jobs: engine.completed,
            rejected_jobs: engine.rejected,
            batches: engine.batches,
            methods: method_stats(&self.lately.samples),
            process: Some(process_stats()),
            certificate_expire_time: self.tls.as_ref().map(|tls| convert::timestamp(tls.not_after() * 1_000)),
        }))
    }

    type WatchStatsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchStatsResponse, Status>> + Send>>;

    async fn watch_stats(
        &self,
        request: Request<v1::WatchStatsRequest>,
    ) -> Result<Response<Self::WatchStatsStream>, Status> {
        let origin = Origin::of(request.extensions());
        let past = valid(request)?.past_seconds.map_or(PAST, |seconds| Duration::from_secs(seconds.into()));
        let place = self.watchers.take(origin).map_err(ApiError::from)?;
        let watched = periods(Arc::clone(&self.lately.samples), past)
            .map(|figures| Ok(v1::WatchStatsResponse { sample: Some(sample(&figures)) }))
            .inspect(move |_| _ = &place);
        Ok(Response::new(Box::pin(watched)))
    }

    async fn list_slow_calls(
        &self,
        request: Request<v1::ListSlowCallsRequest>,
    ) -> Result<Response<v1::ListSlowCallsResponse>, Status> {
        let limit = valid(request)?.limit.unwrap_or(DEFAULT_SLOW_CALLS);
        let calls = self.lately.slow_calls.list(limit as usize).into_iter().map(slow_call).collect();
        Ok(Response::new(v1::ListSlowCallsResponse { calls }))
    }

    async fn list_models(
        &self,
        _: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let mut models = self.engine.models();
        models.sort_by_key(|model| self.engine.state(model) != ModelState::Active);
        let loading = self.engine.loading().map(|folder| v1::Model {
            version: folder.display().to_string(),
            state: v1::ModelState::Loading.into(),
            ..Default::default()
        });
        let models = models.iter().map(|model| self.described(model)).chain(loading).collect();
        Ok(Response::new(v1::ListModelsResponse { models }))
    }

    async fn load_model(
        &self,
        request: Request<v1::LoadModelRequest>,
    ) -> Result<Response<v1::LoadModelResponse>, Status> {
        let (model, _) = self.loaded(named(valid(request)?)?).await?;
        Ok(Response::new(v1::LoadModelResponse { model: Some(self.described(&model)) }))
    }

    async fn activate_model(
        &self,
        request: Request<v1::ActivateModelRequest>,
    ) -> Result<Response<v1::ActivateModelResponse>, Status> {
        let (model, registered) = match valid(request)?.target {
            Some(Target::BundleDir(folder)) => self.loaded(Named::Folder(folder)).await?,
            Some(Target::Registered(registered)) => self.loaded(Named::Registered(registered)).await?,
            Some(Target::Version(version)) => {
                let model = self.engine.model(Some(&version));
                (model.map_err(|_| ApiError::Models(ModelSetError::NotLoaded(version)))?, None)
            }
            None => {
                let described = "must be there: a bundle_dir, a version, or a registered version";
                return Err(ApiError::invalid("target", described).into());
            }
        };
        let model = self.activations.activate(&model, registered.as_ref()).await.map_err(not_activated)?;
        Ok(Response::new(v1::ActivateModelResponse { model: Some(self.described(&model)) }))
    }

    async fn roll_back_model(
        &self,
        request: Request<v1::RollBackModelRequest>,
    ) -> Result<Response<v1::RollBackModelResponse>, Status> {
        valid(request)?;
        let (model, left_version) = self.activations.roll_back().await.map_err(not_activated)?;
        Ok(Response::new(v1::RollBackModelResponse { model: Some(self.described(&model)), left_version }))
    }

    async fn unload_model(
        &self,
        request: Request<v1::UnloadModelRequest>,
    ) -> Result<Response<v1::UnloadModelResponse>, Status> {
        let version = valid(request)?.version;
        let model = self.engine.unload(&version).map_err(ApiError::from)?;
        Ok(Response::new(v1::UnloadModelResponse { model: Some(self.described(&model)) }))
    }
}

#[cfg(test)]
mod tests {
    use crate::activation::Kept;
    use crate::registry::Quota;
    use marquee_engine::EngineOptions;
    use marquee_store::RedbStore;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    #[tokio::test]
    async fn a_bundle_that_has_to_wait_for_another_one_is_told_when_to_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(RedbStore::open(folder.path()).unwrap());
        let load: LoadModel = Arc::new(|folder| {
            let bundle = folder.display().to_string();
            Box::pin(async { Err(BundleError::Busy { bundle, loading: "/bundles/first".to_owned() }) })
        });
        let engine = Arc::new(Engine::start(EngineOptions::default()));
        let lately = Lately { samples: Arc::default(), slow_calls: Arc::default(), max_watchers: 1 };
        let quota = Quota { versions: 1, bytes: 1 };
        let registry = Arc::new(Registry::open(folder.path().join("models"), quota));
        let activations = Activations::new(
            Arc::clone(&store) as _,
            Arc::clone(&registry),
            Arc::clone(&engine),
            Arc::clone(&load),
            folder.path().to_owned(),
            Kept::InStore,
        );
        let places = Places { bundles: Bundles::Any, registry };
        let api = OperationsApi::new(engine, store, load, Arc::new(activations), places, lately, None);
        let target = Some(Target::BundleDir("/bundles/second".to_owned()));
        let refused =
            api.activate_model(Request::new(v1::ActivateModelRequest { target })).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("/bundles/first is being loaded"), "{refused}");
        assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
        assert_eq!(refused.get_details_error_info().unwrap().reason, "LOADING_ANOTHER_MODEL");
    }
}
