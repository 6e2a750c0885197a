//! `marquee.v1.RecommendationService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt as _, stream};
use marquee_engine::Priority;
use marquee_proto::v1;
use marquee_proto::v1::recommendation_service_server::RecommendationService;
use marquee_retrieval::Method;
use tonic::{Request, Response, Status, Streaming};

use crate::edge::{ApiError, convert, token, valid};
use crate::recommend::{Question, Recommended, Recommender, RequestOptions, SimilarQuestion, Subject};

/// Movies answered when a request does not say how many.
const DEFAULT_K: u32 = 10;

/// Movies that the requests of a batch may want together: the reply is one message, and is kept until it is read.
const MAX_BATCH_MOVIES: u64 = 100_000;

/// The service.
#[derive(Clone)]
pub(crate) struct RecommendationApi {
    recommender: Arc<Recommender>,
    default_method: Method,
}

impl RecommendationApi {
    /// The service over a pipeline; `default_method` is that of requests that name none.
    pub(crate) fn new(recommender: Arc<Recommender>, default_method: Method) -> Self {
        Self { recommender, default_method }
    }

    async fn answer(
        &self,
        request: v1::RecommendRequest,
        of_method: Priority,
        deadline: Option<Instant>,
    ) -> Result<v1::RecommendResponse, ApiError> {
        let question = question(request, of_method, self.default_method, deadline)?;
        Ok(response(self.recommender.recommend(&question).await?))
    }

    async fn outcome(
        &self,
        request: v1::RecommendRequest,
        deadline: Option<Instant>,
    ) -> v1::RecommendOutcome {
        use v1::recommend_outcome::Outcome;
        let outcome = match self.answer(request, Priority::Bulk, deadline).await {
            Ok(response) => Outcome::Response(response),
            Err(error) => Outcome::Error(error.into_call_error()),
        };
        v1::RecommendOutcome { outcome: Some(outcome) }
    }
}

#[tonic::async_trait]
impl RecommendationService for RecommendationApi {
    async fn recommend(
        &self,
        request: Request<v1::RecommendRequest>,
    ) -> Result<Response<v1::RecommendResponse>, Status> {
        let deadline = convert::deadline(&request);
        let priority = convert::priority(request.get_ref().priority(), Priority::Interactive);
        convert::stand_in_line(&request, priority)?;
        let answer = self.answer(request.into_inner(), priority, deadline).await?;
        Ok(Response::new(answer))
    }

    async fn recommend_batch(
        &self,
        request: Request<v1::RecommendBatchRequest>,
    ) -> Result<Response<v1::RecommendBatchResponse>, Status> {
        let deadline = convert::deadline(&request);
        let requests = request.into_inner().requests;
        let wanted: u64 = requests.iter().map(|request| u64::from(request.k.unwrap_or(DEFAULT_K))).sum();
        if wanted > MAX_BATCH_MOVIES {
            let described = format!(
                "want {wanted} movies together; at most {MAX_BATCH_MOVIES} are accepted, send them in parts"
            );
            return Err(ApiError::invalid("requests", described).into());
        }
        let outcomes = stream::iter(requests)
            .map(|request| self.outcome(request, deadline))
            .buffered(self.recommender.at_once())
            .collect()
            .await;
        Ok(Response::new(v1::RecommendBatchResponse { outcomes }))
    }

    type RecommendStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::RecommendStreamResponse, Status>> + Send + 'static>>;

