//! `marquee.v1.OperationsService`.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_engine::{BundleError, Engine, Model, ModelState, ModelStatus};
use marquee_proto::v1;
use marquee_proto::v1::activate_model_request::Target;
use marquee_proto::v1::operations_service_server::OperationsService;
use marquee_store::Store;
use tonic::{Request, Response, Status};

use crate::edge::{ApiError, convert, valid};
use crate::recommend::RecommendError;

/// Loads, checks and warms the bundle in a folder; made where engine and retrieval are wired together.
pub type LoadModel =
    Arc<dyn Fn(PathBuf) -> BoxFuture<'static, Result<Arc<Model>, BundleError>> + Send + Sync>;

/// The service.
pub struct OperationsApi {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    load: LoadModel,
    started_ms: TimeMs,
}

impl OperationsApi {
    /// The service over an engine, a store and what loads models; the server starts now.
    pub fn new(engine: Arc<Engine>, store: Arc<dyn Store>, load: LoadModel) -> Self {
        Self { engine, store, load, started_ms: now_ms() }
    }

    fn active(&self) -> Option<ModelStatus> {
        self.engine.models().into_iter().find(|model| model.state == ModelState::Active)
    }

    /// A model with what its bundle says; a model that is still loading has none yet.
    fn described(&self, status: ModelStatus) -> v1::Model {
        let (device, precision) = status.placement.split_once(' ').unwrap_or_default();
        let (state, error) = match status.state {
            ModelState::Loading => (v1::ModelState::Loading, String::new()),
            ModelState::Active => (v1::ModelState::Active, String::new()),
            ModelState::Standby => (v1::ModelState::Standby, String::new()),
            ModelState::OutOfService(why) => (v1::ModelState::Failed, why),
        };
        let mut model = v1::Model {
            device: device.to_owned(),
            precision: precision.to_owned(),
            state: state.into(),
            name: status.name,
            error,
            ..Default::default()
        };
        if let Ok(loaded) = self.engine.model(Some(&status.version)) {
            let bundle = loaded.bundle();
            model.items = bundle.items() as u32;
            model.dimension = bundle.dimension() as u32;
            model.maximum_length = bundle.maximum_length() as u32;
            model.metrics = bundle
                .metrics
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
                .collect();
        }
        model.version = status.version;
        model
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
        let (model_version, placement) =
            self.active().map(|model| (model.version, model.placement)).unwrap_or_default();
        Ok(Response::new(v1::GetStatsResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(convert::timestamp(self.started_ms)),
            movies: store.movies as u32,
            users: store.users,
            interactions: store.interactions,
            model_version,
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
        models.sort_by_key(|model| model.state != ModelState::Active);
        let models = models.into_iter().map(|model| self.described(model)).collect();
        Ok(Response::new(v1::ListModelsResponse { models }))
    }

    async fn activate_model(
        &self,
        request: Request<v1::ActivateModelRequest>,
    ) -> Result<Response<v1::ActivateModelResponse>, Status> {
        let request = valid(request.into_inner())?;
        let model = match request.target {
            Some(Target::BundleDir(folder)) => {
                let loaded = (self.load)(PathBuf::from(folder)).await;
                loaded.map_err(refused)?
            }
            Some(Target::Version(version)) => self
                .engine
                .model(Some(&version))
                .map_err(|error| ApiError::from(RecommendError::from(error)))?,
            None => {
                return Err(ApiError::invalid("target", "must be there: a bundle_dir, or a version").into());
            }
        };
        self.engine.activate(model);
        let model = self.active().map(|status| self.described(status));
        Ok(Response::new(v1::ActivateModelResponse { model }))
    }
}

fn refused(error: BundleError) -> ApiError {
    match error {
        BundleError::Busy { .. } => ApiError::LoadingAnother(error.to_string()),
        other => ApiError::Bundle(other.to_string()),
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
