//! A small real gRPC server: it answers from the request alone, records what came in, and fails as it
//! was told to.

#![allow(unreachable_pub, dead_code)] // Each test binary uses its part of this.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_server::{InteractionService, InteractionServiceServer};
use marquee_proto::v1::recommend_outcome::Outcome;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_server::{RecommendationService, RecommendationServiceServer};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

/// What a test tells the server to do with the next call, before it answers normally.
#[derive(Clone, Debug)]
pub enum Trouble {
    Fail(Status),
    NeverAnswer,
}

/// The server's memory, shared with the test.
#[derive(Clone, Default)]
pub struct Fake {
    troubles: Arc<Mutex<VecDeque<Trouble>>>,
    headers: Arc<Mutex<Vec<MetadataMap>>>,
    recorded: Arc<Mutex<Vec<v1::Interaction>>>,
}

impl Fake {
    /// A server that has these troubles first, one a call.
    pub fn with_troubles(troubles: impl IntoIterator<Item = Trouble>) -> Self {
        Self { troubles: Arc::new(Mutex::new(troubles.into_iter().collect())), ..Self::default() }
    }

    /// The values of a header, one for each call that came in.
    pub fn header(&self, name: &str) -> Vec<String> {
        let headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        let value = |map: &MetadataMap| map.get(name).map(|value| value.to_str().unwrap().to_owned());
        headers.iter().map(|map| value(map).unwrap_or_default()).collect()
    }

    /// The interactions that came in, refused attempts included.
    pub fn recorded(&self) -> Vec<v1::Interaction> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The services to serve.
    pub fn routes(&self) -> Routes {
        Routes::new(RecommendationServiceServer::new(self.clone()))
            .add_service(InteractionServiceServer::new(self.clone()))
    }

    async fn arrive<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).push(request.metadata().clone());
        let trouble = self.troubles.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match trouble {
            None => Ok(()),
            Some(Trouble::Fail(status)) => Err(status),
            Some(Trouble::NeverAnswer) => std::future::pending().await,
        }
    }
}

/// As many movies as were asked for, from movie 1 on.
fn answer(request: &v1::RecommendRequest) -> v1::RecommendResponse {
    let movie = |id: u32| v1::Recommendation {
        movie_id: id,
        title: format!("Movie {id} (1999)"),
        score: 1.0 / id as f32,
        genres: vec!["Drama".into(), "Sci-Fi".into()],
        year: Some(1999),
        source: v1::Source::Model.into(),
        ..Default::default()
    };
    let history = match &request.subject {
        Some(Subject::History(history)) => history.movie_ids.len() as u32,
        _ => 0,
    };
    v1::RecommendResponse {
        recommendations: (1..=request.k.unwrap_or(10)).map(movie).collect(),
        model_version: "fixture-1".into(),
        method: request.method.max(1),
        source: v1::Source::Model.into(),
        timings: Some(v1::Timings { total_us: 812, encode_us: 700, score_us: 112, ..Default::default() }),
        ignored_history_movies: history,
        ..Default::default()
    }
}

#[tonic::async_trait]
impl RecommendationService for Fake {
    type RecommendStreamStream = BoxStream<'static, Result<v1::RecommendStreamResponse, Status>>;

