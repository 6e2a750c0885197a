//! Vectors as a service, through the socket.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::HashSet;

use futures::TryStreamExt as _;
use marquee_proto::v1;
use marquee_proto::v1::vector_match::Subject;
use marquee_server::app;
use marquee_server::config::{StoreUrl, Switch};
use marquee_store::{OnDamage, all_movies};
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt as _;

use common::nodes::{PATIENCE, until};
use common::{TestServer, config, sample_data};

/// Movies of the catalogue that the fixture's model knows.
const KNOWN: usize = 179;

fn by_vector(vector: Vec<f32>) -> v1::SearchVectorsRequest {
    v1::SearchVectorsRequest { vector, ..Default::default() }
}

fn movies(answer: &v1::SearchVectorsResponse) -> Vec<(u32, f32)> {
    let movie = |found: &v1::VectorMatch| match found.subject {
        Some(Subject::MovieId(movie_id)) => (movie_id, found.score),
        _ => panic!("a match that is no movie"),
    };
    answer.matches.iter().map(movie).collect()
}

async fn vector_of(server: &TestServer, movie_id: u32) -> Vec<f32> {
    let request = v1::GetMovieVectorRequest { movie: Some(movie_id.into()), ..Default::default() };
    let answer = server.vectors().get_movie_vector(request).await.unwrap().into_inner();
    assert!(!answer.model_version.is_empty());
    answer.vector.unwrap().vector
}

