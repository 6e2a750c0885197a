//! How a server ends, through the socket. The limit of these servers' drain is a day: one that ends has
//! not waited for it.

mod common;

use std::time::Duration;

use common::TestServer;
use futures::{StreamExt as _, stream};
use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::app::Running;
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_types::StatusExt as _;

/// After which a server that does not end counts as one that never will.
const PATIENCE: Duration = Duration::from_mins(1);

async fn patient_server() -> TestServer {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.shutdown_timeout = Duration::from_hours(24);
    TestServer::start_with(config, data).await
}

async fn stop(running: Running) {
    let stopped = tokio::time::timeout(PATIENCE, running.stop()).await;
    stopped.expect("the drain ends by itself").expect("the server had served");
}

async fn watch(server: &TestServer) -> Streaming<HealthCheckResponse> {
    let mut health = HealthClient::new(server.channel());
    let watch = health.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.expect("health is watched").into_inner();
    while next(&mut watch).await != ServingStatus::Serving {}
    watch
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    watch.message().await.expect("the watch goes on").expect("the watch goes on").status()
}

fn assert_shutting_down(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let reason = status.get_details_error_info().map(|info| info.reason);
    assert_eq!(reason.as_deref(), Some("SHUTTING_DOWN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_streams_are_told_that_the_server_ends() {
    let server = patient_server().await;
    let subject = Some(Subject::UserId(1));
    let request = v1::RecommendRequest { subject, ..Default::default() };
    let one = stream::iter([v1::RecommendStreamRequest { request: Some(request) }]);
    let asked = server.recommendation().recommend_stream(one.chain(stream::pending())).await.unwrap();
    let mut answers = asked.into_inner();
    assert!(answers.message().await.unwrap().is_some());
    let mut interactions = server.interactions();
    let recording = tokio::spawn(async move { interactions.record_interactions(stream::pending()).await });
    let mut reflection = ServerReflectionClient::new(server.channel());
    let mut reflected = reflection.server_reflection_info(stream::pending()).await.unwrap().into_inner();

    stop(server.running).await;
    assert_shutting_down(&answers.message().await.unwrap_err());
    assert_shutting_down(&recording.await.unwrap().unwrap_err());
    assert!(!matches!(reflected.message().await, Ok(Some(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_health_says_not_serving_and_ends() {
    let server = patient_server().await;
    let mut watch = watch(&server).await;
    let stopped = tokio::spawn(stop(server.running));
    assert_eq!(next(&mut watch).await, ServingStatus::NotServing);
    assert_shutting_down(&watch.message().await.unwrap_err());
    stopped.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_the_end() {
    let server = patient_server().await;
    let _without_a_word = TcpStream::connect(server.running.address).await.unwrap();
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    // Nobody drives this one, so it answers no ping.
    let _deaf = h2::client::handshake(socket).await.unwrap();
    stop(server.running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered_before_the_server_ends() {
    let server = patient_server().await;
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post("http://test/marquee.v1.CatalogService/GetMovie")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    let message = v1::GetMovieRequest { movie: Some(1.into()) }.encode_to_vec();
    let length = (message.len() as u32).to_be_bytes();
    let frame = [&[0], &length[..], &message[..]].concat();
    body.send_data(frame[..4].to_vec().into(), false).unwrap();

    let mut watch = watch(&server).await;
    let stopped = tokio::spawn(stop(server.running));
    while watch.message().await.is_ok() {}
    body.send_data(frame[4..].to_vec().into(), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    assert!(answer.data().await.unwrap().unwrap().len() > 5);
    let trailers = answer.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    stopped.await.unwrap();
    connection.abort();
}
