//! The methods of the API by name and type.
//!
//! Each unary method says whether it may be repeated as the proto does (`idempotency_level`); a test
//! compares the two.

use std::time::{SystemTime, UNIX_EPOCH};

use futures::{Stream, StreamExt as _, stream};
use marquee_proto::v1;
use prost_types::Timestamp;
use tonic::Status;
use tonic_prost::ProstCodec;

use crate::{Client, DeadlineStream, Method, Repeat};

macro_rules! unary_calls {
    ($($(#[$doc:meta])* $name:ident($request:ident) -> $reply:ident = $path:literal, $repeat:ident;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The server's status, after the repetitions that [`RetryPolicy`](crate::RetryPolicy) allows.
                pub async fn $name(&self, request: v1::$request) -> Result<v1::$reply, Status> {
                    let method = Method::known($path, Repeat::$repeat);
                    self.unary(method, ProstCodec::default(), request).await
                }
            )*
        }

        #[cfg(test)]
        const UNARY: &[(&str, Repeat)] = &[$(($path, Repeat::$repeat)),*];
    };
}

unary_calls! {
    /// The best movies for a user or for a history that the request carries.
    recommend(RecommendRequest) -> RecommendResponse = "/marquee.v1.RecommendationService/Recommend", Allowed;
    /// Several recommendations at once, each with an outcome of its own.
    recommend_batch(RecommendBatchRequest) -> RecommendBatchResponse = "/marquee.v1.RecommendationService/RecommendBatch", Allowed;
    /// The movies most like one movie.
    similar_movies(SimilarMoviesRequest) -> SimilarMoviesResponse = "/marquee.v1.RecommendationService/SimilarMovies", Allowed;
    /// The user vector itself.
    encode_history(EncodeHistoryRequest) -> EncodeHistoryResponse = "/marquee.v1.RecommendationService/EncodeHistory", Allowed;
    /// One movie.
    get_movie(GetMovieRequest) -> GetMovieResponse = "/marquee.v1.CatalogService/GetMovie", Allowed;
    /// Movies by title.
    search_movies(SearchMoviesRequest) -> SearchMoviesResponse = "/marquee.v1.CatalogService/SearchMovies", Allowed;
    /// All genres.
    list_genres(ListGenresRequest) -> ListGenresResponse = "/marquee.v1.CatalogService/ListGenres", Allowed;
    /// A page of popular movies.
    list_popular_movies(ListPopularMoviesRequest) -> ListPopularMoviesResponse = "/marquee.v1.CatalogService/ListPopularMovies", Allowed;
    /// A page of trending movies.
    list_trending_movies(ListTrendingMoviesRequest) -> ListTrendingMoviesResponse = "/marquee.v1.CatalogService/ListTrendingMovies", Allowed;
    /// Registers a user under the caller's id.
    register_user(RegisterUserRequest) -> RegisterUserResponse = "/marquee.v1.UserService/RegisterUser", Allowed;
    /// Says what a user without a history likes.
    set_preferences(SetPreferencesRequest) -> SetPreferencesResponse = "/marquee.v1.UserService/SetPreferences", Allowed;
    /// One user.
    get_user(GetUserRequest) -> GetUserResponse = "/marquee.v1.UserService/GetUser", Allowed;
    /// Numbers about one user.
    get_user_stats(GetUserStatsRequest) -> GetUserStatsResponse = "/marquee.v1.UserService/GetUserStats", Allowed;
    /// A page of a user's interactions, newest first.
    list_history(ListHistoryRequest) -> ListHistoryResponse = "/marquee.v1.UserService/ListHistory", Allowed;
    /// Removes everything of a user. A repeated call that finds nothing left answers 0 events.
    delete_user(DeleteUserRequest) -> DeleteUserResponse = "/marquee.v1.UserService/DeleteUser", Allowed;
    /// Numbers about the server.
    get_stats(GetStatsRequest) -> GetStatsResponse = "/marquee.v1.OperationsService/GetStats", Allowed;
    /// The models that the server knows.
    list_models(ListModelsRequest) -> ListModelsResponse = "/marquee.v1.OperationsService/ListModels", Allowed;
    /// Loads, checks and warms a bundle, and makes it the active model.
    activate_model(ActivateModelRequest) -> ActivateModelResponse = "/marquee.v1.OperationsService/ActivateModel", Allowed;
}

const RECORD_INTERACTION: &str = "/marquee.v1.InteractionService/RecordInteraction";