    async fn recommend(
        &self,
        request: Request<v1::RecommendRequest>,
    ) -> Result<Response<v1::RecommendResponse>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(answer(request.get_ref())))
    }

    async fn recommend_batch(
        &self,
        request: Request<v1::RecommendBatchRequest>,
    ) -> Result<Response<v1::RecommendBatchResponse>, Status> {
        self.arrive(&request).await?;
        let outcome = |one| v1::RecommendOutcome { outcome: Some(Outcome::Response(answer(one))) };
        Ok(Response::new(v1::RecommendBatchResponse {
            outcomes: request.get_ref().requests.iter().map(outcome).collect(),
        }))
    }

    async fn recommend_stream(
        &self,
        request: Request<Streaming<v1::RecommendStreamRequest>>,
    ) -> Result<Response<Self::RecommendStreamStream>, Status> {
        self.arrive(&request).await?;
        let replies = request.into_inner().map_ok(|one| v1::RecommendStreamResponse {
            outcome: Some(v1::RecommendOutcome {
                outcome: one.request.map(|request| Outcome::Response(answer(&request))),
            }),
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn similar_movies(
        &self,
        request: Request<v1::SimilarMoviesRequest>,
    ) -> Result<Response<v1::SimilarMoviesResponse>, Status> {
        self.arrive(&request).await?;
        let asked = v1::RecommendRequest { k: request.get_ref().k, ..Default::default() };
        let reply = answer(&asked);
        Ok(Response::new(v1::SimilarMoviesResponse {
            movies: reply.recommendations,
            model_version: reply.model_version,
            timings: reply.timings,
            basis: v1::SimilarityBasis::Blend.into(),
        }))
    }

    async fn explain_recommendation(
        &self,
        request: Request<v1::ExplainRecommendationRequest>,
    ) -> Result<Response<v1::ExplainRecommendationResponse>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(v1::ExplainRecommendationResponse { answered: true, ..Default::default() }))
    }

    async fn list_onboarding_movies(
        &self,
        request: Request<v1::ListOnboardingMoviesRequest>,
    ) -> Result<Response<v1::ListOnboardingMoviesResponse>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(v1::ListOnboardingMoviesResponse::default()))
    }

    async fn get_home_rows(
        &self,
        request: Request<v1::GetHomeRowsRequest>,
    ) -> Result<Response<v1::GetHomeRowsResponse>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(v1::GetHomeRowsResponse::default()))
    }

    async fn similar_users(
        &self,
        request: Request<v1::SimilarUsersRequest>,
    ) -> Result<Response<v1::SimilarUsersResponse>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(v1::SimilarUsersResponse::default()))
    }

    async fn encode_history(
        &self,
        request: Request<v1::EncodeHistoryRequest>,
    ) -> Result<Response<v1::EncodeHistoryResponse>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(v1::EncodeHistoryResponse { vector: vec![0.5, -0.25], ..Default::default() }))
    }
}

#[tonic::async_trait]
impl InteractionService for Fake {
    async fn record_interaction(
        &self,
        request: Request<v1::RecordInteractionRequest>,
    ) -> Result<Response<v1::RecordInteractionResponse>, Status> {
        let event = request.get_ref().clone();
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).push(event.into());
        self.arrive(&request).await?;
        Ok(Response::new(v1::RecordInteractionResponse { consistency_token: "t1".into(), duplicate: false }))
    }

    async fn record_interactions(
        &self,
        request: Request<Streaming<v1::RecordInteractionsRequest>>,
    ) -> Result<Response<v1::RecordInteractionsResponse>, Status> {
        self.arrive(&request).await?;
        let events: Vec<_> = request.into_inner().try_collect().await?;
        let interactions = events.iter().filter_map(|event| event.interaction.clone());
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).extend(interactions);
        Ok(Response::new(v1::RecordInteractionsResponse {
            accepted: events.len() as u64,
            ..Default::default()
        }))
    }

    async fn delete_interaction(
        &self,
        request: Request<v1::DeleteInteractionRequest>,
    ) -> Result<Response<v1::DeleteInteractionResponse>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(v1::DeleteInteractionResponse { consistency_token: "t2".into(), deleted: true }))
    }

    type WatchInteractionsStream =
        stream::Iter<std::vec::IntoIter<Result<v1::WatchInteractionsResponse, Status>>>;

    async fn watch_interactions(
        &self,
        request: Request<v1::WatchInteractionsRequest>,
    ) -> Result<Response<Self::WatchInteractionsStream>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(stream::iter(Vec::new())))
    }

    type ExportInteractionsStream =
        stream::Iter<std::vec::IntoIter<Result<v1::ExportInteractionsResponse, Status>>>;

    async fn export_interactions(
        &self,
        request: Request<v1::ExportInteractionsRequest>,
    ) -> Result<Response<Self::ExportInteractionsStream>, Status> {
        self.arrive(&request).await?;
        Ok(Response::new(stream::iter(Vec::new())))
    }
}
