//! What every call meets before and after its handler, through the socket: page tokens, limits, named
//! fields and reasons, metric names.

mod common;

use std::collections::{HashMap, HashSet};

use common::TestServer;
use futures::stream;
use marquee_core::meters::Metric;
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

const UNKNOWN_MOVIE: u32 = 4_000_000;

fn by_history(movie_ids: Vec<u32>) -> v1::RecommendRequest {
    let subject = Subject::History(v1::History::from(movie_ids));
    v1::RecommendRequest { subject: Some(subject), ..Default::default() }
}

fn genres(genre: &str) -> Vec<String> {
    vec![genre.to_owned()]
}

fn field_of(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let bad_request = status.get_details_bad_request().expect("a field is named");
    bad_request.field_violations[0].field.clone()
}

fn reason_of(status: &Status) -> String {
    status.get_details_error_info().expect("a reason is given").reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_taken_by_its_own_list_with_the_same_arguments_alone() {
    let server = TestServer::start().await;
    let drama = || Some(v1::Filter { genres_any: genres("Drama"), ..Default::default() });
    let popular = async |page_size, page_token: &str, filter| {
        let page_token = page_token.to_owned();
        let request = v1::ListPopularMoviesRequest { page_size: Some(page_size), page_token, filter };
        server.catalog().list_popular_movies(request).await
    };
    let token = popular(3, "", drama()).await.unwrap().into_inner().next_page_token;
    popular(5, &token, drama()).await.unwrap();

    let other_filter = popular(3, &token, None).await.unwrap_err();
    let trending =
        v1::ListTrendingMoviesRequest { page_token: token.clone(), filter: drama(), ..Default::default() };
    let other_list = server.catalog().list_trending_movies(trending).await.unwrap_err();
    let history = |user_id: u64, page_token: &str| v1::ListHistoryRequest {
        user: Some(user_id.into()),
        page_size: Some(1),
        page_token: page_token.to_owned(),
    };
    let of_movies = server.users().list_history(history(1, &token)).await.unwrap_err();
    let of_user = server.users().list_history(history(1, "")).await.unwrap().into_inner().next_page_token;
    let other_user = server.users().list_history(history(2, &of_user)).await.unwrap_err();
    for refused in [other_filter, other_list, of_movies, other_user] {
        assert_eq!(field_of(&refused), "page_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_resource_exhausted_whether_compressed_or_not() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.max_message_kib = 64;
    let server = TestServer::start_with(config, data).await;
    let too_large = || by_history(vec![1; 70_000]);
    let plain = server.recommendation().recommend(too_large()).await.unwrap_err();
    let mut compressing = server.recommendation().send_compressed(CompressionEncoding::Gzip);
    let compressed = compressing.recommend(too_large()).await.unwrap_err();
    let message = v1::RecommendStreamRequest { request: Some(too_large()) };
    let mut streamed =
        server.recommendation().recommend_stream(stream::iter([message])).await.unwrap().into_inner();
    let streamed = streamed.message().await.unwrap_err();
    for refused in [plain, compressed, streamed] {
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().contains("65536 bytes"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_genre_is_named_by_the_field_that_it_stands_in() {
    let server = TestServer::start().await;
    let filters = [
        ("genres_any", v1::Filter { genres_any: genres("Scifi"), ..Default::default() }),
        ("genres_all", v1::Filter { genres_all: genres("Scifi"), ..Default::default() }),
        ("genres_none", v1::Filter { genres_none: genres("Scifi"), ..Default::default() }),
    ];
    for (list, filter) in filters {
        let request = v1::RecommendRequest { filter: Some(filter), ..by_history(vec![1]) };
        let alone = server.recommendation().recommend(request.clone()).await.unwrap_err();
        assert_eq!(field_of(&alone), format!("filter.{list}"));

        let batch = v1::RecommendBatchRequest { requests: vec![request] };
        let batch = server.recommendation().recommend_batch(batch).await.unwrap().into_inner();
        let outcome = batch.outcomes.into_iter().next().unwrap().outcome.unwrap();
        let v1::recommend_outcome::Outcome::Error(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.field, format!("filter.{list}"));
    }
    let preferences =
        Some(v1::Preferences { genres: genres("Scifi"), movie_ids: vec![], ..v1::Preferences::default() });
    let request = v1::SetPreferencesRequest { user: Some(1.into()), preferences };
    let status = server.users().set_preferences(request).await.unwrap_err();
    assert_eq!(field_of(&status), "preferences.genres");
    assert!(status.message().starts_with("preferences.genres has \"Scifi\", which is no genre;"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_knows_the_details_of_a_status() {
    let server = TestServer::start().await;
    let mut reflection = ServerReflectionClient::new(server.channel());
    for name in ["google.rpc.BadRequest", "google.rpc.ErrorInfo", "google.rpc.RetryInfo"] {
        let message_request = Some(MessageRequest::FileContainingSymbol(name.to_owned()));
        let request = ServerReflectionRequest { message_request, ..Default::default() };
        let answers = reflection.server_reflection_info(stream::iter([request])).await;
        let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
        assert!(
            matches!(answer.message_response, Some(MessageResponse::FileDescriptorResponse(_))),
            "{answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_movie_has_the_same_reason_in_every_method() {
    let server = TestServer::start().await;
    let movie_id = UNKNOWN_MOVIE;
    let viewed = v1::RecordInteractionRequest {
        user: Some(1.into()),
        movie: Some(movie_id.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    let preferences =
        Some(v1::Preferences { genres: vec![], movie_ids: vec![movie_id], ..v1::Preferences::default() });
    let similar = v1::SimilarMoviesRequest {
        basis: v1::SimilarityBasis::Model.into(),
        movie: Some(movie_id.into()),
        ..Default::default()
    };
    let refused = [
        server.catalog().get_movie(v1::GetMovieRequest { movie: Some(movie_id.into()) }).await.unwrap_err(),
        server.interactions().record_interaction(viewed).await.unwrap_err(),
        server
            .users()
            .set_preferences(v1::SetPreferencesRequest { user: Some(1.into()), preferences })
            .await
            .unwrap_err(),
        server.recommendation().similar_movies(similar).await.unwrap_err(),
    ];
    for status in refused {
        assert_eq!((status.code(), reason_of(&status).as_str()), (Code::NotFound, "UNKNOWN_MOVIE"));
    }
}

/// Labels that the exporter adds.
const OF_THE_EXPORTER: [&str; 2] = ["le", "otel_scope_name"];

/// The names of a series' labels.
fn labels_of(series: &str) -> Vec<&str> {
    let labels = series.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let pairs = labels.map_or("", |(labels, _)| labels).split("\",");
    pairs.filter_map(|pair| Some(pair.split_once('=')?.0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_shown_is_a_documented_one() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.telemetry.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    let server = TestServer::start_with(config, data).await;
    server.recommendation().recommend(by_history(vec![1, 2, 3])).await.unwrap();

    let exposition = common::metrics(&server).await;
    let documented: HashMap<String, &Metric> =
        marquee_server::app::metrics().into_iter().map(|metric| (metric.prometheus(), metric)).collect();
    let shown: Vec<(&str, &str)> = exposition
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .filter(|(name, _)| *name != "target_info")
        .collect();
    for name in ["marquee_engine_queue_duration_seconds", "marquee_engine_worker_busy_seconds_total"] {
        assert!(shown.iter().any(|(shown, _)| *shown == name), "{exposition}");
    }
    for (name, kind) in shown {
        let metric = documented.get(name).unwrap_or_else(|| panic!("{name} is not in METRICS.md"));
        assert_eq!(metric.kind.prometheus(), kind, "{name}");
        let labels: HashSet<String> = metric.labels.iter().map(|label| label.key.replace('.', "_")).collect();
        let series = exposition.lines().filter(|line| line.starts_with(name));
        for label in series.flat_map(labels_of).filter(|label| !OF_THE_EXPORTER.contains(&&**label)) {
            assert!(labels.contains(label), "{name} has the label {label}, which METRICS.md does not know");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_wants_too_many_movies_is_refused_for_what_it_is() {
    let server = TestServer::start().await;
    let of = |requests| v1::RecommendBatchRequest {
        requests: vec![v1::RecommendRequest { k: Some(500), ..Default::default() }; requests],
    };
    let refused = server.recommendation().recommend_batch(of(201)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "requests");
    let answered = server.recommendation().recommend_batch(of(200)).await.unwrap().into_inner();
    assert_eq!(answered.outcomes.len(), 200);
}