    async fn recommend_stream(
        &self,
        request: Request<Streaming<v1::RecommendStreamRequest>>,
    ) -> Result<Response<Self::RecommendStreamStream>, Status> {
        let deadline = convert::deadline(&request);
        let service = self.clone();
        let at_once = self.recommender.at_once();
        let answers = request
            .into_inner()
            .map(move |request| {
                let service = service.clone();
                async move {
                    let request = request?
                        .request
                        .ok_or_else(|| Status::from(ApiError::invalid("request", "must be there")))?;
                    let outcome = Some(service.outcome(request, deadline).await);
                    Ok(v1::RecommendStreamResponse { outcome })
                }
            })
            .buffered(at_once);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn similar_movies(
        &self,
        request: Request<v1::SimilarMoviesRequest>,
    ) -> Result<Response<v1::SimilarMoviesResponse>, Status> {
        let deadline = convert::deadline(&request);
        let request = valid(request.into_inner())?;
        let question = SimilarQuestion {
            movie_id: request.movie_id(),
            k: request.k.unwrap_or(DEFAULT_K) as usize,
            filter: convert::filter(request.filter)?,
            options: options(request.model_version, Priority::Interactive, deadline),
        };
        let similar = self.recommender.similar(&question).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::SimilarMoviesResponse {
            timings: Some(convert::timings(&similar.timings)),
            model_version: similar.model_version.unwrap_or_default(),
            movies: similar.picks.iter().map(convert::recommendation).collect(),
        }))
    }

    async fn encode_history(
        &self,
        request: Request<v1::EncodeHistoryRequest>,
    ) -> Result<Response<v1::EncodeHistoryResponse>, Status> {
        use v1::encode_history_request::Subject as Wire;
        let deadline = convert::deadline(&request);
        let priority = convert::priority(request.get_ref().priority(), Priority::Interactive);
        convert::stand_in_line(&request, priority)?;
        let request = valid(request.into_inner())?;
        let subject = match request.subject {
            Some(Wire::UserId(user_id)) => Subject::User(user_id),
            Some(Wire::History(history)) => Subject::History(history.movie_ids),
            None => return Err(no_subject().into()),
        };
        let options = options(request.model_version, priority, deadline);
        let encoded = self.recommender.encode(&subject, &options).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::EncodeHistoryResponse {
            vector: encoded.vector.to_vec(),
            model_version: encoded.model_version,
            timings: Some(convert::timings(&encoded.timings)),
            ignored_history_movies: encoded.ignored as u32,
        }))
    }
}

/// What a request asks of the pipeline, once its constraints hold; `of_method` is the priority of those
/// that name none, and `default_method` is how they find candidates.
///
/// # Errors
/// [`ApiError`] that names the field.
pub fn question(
    request: v1::RecommendRequest,
    of_method: Priority,
    default_method: Method,
    deadline: Option<Instant>,
) -> Result<Question, ApiError> {
    use v1::recommend_request::Subject as Wire;
    let request = valid(request)?;
    let consistency_token = token::read(&request.consistency_token)?;
    let priority = convert::priority(request.priority(), of_method);
    let method = convert::method(request.method(), default_method);
    let subject = match request.subject {
        Some(Wire::UserId(user_id)) => Subject::User(user_id),
        Some(Wire::History(history)) => Subject::History(history.movie_ids),
        None => return Err(no_subject()),
    };
    Ok(Question {
        subject,
        k: request.k.unwrap_or(DEFAULT_K) as usize,
        method,
        filter: convert::filter(request.filter)?,
        exclude_seen: request.exclude_seen.unwrap_or(true),
        consistency_token,
        options: options(request.model_version, priority, deadline),
    })
}

fn no_subject() -> ApiError {
    ApiError::invalid("subject", "must be there: a user_id, or a history")
}

fn options(model_version: String, priority: Priority, deadline: Option<Instant>) -> RequestOptions {
    let model_version = (!model_version.is_empty()).then_some(model_version);
    RequestOptions { model_version, priority, deadline }
}

/// An answer of the pipeline in the wire's types.
pub fn response(recommended: Recommended) -> v1::RecommendResponse {
    v1::RecommendResponse {
        timings: Some(convert::timings(&recommended.timings)),
        model_version: recommended.model_version.unwrap_or_default(),
        method: convert::method_used(recommended.method).into(),
        source: convert::source(recommended.source).into(),
        ignored_history_movies: recommended.ignored as u32,
        recommendations: recommended.picks.iter().map(convert::recommendation).collect(),
    }
}
