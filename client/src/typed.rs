//! The methods of the API by name and type.

use std::time::{SystemTime, UNIX_EPOCH};

use futures::{Stream, StreamExt as _, stream};
use marquee_proto::methods::{catalog, interaction, operations, recommendation, rule, user, vector};
use marquee_proto::v1;
use prost_types::Timestamp;
use tonic::Status;
use tonic_prost::ProstCodec;

use crate::{Client, DeadlineStream};

macro_rules! unary_calls {
    ($($(#[$doc:meta])* $name:ident($request:ident) -> $reply:ident = $method:expr;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The server's status, after the repetitions that [`RetryPolicy`](crate::RetryPolicy) allows.
                pub async fn $name(&self, request: v1::$request) -> Result<v1::$reply, Status> {
                    self.unary($method.into(), ProstCodec::default(), request).await
                }
            )*
        }

        #[cfg(test)]
        const UNARY: &[marquee_proto::methods::Method] = &[$($method),*];
    };
}

unary_calls! {
    /// The best movies for a user or for a history that the request carries.
    recommend(RecommendRequest) -> RecommendResponse = recommendation::RECOMMEND;
    /// Several recommendations at once, each with an outcome of its own.
    recommend_batch(RecommendBatchRequest) -> RecommendBatchResponse = recommendation::RECOMMEND_BATCH;
    /// Why a movie is answered, or is not.
    explain_recommendation(ExplainRecommendationRequest) -> ExplainRecommendationResponse =
        recommendation::EXPLAIN_RECOMMENDATION;
    /// The movies most like one movie.
    similar_movies(SimilarMoviesRequest) -> SimilarMoviesResponse = recommendation::SIMILAR_MOVIES;
    /// Movies to ask a new user about.
    list_onboarding_movies(ListOnboardingMoviesRequest) -> ListOnboardingMoviesResponse =
        recommendation::LIST_ONBOARDING_MOVIES;
    /// A home page: rows of movies, and no movie twice.
    get_home_rows(GetHomeRowsRequest) -> GetHomeRowsResponse = recommendation::GET_HOME_ROWS;
    /// The users whose taste is most like one user's.
    similar_users(SimilarUsersRequest) -> SimilarUsersResponse = recommendation::SIMILAR_USERS;
    /// The user vector itself.
    encode_history(EncodeHistoryRequest) -> EncodeHistoryResponse = recommendation::ENCODE_HISTORY;
    /// One movie.
    get_movie(GetMovieRequest) -> GetMovieResponse = catalog::GET_MOVIE;
    /// Movies by title.
    search_movies(SearchMoviesRequest) -> SearchMoviesResponse = catalog::SEARCH_MOVIES;
    /// Titles while somebody types.
    suggest_movies(SuggestMoviesRequest) -> SuggestMoviesResponse = catalog::SUGGEST_MOVIES;
    /// All genres.
    list_genres(ListGenresRequest) -> ListGenresResponse = catalog::LIST_GENRES;
    /// A page of popular movies.
    list_popular_movies(ListPopularMoviesRequest) -> ListPopularMoviesResponse = catalog::LIST_POPULAR_MOVIES;
    /// A page of trending movies.
    list_trending_movies(ListTrendingMoviesRequest) -> ListTrendingMoviesResponse = catalog::LIST_TRENDING_MOVIES;
    /// Registers a user under the caller's id.
    register_user(RegisterUserRequest) -> RegisterUserResponse = user::REGISTER_USER;
    /// Says what a user without a history likes.
    set_preferences(SetPreferencesRequest) -> SetPreferencesResponse = user::SET_PREFERENCES;
    /// One user.
    get_user(GetUserRequest) -> GetUserResponse = user::GET_USER;
    /// Numbers about one user.
    get_user_stats(GetUserStatsRequest) -> GetUserStatsResponse = user::GET_USER_STATS;
    /// A page of a user's interactions, newest first.
    list_history(ListHistoryRequest) -> ListHistoryResponse = user::LIST_HISTORY;
    /// Removes everything of a user. A repeated call that finds nothing left answers 0 events.
    delete_user(DeleteUserRequest) -> DeleteUserResponse = user::DELETE_USER;
    /// What is best for a vector.
    search_vectors(SearchVectorsRequest) -> SearchVectorsResponse = vector::SEARCH_VECTORS;
    /// The vector of one movie.
    get_movie_vector(GetMovieVectorRequest) -> GetMovieVectorResponse = vector::GET_MOVIE_VECTOR;
    /// Adds or replaces a rule.
    put_rule(PutRuleRequest) -> PutRuleResponse = rule::PUT_RULE;
    /// One rule.
    get_rule(GetRuleRequest) -> GetRuleResponse = rule::GET_RULE;
    /// A page of rules, in the order in which they decide.
    list_rules(ListRulesRequest) -> ListRulesResponse = rule::LIST_RULES;
    /// Removes a rule. A repeated call that finds none says so.
    delete_rule(DeleteRuleRequest) -> DeleteRuleResponse = rule::DELETE_RULE;
    /// Numbers about the server.
    get_stats(GetStatsRequest) -> GetStatsResponse = operations::GET_STATS;
    /// The models that the server knows.
    list_models(ListModelsRequest) -> ListModelsResponse = operations::LIST_MODELS;
    /// Loads, checks and warms a bundle, and leaves its model on standby.
    load_model(LoadModelRequest) -> LoadModelResponse = operations::LOAD_MODEL;
    /// Makes a model the active one, loading its bundle first where one is named.
    activate_model(ActivateModelRequest) -> ActivateModelResponse = operations::ACTIVATE_MODEL;
    /// Lets a model go. A repeated call says NOT_FOUND.
    unload_model(UnloadModelRequest) -> UnloadModelResponse = operations::UNLOAD_MODEL;
}

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
        self.unary(interaction::RECORD_INTERACTION.into(), ProstCodec::default(), request).await
    }

    /// A stream of requests, answered in their order.
    ///
    /// ```no_run
    /// use futures::{StreamExt as _, stream};
    /// use marquee_client::Client;
    /// use marquee_proto::v1::{RecommendRequest, RecommendStreamRequest, recommend_request::Subject};
    ///
    /// # async fn example(client: Client) -> Result<(), tonic::Status> {
    /// let requests = stream::iter(1..=3).map(|user_id| {
    ///     let subject = Some(Subject::UserId(user_id));
    ///     RecommendStreamRequest { request: Some(RecommendRequest { subject, ..Default::default() }) }
    /// });
    /// let mut answers = client.recommend_stream(requests).await?;
    /// while let Some(answer) = answers.next().await {
    ///     println!("{:?}", answer?.outcome);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server's status, if it comes before the first answer.
    pub async fn recommend_stream(
        &self,
        requests: impl Stream<Item = v1::RecommendStreamRequest> + Send + 'static,
    ) -> Result<DeadlineStream<v1::RecommendStreamResponse>, Status> {
        self.streaming(recommendation::RECOMMEND_STREAM.into(), ProstCodec::default(), requests).await
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
        self.streaming(interaction::WATCH_INTERACTIONS.into(), ProstCodec::default(), stream::iter([request]))
            .await
    }

    /// The vectors of all movies, in parts.
    ///
    /// # Errors
    /// The server's status, if it comes before the first part.
    pub async fn export_vectors(
        &self,
        request: v1::ExportVectorsRequest,
    ) -> Result<DeadlineStream<v1::ExportVectorsResponse>, Status> {
        self.streaming(vector::EXPORT_VECTORS.into(), ProstCodec::default(), stream::iter([request])).await
    }

    /// Adds or replaces movies.
    ///
    /// # Errors
    /// The server's status.
    pub async fn import_movies(
        &self,
        movies: impl Stream<Item = v1::ImportMoviesRequest> + Send + 'static,
    ) -> Result<v1::ImportMoviesResponse, Status> {
        self.client_streaming(catalog::IMPORT_MOVIES.into(), ProstCodec::default(), movies).await
    }

    /// Records a stream of interactions. A missing `time` becomes the moment of sending.
    ///
    /// # Errors
    /// The server's status; interactions that were refused alone are in the reply.
    pub async fn record_interactions(
        &self,
        interactions: impl Stream<Item = v1::RecordInteractionsRequest> + Send + 'static,
    ) -> Result<v1::RecordInteractionsResponse, Status> {
        self.client_streaming(
            interaction::RECORD_INTERACTIONS.into(),
            ProstCodec::default(),
            interactions.map(with_time),
        )
        .await
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
    use marquee_proto::methods::{self, Streaming};

    use super::*;

    #[test]
    fn every_unary_method_of_the_api_is_one_of_the_client() {
        let mut written: Vec<&str> = UNARY.iter().map(|method| method.path).collect();
        written.push(interaction::RECORD_INTERACTION.path);
        let unary = methods::ALL.into_iter().filter(|method| method.streaming == Streaming::Neither);
        let mut declared: Vec<&str> = unary.map(|method| method.path).collect();
        written.sort_unstable();
        declared.sort_unstable();
        assert_eq!(written, declared);
    }
}
