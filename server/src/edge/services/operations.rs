//! `marquee.v1.OperationsService`.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_engine::{BundleError, Engine, Model, ModelState};
use marquee_proto::v1;
use marquee_proto::v1::activate_model_request::Target;
use marquee_proto::v1::operations_service_server::OperationsService;
use marquee_store::Store;
use tonic::{Request, Response, Status};

use crate::edge::{ApiError, convert, valid};
use crate::recommend::Usage;

/// Loads, checks and warms the bundle in a folder; made where engine and retrieval are wired together.
pub(crate) type LoadModel =
    Arc<dyn Fn(PathBuf) -> BoxFuture<'static, Result<Arc<Model>, BundleError>> + Send + Sync>;

/// The service.
pub(crate) struct OperationsApi {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    load: LoadModel,
    started_ms: TimeMs,
}

impl OperationsApi {
    /// The service over an engine, a store and what loads models; the server starts now.
    pub(crate) fn new(engine: Arc<Engine>, store: Arc<dyn Store>, load: LoadModel) -> Self {
        Self { engine, store, load, started_ms: now_ms() }
    }

    /// Loads the bundle in a folder of this machine.
    async fn loaded(&self, folder: String) -> Result<Arc<Model>, ApiError> {
        (self.load)(PathBuf::from(folder)).await.map_err(|error| match error {
            BundleError::Busy { .. } => ApiError::LoadingAnother(error.to_string()),
            BundleError::TooManyModels { .. } | BundleError::TooMuchMemory { .. } => {
                ApiError::NoRoomForModel(error.to_string())
            }
            other => ApiError::Bundle(other.to_string()),
        })
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
        }))
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
        let request = valid(request.into_inner())?;
        let model = self.loaded(request.bundle_dir).await?;
        Ok(Response::new(v1::LoadModelResponse { model: Some(self.described(&model)) }))
    }

    async fn activate_model(
        &self,
        request: Request<v1::ActivateModelRequest>,
    ) -> Result<Response<v1::ActivateModelResponse>, Status> {
        let version = match valid(request.into_inner())?.target {
            Some(Target::BundleDir(folder)) => self.loaded(folder).await?.bundle().version().to_owned(),
            Some(Target::Version(version)) => version,
            None => {
                return Err(ApiError::invalid("target", "must be there: a bundle_dir, or a version").into());
            }
        };
        let model = self.engine.activate(&version).map_err(ApiError::from)?;
        Ok(Response::new(v1::ActivateModelResponse { model: Some(self.described(&model)) }))
    }

    async fn unload_model(
        &self,
        request: Request<v1::UnloadModelRequest>,
    ) -> Result<Response<v1::UnloadModelResponse>, Status> {
        let version = valid(request.into_inner())?.version;
        let model = self.engine.unload(&version).map_err(ApiError::from)?;
        Ok(Response::new(v1::UnloadModelResponse { model: Some(self.described(&model)) }))
    }
}

#[cfg(test)]
mod tests {
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
        let api = OperationsApi::new(Arc::new(Engine::start(EngineOptions::default())), store, load);
        let target = Some(Target::BundleDir("/bundles/second".to_owned()));
        let refused =
            api.activate_model(Request::new(v1::ActivateModelRequest { target })).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("/bundles/first is being loaded"), "{refused}");
        assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
        assert_eq!(refused.get_details_error_info().unwrap().reason, "LOADING_ANOTHER_MODEL");
    }
}
