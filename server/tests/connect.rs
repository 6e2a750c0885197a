//! Connect's protocol through the socket, over HTTP/1.1 as scripts and browsers speak it.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use common::TestServer;
use common::http1::Http1;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use marquee_proto::v1;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const MOVIE: &str = "/marquee.v1.CatalogService/GetMovie";
const SEARCH: &str = "/marquee.v1.CatalogService/SearchMovies";
const WATCH: &str = "/marquee.v1.InteractionService/WatchInteractions";
const RECOMMEND: &str = "/marquee.v1.RecommendationService/Recommend";

/// The answer to a request on a connection of its own.
async fn ask(
    server: &TestServer,
    request: http::request::Builder,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = request.header("host", "localhost").body(Full::new(body.into())).unwrap();
    let (head, body) = client.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    Response::from_parts(head, body)
}

fn post(path: &str) -> http::request::Builder {
    Request::post(path).header("content-type", "application/json")
}

async fn post_json(server: &TestServer, path: &str, body: &str) -> (StatusCode, Value) {
    let response = ask(server, post(path), body.to_owned()).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    (response.status(), json_of(&response))
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_json_is_answered_in_json() {
    let server = TestServer::start().await;
    let request = post(MOVIE).header("x-request-id", "order-66").header("connect-protocol-version", "1");
    let response = ask(&server, request, r#"{"movieId": 1}"#).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), "application/json");
    assert_eq!(header(&response, "x-request-id"), "order-66");
    assert_eq!(json_of(&response)["movie"]["movie_id"], 1);
    assert!(response.headers().keys().all(|name| !name.as_str().starts_with("grpc-")));

    let (status, reply) =
        post_json(&server, RECOMMEND, r#"{"user_id": "1", "k": 3, "method": "exact"}"#).await;
    assert_eq!((status, reply["recommendations"].as_array().unwrap().len()), (StatusCode::OK, 3));
    let (status, reply) = post_json(&server, "/grpc.health.v1.Health/Check", "{}").await;
    assert_eq!((status, reply), (StatusCode::OK, json!({ "status": "SERVING" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_protobuf_is_answered_in_protobuf_compressed_or_not() {
    let server = TestServer::start().await;
    let message = v1::GetMovieRequest { movie: Some(1.into()) }.encode_to_vec();
    let request = || Request::post(MOVIE).header("content-type", "application/proto");
    let plain = ask(&server, request(), message.clone()).await;
    let packed = ask(&server, request().header("content-encoding", "gzip"), gzip(&message)).await;
    for response in [plain, packed] {
        assert_eq!(header(&response, "content-type"), "application/proto");
        let reply = v1::GetMovieResponse::decode(response.into_body()).unwrap();
        assert_eq!(reply.movie.unwrap().movie_id, 1);
    }
    let wrong = ask(&server, request(), &b"\xff"[..]).await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json_of(&wrong)["code"], "invalid_argument");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_may_be_compressed_either_way() {
    let server = TestServer::start().await;
    let request = post(SEARCH).header("content-encoding", "gzip").header("accept-encoding", "br, gzip");
    let response = ask(&server, request, gzip(br#"{"query": "the", "limit": 100}"#)).await;
    assert_eq!(response.status(), StatusCode::OK, "{response:?}");
    assert_eq!(header(&response, "content-encoding"), "gzip");
    let mut text = String::new();
    GzDecoder::new(&response.body()[..]).read_to_string(&mut text).unwrap();
    assert!(text.starts_with('{'), "{text}");

    let bomb = gzip(&vec![b' '; 5 << 20]);
    let response = ask(&server, post(SEARCH).header("content-encoding", "gzip"), bomb).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let response = ask(&server, post(SEARCH).header("content-encoding", "br"), "{}").await;
    let error = json_of(&response);
    assert_eq!((response.status().as_u16(), &error["code"]), (501, &json!("unimplemented")));
    assert!(error["message"].as_str().unwrap().contains("supported encodings are gzip, identity"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_changes_nothing_may_be_a_get() {
    let server = TestServer::start().await;
    for query in [
        "connect=v1&encoding=json&message=%7B%22movie_id%22%3A1%7D",
        "connect=v1&encoding=json&base64=1&message=eyJtb3ZpZV9pZCI6MX0",
        "encoding=json&base64=1&message=eyJtb3ZpZV9pZCI6MX0%3D",
    ] {
        let response = ask(&server, Request::get(format!("{MOVIE}?{query}")), "").await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        assert_eq!(json_of(&response)["movie"]["movie_id"], 1);
        let head = ask(&server, Request::head(format!("{MOVIE}?{query}")), "").await;
        assert_eq!(header(&head, "content-length"), response.body().len().to_string());
        assert!(head.body().is_empty());
    }
    // Protobuf is bytes, and these are no text.
    let raw = ask(&server, Request::get(format!("{MOVIE}?encoding=proto&message=%08%96%01")), "").await;
    assert_eq!(raw.status(), StatusCode::OK);
    assert!(String::from_utf8_lossy(raw.body()).contains("Apollo 13"));
    for query in [
        "encoding=json&message=%ff",
        "",
        "encoding=json",
        "message={}",
        "encoding=xml&message=",
        "connect=v2&encoding=json&message=%7B%7D",
        "encoding=json&base64=1&message=***",
    ] {
        let response = ask(&server, Request::get(format!("{MOVIE}?{query}")), "").await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    for (verb, path, allowed) in [
        ("GET", RECOMMEND, "POST"),
        ("GET", "/marquee.v1.UserService/DeleteUser", "POST"),
        ("PUT", MOVIE, "GET, HEAD, POST"),
    ] {
        let request = Request::builder().method(verb).uri(path);
        let response = ask(&server, request, "").await;
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, allowed), "{verb} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_field() {
    let server = TestServer::start().await;
    let (status, error) = post_json(&server, RECOMMEND, r#"{"user_id": 1, "k": 501}"#).await;
    assert_eq!((status, &error["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")));
    let details = error["details"].as_array().unwrap();
    let bad = details.iter().find(|detail| detail["type"] == "google.rpc.BadRequest").unwrap();
    assert_eq!(bad["debug"]["field_violations"][0]["field"], "k");
    for (body, expected) in [
        (r#"{"movieid": 1}"#, "did you mean movie_id?"),
        (r#"{"movie_id": -1}"#, "movie_id is -1"),
        (r#"{"movie_id": 1"#, "line 1 column"),
        (r#"{"movie_id": 1, "movie_id": 2}"#, "is given twice"),
        ("", "line 1 column 0"),
        ("[]", "is a list"),
    ] {
        let (status, error) = post_json(&server, MOVIE, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(error["message"].as_str().unwrap().contains(expected), "{error}");
    }
    let (status, error) = post_json(&server, MOVIE, r#"{"movie_id": 4000000000}"#).await;
    assert_eq!((status, &error["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_with_where_to_look() {
    let server = TestServer::start().await;
    for path in ["/nothing", "/v1/nothing", "/marquee.v1.CatalogService/GetFilm", "/openapi.yaml"] {
        let response = ask(&server, post(path), "{}").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(json_of(&response)["message"].as_str().unwrap().contains("/openapi.json"), "{path}");
    }
    let stream_of_requests = "/marquee.v1.InteractionService/RecordInteractions";
    let (status, error) = post_json(&server, stream_of_requests, "{}").await;
    assert_eq!((status.as_u16(), &error["code"]), (501, &json!("unimplemented")));
    let request = Request::post(MOVIE).header("content-type", "text/plain");
    let response = ask(&server, request, "{}").await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(header(&response, "accept-post"), "application/json, application/proto");
}

/// The answer to a request for what is recorded, one message in its envelope; the body is read as it comes.
async fn watch(server: &TestServer, message: &str) -> Response<Incoming> {
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(WATCH).header("host", "localhost");
    let request = request.header("content-type", "application/connect+json");
    let envelope = [&[0], &(message.len() as u32).to_be_bytes()[..], message.as_bytes()].concat();
    client.send_request(request.body(Full::new(Bytes::from(envelope))).unwrap()).await.unwrap()
}

/// The flags and the message of the next envelope, which comes in one piece.
async fn next(body: &mut Incoming) -> (u8, Value) {
    let envelope = body.frame().await.unwrap().unwrap().into_data().unwrap();
    (envelope[0], serde_json::from_slice(&envelope[5..]).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_each_reply_as_it_comes_and_says_how_it_ended() {
    let server = TestServer::start().await;
    let mut response = watch(&server, r#"{"after": "0-0"}"#).await;
    assert_eq!(response.headers()["content-type"], "application/connect+json");
    assert!(response.headers().contains_key("x-request-id"));
    let record = "/marquee.v1.InteractionService/RecordInteraction";
    for movie_id in [1, 2] {
        let recorded = json!({ "user_id": 3_000_000, "movie_id": movie_id, "rating": 4 });
        assert_eq!(post_json(&server, record, &recorded.to_string()).await.0, StatusCode::OK);
        let (flags, reply) = next(response.body_mut()).await;
        assert_eq!((flags, &reply["interaction"]["movie_id"]), (0, &json!(movie_id)));
    }
    let stopping = tokio::spawn(server.running.stop());
    let (flags, end) = next(response.body_mut()).await;
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("unavailable")));
    assert!(response.body_mut().frame().await.is_none());
    stopping.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_begin_says_why_in_its_only_envelope() {
    let server = TestServer::start().await;
    for message in [r#"{"after": "yesterday"}"#, r#"{"since": 1}"#, "{"] {
        let mut response = watch(&server, message).await;
        assert_eq!(response.status(), StatusCode::OK);
        let (flags, end) = next(response.body_mut()).await;
        assert_eq!((flags, &end["error"]["code"]), (2, &json!("invalid_argument")), "{message}");
        assert!(response.body_mut().frame().await.is_none());
    }
    let response = ask(&server, post(WATCH), "{}").await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(header(&response, "accept-post"), "application/connect+json, application/connect+proto");
    let response = ask(&server, Request::get(WATCH), "").await;
    assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "POST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_the_time_that_its_caller_gives() {
    let server = TestServer::start().await;
    let late = ask(&server, post(RECOMMEND).header("connect-timeout-ms", "0"), r#"{"user_id": 1}"#).await;
    assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT, "{late:?}");
    assert_eq!(json_of(&late)["code"], "deadline_exceeded");
    for wrong in ["soon", "-1", "12345678901"] {
        let response = ask(&server, post(MOVIE).header("connect-timeout-ms", wrong), "{}").await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{wrong}");
        assert!(json_of(&response)["message"].as_str().unwrap().contains("connect-timeout-ms"));
    }
    let version = ask(&server, post(MOVIE).header("connect-protocol-version", "2"), "{}").await;
    assert_eq!(version.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_end_is_refused_by_its_field_and_a_body_by_its_size() {
    let server = TestServer::start().await;
    let zeros = format!(r#"{{"filter": {{"deny_movie_ids": [{}0]}}}}"#, "0,".repeat(1_000_000));
    let (status, error) = post_json(&server, RECOMMEND, &zeros).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(error["message"].as_str().unwrap().starts_with("filter.deny_movie_ids has more than"), "{error}");
    // A body is known by its length, and refused before it comes.
    let head = format!(
        "POST {RECOMMEND} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        (4 << 20) + 1
    );
    assert_eq!(Http1::ask(server.running.address, head).await.status, 413);
    // So is what is too large once it is unpacked.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(&vec![0; (4 << 20) + 1]).unwrap();
    let bomb = bomb.finish().unwrap();
    let packed =
        Request::post(MOVIE).header("content-type", "application/proto").header("content-encoding", "gzip");
    let refused = ask(&server, packed, bomb).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_a_caller_gives_holds_while_the_body_comes() {
    let server = TestServer::start().await;
    for (timeout, status, code) in [("50", 504, "deadline_exceeded"), ("soon", 400, "invalid_argument")] {
        let mut client = Http1::connect(server.running.address).await;
        let head = format!("POST {MOVIE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        client.send(format!("{head}connect-timeout-ms: {timeout}\r\ncontent-length: 100\r\n\r\n{{")).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, &reply.json()["code"]), (status, &code.into()), "{timeout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_the_callers_fault() {
    let server = TestServer::start().await;
    for body in ["content-length: 100\r\n\r\n{\"movie_id\"", "transfer-encoding: chunked\r\n\r\nZZ\r\n"] {
        let mut client = Http1::connect(server.running.address).await;
        let head = format!("POST {MOVIE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        client.send(format!("{head}{body}")).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
        let reply = client.reply().await;
        assert_eq!((reply.status, &reply.json()["code"]), (400, &"invalid_argument".into()));
    }
}