async fn exported(server: &TestServer, request: v1::ExportVectorsRequest) -> Vec<v1::ExportVectorsResponse> {
    let parts = server.vectors().export_vectors(request).await.unwrap().into_inner();
    parts.try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_vector_finds_what_is_recommended_for_its_history() {
    let server = TestServer::start().await;
    let history = v1::History::from(vec![1, 2, 3]);
    let encode = v1::EncodeHistoryRequest {
        subject: Some(v1::encode_history_request::Subject::History(history.clone())),
        ..Default::default()
    };
    let encoded = server.recommendation().encode_history(encode).await.unwrap().into_inner();
    let recommend = v1::RecommendRequest {
        subject: Some(v1::recommend_request::Subject::History(history)),
        exclude_seen: Some(false),
        ..Default::default()
    };
    let best = server.recommendation().recommend(recommend).await.unwrap().into_inner();
    let found = server.vectors().search_vectors(by_vector(encoded.vector)).await.unwrap().into_inner();
    let expected: Vec<_> = best.recommendations.iter().map(|movie| (movie.movie_id, movie.score)).collect();
    assert_eq!(movies(&found), expected);
    assert_eq!((&found.model_version, found.method()), (&best.model_version, best.method()));
    assert!(found.matches.iter().all(|found| !found.title.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_cosine_a_movie_is_nearest_to_itself_and_then_to_its_similar_movies() {
    let server = TestServer::start().await;
    let request = v1::SearchVectorsRequest {
        k: Some(6),
        metric: v1::VectorMetric::Cosine.into(),
        ..by_vector(vector_of(&server, 1).await)
    };
    let found = movies(&server.vectors().search_vectors(request).await.unwrap().into_inner());
    assert_eq!(found[0].0, 1);
    assert!((found[0].1 - 1.0).abs() < 1e-6);
    let similar = v1::SimilarMoviesRequest {
        basis: v1::SimilarityBasis::Model.into(),
        movie: Some(1.into()),
        k: Some(5),
        ..Default::default()
    };
    let similar = server.recommendation().similar_movies(similar).await.unwrap().into_inner().movies;
    let similar: Vec<_> = similar.iter().map(|movie| (movie.movie_id, movie.score)).collect();
    assert_eq!(found[1..], similar);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_keeps_to_its_filter() {
    let server = TestServer::start().await;
    let filter = v1::Filter { genres_all: vec!["Western".into()], ..Default::default() };
    let request = v1::SearchVectorsRequest { filter: Some(filter), ..by_vector(vector_of(&server, 1).await) };
    let found = server.vectors().search_vectors(request).await.unwrap().into_inner();
    assert_eq!(found.matches.len(), 2, "the model knows two Westerns");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_that_is_too_short_too_long_or_not_finite_is_an_invalid_argument_that_names_the_field() {
    let server = TestServer::start().await;
    let vector = vector_of(&server, 1).await;
    let mut infinite = vector.clone();
    infinite[7] = f32::INFINITY;
    let huge = vec![1e30; vector.len()];
    for (wrong, says) in [
        (vector[1..].to_vec(), "has 15 numbers"),
        (Vec::new(), "has 0 numbers"),
        (infinite, "not finite at place 7"),
        (huge, "has a length of 4"),
    ] {
        let refused = server.vectors().search_vectors(by_vector(wrong)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let violation = &refused.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "vector");
        assert!(violation.description.contains(says), "{}", violation.description);
    }
    let unknown = v1::GetMovieVectorRequest { movie: Some(4_000_000.into()), ..Default::default() };
    let refused = server.vectors().get_movie_vector(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_the_vector_of_every_movie_once() {
    let server = TestServer::start().await;
    let parts = exported(&server, v1::ExportVectorsRequest::default()).await;
    assert!(parts.iter().all(|part| !part.model_version.is_empty()));
    let vectors: Vec<_> = parts.into_iter().flat_map(|part| part.vectors).collect();
    assert_eq!(vectors.len(), KNOWN);
    assert_eq!(vectors.iter().map(|vector| vector.movie_id).collect::<HashSet<_>>().len(), KNOWN);
    let first = vectors.iter().find(|vector| vector.movie_id == 1).unwrap();
    assert_eq!(first.vector, vector_of(&server, 1).await);

    let filter = v1::Filter { genres_all: vec!["Western".into()], ..Default::default() };
    let parts =
        exported(&server, v1::ExportVectorsRequest { filter: Some(filter), ..Default::default() }).await;
    assert_eq!(parts.iter().map(|part| part.vectors.len()).sum::<usize>(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_nothing_still_names_its_model() {
    let server = TestServer::start().await;
    let filter = v1::Filter { allow_movie_ids: vec![858], ..Default::default() };
    let parts =
        exported(&server, v1::ExportVectorsRequest { filter: Some(filter), ..Default::default() }).await;
    assert_eq!(parts.len(), 1);
    assert!(parts[0].vectors.is_empty() && !parts[0].model_version.is_empty());
}

/// A server that looks for users, so many at most.
async fn with_similar_users(data: TempDir, most: usize) -> TestServer {
    let mut config = config(&data);
    config.retrieval.similar_users = Switch::On;
    config.retrieval.similar_users_max = most;
    TestServer::start_with(config, data).await
}

/// A data folder with the sample's movies and without its users.
async fn movies_alone() -> TempDir {
    let (sample, data) = (sample_data().await, tempfile::tempdir().unwrap());
    let open = async |dir: &TempDir| app::open_store(&StoreUrl::redb(), dir.path(), OnDamage::Refuse).await;
    let movies = all_movies(open(&sample).await.unwrap().as_ref()).await.unwrap();
    open(&data).await.unwrap().put_movies(&movies).await.unwrap();
    data
}

async fn like(server: &TestServer, user_id: u64, movie_ids: &[u32]) {
    for (movie_id, seconds) in movie_ids.iter().zip(1..) {
        let request = v1::RecordInteractionRequest {
            user: Some(user_id.into()),
            movie: Some((*movie_id).into()),
            kind: v1::InteractionKind::Like.into(),
            rating: None,
            time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        };
        server.interactions().record_interaction(request).await.unwrap();
    }
}

fn like_user(user_id: u64) -> v1::SimilarUsersRequest {
    v1::SimilarUsersRequest { user: Some(user_id.into()), k: None }
}

async fn similar(server: &TestServer, user_id: u64) -> Vec<(u64, f32)> {
    let answer = server.recommendation().similar_users(like_user(user_id)).await.unwrap().into_inner();
    assert!(!answer.model_version.is_empty());
    answer.users.iter().map(|user| (user.user_id, user.cosine)).collect()
}

/// Asks for users near the vector of the first three movies.
async fn near_the_first_three(server: &TestServer) -> v1::SearchVectorsRequest {
    let history = v1::History::from(vec![1, 2, 3]);
    let encode = v1::EncodeHistoryRequest {
        subject: Some(v1::encode_history_request::Subject::History(history)),
        ..Default::default()
    };
    let vector = server.recommendation().encode_history(encode).await.unwrap().into_inner().vector;
    v1::SearchVectorsRequest { space: v1::VectorSpace::Users.into(), ..by_vector(vector) }
}

fn users(answer: &v1::SearchVectorsResponse) -> Vec<u64> {
    let user = |found: &v1::VectorMatch| match found.subject {
        Some(Subject::UserId(user_id)) => user_id,
        _ => panic!("a match that is no user"),
    };
    answer.matches.iter().map(user).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_like_those_who_like_the_same_and_a_deleted_one_is_like_nobody_at_once() {
    let server = with_similar_users(movies_alone().await, 100).await;
    let [asked, twin, other] = [1_000_001, 1_000_002, 1_000_003];
    like(&server, asked, &[1, 2, 3]).await;
    like(&server, twin, &[1, 2, 3]).await;
    like(&server, other, &[21, 47, 50]).await;
    until("both others are known by their newest vectors", PATIENCE, async || {
        let known = similar(&server, asked).await;
        known.len() == 2 && known[0].1 > 0.999_99
    })
    .await;
    let alike = similar(&server, asked).await;
    assert_eq!([alike[0].0, alike[1].0], [twin, other]);
    assert!(alike[1].1 < alike[0].1);

    let by_it = near_the_first_three(&server).await;
    let found = server.vectors().search_vectors(by_it.clone()).await.unwrap().into_inner();
    assert_eq!(users(&found), [asked, twin, other]);

    let delete = v1::DeleteUserRequest { user: Some(twin.into()) };
    server.users().delete_user(delete).await.unwrap();
    assert_eq!(similar(&server, asked).await.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [other]);
    let gone = server.recommendation().similar_users(like_user(twin)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);

    let filtered = v1::SearchVectorsRequest { filter: Some(v1::Filter::default()), ..by_it };
    let refused = server.vectors().search_vectors(filtered).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "filter");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_there_before_the_server_started_is_known_without_doing_anything() {
    let server = with_similar_users(sample_data().await, 20).await;
    let near = v1::SearchVectorsRequest { k: Some(100), ..near_the_first_three(&server).await };
    let known =
        async || users(&server.vectors().search_vectors(near.clone()).await.unwrap().into_inner()).len();
    until("as many are known as may be kept", PATIENCE, async || known().await == 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_not_looked_for_unless_the_server_is_told_to() {
    let server = TestServer::start().await;
    let of_users = v1::SearchVectorsRequest {
        space: v1::VectorSpace::Users.into(),
        ..by_vector(vector_of(&server, 1).await)
    };
    for refused in [
        server.recommendation().similar_users(like_user(1)).await.unwrap_err(),
        server.vectors().search_vectors(of_users).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("--similar-users on"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_users_than_may_be_kept_those_with_the_oldest_activity_go() {
    let server = with_similar_users(movies_alone().await, 2).await;
    let near = near_the_first_three(&server).await;
    let known = async || users(&server.vectors().search_vectors(near.clone()).await.unwrap().into_inner());
    for user_id in 1_000_001..=1_000_004 {
        like(&server, user_id, &[1, 2, 3]).await;
        // Each is known before the next one comes, so that the order of their activity is.
        until("the user is known", PATIENCE, async || known().await.contains(&user_id)).await;
    }
    assert_eq!(known().await, [1_000_003, 1_000_004]);
}
