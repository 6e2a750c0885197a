//! `marquee.v1.RecommendationService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt as _, future, stream};
use marquee_core::domain::MovieId;
use marquee_engine::Priority;
use marquee_proto::v1;
use marquee_proto::v1::recommendation_service_server::RecommendationService;
use marquee_retrieval::Method;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::catalog::Catalog;
use crate::edge::presets::Presets;
use crate::edge::shadows::{Beside, Shadows};
use crate::edge::{ApiError, Asker, KeyNumbers, arms, checked, convert, token};
use crate::experiments::{Experiments, Shadow};
use crate::recommend::{
    HomeQuestion, OnboardingQuestion, Question, Recommended, Recommender, RequestOptions, Similar,
    SimilarQuestion, SimilarUsers, Subject,
};

/// Movies answered when a request does not say how many.
const DEFAULT_K: u32 = 10;

/// Movies of the history that are tried as reasons when a request does not say how many.
const DEFAULT_EXPLAIN_NEWEST: u32 = 16;

/// Movies to ask a new user about when a request does not say how many.
const DEFAULT_ASKED: u32 = 20;

/// Movies of a row, and rows of a home page, when a request does not say how many.
const DEFAULT_ROW_SIZE: u32 = 10;
const DEFAULT_ROWS: u32 = 10;

/// Movies that the requests of a batch may want together: the reply is one message, and is kept until it is read.
const MAX_BATCH_MOVIES: u64 = 100_000;

/// The service.
#[derive(Clone)]
pub(crate) struct RecommendationApi {
    recommender: Arc<Recommender>,
    catalog: Arc<Catalog>,
    similar_users: Option<Arc<SimilarUsers>>,
    experiments: Arc<Experiments>,
    numbers: KeyNumbers,
    unsaid: Arc<Unsaid>,
    shadows: Shadows,
}

/// What requests mean that do not say it.
#[derive(Clone, Debug, Default)]
pub struct Unsaid {
    /// How candidates are found.
    pub method: Method,
    /// Named objectives.
    pub presets: Presets,
}

impl RecommendationApi {
    /// The service over a pipeline, its catalogue, who finds users, if anybody does, the experiments, and who knows users
    /// and movies by keys.
    pub(crate) fn new(
        recommender: Arc<Recommender>,
        catalog: Arc<Catalog>,
        similar_users: Option<Arc<SimilarUsers>>,
        experiments: Arc<Experiments>,
        numbers: KeyNumbers,
        unsaid: Unsaid,
    ) -> Self {
        let (unsaid, shadows) = (Arc::new(unsaid), Shadows::new());
        Self { recommender, catalog, similar_users, experiments, numbers, unsaid, shadows }
    }

    async fn answer(
        &self,
        asker: &Asker,
        request: v1::RecommendRequest,
        of_method: Priority,
        deadline: Option<Instant>,
        reasons_by: Option<Instant>,
    ) -> Result<v1::RecommendResponse, ApiError> {
        let mut request = self.numbers.read(asker, request).await?;
        let mut taken = arms::apply(&self.experiments, asker, &mut request).await?;
        let asked = |request| {
            let mut question = question(request, of_method, &self.unsaid, deadline)?;
            question.options.reasons_by = reasons_by;
            Ok::<_, ApiError>(question)
        };
        let question = asked(request)?;
        let answered = match taken.as_mut().and_then(|taken| Some((taken.take_rival()?, taken))) {
            None => self.recommender.recommend(&question).await.map(response),
            Some((rival, taken)) => {
                let rival = asked(rival)?;
                // Most requests are answered by one arm at most, and none shall carry the future of two.
                let both = Box::pin(future::try_join(
                    self.recommender.recommend(&question),
                    self.recommender.recommend(&rival),
                ));
                both.await.map(|(one, other)| taken.merge(response(one), response(other), question.k))
            }
        };
        match (answered, taken) {
            (Ok(mut reply), taken) => {
                if let Some(taken) = taken {
                    let shadows = taken.shadows();
                    taken.tell(&self.experiments, &mut reply);
                    self.shadow(shadows, &question, &reply);
                }
                Ok(reply)
            }
            (Err(error), taken) => {
                let error = ApiError::from(error);
                if let Some(taken) = taken.filter(|_| error.code() != Code::InvalidArgument) {
                    taken.tell_of_failure(&self.experiments);
                }
                Err(error)
            }
        }
    }

