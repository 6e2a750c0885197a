//! What callers cannot do to others by opening connections and leaving requests half sent, through the socket.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::TestServer;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};
use marquee_proto::v1;
use marquee_server::config::Config;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The largest message, as the settings are by default.
const LARGEST: u32 = 4 << 20;

/// After which a server that does not act counts as one that never will.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the server does by itself, nothing being sent to it.
async fn by_itself<T>(outcome: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, outcome).await.expect("the server acts by itself")
}

async fn server_with(change: impl FnOnce(&mut Config)) -> TestServer {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    change(&mut config);
    TestServer::start_with(config, data).await
}

const SOON: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_hours(24);

/// A connection of HTTP/2 that somebody drives.
async fn connect(server: &TestServer) -> Result<SendRequest<Bytes>, h2::Error> {
    let socket = TcpStream::connect(server.running.address).await.expect("the port is open");
    let (client, connection) = h2::client::handshake(socket).await?;
    tokio::spawn(connection);
    client.ready().await
}

/// A call of GetMovie that has yet to send its request.
fn call(client: &mut SendRequest<Bytes>) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
    let request = http::Request::post("http://test/marquee.v1.CatalogService/GetMovie")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a valid request");
    client.send_request(request, false)
}

/// A call that announces a message of this length and never sends the rest of it.
fn half_sent(client: &mut SendRequest<Bytes>, length: u32) -> (ResponseFuture, SendStream<Bytes>) {
    let (response, mut body) = call(client).expect("the connection is open");
    let begin = [&[0], &length.to_be_bytes()[..], b"begin"].concat();
    body.send_data(begin.into(), false).expect("the call is open");
    (response, body)
}

fn status_of(response: &Response<h2::RecvStream>) -> Status {
    Status::from_header_map(response.headers()).expect("a status without a message")
}

/// Asks for a movie by a request that is whole.
async fn get_movie(mut client: SendRequest<Bytes>) -> Result<HeaderMap, h2::Error> {
    let (response, mut body) = call(&mut client)?;
    let message = v1::GetMovieRequest { movie: Some(1.into()) }.encode_to_vec();
    let length = (message.len() as u32).to_be_bytes();
    body.send_data([&[0], &length[..], &message].concat().into(), true)?;
    let mut answer = response.await?.into_body();
    while answer.data().await.transpose()?.is_some() {}
    Ok(answer.trailers().await?.expect("an answer has a status"))
}

async fn assert_served(server: &TestServer) {
    let client = connect(server).await.expect("there is a place");
    let trailers = get_movie(client).await.expect("an answer");
    assert_eq!(trailers["grpc-status"], "0");
}

