//! The methods of the API by name and type.

use std::time::{SystemTime, UNIX_EPOCH};

use futures::{Stream, StreamExt as _, stream};
use marquee_proto::methods::{
    access, account, audit, catalog, experiment, interaction, job, model, operations, recommendation, rule,
    user, vector,
};
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
    /// A page of the catalogue, by ascending number.
    list_movies(ListMoviesRequest) -> ListMoviesResponse = catalog::LIST_MOVIES;
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
    /// Changes fields of movies.
    update_movies(UpdateMoviesRequest) -> UpdateMoviesResponse = catalog::UPDATE_MOVIES;
    /// Removes movies. A repeated call that finds none answers 0.
    delete_movies(DeleteMoviesRequest) -> DeleteMoviesResponse = catalog::DELETE_MOVIES;
    /// How many ratings there are of each value, of a movie or of all.
    get_rating_distribution(GetRatingDistributionRequest) -> GetRatingDistributionResponse = catalog::GET_RATING_DISTRIBUTION;
    /// Registers a user under the caller's id.
    register_user(RegisterUserRequest) -> RegisterUserResponse = user::REGISTER_USER;
    /// Says what a user without a history likes.
    set_preferences(SetPreferencesRequest) -> SetPreferencesResponse = user::SET_PREFERENCES;
    /// One user.
    get_user(GetUserRequest) -> GetUserResponse = user::GET_USER;
    /// A page of all users.
    list_users(ListUsersRequest) -> ListUsersResponse = user::LIST_USERS;
    /// Numbers about one user.
    get_user_stats(GetUserStatsRequest) -> GetUserStatsResponse = user::GET_USER_STATS;
    /// A page of a user's interactions, newest first.
    list_history(ListHistoryRequest) -> ListHistoryResponse = user::LIST_HISTORY;
    /// Removes one interaction.
    delete_interaction(DeleteInteractionRequest) -> DeleteInteractionResponse = interaction::DELETE_INTERACTION;
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
    /// The slowest calls of the last minutes, the slowest first.
    list_slow_calls(ListSlowCallsRequest) -> ListSlowCallsResponse = operations::LIST_SLOW_CALLS;
    /// The models that the server knows.
    list_models(ListModelsRequest) -> ListModelsResponse = operations::LIST_MODELS;
    /// Loads, checks and warms a bundle, and leaves its model on standby.
    load_model(LoadModelRequest) -> LoadModelResponse = operations::LOAD_MODEL;
    /// Makes a model the active one, loading its bundle first where one is named.
    activate_model(ActivateModelRequest) -> ActivateModelResponse = operations::ACTIVATE_MODEL;
    /// Makes the model that was active before the active one again. A repeated call goes back no further.
    roll_back_model(RollBackModelRequest) -> RollBackModelResponse = operations::ROLL_BACK_MODEL;
    /// A page of the versions of models that are kept, newest first.
    list_model_versions(ListModelVersionsRequest) -> ListModelVersionsResponse = model::LIST_MODEL_VERSIONS;
    /// One version of a model, with its card.
    get_model_version(GetModelVersionRequest) -> GetModelVersionResponse = model::GET_MODEL_VERSION;
    /// Gives a version of a model tags, and takes tags from it.
    tag_model_version(TagModelVersionRequest) -> TagModelVersionResponse = model::TAG_MODEL_VERSION;
    /// Removes a version of a model. A repeated call says NOT_FOUND.
    delete_model_version(DeleteModelVersionRequest) -> DeleteModelVersionResponse = model::DELETE_MODEL_VERSION;
    /// Lets a model go. A repeated call says NOT_FOUND.
    unload_model(UnloadModelRequest) -> UnloadModelResponse = operations::UNLOAD_MODEL;
    /// Makes an API key. A repeated call says ALREADY_EXISTS.
    create_key(CreateKeyRequest) -> CreateKeyResponse = access::CREATE_KEY;
    /// All API keys.
    list_keys(ListKeysRequest) -> ListKeysResponse = access::LIST_KEYS;
    /// Makes another key in the place of one.
    rotate_key(RotateKeyRequest) -> RotateKeyResponse = access::ROTATE_KEY;
    /// Makes an account and signs in. A repeated call says ALREADY_EXISTS.
    sign_up(SignUpRequest) -> SignUpResponse = account::SIGN_UP;
    /// Begins a session, whose token is given as an API key.
    sign_in(SignInRequest) -> SignInResponse = account::SIGN_IN;
    /// Ends the session of the caller, or all of its account.
    sign_out(SignOutRequest) -> SignOutResponse = account::SIGN_OUT;
    /// Who calls.
    who_am_i(WhoAmIRequest) -> WhoAmIResponse = account::WHO_AM_I;
    /// Gives the caller's account another password, and ends its other sessions.
    change_password(ChangePasswordRequest) -> ChangePasswordResponse = account::CHANGE_PASSWORD;
    /// Gives an account a password that signs in once.
    reset_password(ResetPasswordRequest) -> ResetPasswordResponse = account::RESET_PASSWORD;
    /// Lets an account own another user.
    link_user(LinkUserRequest) -> LinkUserResponse = account::LINK_USER;
    /// Removes the caller's account with its user.
    delete_account(DeleteAccountRequest) -> DeleteAccountResponse = account::DELETE_ACCOUNT;
    /// Refuses a key from now on.
    revoke_key(RevokeKeyRequest) -> RevokeKeyResponse = access::REVOKE_KEY;
    /// Asks for a job. A repeated call asks for another one.
    run_job(RunJobRequest) -> RunJobResponse = job::RUN_JOB;
    /// One job.
    get_job(GetJobRequest) -> GetJobResponse = job::GET_JOB;
    /// A page of jobs, newest first.
    list_jobs(ListJobsRequest) -> ListJobsResponse = job::LIST_JOBS;
    /// Asks a job to end.
    cancel_job(CancelJobRequest) -> CancelJobResponse = job::CANCEL_JOB;
    /// What jobs there can be.
    list_job_kinds(ListJobKindsRequest) -> ListJobKindsResponse = job::LIST_JOB_KINDS;
    /// When jobs run by themselves.
    list_schedules(ListSchedulesRequest) -> ListSchedulesResponse = job::LIST_SCHEDULES;
    /// Adds or replaces a schedule.
    put_schedule(PutScheduleRequest) -> PutScheduleResponse = job::PUT_SCHEDULE;
    /// Removes a schedule. A repeated call that finds none says so.
    delete_schedule(DeleteScheduleRequest) -> DeleteScheduleResponse = job::DELETE_SCHEDULE;
    /// Has a schedule rest.
    pause_schedule(PauseScheduleRequest) -> PauseScheduleResponse = job::PAUSE_SCHEDULE;
    /// Has a schedule go on.
    resume_schedule(ResumeScheduleRequest) -> ResumeScheduleResponse = job::RESUME_SCHEDULE;
    /// Keeps an experiment, which is not under way yet. A repeated call says ALREADY_EXISTS.
    create_experiment(CreateExperimentRequest) -> CreateExperimentResponse = experiment::CREATE_EXPERIMENT;
    /// How many users and days an experiment would take, from the past of the store.
    plan_experiment(PlanExperimentRequest) -> PlanExperimentResponse = experiment::PLAN_EXPERIMENT;
    /// One experiment.
    get_experiment(GetExperimentRequest) -> GetExperimentResponse = experiment::GET_EXPERIMENT;
    /// All experiments.
    list_experiments(ListExperimentsRequest) -> ListExperimentsResponse = experiment::LIST_EXPERIMENTS;
    /// Replaces what an experiment says.
    update_experiment(UpdateExperimentRequest) -> UpdateExperimentResponse = experiment::UPDATE_EXPERIMENT;
    /// Has an experiment divide users into its arms.
    start_experiment(StartExperimentRequest) -> StartExperimentResponse = experiment::START_EXPERIMENT;
    /// Has an experiment rest.
    pause_experiment(PauseExperimentRequest) -> PauseExperimentResponse = experiment::PAUSE_EXPERIMENT;
    /// Ends an experiment.
    stop_experiment(StopExperimentRequest) -> StopExperimentResponse = experiment::STOP_EXPERIMENT;
    /// What an experiment says so far, and what follows.
    get_results(GetResultsRequest) -> GetResultsResponse = experiment::GET_RESULTS;
    /// A page of what was recorded of calls, newest first.
    list_audit_records(ListAuditRecordsRequest) -> ListAuditRecordsResponse = audit::LIST_AUDIT_RECORDS;
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

    /// All interactions of a range of time, user by user. A stream that broke off goes on after its last `position`.
    ///
    /// # Errors
    /// The server's status, if it comes before the first part.
    pub async fn export_interactions(
        &self,
        request: v1::ExportInteractionsRequest,
    ) -> Result<DeadlineStream<v1::ExportInteractionsResponse>, Status> {
        self.streaming(
            interaction::EXPORT_INTERACTIONS.into(),
            ProstCodec::default(),
            stream::iter([request]),
        )
        .await
    }

    /// What the server did in periods of five seconds, those of the last minutes first.
    ///
    /// # Errors
    /// The server's status, if it comes before the first period.
    pub async fn watch_stats(
        &self,
        request: v1::WatchStatsRequest,
    ) -> Result<DeadlineStream<v1::WatchStatsResponse>, Status> {
        self.streaming(operations::WATCH_STATS.into(), ProstCodec::default(), stream::iter([request])).await
    }

    /// The results of an experiment, then whenever they are others.
    ///
    /// # Errors
    /// The server's status, if it comes before the first results.
    pub async fn watch_results(
        &self,
        request: v1::WatchResultsRequest,
    ) -> Result<DeadlineStream<v1::WatchResultsResponse>, Status> {
        self.streaming(experiment::WATCH_RESULTS.into(), ProstCodec::default(), stream::iter([request])).await
    }

    /// A job as it is, then whenever it is another or logs something; the stream ends with the job.
    ///
    /// # Errors
    /// The server's status, if it comes before the first message.
    pub async fn watch_job(
        &self,
        request: v1::WatchJobRequest,
    ) -> Result<DeadlineStream<v1::WatchJobResponse>, Status> {
        self.streaming(job::WATCH_JOB.into(), ProstCodec::default(), stream::iter([request])).await
    }

    /// Everything that is held about a user, a line each.
    ///
    /// # Errors
    /// The server's status, if it comes before the first line.
    pub async fn export_user(
        &self,
        request: v1::ExportUserRequest,
    ) -> Result<DeadlineStream<v1::ExportUserResponse>, Status> {
        self.streaming(user::EXPORT_USER.into(), ProstCodec::default(), stream::iter([request])).await
    }

    /// All records of the audit that fit, newest first.
    ///
    /// # Errors
    /// The server's status, if it comes before the first record.
    pub async fn export_audit_records(
        &self,
        request: v1::ExportAuditRecordsRequest,
    ) -> Result<DeadlineStream<v1::ExportAuditRecordsResponse>, Status> {
        let requests = stream::iter([request]);
        self.streaming(audit::EXPORT_AUDIT_RECORDS.into(), ProstCodec::default(), requests).await
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

    /// Uploads a bundle: first what it is to be called, then its files in parts. [`Client::upload_bundle`] makes them of a
    /// folder.
    ///
    /// # Errors
    /// The server's status.
    pub async fn upload_model(
        &self,
        parts: impl Stream<Item = v1::UploadModelRequest> + Send + 'static,
    ) -> Result<v1::UploadModelResponse, Status> {
        self.client_streaming(model::UPLOAD_MODEL.into(), ProstCodec::default(), parts).await
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