    /// Has models in the shadow answer too.
    fn shadow(&self, shadows: Vec<(String, Shadow)>, question: &Question, reply: &v1::RecommendResponse) {
        let Subject::User(user_id) = question.subject else { return };
        for (experiment, shadow) in shadows {
            let answer = reply.recommendations.iter().map(|movie| movie.movie_id).collect();
            let answer_us = reply.timings.map_or(0, |timings| timings.total_us).into();
            let beside = Beside { experiment, shadow, user_id, answer, answer_us };
            self.shadows.begin(&self.recommender, &self.experiments, question.clone(), beside);
        }
    }

    /// One of many answers. Its reasons take no more than their share of the time, if `rounds` of answers follow one
    /// another until the deadline.
    async fn outcome(
        &self,
        asker: &Asker,
        request: v1::RecommendRequest,
        deadline: Option<Instant>,
        rounds: u32,
    ) -> v1::RecommendOutcome {
        use v1::recommend_outcome::Outcome;
        let reasons_by = deadline.map(|deadline| share_of_time(Instant::now(), deadline, rounds));
        let answer = self.answer(asker, request, Priority::Bulk, deadline, reasons_by).await;
        let outcome = match answer {
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
        let asker = Asker::of(request.extensions());
        let answer = self.answer(&asker, request.into_inner(), priority, deadline, None).await?;
        let timings = answer.timings;
        Ok(convert::timed(answer, timings))
    }

    async fn recommend_batch(
        &self,
        request: Request<v1::RecommendBatchRequest>,
    ) -> Result<Response<v1::RecommendBatchResponse>, Status> {
        let deadline = convert::deadline(&request);
        let asker = &Asker::of(request.extensions());
        let requests = request.into_inner().requests;
        let wanted: u64 = requests.iter().map(|request| u64::from(request.k.unwrap_or(DEFAULT_K))).sum();
        if wanted > MAX_BATCH_MOVIES {
            let described = format!(
                "want {wanted} movies together; at most {MAX_BATCH_MOVIES} are accepted, send them in parts"
            );
            return Err(ApiError::invalid("requests", described).into());
        }
        let (count, at_once) = (requests.len(), self.recommender.at_once());
        let rounds = move |place: usize| u32::try_from((count - place).div_ceil(at_once)).unwrap_or(u32::MAX);
        let outcomes = stream::iter(requests.into_iter().enumerate())
            .map(|(place, request)| self.outcome(asker, request, deadline, rounds(place)))
            .buffered(at_once)
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
        let asker = Asker::of(request.extensions());
        let service = self.clone();
        let at_once = self.recommender.at_once();
        let answers = request
            .into_inner()
            .map(move |request| {
                let (service, asker) = (service.clone(), asker.clone());
                async move {
                    let request = request?
                        .request
                        .ok_or_else(|| Status::from(ApiError::invalid("request", "must be there")))?;
                    let outcome = Some(service.outcome(&asker, request, deadline, 1).await);
                    Ok(v1::RecommendStreamResponse { outcome })
                }
            })
            .buffered(at_once);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn explain_recommendation(
        &self,
        request: Request<v1::ExplainRecommendationRequest>,
    ) -> Result<Response<v1::ExplainRecommendationResponse>, Status> {
        let deadline = convert::deadline(&request);
        let request = self.numbers.valid(request).await?;
        let movie_id = request.movie_id();
        let question = question(explained(request), Priority::Interactive, &self.unsaid, deadline)?;
        let verdict = self.recommender.explain(&question, movie_id).await.map_err(ApiError::from)?;
        Ok(Response::new(convert::verdict(verdict)))
    }

    async fn similar_movies(
        &self,
        request: Request<v1::SimilarMoviesRequest>,
    ) -> Result<Response<v1::SimilarMoviesResponse>, Status> {
        let deadline = convert::deadline(&request);
        let request = self.numbers.valid(request).await?;
        let question = SimilarQuestion {
            movie_id: request.movie_id(),
            k: request.k.unwrap_or(DEFAULT_K) as usize,
            basis: convert::basis(request.basis()),
            filter: convert::filter(request.filter)?,
            options: options(request.model_version, Priority::Interactive, deadline),
        };
        let Similar { movies, basis } = self.recommender.similar(&question).await.map_err(ApiError::from)?;
        let timings = Some(convert::timings(&movies.timings));
        let reply = v1::SimilarMoviesResponse {
            timings,
            model_version: movies.model_version.unwrap_or_default(),
            movies: movies.picks.iter().map(convert::recommendation).collect(),
            basis: convert::basis_used(basis).into(),
        };
        Ok(convert::timed(reply, timings))
    }

    async fn list_onboarding_movies(
        &self,
        request: Request<v1::ListOnboardingMoviesRequest>,
    ) -> Result<Response<v1::ListOnboardingMoviesResponse>, Status> {
        let deadline = convert::deadline(&request);
        let request = self.numbers.valid(request).await?;
        let question = OnboardingQuestion {
            k: request.k.unwrap_or(DEFAULT_ASKED) as usize,
            filter: convert::filter(request.filter)?,
            options: options(request.model_version, Priority::Interactive, deadline),
        };
        let onboarding = self.recommender.onboarding(&question).await.map_err(ApiError::from)?;
        let movies = self.catalog.movies();
        let movie = |id: MovieId| convert::movie(&self.catalog, &movies, movies.index_of(id)?);
        Ok(Response::new(v1::ListOnboardingMoviesResponse {
            movies: onboarding.movie_ids.into_iter().filter_map(movie).collect(),
            model_version: onboarding.model_version.unwrap_or_default(),
        }))
    }

    async fn get_home_rows(
        &self,
        request: Request<v1::GetHomeRowsRequest>,
    ) -> Result<Response<v1::GetHomeRowsResponse>, Status> {
        use v1::get_home_rows_request::Subject as Wire;
        let deadline = convert::deadline(&request);
        let request = self.numbers.valid(request).await?;
        let subject = match request.subject {
            Some(Wire::UserId(user_id)) => Subject::User(user_id),
            Some(Wire::History(history)) => Subject::History(history.movie_ids),
            Some(Wire::UserKey(_)) | None => return Err(no_subject().into()),
        };
        let question = HomeQuestion {
            subject,
            row_size: request.row_size.unwrap_or(DEFAULT_ROW_SIZE) as usize,
            rows: request.rows.unwrap_or(DEFAULT_ROWS) as usize,
            method: self.unsaid.method,
            objective: self.unsaid.presets.of(&request.preset)?.objective(),
            filter: convert::filter(request.filter)?,
            consistency_token: token::read(&request.consistency_token)?,
            options: options(request.model_version, Priority::Interactive, deadline),
        };
        let page = self.recommender.home(&question).await.map_err(ApiError::from)?;
        let timings = Some(convert::timings(&page.timings));
        let reply = v1::GetHomeRowsResponse {
            rows: page.rows.iter().map(convert::home_row).collect(),
            model_version: page.model_version.unwrap_or_default(),
            timings,
        };
        Ok(convert::timed(reply, timings))
    }

    async fn similar_users(
        &self,
        request: Request<v1::SimilarUsersRequest>,
    ) -> Result<Response<v1::SimilarUsersResponse>, Status> {
        let deadline = convert::deadline(&request);
        let request = self.numbers.valid(request).await?;
        let similar_users = self.similar_users.as_ref().ok_or(ApiError::SimilarUsersOff)?;
        let k = request.k.unwrap_or(DEFAULT_K) as usize;
        let options = options(String::new(), Priority::Interactive, deadline);
        let found = similar_users.like_user(request.user_id(), k, &options).await.map_err(ApiError::from)?;
        let mut users = Vec::with_capacity(found.users.len());
        for (user_id, cosine) in found.users {
            users.push(v1::SimilarUser { user_id, user_key: self.numbers.of_user(user_id).await?, cosine });
        }
        Ok(Response::new(v1::SimilarUsersResponse { users, model_version: found.model_version }))
    }

    async fn encode_history(
        &self,
        request: Request<v1::EncodeHistoryRequest>,
    ) -> Result<Response<v1::EncodeHistoryResponse>, Status> {
        use v1::encode_history_request::Subject as Wire;
        let deadline = convert::deadline(&request);
        let priority = convert::priority(request.get_ref().priority(), Priority::Interactive);
        convert::stand_in_line(&request, priority)?;
        let request = self.numbers.valid(request).await?;
        let subject = match request.subject {
            Some(Wire::UserId(user_id)) => Subject::User(user_id),
            Some(Wire::History(history)) => Subject::History(history.movie_ids),
            Some(Wire::UserKey(_)) | None => return Err(no_subject().into()),
        };
        let options = options(request.model_version, priority, deadline);
        let encoded = self.recommender.encode(&subject, &options).await.map_err(ApiError::from)?;
        let timings = Some(convert::timings(&encoded.timings));
        let reply = v1::EncodeHistoryResponse {
            vector: encoded.vector.to_vec(),
            model_version: encoded.model_version,
            timings,
            ignored_history_movies: encoded.ignored as u32,
        };
        Ok(convert::timed(reply, timings))
    }
}

/// What a request asks of the pipeline, once its constraints hold; `of_method` is the priority of those
/// that name none.
///
/// # Errors
/// [`ApiError`] that names the field.
pub fn question(
    request: v1::RecommendRequest,
    of_method: Priority,
    unsaid: &Unsaid,
    deadline: Option<Instant>,
) -> Result<Question, ApiError> {
    use v1::recommend_request::Subject as Wire;
    let request = checked(request)?;
    let consistency_token = token::read(&request.consistency_token)?;
    let priority = convert::priority(request.priority(), of_method);
    let method = convert::method(request.method(), unsaid.method);
    let k = request.k.unwrap_or(DEFAULT_K);
    if let Some(limit) = request.candidates_limit.filter(|limit| *limit < k) {
        return Err(ApiError::invalid("candidates_limit", format!("is {limit}, below k, which is {k}")));
    }
    let knobs = convert::knobs(&request).or(unsaid.presets.of(&request.preset)?);
    let explain_newest = request.explain_newest.unwrap_or(DEFAULT_EXPLAIN_NEWEST) as usize;
    let subject = match request.subject {
        Some(Wire::UserId(user_id)) => Subject::User(user_id),
        Some(Wire::History(history)) => Subject::History(history.movie_ids),
        Some(Wire::UserKey(_)) | None => return Err(no_subject()),
    };
    Ok(Question {
        subject,
        k: k as usize,
        method,
        objective: knobs.objective(),
        exploration: convert::exploration(&knobs, request.seed),
        filter: convert::filter(request.filter)?,
        exclude_seen: request.exclude_seen.unwrap_or(true),
        context: request.context,
        consistency_token,
        explain_newest: request.explain.unwrap_or_default().then_some(explain_newest),
        options: options(request.model_version, priority, deadline),
    })
}

/// The request whose answer is explained: exact, so that a place in the ranking says what is answered.
fn explained(request: v1::ExplainRecommendationRequest) -> v1::RecommendRequest {
    use v1::explain_recommendation_request::Subject as Asked;
    use v1::recommend_request::Subject as Wire;
    v1::RecommendRequest {
        subject: request.subject.map(|subject| match subject {
            Asked::UserId(user_id) => Wire::UserId(user_id),
            Asked::UserKey(key) => Wire::UserKey(key),
            Asked::History(history) => Wire::History(history),
        }),
        k: request.k,
        method: v1::Method::Exact.into(),
        filter: request.filter,
        exclude_seen: request.exclude_seen,
        model_version: request.model_version,
        consistency_token: request.consistency_token,
        context: request.context,
        preset: request.preset,
        explain: Some(true),
        explain_newest: request.explain_newest,
        new_movie_slots: Some(0),
        ..v1::RecommendRequest::default()
    }
}

/// When the first of so many rounds of equal length is over that begin now and end at the deadline.
fn share_of_time(now: Instant, deadline: Instant, rounds: u32) -> Instant {
    now + deadline.saturating_duration_since(now) / rounds.max(1)
}

fn no_subject() -> ApiError {
    ApiError::invalid("subject", "must be there: a user_id, or a history")
}

pub(super) fn options(
    model_version: String,
    priority: Priority,
    deadline: Option<Instant>,
) -> RequestOptions {
    let model_version = (!model_version.is_empty()).then_some(model_version);
    RequestOptions { model_version, priority, deadline, reasons_by: None }
}

/// An answer of the pipeline in the wire's types.
pub fn response(recommended: Recommended) -> v1::RecommendResponse {
    let mut recommendations: Vec<_> = recommended.picks.iter().map(convert::recommendation).collect();
    let explanation = recommended.explanation.as_deref();
    let reasons = explanation.into_iter().flat_map(|explanation| &explanation.movies);
    for (movie, reasons) in recommendations.iter_mut().zip(reasons) {
        convert::explain(movie, reasons);
    }
    v1::RecommendResponse {
        timings: Some(convert::timings(&recommended.timings)),
        model_version: recommended.model_version.unwrap_or_default(),
        method: convert::method_used(recommended.method).into(),
        source: convert::source(recommended.source).into(),
        ignored_history_movies: recommended.ignored as u32,
        seed: recommended.seed,
        recommendations,
        explanation: explanation.map(convert::explanation),
        experiments: Vec::new(),
        exposure_id: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reasons_have_their_share_of_the_time_that_is_left() {
        let (now, minute) = (Instant::now(), Duration::from_mins(1));
        assert_eq!(share_of_time(now, now + minute, 3), now + minute / 3);
        assert_eq!(share_of_time(now, now + minute, 1), now + minute);
        assert_eq!(share_of_time(now, now + minute, 0), now + minute);
        assert_eq!(share_of_time(now + minute, now, 3), now + minute, "the deadline is over");
    }
}