/// Reads until the server ends the connection.
async fn closed(mut stream: TcpStream) {
    let mut ignored = Vec::new();
    let _ended_or_reset = by_itself(stream.read_to_end(&mut ignored)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_messages_are_refused_and_others_find_room() {
    // Two of the largest messages, as much again for their address, and as much beside it.
    let server = server_with(|config| config.server.receive_buffer_mib = 24).await;
    let mut client = connect(&server).await.unwrap();
    let (mut refused, _bodies): (FuturesUnordered<_>, Vec<_>) =
        (0..5).map(|_| half_sent(&mut client, LARGEST)).unzip();
    for _ in 0..3 {
        let status = status_of(&by_itself(refused.next()).await.unwrap().unwrap());
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert_eq!(status.get_details_error_info().unwrap().reason, "RECEIVE_BUFFER_FULL");
        assert!(status.get_details_retry_info().is_some());
    }
    assert_served(&server).await;
    let unknown = v1::RecommendRequest { model_version: "x".repeat(200_000), ..Default::default() };
    let in_pieces = server.recommendation().recommend(unknown).await.unwrap_err();
    assert_ne!(in_pieces.code(), Code::ResourceExhausted, "{in_pieces}");
    assert_eq!(refused.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_stays_half_sent_ends_and_its_connection_does_not() {
    let server = server_with(|config| config.server.receive_timeout = SOON).await;
    let mut client = connect(&server).await.unwrap();
    for length in [10, LARGEST] {
        let (response, _body) = half_sent(&mut client, length);
        let status = status_of(&by_itself(response).await.unwrap());
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert_eq!(status.get_details_error_info().unwrap().reason, "RECEIVE_TIMEOUT");
    }
    assert_eq!(get_movie(client).await.unwrap()["grpc-status"], "0");
}

/// A call of gRPC that its headers alone refuse, by this path, with these headers.
async fn assert_is_read_before_it_is_refused(server: &TestServer, path: &str, headers: [(&str, &str); 2]) {
    let mut client = connect(server).await.expect("there is a place");
    let mut request = http::Request::post(format!("http://test/{path}")).header("te", "trailers");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let (response, mut body) =
        client.send_request(request.body(()).expect("a request"), false).expect("the connection is open");
    // The server has read the headers when it answers a call that came after them.
    assert_eq!(get_movie(client).await.expect("an answer")["grpc-status"], "0");
    body.send_data(Bytes::from_static(&[0; 100]), true).expect("the call is open");
    let answer = response.await.expect("an answer");
    assert_ne!(status_of(&answer).code(), Code::Ok);
    drop(answer);
    let reset = futures::FutureExt::now_or_never(std::future::poll_fn(|context| body.poll_reset(context)));
    assert!(!matches!(reset, Some(Ok(_))), "{reset:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_request_is_read_before_its_headers_refuse_it() {
    let server = TestServer::start().await;
    let get_movie = "marquee.v1.CatalogService/GetMovie";
    let (grpc, json) = (("content-type", "application/grpc"), ("content-type", "application/grpc+json"));
    let timeout = ("grpc-timeout", "soon");
    assert_is_read_before_it_is_refused(&server, "marquee.v1.CatalogService/GetFilm", [grpc, ("x", "")])
        .await;
    assert_is_read_before_it_is_refused(&server, get_movie, [grpc, timeout]).await;
    let server = server_with(|config| config.server.http_gateway = false).await;
    assert_is_read_before_it_is_refused(&server, get_movie, [json, ("x", "")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_nobody_reads_end_with_their_connection() {
    let server = server_with(|config| config.server.send_timeout = SOON).await;
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    let (client, connection) =
        h2::client::Builder::new().initial_window_size(0).handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let answer = by_itself(get_movie(client.ready().await.unwrap())).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_served(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_begin_to_speak_http_2_is_closed() {
    let server = server_with(|config| config.server.handshake_timeout = SOON).await;
    for beginning in [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.running.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        closed(stream).await;
    }
    assert_served(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_something_else_is_closed_at_once() {
    let server = server_with(|config| {
        config.server.handshake_timeout = NEVER;
        config.server.http_gateway = false;
    });
    let server = server.await;
    for beginning in
        [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
    {
        let mut stream = TcpStream::connect(server.running.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        closed(stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_told_to_go_and_its_client_calls_again() {
    let server = server_with(|config| config.server.idle_timeout = SOON).await;
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    by_itself(connection).await.expect("it ends without an error");
    assert!(client.ready().await.is_err());
    let request = v1::GetMovieRequest { movie: Some(1.into()) };
    // The client's own connection ends at this time too, and a call that meets its end is cancelled, unsent.
    if server.catalog().get_movie(request.clone()).await.is_err() {
        server.catalog().get_movie(request).await.expect("the client connects again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_refused_until_another_ends() {
    let server = server_with(|config| {
        config.server.max_connections_per_address = 3;
        config.telemetry.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    });
    let server = server.await;
    let one = connect(&server).await.unwrap();
    let other = connect(&server).await.unwrap();
    let refused = async || match connect(&server).await {
        Ok(client) => get_movie(client).await.err(),
        Err(error) => Some(error),
    };
    let error = refused().await.expect("there is no place");
    assert!(error.reason().is_none_or(|reason| reason == Reason::ENHANCE_YOUR_CALM), "{error}");
    assert_eq!(get_movie(one.clone()).await.unwrap()["grpc-status"], "0");
    assert_eq!(get_movie(other).await.unwrap()["grpc-status"], "0");
    drop(one);
    // The server hears of it in its own time.
    while refused().await.is_some() {
        tokio::task::yield_now().await;
    }

    let exposition = common::metrics(&server).await;
    for metric in ["marquee_connections_refused_total{reason=\"address\"}", "marquee_connections_open"] {
        assert!(exposition.contains(metric), "{exposition}");
    }
}
