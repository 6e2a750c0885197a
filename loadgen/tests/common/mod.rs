//! A real gRPC server whose behaviour a request chooses by its `k`, so that tests need no timing. `Recommend` is
//! answered over the other protocols too ([`http`]).

mod http;

use std::pin::Pin;

use marquee_proto::v1;
use marquee_proto::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use marquee_proto::v1::recommendation_service_server::{RecommendationService, RecommendationServiceServer};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

/// A request with this `k` is refused.
pub(crate) const REFUSED: u32 = 499;
/// A request with this `k` is never answered.
pub(crate) const SILENT: u32 = 498;
/// A request with this `k` is answered after two milliseconds.
pub(crate) const SLOW: u32 = 497;

struct Recommender;

async fn answer(request: &v1::RecommendRequest) -> Result<v1::RecommendResponse, Status> {
    match request.k {
        Some(REFUSED) => return Err(Status::resource_exhausted("the queue is full; try again in 5 ms")),
        Some(SILENT) => std::future::pending().await,
        Some(SLOW) => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
        _ => {}
    }
    Ok(v1::RecommendResponse {
        recommendations: vec![
            v1::Recommendation {
                movie_id: 296,
                title: "Pulp Fiction (1994)".to_owned(),
                ..Default::default()
            };
            request.k.unwrap_or(10).min(100) as usize
        ],
        timings: Some(v1::Timings { total_us: 900, encode_us: 700, other_us: 200, ..Default::default() }),
        ..Default::default()
    })
}

fn outcome(result: Result<v1::RecommendResponse, Status>) -> v1::RecommendOutcome {
    use v1::recommend_outcome::Outcome;
    let outcome = match result {
        Ok(response) => Outcome::Response(response),
        Err(status) => Outcome::Error(v1::CallError { code: status.code().into(), ..Default::default() }),
    };
    v1::RecommendOutcome { outcome: Some(outcome) }
}

#[tonic::async_trait]
impl RecommendationService for Recommender {
    async fn recommend(
        &self,
        request: Request<v1::RecommendRequest>,
    ) -> Result<Response<v1::RecommendResponse>, Status> {
        answer(request.get_ref()).await.map(Response::new)
    }

    async fn recommend_batch(
        &self,
        request: Request<v1::RecommendBatchRequest>,
    ) -> Result<Response<v1::RecommendBatchResponse>, Status> {
        let mut outcomes = Vec::new();
        for request in &request.get_ref().requests {
            outcomes.push(outcome(answer(request).await));
        }
        Ok(Response::new(v1::RecommendBatchResponse { outcomes }))
    }

    type RecommendStreamStream =
        Pin<Box<dyn futures::Stream<Item = Result<v1::RecommendStreamResponse, Status>> + Send>>;

