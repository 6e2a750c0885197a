//! `marquee.v1.ExperimentService`.

mod definition;
mod results;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use marquee_proto::v1;
use marquee_proto::v1::experiment_service_server::ExperimentService;
use tonic::{Request, Response, Status};

use self::definition::{definition, status};
use self::results::{shown_plan, shown_results};
use crate::edge::layers::Origin;
use crate::edge::page::List;
use crate::edge::places::Places;
use crate::edge::{ApiError, KeyNumbers, valid};
use crate::experiments::{ExperimentError, Experiments, PlanQuestion, Written};

/// Experiments on a page when a request does not say how many.
const DEFAULT_PAGE: u32 = 50;
const DEFAULT_POWER: f64 = 0.8;
const DEFAULT_HISTORY_DAYS: u32 = 28;
/// How often results are looked at for whoever watches and does not say it.
const DEFAULT_EVERY: u32 = 10;

/// The service.
pub(crate) struct ExperimentApi {
    experiments: Arc<Experiments>,
    watchers: Places,
    numbers: KeyNumbers,
}

impl ExperimentApi {
    /// The service over the experiments, whose users may be named by keys; so many calls may watch at once.
    pub(crate) fn new(experiments: Arc<Experiments>, numbers: KeyNumbers, max_watchers: usize) -> Self {
        Self { experiments, watchers: Places::new(max_watchers), numbers }
    }
}

#[tonic::async_trait]
impl ExperimentService for ExperimentApi {
    async fn create_experiment(
        &self,
        request: Request<v1::CreateExperimentRequest>,
    ) -> Result<Response<v1::CreateExperimentResponse>, Status> {
        let v1::CreateExperimentRequest { experiment, validate_only } = self.numbers.valid(request).await?;
        let created = self.experiments.create(definition(experiment)?, written(validate_only)).await;
        let experiment = created.map_err(ApiError::from)?;
        Ok(Response::new(v1::CreateExperimentResponse { status: Some(status(&experiment)) }))
    }

    async fn plan_experiment(
        &self,
        request: Request<v1::PlanExperimentRequest>,
    ) -> Result<Response<v1::PlanExperimentResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        let question = PlanQuestion {
            effect: request.effect.unwrap_or_default(),
            power: request.power.unwrap_or(DEFAULT_POWER),
            history_days: request.history_days.unwrap_or(DEFAULT_HISTORY_DAYS),
        };
        let definition = definition(request.experiment)?;
        let plan = self.experiments.plan(&definition, question).await.map_err(ApiError::from)?;
        Ok(Response::new(shown_plan(&plan)))
    }

    async fn get_experiment(
        &self,
        request: Request<v1::GetExperimentRequest>,
    ) -> Result<Response<v1::GetExperimentResponse>, Status> {
        let name = valid(request)?.name;
        let unknown = || ApiError::from(ExperimentError::Unknown(name.clone()));
        let experiment = self.experiments.get(&name).ok_or_else(unknown)?;
        Ok(Response::new(v1::GetExperimentResponse { status: Some(status(&experiment)) }))
    }

    async fn list_experiments(
        &self,
        request: Request<v1::ListExperimentsRequest>,
    ) -> Result<Response<v1::ListExperimentsResponse>, Status> {
        let mut request = valid(request)?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListExperiments", &request);
        let after = list.names_after(&page_token)?;
        let mut experiments = self.experiments.list(after.as_deref(), page_size + 1);
        let is_last = experiments.len() <= page_size;
        experiments.truncate(page_size);
        let next = experiments.last().filter(|_| !is_last).map(|last| list.names_token(last.name()));
        Ok(Response::new(v1::ListExperimentsResponse {
            experiments: experiments.iter().map(|experiment| status(experiment)).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn update_experiment(
        &self,
        request: Request<v1::UpdateExperimentRequest>,
    ) -> Result<Response<v1::UpdateExperimentResponse>, Status> {
        let v1::UpdateExperimentRequest { experiment, validate_only } = self.numbers.valid(request).await?;
        let updated = self.experiments.update(definition(experiment)?, written(validate_only)).await;
        let experiment = updated.map_err(ApiError::from)?;
        Ok(Response::new(v1::UpdateExperimentResponse { status: Some(status(&experiment)) }))
    }

    async fn start_experiment(
        &self,
        request: Request<v1::StartExperimentRequest>,
    ) -> Result<Response<v1::StartExperimentResponse>, Status> {
        let experiment = self.experiments.start(valid(request)?.name).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::StartExperimentResponse { status: Some(status(&experiment)) }))
    }

    async fn pause_experiment(
        &self,
        request: Request<v1::PauseExperimentRequest>,
    ) -> Result<Response<v1::PauseExperimentResponse>, Status> {
        let experiment = self.experiments.pause(valid(request)?.name).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::PauseExperimentResponse { status: Some(status(&experiment)) }))
    }

    async fn stop_experiment(
        &self,
        request: Request<v1::StopExperimentRequest>,
    ) -> Result<Response<v1::StopExperimentResponse>, Status> {
        let experiment = self.experiments.stop(valid(request)?.name, None).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::StopExperimentResponse { status: Some(status(&experiment)) }))
    }

    async fn get_results(
        &self,
        request: Request<v1::GetResultsRequest>,
    ) -> Result<Response<v1::GetResultsResponse>, Status> {
        let name = valid(request)?.name;
        let results = self.experiments.results(&name).await.map_err(ApiError::from)?;
        Ok(Response::new(shown_results(&results)))
    }

    type WatchResultsStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchResultsResponse, Status>> + Send + 'static>>;

    async fn watch_results(
        &self,
        request: Request<v1::WatchResultsRequest>,
    ) -> Result<Response<Self::WatchResultsStream>, Status> {
        let origin = Origin::of(request.extensions());
        let request = valid(request)?;
        let place = self.watchers.take(origin).map_err(ApiError::from)?;
        let every = Duration::from_secs(request.every.unwrap_or(DEFAULT_EVERY).into());
        let experiments = Arc::clone(&self.experiments);
        let watched = stream::unfold(Watched::Nothing, move |watched| {
            let (experiments, name) = (Arc::clone(&experiments), request.name.clone());
            async move { next(&experiments, &name, every, watched).await }
        });
        Ok(Response::new(Box::pin(watched.inspect(move |_| _ = &place))))
    }
}

fn written(validate_only: Option<bool>) -> Written {
    if validate_only.unwrap_or_default() { Written::Nothing } else { Written::All }
}

/// What somebody who watches has seen.
enum Watched {
    Nothing,
    Last(Box<v1::GetResultsResponse>),
    End,
}

/// The next results that differ from those before.
async fn next(
    experiments: &Experiments,
    name: &str,
    every: Duration,
    mut watched: Watched,
) -> Option<(Result<v1::WatchResultsResponse, Status>, Watched)> {
    loop {
        match &watched {
            Watched::Nothing => {}
            Watched::Last(_) => tokio::time::sleep(every).await,
            Watched::End => return None,
        }
        let results = match experiments.results(name).await {
            Ok(results) => shown_results(&results),
            Err(error) => return Some((Err(ApiError::from(error).into()), Watched::End)),
        };
        let is_over = results.state() == v1::ExperimentState::Stopped;
        if matches!(&watched, Watched::Last(last) if **last == results) {
            if is_over {
                return None;
            }
            continue;
        }
        watched = if is_over { Watched::End } else { Watched::Last(Box::new(results.clone())) };
        return Some((Ok(v1::WatchResultsResponse { results: Some(results) }), watched));
    }
}
