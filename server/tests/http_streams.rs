//! Streams over paths of REST through the socket, over HTTP/1.1 and HTTP/2: lines of JSON and Server-Sent Events.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use bytes::Bytes;
use common::TestServer;
use common::nodes::{PATIENCE, until};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use marquee_proto::v1;
use serde_json::Value;
use tokio::net::TcpStream;

const WATCH: &str = "/v1/interactions:watch";
const FROM_THE_OLDEST: &str = "/v1/interactions:watch?after=0-0";

/// The answer to a GET, whose body is read as it comes.
async fn get(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    client.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
}

async fn record(server: &TestServer, movie_id: u32) {
    let request = v1::RecordInteractionRequest {
        user: Some(3_000_000.into()),
        movie: Some(movie_id.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    server.interactions().record_interaction(request).await.unwrap();
}

/// The next text that the server sends.
async fn next(body: &mut Incoming) -> String {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

fn line(text: &str) -> Value {
    assert!(text.ends_with('\n'), "{text}");
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_interaction_is_a_line_as_soon_as_it_is_recorded() {
    let server = TestServer::start().await;
    let mut response = get(&server, FROM_THE_OLDEST, &[]).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(response.headers().contains_key("x-request-id"));
    for movie_id in [1, 2] {
        record(&server, movie_id).await;
        let message = line(&next(response.body_mut()).await);
        assert_eq!(message["result"]["interaction"]["movie_id"], movie_id, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_after_the_last_one() {
    let server = TestServer::start().await;
    record(&server, 1).await;
    record(&server, 2).await;
    let events = ("accept", "text/event-stream");
    let mut response = get(&server, FROM_THE_OLDEST, &[events]).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let first = next(response.body_mut()).await;
    let (id, message) = first.split_once("\ndata: ").unwrap();
    let message: Value = serde_json::from_str(message.trim_end()).unwrap();
    assert_eq!(message["interaction"]["movie_id"], 1);
    let id = id.strip_prefix("id: ").unwrap();
    assert_eq!(message["position"], id);

    let mut again = get(&server, FROM_THE_OLDEST, &[events, ("last-event-id", id)]).await;
    assert!(next(again.body_mut()).await.contains(r#""movie_id":2"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_the_stream_is_a_plain_error() {
    let server = TestServer::start().await;
    for accept in ["*/*", "text/event-stream"] {
        let response = get(&server, "/v1/interactions:watch?after=soon", &[("accept", accept)]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let error: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(error["details"][1]["field_violations"][0]["field"], "after", "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_for_too_long_is_told_before_the_stream_so_that_a_browser_stops() {
    let server = TestServer::start().await;
    let events = ("accept", "text/event-stream");
    let response = get(&server, WATCH, &[events, ("last-event-id", "1-7")]).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(error["details"][0]["reason"], "EVENTS_LOST", "{error}");

    let response = get(&server, WATCH, &[events, ("grpc-timeout", "0m")]).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_past_its_deadline_ends_with_an_error() {
    let server = TestServer::start().await;
    let deadline = ("grpc-timeout", "300m");
    let response = get(&server, WATCH, &[deadline]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert_eq!(line(&text)["error"]["code"], 4, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_come_over_http_2_too() {
    let server = TestServer::start().await;
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = Request::get(format!("http://localhost{FROM_THE_OLDEST}")).body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    record(&server, 1).await;
    let data = tokio::time::timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap();
    assert_eq!(line(std::str::from_utf8(&data).unwrap())["result"]["interaction"]["movie_id"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_server_is_the_last_line() {
    let server = TestServer::start().await;
    let response = get(&server, WATCH, &[]).await;
    let stopped = tokio::spawn(server.running.stop());
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert_eq!(line(&text)["error"]["code"], 14, "{text}");
    tokio::time::timeout(PATIENCE, stopped).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_goes_away_leaves_its_place() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.max_watchers = 1;
    let server = TestServer::start_with(config, data).await;
    let first = get(&server, WATCH, &[]).await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(get(&server, WATCH, &[]).await.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    until("the place is free", PATIENCE, async || get(&server, WATCH, &[]).await.status() == StatusCode::OK)
        .await;
}
