//! Recommendations, through the socket.

mod common;

use std::sync::Arc;

use marquee_engine::{Bundle, EngineError, Precision};
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_retrieval::Method;
use marquee_server::catalog::Filter;
use marquee_server::profiles::ConsistencyToken;
use marquee_server::recommend::{Question, Recommender, RequestOptions, Source};
use marquee_server::shared::cache::{Cache, LocalCache};
use prost::Message as _;
use tempfile::TempDir;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use common::TestServer;
use common::pipeline::{bundled_model, engine, load, pipeline};

fn by_user(user_id: u64) -> v1::RecommendRequest {
    v1::RecommendRequest { subject: Some(Subject::UserId(user_id)), ..Default::default() }
}

fn by_history(movie_ids: &[u32]) -> v1::RecommendRequest {
    let history = v1::History::from(movie_ids.to_vec());
    v1::RecommendRequest { subject: Some(Subject::History(history)), ..Default::default() }
}

fn ids(response: &v1::RecommendResponse) -> Vec<u32> {
    response.recommendations.iter().map(|movie| movie.movie_id).collect()
}

fn like(user_id: u64, movie_id: u32, seconds: i64) -> v1::RecordInteractionRequest {
    v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(movie_id.into()),
        kind: v1::InteractionKind::Like.into(),
        rating: None,
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_in_the_request_is_answered_by_the_model_without_its_own_movies() {
    let server = TestServer::start().await;
    let request = v1::RecommendRequest { k: Some(20), ..by_history(&[1, 2, 3, 999_999]) };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert_eq!(answer.source(), v1::Source::Model);
    assert_eq!(answer.recommendations.len(), 20);
    assert_eq!(answer.ignored_history_movies, 1);
    assert!(!answer.model_version.is_empty());
    assert!(ids(&answer).iter().all(|id| ![1, 2, 3].contains(id)));
    assert!(answer.recommendations.iter().all(|movie| !movie.title.is_empty()));
    let scores: Vec<f32> = answer.recommendations.iter().map(|movie| movie.score).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let timings = answer.timings.unwrap();
    assert_eq!(timings.stages_us().iter().sum::<u32>(), timings.total_us);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_that_a_history_repeats_counts_where_it_stands_last() {
    let server = TestServer::start().await;
    let answer = async |movie_ids: &[u32]| {
        server.recommendation().recommend(by_history(movie_ids)).await.unwrap().into_inner()
    };
    let repeating = answer(&[3, 1, 999_999, 2, 3, 999_999]).await;
    assert_eq!(repeating.recommendations, answer(&[1, 2, 3]).await.recommendations);
    assert_eq!(repeating.ignored_history_movies, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ignored_movies_of_a_history_are_counted_when_none_is_known() {
    let server = TestServer::start().await;
    let request = by_history(&[4_000_000_000, 4_000_000_001, 4_000_000_000]);
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert_eq!(answer.source(), v1::Source::Popularity);
    assert_eq!(answer.ignored_history_movies, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_recommendation_reflects_a_recorded_interaction() {
    let server = TestServer::start().await;
    let user_id = 1_000_001;
    for (movie_id, seconds) in [(1, 10), (2, 20), (3, 30)] {
        server.interactions().record_interaction(like(user_id, movie_id, seconds)).await.unwrap();
    }
    let before = server.recommendation().recommend(by_user(user_id)).await.unwrap().into_inner();
    assert_eq!(before.source(), v1::Source::Model);
    let best = before.recommendations[0].movie_id;
    let written =
        server.interactions().record_interaction(like(user_id, best, 40)).await.unwrap().into_inner();
    assert!(!written.duplicate && !written.consistency_token.is_empty());
    let request = v1::RecommendRequest { consistency_token: written.consistency_token, ..by_user(user_id) };
    let after = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert!(!ids(&after).contains(&best));
    assert_ne!(ids(&before), ids(&after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_user_and_the_same_history_get_the_same_answer() {
    let server = TestServer::start().await;
    let user_id = 1_000_002;
    for (movie_id, seconds) in [(5, 1), (6, 2), (7, 3)] {
        server.interactions().record_interaction(like(user_id, movie_id, seconds)).await.unwrap();
    }
    let stored = server.recommendation().recommend(by_user(user_id)).await.unwrap().into_inner();
    let stateless = server.recommendation().recommend(by_history(&[5, 6, 7])).await.unwrap().into_inner();
    assert_eq!(stored.recommendations, stateless.recommendations);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_answered_by_popularity_under_the_same_filter() {
    let server = TestServer::start().await;
    let filter = v1::Filter { genres_any: vec!["Sci-Fi".into()], ..Default::default() };
    let request = v1::RecommendRequest { filter: Some(filter), ..by_user(987_654_321) };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert_eq!(answer.source(), v1::Source::Popularity);
    assert_eq!(answer.method(), v1::Method::Unspecified);
    assert_eq!(answer.recommendations.len(), 10);
    assert!(answer.recommendations.iter().all(|movie| movie.genres.contains(&"Sci-Fi".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_answer_for_a_user_without_a_history() {
    let server = TestServer::start().await;
    let preferences =
        v1::Preferences { genres: vec!["Western".into()], movie_ids: vec![], ..v1::Preferences::default() };
    let request = v1::SetPreferencesRequest { user: Some(1_000_003.into()), preferences: Some(preferences) };
    server.users().set_preferences(request).await.unwrap();
    let answer = server.recommendation().recommend(by_user(1_000_003)).await.unwrap().into_inner();
    assert_eq!(answer.source(), v1::Source::Preferences);
    assert!(answer.recommendations.iter().all(|movie| movie.genres.contains(&"Western".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preferred_movie_that_is_repeated_counts_where_it_stands_last() {
    let server = TestServer::start().await;
    let answer = async |user_id: u64, movie_ids: &[u32]| {
        let preferences =
            v1::Preferences { genres: vec![], movie_ids: movie_ids.to_vec(), ..v1::Preferences::default() };
        let request =
            v1::SetPreferencesRequest { user: Some(user_id.into()), preferences: Some(preferences) };
        server.users().set_preferences(request).await.unwrap();
        server.recommendation().recommend(by_user(user_id)).await.unwrap().into_inner()
    };
    let repeating = answer(1_000_004, &[3, 1, 2, 3]).await;
    assert_eq!(repeating.source(), v1::Source::Preferences);
    assert_eq!(repeating.recommendations, answer(1_000_005, &[1, 2, 3]).await.recommendations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preferred_movie_that_is_disliked_later_counts_no_more() {
    let server = TestServer::start().await;
    let user_id = 1_000_006;
    let preferences = v1::Preferences { genres: vec![], movie_ids: vec![1, 2], ..v1::Preferences::default() };
    let request = v1::SetPreferencesRequest { user: Some(user_id.into()), preferences: Some(preferences) };
    server.users().set_preferences(request).await.unwrap();
    let answer = async || server.recommendation().recommend(by_user(user_id)).await.unwrap().into_inner();
    assert_eq!(answer().await.source(), v1::Source::Preferences);
    for (movie_id, kind) in [(1, v1::InteractionKind::Dislike), (2, v1::InteractionKind::Hide)] {
        let refused =
            v1::RecordInteractionRequest { kind: kind.into(), ..like(user_id, movie_id, 1_700_000_000) };
        server.interactions().record_interaction(refused).await.unwrap();
    }
    assert_eq!(answer().await.source(), v1::Source::Popularity);
}

#[tokio::test(flavor = "multi_thread")]
async fn popularity_fills_up_what_the_model_does_not_know() {
    let server = TestServer::start().await;
    let request = v1::RecommendRequest { k: Some(500), ..by_history(&[1, 2, 3]) };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert_eq!(answer.recommendations.len(), 500);
    let sources: Vec<v1::Source> = answer.recommendations.iter().map(v1::Recommendation::source).collect();
    assert!(sources.contains(&v1::Source::Model) && sources.contains(&v1::Source::Popularity));
    let mut distinct = ids(&answer);
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_field_is_named_in_the_details() {
    let server = TestServer::start().await;
    let request = v1::RecommendRequest { k: Some(501), ..by_user(1) };
    let status = server.recommendation().recommend(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "k");

    let status = server.recommendation().recommend(v1::RecommendRequest::default()).await.unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "subject");

    let filter = v1::Filter { genres_any: vec!["Scifi".into()], ..Default::default() };
    let request = v1::RecommendRequest { filter: Some(filter), ..by_user(1) };
    let status = server.recommendation().recommend(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("Sci-Fi"), "{}", status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_request_of_a_batch_fails_alone_and_a_batch_answers_as_single_calls_do() {
    let server = TestServer::start().await;
    let good = by_history(&[1, 2, 3]);
    let bad = v1::RecommendRequest { k: Some(0), ..by_user(1) };
    let requests = vec![good.clone(), bad, by_history(&[10, 20]), good.clone()];
    let request = v1::RecommendBatchRequest { requests };
    let outcomes = server.recommendation().recommend_batch(request).await.unwrap().into_inner().outcomes;
    let single = server.recommendation().recommend(good).await.unwrap().into_inner();
    let answers: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome.outcome.unwrap() {
            v1::recommend_outcome::Outcome::Response(response) => Ok(response.recommendations),
            v1::recommend_outcome::Outcome::Error(error) => Err((error.code, error.field)),
        })
        .collect();
    assert_eq!(answers[0].as_ref().unwrap(), &single.recommendations);
    assert_eq!(answers[1], Err((3, "k".to_owned())));
    assert_eq!(answers[3].as_ref().unwrap(), &single.recommendations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_answered_in_its_order() {
    let server = TestServer::start().await;
    let histories = [[1_u32, 2], [3, 4], [5, 6], [1, 2]];
    let requests: Vec<_> = histories
        .iter()
        .map(|history| v1::RecommendStreamRequest { request: Some(by_history(history)) })
        .collect();
    let stream = futures::stream::iter(requests);
    let mut answers = server.recommendation().recommend_stream(stream).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        match answer.outcome.unwrap().outcome.unwrap() {
            v1::recommend_outcome::Outcome::Response(response) => found.push(ids(&response)),
            v1::recommend_outcome::Outcome::Error(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(found.len(), 4);
    assert_eq!(found[0], found[3]);
    for (answer, history) in found.iter().zip(histories) {
        assert!(history.iter().all(|id| !answer.contains(id)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn movies_that_a_model_was_not_trained_on_are_not_answered_by_it_though_it_knows_their_ids() {
    let data = TempDir::new().unwrap();
    let mut config = common::config(&data);
    config.engine.bundle = bundled_model();
    config.store.sample_data = "none".into();
    let server = TestServer::start_with(config, data).await;
    let recommend =
        async || server.recommendation().recommend(by_history(&[1, 2])).await.unwrap().into_inner();
    assert_eq!(recommend().await.source(), v1::Source::Model, "an empty catalogue contradicts nothing");
    let movies = [1, 2, 3].map(|movie_id| {
        let title = format!("Our own {movie_id} (2020)");
        v1::ImportMoviesRequest { movie: Some(movie_id.into()), title, ..Default::default() }
    });
    server.catalog().import_movies(futures::stream::iter(movies)).await.unwrap();
    let answer = recommend().await;
    assert_eq!(answer.source(), v1::Source::Popularity);
    assert!(ids(&answer).iter().all(|movie_id| (1..=3).contains(movie_id)), "{answer:?}");
    let similar = v1::SimilarMoviesRequest {
        basis: v1::SimilarityBasis::Model.into(),
        movie: Some(1.into()),
        ..Default::default()
    };
    let refused = server.recommendation().similar_movies(similar).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let history = v1::History::from(vec![1, 2]);
    let subject = Some(v1::encode_history_request::Subject::History(history));
    let encode = v1::EncodeHistoryRequest { subject, ..Default::default() };
    let refused = server.recommendation().encode_history(encode).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_loaded_is_a_failed_precondition() {
    let server = TestServer::start().await;
    let request = v1::RecommendRequest { model_version: "no-such".into(), ..by_history(&[1]) };
    let status = server.recommendation().recommend(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

/// tonic's client would answer CANCELLED by its own timer, so this call is made of plain frames.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_cannot_be_met_is_deadline_exceeded() {
    let server = TestServer::start().await;
    let socket = tokio::net::TcpStream::connect(server.running.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post("http://test/marquee.v1.RecommendationService/Recommend")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "1n")
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    let message = by_history(&[1, 2, 3]).encode_to_vec();
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    // The answer may be faster than the request, whose rest nobody reads then.
    let _ = body.send_data(frame.into(), true);
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
    connection.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_comes_back() {
    let server = TestServer::start().await;
    let mut request = Request::new(by_history(&[1]));
    request.metadata_mut().insert("x-request-id", "order-66".parse().unwrap());
    let answer = server.recommendation().recommend(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "order-66");
}

#[tokio::test(flavor = "multi_thread")]
async fn similar_movies_leave_the_movie_out_and_come_with_titles() {
    let server = TestServer::start().await;
    let request = v1::SimilarMoviesRequest {
        basis: v1::SimilarityBasis::Model.into(),
        movie: Some(1.into()),
        k: Some(5),
        ..Default::default()
    };
    let answer = server.recommendation().similar_movies(request).await.unwrap().into_inner();
    assert_eq!(answer.movies.len(), 5);
    assert!(answer.movies.iter().all(|movie| movie.movie_id != 1 && !movie.title.is_empty()));
    assert!(answer.movies.iter().all(|movie| (-1.0..=1.000_001).contains(&movie.score)));
    let request = v1::SimilarMoviesRequest {
        basis: v1::SimilarityBasis::Model.into(),
        movie: Some(4_000_000.into()),
        ..Default::default()
    };
    let status = server.recommendation().similar_movies(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

/// By the inner product, hundreds of popular movies with long embeddings stand before the nearest of this one.
#[tokio::test(flavor = "multi_thread")]
async fn similar_movies_are_the_nearest_of_all_by_cosine() {
    const MOVIE: u32 = 4055;
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.engine.bundle = bundled_model();
    let server = TestServer::start_with(config, data).await;
    let request = v1::SimilarMoviesRequest {
        basis: v1::SimilarityBasis::Model.into(),
        movie: Some(MOVIE.into()),
        k: Some(10),
        ..Default::default()
    };
    let answer = server.recommendation().similar_movies(request).await.unwrap().into_inner();

    let bundle = Bundle::open(&bundled_model()).unwrap();
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let one = bundle.output_embedding(bundle.row_of(MOVIE).unwrap());
    let mut all: Vec<(u32, f64)> = (0..bundle.items() as u32)
        .map(|row| (bundle.vocabulary[row as usize], bundle.output_embedding(row)))
        .map(|(movie_id, row)| (movie_id, dot(one, row) / (dot(one, one) * dot(row, row)).sqrt()))
        .filter(|(movie_id, _)| *movie_id != MOVIE)
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let expected: Vec<u32> = all.iter().map(|(movie_id, _)| *movie_id).take(10).collect();
    let found: Vec<u32> = answer.movies.iter().map(|movie| movie.movie_id).collect();
    assert_eq!(found, expected);
    assert!(
        answer
            .movies
            .iter()
            .zip(&all)
            .all(|(movie, (_, cosine))| (f64::from(movie.score) - cosine).abs() < 1e-6)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_history_has_the_models_dimension() {
    use v1::encode_history_request::Subject;
    let server = TestServer::start().await;
    let history = v1::History::from(vec![1, 2, 999_999]);
    let request = v1::EncodeHistoryRequest { subject: Some(Subject::History(history)), ..Default::default() };
    let answer = server.recommendation().encode_history(request.clone()).await.unwrap().into_inner();
    let models = server.operations().list_models(v1::ListModelsRequest {}).await.unwrap().into_inner();
    assert_eq!(answer.vector.len(), models.models[0].dimension as usize);
    assert_eq!(answer.ignored_history_movies, 1);
    let again = server.recommendation().encode_history(request).await.unwrap().into_inner();
    assert_eq!(answer.vector, again.vector, "a remembered vector is the encoded one");
    let nobody =
        v1::EncodeHistoryRequest { subject: Some(Subject::UserId(77_777_777)), ..Default::default() };
    let status = server.recommendation().encode_history(nobody).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

/// A node that remembers user vectors in this cache.
async fn node(precision: Precision, cache: Arc<dyn Cache>) -> Recommender {
    let engine = engine();
    let model = load(&engine, &common::fixture_bundle(), precision).await;
    engine.activate(model.bundle().version()).expect("the model is loaded");
    pipeline(&engine, Some(cache)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_model_reads_as_much_of_a_history_as_it_has_room_for() {
    let engine = engine();
    let recommender = pipeline(&engine, None).await;
    let long = load(&engine, &bundled_model(), Precision::Fp32).await;
    let short = load(&engine, &common::fixture_bundle(), Precision::Fp32).await;
    let user = marquee_server::recommend::Subject::User(547); // has rated 2,391 movies
    let version = Some(long.bundle().version().to_owned());
    let pinned = RequestOptions { model_version: version, ..RequestOptions::default() };

    engine.activate(long.bundle().version()).unwrap();
    let active = recommender.encode(&user, &RequestOptions::default()).await.unwrap();
    engine.activate(short.bundle().version()).unwrap();
    let pinned = recommender.encode(&user, &pinned).await.unwrap();
    assert_eq!(pinned.model_version, active.model_version);
    assert_eq!(pinned.vector, active.vector);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_who_has_no_taste_is_answered_by_popularity_and_who_has_some_waits() {
    use marquee_server::recommend::{RecommendError, Subject};
    let recommender = pipeline(&engine(), None).await;
    let question = |subject| Question {
        subject,
        k: 5,
        method: Method::Auto,
        objective: None,
        exploration: None,
        filter: Filter::default(),
        exclude_seen: true,
        context: String::new(),
        consistency_token: ConsistencyToken::default(),
        explain_newest: None,
        options: RequestOptions::default(),
    };
    let answer = recommender.recommend(&question(Subject::User(987_654_321))).await.unwrap();
    assert_eq!((answer.source, answer.picks.len()), (Source::Popularity, 5));
    assert_eq!((answer.model_version, answer.method), (None, None));
    let refused = recommender.recommend(&question(Subject::User(547))).await.unwrap_err();
    assert!(matches!(refused, RecommendError::Engine(EngineError::OutOfService(_))), "{refused}");
    let unknown = RequestOptions { model_version: Some("no-such".to_owned()), ..RequestOptions::default() };
    let pinned = Question { options: unknown, ..question(Subject::User(987_654_321)) };
    let refused = recommender.recommend(&pinned).await.unwrap_err();
    assert!(matches!(refused, RecommendError::Engine(EngineError::UnknownVersion(_))), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_different_precision_do_not_share_their_vectors() {
    let cache = || Arc::new(LocalCache::new(1 << 20, 1024));
    let encode = async |node: Recommender| {
        let history = marquee_server::recommend::Subject::History(vec![1, 2, 3]);
        node.encode(&history, &RequestOptions::default()).await.unwrap().vector
    };
    let shared = cache();
    let fp32 = encode(node(Precision::Fp32, shared.clone()).await).await;
    let int8 = encode(node(Precision::Int8, shared).await).await;
    assert_eq!(int8, encode(node(Precision::Int8, cache()).await).await);
    assert_ne!(int8, fp32);
}