    async fn recommend_stream(
        &self,
        request: Request<Streaming<v1::RecommendStreamRequest>>,
    ) -> Result<Response<Self::RecommendStreamStream>, Status> {
        let answers = request.into_inner().then(|message| async {
            let request = message?.request.unwrap_or_default();
            Ok(v1::RecommendStreamResponse { outcome: Some(outcome(answer(&request).await)) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn similar_movies(
        &self,
        _: Request<v1::SimilarMoviesRequest>,
    ) -> Result<Response<v1::SimilarMoviesResponse>, Status> {
        Ok(Response::new(v1::SimilarMoviesResponse::default()))
    }

    async fn explain_recommendation(
        &self,
        _: Request<v1::ExplainRecommendationRequest>,
    ) -> Result<Response<v1::ExplainRecommendationResponse>, Status> {
        Ok(Response::new(v1::ExplainRecommendationResponse::default()))
    }

    async fn list_onboarding_movies(
        &self,
        _: Request<v1::ListOnboardingMoviesRequest>,
    ) -> Result<Response<v1::ListOnboardingMoviesResponse>, Status> {
        Ok(Response::new(v1::ListOnboardingMoviesResponse::default()))
    }

    async fn get_home_rows(
        &self,
        _: Request<v1::GetHomeRowsRequest>,
    ) -> Result<Response<v1::GetHomeRowsResponse>, Status> {
        Ok(Response::new(v1::GetHomeRowsResponse::default()))
    }

    async fn similar_users(
        &self,
        _: Request<v1::SimilarUsersRequest>,
    ) -> Result<Response<v1::SimilarUsersResponse>, Status> {
        Ok(Response::new(v1::SimilarUsersResponse::default()))
    }

    async fn encode_history(
        &self,
        _: Request<v1::EncodeHistoryRequest>,
    ) -> Result<Response<v1::EncodeHistoryResponse>, Status> {
        Ok(Response::new(v1::EncodeHistoryResponse::default()))
    }
}

struct Movies;

#[tonic::async_trait]
impl CatalogService for Movies {
    async fn list_popular_movies(
        &self,
        request: Request<v1::ListPopularMoviesRequest>,
    ) -> Result<Response<v1::ListPopularMoviesResponse>, Status> {
        // Two pages of a hundred movies.
        let first = if request.get_ref().page_token.is_empty() { 1 } else { 101 };
        let movie = |movie_id| v1::Movie {
            movie_id,
            title: format!("Movie {movie_id} (1999)"),
            ..Default::default()
        };
        Ok(Response::new(v1::ListPopularMoviesResponse {
            movies: (first..first + 100).map(movie).collect(),
            next_page_token: if first == 1 { "2".to_owned() } else { String::new() },
        }))
    }

    async fn get_movie(
        &self,
        _: Request<v1::GetMovieRequest>,
    ) -> Result<Response<v1::GetMovieResponse>, Status> {
        Ok(Response::new(v1::GetMovieResponse::default()))
    }

    async fn list_movies(
        &self,
        _: Request<v1::ListMoviesRequest>,
    ) -> Result<Response<v1::ListMoviesResponse>, Status> {
        Ok(Response::new(v1::ListMoviesResponse::default()))
    }

    async fn search_movies(
        &self,
        _: Request<v1::SearchMoviesRequest>,
    ) -> Result<Response<v1::SearchMoviesResponse>, Status> {
        Ok(Response::new(v1::SearchMoviesResponse::default()))
    }

    async fn suggest_movies(
        &self,
        _: Request<v1::SuggestMoviesRequest>,
    ) -> Result<Response<v1::SuggestMoviesResponse>, Status> {
        Ok(Response::new(v1::SuggestMoviesResponse::default()))
    }

    async fn list_genres(
        &self,
        _: Request<v1::ListGenresRequest>,
    ) -> Result<Response<v1::ListGenresResponse>, Status> {
        Ok(Response::new(v1::ListGenresResponse::default()))
    }

    async fn get_rating_distribution(
        &self,
        _: Request<v1::GetRatingDistributionRequest>,
    ) -> Result<Response<v1::GetRatingDistributionResponse>, Status> {
        Ok(Response::new(v1::GetRatingDistributionResponse::default()))
    }

    async fn list_trending_movies(
        &self,
        _: Request<v1::ListTrendingMoviesRequest>,
    ) -> Result<Response<v1::ListTrendingMoviesResponse>, Status> {
        Ok(Response::new(v1::ListTrendingMoviesResponse::default()))
    }

    async fn import_movies(
        &self,
        _: Request<Streaming<v1::ImportMoviesRequest>>,
    ) -> Result<Response<v1::ImportMoviesResponse>, Status> {
        Err(Status::unimplemented("the test server imports nothing"))
    }

    async fn update_movies(
        &self,
        _: Request<v1::UpdateMoviesRequest>,
    ) -> Result<Response<v1::UpdateMoviesResponse>, Status> {
        Ok(Response::new(v1::UpdateMoviesResponse::default()))
    }

    async fn delete_movies(
        &self,
        _: Request<v1::DeleteMoviesRequest>,
    ) -> Result<Response<v1::DeleteMoviesResponse>, Status> {
        Ok(Response::new(v1::DeleteMoviesResponse::default()))
    }
}

/// Streams that a client may reset before they are accepted.
const PENDING_RESETS: usize = 1024;

/// Serves on `listener` until the runtime ends.
pub(crate) async fn serve_on(listener: tokio::net::TcpListener) -> Result<(), tonic::transport::Error> {
    // Without it a reply waits for the client's delayed acknowledgement: 40 ms.
    let sockets = TcpListenerStream::new(listener).map(|socket| {
        let socket = socket?;
        socket.set_nodelay(true)?;
        Ok::<_, std::io::Error>(socket)
    });
    let services = Routes::new(RecommendationServiceServer::new(Recommender))
        .add_service(CatalogServiceServer::new(Movies))
        .into_axum_router()
        .layer(axum::middleware::from_fn(http::answer));
    tonic::transport::Server::builder()
        .accept_http1(true)
        // Calls that are cancelled before a busy machine has accepted them would otherwise be taken for an attack.
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .add_routes(Routes::from(services))
        .serve_with_incoming(sockets)
        .await
}
