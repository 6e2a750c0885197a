//! gRPC-web through the socket, binary and as a text: calls, streams, refusals, limits, and what is counted.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::TestServer;
use common::http1::{Http1, Reply};
use flate2::read::GzEncoder;
use http::HeaderMap;
use marquee_proto::v1;
use marquee_server::config::Config;
use prost::Message;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt as _;

use common::raw::{RawClient, framed};

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";
const GET_MOVIE: &str = "marquee.v1.CatalogService/GetMovie";

async fn server_with(change: impl FnOnce(&mut Config)) -> TestServer {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    change(&mut config);
    TestServer::start_with(config, data).await
}

fn head(method: &str, content_type: &str, length: usize, headers: &str) -> String {
    format!(
        "POST /{method} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n{headers}\
         content-length: {length}\r\n\r\n"
    )
}

async fn post(server: &TestServer, method: &str, content_type: &str, headers: &str, body: &[u8]) -> Reply {
    let request = [head(method, content_type, body.len(), headers).as_bytes(), body].concat();
    Http1::ask(server.running.address, request).await
}

fn movie(movie_id: u32) -> Bytes {
    framed(&v1::GetMovieRequest { movie: Some(movie_id.into()) })
}

/// The messages and the status of a body.
fn parts(mut body: &[u8]) -> (Vec<&[u8]>, Option<Status>) {
    let (mut messages, mut status) = (Vec::new(), None);
    while let Some((prefix, rest)) = body.split_at_checked(5) {
        let length = u32::from_be_bytes(prefix[1..].try_into().expect("four bytes")) as usize;
        let (part, rest) = rest.split_at(length);
        match prefix[0] {
            0 => messages.push(part),
            0x80 => status = status_of(part),
            flag => panic!("a frame with the flag {flag}"),
        }
        body = rest;
    }
    (messages, status)
}