impl Client {
    /// Records one interaction. A missing `time` becomes now, once, so that a repeated attempt is the
    /// same event.
    ///
    /// # Errors
    /// The server's status, after the repetitions that [`RetryPolicy`](crate::RetryPolicy) allows.
    pub async fn record_interaction(
        &self,
        mut request: v1::RecordInteractionRequest,
    ) -> Result<v1::RecordInteractionResponse, Status> {
        request.time.get_or_insert_with(now);
        let method = Method::known(RECORD_INTERACTION, Repeat::Allowed);
        self.unary(method, ProstCodec::default(), request).await
    }

    /// A stream of requests, answered in their order.
    ///
    /// # Errors
    /// The server's status, if it comes before the first answer.
    pub async fn recommend_stream(
        &self,
        requests: impl Stream<Item = v1::RecommendStreamRequest> + Send + 'static,
    ) -> Result<DeadlineStream<v1::RecommendStreamResponse>, Status> {
        let method = Method::known("/marquee.v1.RecommendationService/RecommendStream", Repeat::Forbidden);
        self.streaming(method, ProstCodec::default(), requests).await
    }

    /// Interactions as they are recorded. The stream ends with an error when the server ends or the
    /// caller is too slow; send the last `position` as `after` to go on.
    ///
    /// # Errors
    /// The server's status, if it comes before the first interaction.
    pub async fn watch_interactions(
        &self,
        request: v1::WatchInteractionsRequest,
    ) -> Result<DeadlineStream<v1::WatchInteractionsResponse>, Status> {
        let method = Method::known("/marquee.v1.InteractionService/WatchInteractions", Repeat::Forbidden);
        self.streaming(method, ProstCodec::default(), stream::iter([request])).await
    }

    /// Adds or replaces movies.
    ///
    /// # Errors
    /// The server's status.
    pub async fn import_movies(
        &self,
        movies: impl Stream<Item = v1::ImportMoviesRequest> + Send + 'static,
    ) -> Result<v1::ImportMoviesResponse, Status> {
        let method = Method::known("/marquee.v1.CatalogService/ImportMovies", Repeat::Forbidden);
        self.client_streaming(method, ProstCodec::default(), movies).await
    }

    /// Records a stream of interactions. A missing `time` becomes the moment of sending.
    ///
    /// # Errors
    /// The server's status; interactions that were refused alone are in the reply.
    pub async fn record_interactions(
        &self,
        interactions: impl Stream<Item = v1::RecordInteractionsRequest> + Send + 'static,
    ) -> Result<v1::RecordInteractionsResponse, Status> {
        let method = Method::known("/marquee.v1.InteractionService/RecordInteractions", Repeat::Forbidden);
        self.client_streaming(method, ProstCodec::default(), interactions.map(with_time)).await
    }
}

fn with_time(mut request: v1::RecordInteractionsRequest) -> v1::RecordInteractionsRequest {
    if let Some(interaction) = &mut request.interaction {
        interaction.time.get_or_insert_with(now);
    }
    request
}

/// This moment, to the millisecond: events differ by no less.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs() as i64, nanos: (since.subsec_millis() * 1_000_000) as i32 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use prost_types::method_options::IdempotencyLevel;

    use super::*;

    #[test]
    fn the_methods_and_what_may_be_repeated_are_those_of_the_protos() {
        let set = FileDescriptorSet::decode(marquee_proto::DESCRIPTOR_SET).unwrap();
        let mut declared = BTreeMap::new();
        for file in set.file.iter().filter(|file| file.package() == "marquee.v1") {
            for service in &file.service {
                let unary =
                    |m: &&prost_types::MethodDescriptorProto| !m.client_streaming() && !m.server_streaming();
                for method in service.method.iter().filter(unary) {
                    let level = method.options.clone().unwrap_or_default().idempotency_level();
                    let repeat = match level {
                        IdempotencyLevel::IdempotencyUnknown => Repeat::Forbidden,
                        _ => Repeat::Allowed,
                    };
                    declared.insert(format!("/marquee.v1.{}/{}", service.name(), method.name()), repeat);
                }
            }
        }
        let mut written: BTreeMap<_, _> =
            UNARY.iter().map(|(path, repeat)| ((*path).to_owned(), *repeat)).collect();
        written.insert(RECORD_INTERACTION.to_owned(), Repeat::Allowed);
        assert_eq!(written, declared);
    }
}