fn status_of(trailers: &[u8]) -> Option<Status> {
    let mut headers = HeaderMap::new();
    for line in std::str::from_utf8(trailers).expect("a text").lines() {
        let (name, value) = line.split_once(':').expect("a header");
        headers.insert(http::HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
    }
    Status::from_header_map(&headers)
}

/// The status of a reply without a message.
fn refusal(reply: &Reply) -> Status {
    Status::from_header_map(&reply.headers).unwrap_or_else(|| panic!("{reply:?}"))
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("a reason is given").reason
}

/// A text of which each quantum may be padded, as gRPC-web has it.
fn from_base64(text: &[u8]) -> Vec<u8> {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |letter: u8| letters.iter().position(|known| *known == letter).map_or(0, |at| at as u32);
    let quantum = |quantum: &[u8]| {
        let bits = quantum.iter().fold(0, |bits, letter| bits << 6 | value(*letter));
        let padding = usize::from(quantum[2] == b'=') + usize::from(quantum[3] == b'=');
        bits.to_be_bytes()[1..4 - padding].to_vec()
    };
    text.chunks(4).flat_map(quantum).collect()
}

fn to_base64(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let quantum = |three: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        let letter = |at: usize| letters[(bits >> (18 - 6 * at) & 63) as usize] as char;
        (0..4).map(move |at| if at <= three.len() { letter(at) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(quantum).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_in_the_form_in_which_it_came() {
    let server = TestServer::start().await;
    for content_type in [
        BINARY,
        "application/grpc-web",
        "application/grpc-web;charset=utf-8",
        "Application/gRPC-Web+Proto ; a=b",
    ] {
        let reply = post(&server, GET_MOVIE, content_type, "", &movie(1)).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, BINARY), "{content_type}");
        let (messages, status) = parts(&reply.body);
        assert_eq!(v1::GetMovieResponse::decode(messages[0]).unwrap().movie.unwrap().movie_id, 1);
        assert_eq!((messages.len(), status.unwrap().code()), (1, Code::Ok));
    }
    for (content_type, accept) in [
        (TEXT, ""),
        ("application/grpc-web-text", "accept: */*\r\n"),
        (BINARY, "accept: application/grpc-web-text\r\n"),
    ] {
        let message = if content_type == BINARY { movie(1) } else { to_base64(&movie(1)).into() };
        let reply = post(&server, GET_MOVIE, content_type, accept, &message).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, TEXT), "{content_type}");
        let body = from_base64(&reply.body);
        let (messages, status) = parts(&body);
        assert_eq!(v1::GetMovieResponse::decode(messages[0]).unwrap().movie.unwrap().movie_id, 1);
        assert_eq!(status.unwrap().code(), Code::Ok);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_carries_it_too_from_hosts_that_are_served() {
    let server = TestServer::start().await;
    let call = async |authority: &str| {
        let socket = tokio::net::TcpStream::connect(server.running.address).await.unwrap();
        let (client, connection) = h2::client::handshake(socket).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::post(format!("http://{authority}/{GET_MOVIE}"))
            .header("content-type", BINARY)
            .body(())
            .unwrap();
        let (answer, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
        body.send_data(movie(1), true).unwrap();
        let answer = answer.await.unwrap();
        let status = Status::from_header_map(answer.headers());
        let mut body = answer.into_body();
        let mut read = Vec::new();
        while let Some(piece) = body.data().await.transpose().unwrap() {
            read.extend(piece);
        }
        connection.abort();
        status.or_else(|| parts(&read).1).unwrap().code()
    };
    assert_eq!(call("localhost:50051").await, Code::Ok);
    assert_eq!(call("rebound.example").await, Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_its_details() {
    let server = TestServer::start().await;
    let unknown = refusal(&post(&server, GET_MOVIE, BINARY, "", &movie(4_000_000)).await);
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "UNKNOWN_MOVIE"));
    let k = framed(&v1::SimilarMoviesRequest { movie: Some(1.into()), k: Some(501), ..Default::default() });
    let k = to_base64(&k);
    let invalid = post(&server, "marquee.v1.RecommendationService/SimilarMovies", TEXT, "", k.as_bytes());
    let invalid = refusal(&invalid.await);
    assert_eq!(invalid.get_details_bad_request().unwrap().field_violations[0].field, "k");
    let no_method = refusal(&post(&server, "marquee.v1.CatalogService/GetFilm", BINARY, "", b"").await);
    assert_eq!((no_method.code(), reason(&no_method).as_str()), (Code::Unimplemented, "UNKNOWN_METHOD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_refused_for_what_it_is() {
    let server = TestServer::start().await;
    for other in ["application/grpc-web+json", "application/grpc-web-texts", "application/grpc-webs"] {
        let reply = post(&server, GET_MOVIE, other, "", &movie(1)).await;
        assert_eq!(reply.status, 415, "{other}");
        assert_eq!(reason(&refusal(&reply)), "CONTENT_TYPE_NOT_SUPPORTED");
    }
    let get = format!("GET /{GET_MOVIE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {BINARY}\r\n\r\n");
    let reply = Http1::ask(server.running.address, get).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
    for garbage in ["not base64!", "AAAA=AAA", "AAA", "=", "\u{fc}\u{fc}\u{fc}\u{fc}"] {
        let status = refusal(&post(&server, GET_MOVIE, TEXT, "", garbage.as_bytes()).await);
        assert_eq!(status.code(), Code::InvalidArgument, "{garbage}: {status}");
        assert_eq!(reason(&status), "UNDECODABLE_MESSAGE");
    }
    for garbage in [&b""[..], b"\0", b"\0\0\0\0\x01", b"\x80\0\0\0\x0fgrpc-status: 0\r\n", b"garbage"] {
        let status = refusal(&post(&server, GET_MOVIE, BINARY, "", garbage).await);
        assert_ne!(status.code(), Code::Ok, "{garbage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_messages_hold() {
    let server = server_with(|config| config.server.max_message_kib = 64).await;
    let too_large = |status: &Status| {
        assert_eq!((status.code(), reason(status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    };
    let claimed = [&[0][..], &u32::MAX.to_be_bytes(), b"begin"].concat();
    too_large(&refusal(&post(&server, GET_MOVIE, BINARY, "", &claimed).await));
    too_large(&refusal(&post(&server, GET_MOVIE, TEXT, "", to_base64(&claimed).as_bytes()).await));

    let large =
        v1::RecommendRequest { model_version: "x".repeat(1 << 20), ..Default::default() }.encode_to_vec();
    let mut packed = Vec::new();
    std::io::Read::read_to_end(&mut GzEncoder::new(&large[..], flate2::Compression::best()), &mut packed)
        .unwrap();
    let packed = [&[1][..], &(packed.len() as u32).to_be_bytes(), &packed].concat();
    let recommend = "marquee.v1.RecommendationService/Recommend";
    too_large(&refusal(&post(&server, recommend, BINARY, "grpc-encoding: gzip\r\n", &packed).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds() {
    let server = TestServer::start().await;
    let late = refusal(&post(&server, GET_MOVIE, BINARY, "grpc-timeout: 1n\r\n", &movie(1)).await);
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let wrong = refusal(&post(&server, GET_MOVIE, BINARY, "grpc-timeout: soon\r\n", &movie(1)).await);
    assert_eq!((wrong.code(), reason(&wrong).as_str()), (Code::InvalidArgument, "INVALID_TIMEOUT"));
}

/// A stream of the server over HTTP/1.1, of which each chunk is a frame.
async fn stream(
    server: &TestServer,
    method: &str,
    content_type: &str,
    request: &[u8],
    headers: &str,
) -> Http1 {
    let mut client = Http1::connect(server.running.address).await;
    client.send([head(method, content_type, request.len(), headers).as_bytes(), request].concat()).await;
    let (status, headers) = client.head().await;
    assert_eq!((status, headers["content-type"].to_str().expect("a text")), (200, content_type));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_server_and_says_why() {
    let server = server_with(|config| config.server.shutdown_timeout = Duration::from_hours(24)).await;
    let request = to_base64(&framed(&HealthCheckRequest::default()));
    let mut watch = stream(&server, "grpc.health.v1.Health/Watch", TEXT, request.as_bytes(), "").await;
    let health = |chunk: &[u8]| {
        let chunk = from_base64(chunk);
        let (messages, _) = parts(&chunk);
        messages.first().map(|message| HealthCheckResponse::decode(*message).unwrap().status())
    };
    while health(&watch.chunk().await.unwrap()) != Some(ServingStatus::Serving) {}
    let stopping = tokio::spawn(server.running.stop());
    let mut said = Vec::new();
    while let Some(chunk) = watch.chunk().await {
        said.extend(from_base64(&chunk));
    }
    let (messages, status) = parts(&said);
    let last = HealthCheckResponse::decode(*messages.last().unwrap()).unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert_eq!(reason(&status.unwrap()), "SHUTTING_DOWN");
    assert_eq!(watch.rest().await, b"");
    stopping.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_what_is_written_until_its_deadline() {
    let server = TestServer::start().await;
    let request = framed(&v1::WatchInteractionsRequest::default());
    let method = "marquee.v1.InteractionService/WatchInteractions";
    let mut watch = stream(&server, method, BINARY, &request, "grpc-timeout: 5S\r\n").await;
    let viewed = v1::RecordInteractionRequest {
        user: Some(3_000_000.into()),
        movie: Some(1.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    let recorded =
        post(&server, "marquee.v1.InteractionService/RecordInteraction", BINARY, "", &framed(&viewed)).await;
    assert_eq!(parts(&recorded.body).1.unwrap().code(), Code::Ok, "{recorded:?}");
    let mut said = Vec::new();
    while let Some(chunk) = watch.chunk().await {
        said.extend(chunk);
    }
    let (messages, status) = parts(&said);
    let seen = v1::WatchInteractionsResponse::decode(*messages.first().unwrap()).unwrap();
    assert!(format!("{seen:?}").contains("3000000"), "{seen:?}");
    assert_eq!(status.unwrap().code(), Code::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_as_what_they_are() {
    let server = server_with(|config| {
        config.telemetry.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    });
    let server = server.await;
    post(&server, GET_MOVIE, BINARY, "", &movie(1)).await;
    let mut native = RawClient::connect(server.running.address, 65_535).await;
    let (answer, mut body) = native.call(GET_MOVIE, &[]).await;
    body.send_data(movie(1), true).unwrap();
    common::raw::read_all(answer).await.unwrap();

    for protocol in ["grpc", "grpc_web"] {
        let series = format!(
            "rpc_server_call_duration_seconds_count{{rpc_method=\"{GET_MOVIE}\",rpc_response_status_code=\"OK\",\
             rpc_system_name=\"{protocol}\"}}"
        );
        // A call is counted when its reply has been sent, which its caller may have read before.
        while !common::metrics(&server).await.contains(&series) {
            tokio::task::yield_now().await;
        }
    }
}
