//! HTTP/1.1 on the port of gRPC, through the socket: who may call, and what callers cannot do to others.

mod common;

use std::path::Path;
use std::time::Duration;

use common::TestServer;
use common::http1::Http1;
use common::raw::{RawClient, framed, read_all};
use marquee_proto::v1;
use marquee_server::config::{Config, Switch};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

const SOON: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_hours(24);

/// The shortest request that is answered.
const SHORT: &str = "GET / HTTP/1.1\r\nhost:[::]\r\n\r\n";

const CHUNKED: &[u8] = b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n";

/// The path of a unary call, and what every request of it has.
const GET_MOVIE: &str = "POST /marquee.v1.CatalogService/GetMovie HTTP/1.1\r\nhost: localhost\r\n\
    content-type: application/grpc-web+proto\r\n";

async fn server_with(change: impl FnOnce(&mut Config)) -> TestServer {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    change(&mut config);
    TestServer::start_with(config, data).await
}

/// A request for the movie 1, its headers ended by `extra` ones.
fn get_movie(extra: &str) -> Vec<u8> {
    let message = framed(&v1::GetMovieRequest { movie: Some(1.into()) });
    let head = format!("{GET_MOVIE}{extra}content-length: {}\r\n\r\n", message.len());
    [head.as_bytes(), &message].concat()
}

async fn assert_served(server: &TestServer) {
    let reply = Http1::ask(server.running.address, get_movie("")).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.ends_with(b"grpc-status:0\r\n"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_somebody_else_and_a_rebound_name_are_refused_with_what_to_set() {
    let server = TestServer::start().await;
    let refused = async |headers: &str| {
        let reply = Http1::ask(server.running.address, format!("GET / HTTP/1.1\r\n{headers}\r\n")).await;
        assert_eq!(reply.header("content-type"), "application/json");
        (reply.status, reply.json()["message"].as_str().unwrap().to_owned())
    };
    let (status, message) = refused("host: rebound.example:50051\r\n").await;
    assert_eq!(status, 421);
    assert!(message.contains("--allowed-hosts"), "{message}");
    let (status, message) = refused("host: localhost\r\norigin: https://evil.example\r\n").await;
    assert_eq!(status, 403);
    assert!(message.contains("--cors-origins"), "{message}");
    assert_eq!(refused("").await.0, 400);
    assert_eq!(refused("host: localhost\r\nhost: localhost\r\n").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_grpc_web_is_refused_with_a_status() {
    let server = TestServer::start().await;
    let foreign = String::from_utf8(get_movie("")).unwrap().replace("localhost", "rebound.example");
    let reply = Http1::ask(server.running.address, foreign).await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, "7"));
    assert_eq!(reply.header("content-type"), "application/grpc-web+proto");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_asked_for_no_host_over_http_2_and_does_not_exist_over_http_1() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(server.running.address, 65_535).await;
    let (answer, mut body) =
        client.call("marquee.v1.CatalogService/GetMovie", &[("origin", "https://evil.example")]).await;
    body.send_data(framed(&v1::GetMovieRequest { movie: Some(1.into()) }), true).unwrap();
    assert_eq!(read_all(answer).await.unwrap().1.code(), Code::Ok);

    let native = |host: &str| {
        let request = String::from_utf8(get_movie("")).unwrap().replace("localhost", host);
        request.replace("application/grpc-web+proto", "application/grpc")
    };
    let reply = Http1::ask(server.running.address, native("rebound.example")).await;
    assert_eq!(reply.status, 421);
    let reply = Http1::ask(server.running.address, native("localhost")).await;
    assert!((400..500).contains(&reply.status), "{reply:?}");
    assert_eq!(reply.header("grpc-status"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_listed_origin_is_told_what_it_may_ask_and_read() {
    let server = server_with(|config| {
        config.server.cors_origins = "https://app.example.org".parse().unwrap();
        config.server.allowed_hosts = "api.example.org".parse().unwrap();
    });
    let server = server.await;
    let preflight = "OPTIONS /marquee.v1.CatalogService/GetMovie HTTP/1.1\r\nhost: api.example.org\r\n\
        origin: https://app.example.org\r\naccess-control-request-method: POST\r\n\
        access-control-request-headers: content-type,x-grpc-web\r\n\r\n";
    let reply = Http1::ask(server.running.address, preflight).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), "https://app.example.org");
    assert_eq!(reply.header("access-control-allow-methods"), "GET,POST,PUT,PATCH,DELETE,OPTIONS");
    let headers = reply.header("access-control-allow-headers");
    for header in ["content-type", "x-grpc-web", "grpc-timeout", "connect-protocol-version", "authorization"]
    {
        assert!(headers.split(',').any(|allowed| allowed == header), "{headers}");
    }
    assert_eq!(reply.header("access-control-max-age"), "7200");
    assert_eq!(reply.header("access-control-allow-credentials"), "");

    let reply = Http1::ask(server.running.address, get_movie("origin: https://app.example.org\r\n")).await;
    assert!(reply.body.ends_with(b"grpc-status:0\r\n"), "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), "https://app.example.org");
    assert_eq!(
        reply.header("access-control-expose-headers"),
        "grpc-status,grpc-message,grpc-status-details-bin,x-request-id,retry-after,x-ratelimit-limit,x-ratelimit-remaining"
    );
    assert!(reply.headers.get_all("vary").iter().any(|vary| vary == "origin"), "{reply:?}");
    let other = preflight.replace("app.example.org", "evil.example");
    assert_eq!(Http1::ask(server.running.address, other).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_gateway_grpc_is_all_that_is_served() {
    let server = server_with(|config| config.server.http_gateway = false).await;
    let mut client = Http1::connect(server.running.address).await;
    client.send(SHORT).await;
    let rest = client.rest().await;
    assert!(!rest.starts_with(b"HTTP/1.1"), "{rest:?}");
    server.catalog().get_movie(v1::GetMovieRequest { movie: Some(1.into()) }).await.unwrap();
}

/// A request to read a file, its headers ended by `extra` ones.
fn get(path: &str, extra: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{extra}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_stands_at_the_root_and_where_no_call_does() {
    let server = TestServer::start().await;
    let asked = async |path: &str, extra: &str| Http1::ask(server.running.address, get(path, extra)).await;
    let page = asked("/", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!((page.header("cache-control"), page.header("vary")), ("no-cache", "accept-encoding"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let known = format!("if-none-match: {}\r\n", page.header("etag"));
    assert_eq!(asked("/", &known).await.status, 304);
    let text = String::from_utf8(page.body.clone()).unwrap();
    let script = text
        .split('"')
        .find(|part| part.starts_with("/assets/") && Path::new(part).extension() == Some("js".as_ref()))
        .unwrap();
    let script = asked(script, "accept-encoding: gzip\r\n").await;
    assert_eq!((script.status, script.header("content-encoding")), (200, "gzip"));
    assert_eq!(script.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(script.header("content-type"), "text/javascript");
    assert_eq!(asked("/movies/1", "").await.body, page.body);
    let facts = asked("/console.json", "").await.json();
    assert_eq!((&facts["asksWho"], &facts["signsUp"]), (&json!(false), &json!(false)));
    for (path, status) in
        [("/assets/none.js", 404), ("/v1/none", 404), ("/none.txt", 404), ("/docs", 200), ("/v1/genres", 200)]
    {
        assert_eq!(asked(path, "").await.status, status, "{path}");
    }
    let posted = get("/", "content-length: 0\r\n").replace("GET", "POST");
    let posted = Http1::ask(server.running.address, posted).await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_console_the_root_leads_to_the_documentation() {
    let server = server_with(|config| config.server.console = Switch::Off).await;
    let asked = async |path: &str| Http1::ask(server.running.address, get(path, "")).await;
    let root = asked("/").await;
    assert_eq!((root.status, root.header("location")), (307, "/docs"));
    for path in ["/index.html", "/console.json", "/movies/1"] {
        assert_eq!(asked(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_at_once_are_answered_in_their_order() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(server.running.address).await;
    let foreign = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    client.send([&get_movie(""), foreign.as_bytes(), SHORT.as_bytes(), &get_movie("")].concat()).await;
    for status in [200, 421, 200, 200] {
        assert_eq!(client.reply().await.status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_end_the_head_of_a_request_is_closed() {
    let server = server_with(|config| config.server.handshake_timeout = SOON).await;
    for beginning in
        ["G", "GET / HTTP/1.1\r\nhost: localhost\r\n", "GET / HTTP/1.1\r\nx: aaaaaaaaaaaaaaaaaaaaa"]
    {
        let mut client = Http1::connect(server.running.address).await;
        client.send(beginning).await;
        assert_eq!(client.rest().await, b"");
    }
    let mut slow = Http1::connect(server.running.address).await;
    slow.send("GET / HTTP/1.1\r\nx: ").await;
    let mut nothing = [0; 1];
    // A byte whenever the server has not closed for a while.
    while tokio::time::timeout(SOON / 10, slow.stream.read(&mut nothing)).await.is_err() {
        _ = slow.stream.write_all(b"a").await;
    }
    assert_served(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_without_a_word() {
    let server = server_with(|config| config.server.idle_timeout = SOON).await;
    let mut client = Http1::connect(server.running.address).await;
    client.send(SHORT).await;
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused_and_not_kept() {
    let server = server_with(|config| config.server.handshake_timeout = NEVER).await;
    let many = "x: a\r\n".repeat(200);
    let reply =
        Http1::ask(server.running.address, format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n")).await;
    assert_eq!(reply.status, 431);

    let mut client = Http1::connect(server.running.address).await;
    // Twice what is kept, one piece after the other, until the server does not listen any more.
    let mut pieces = 0;
    client.send("GET / HTTP/1.1\r\nx: ").await;
    while pieces < 64 && client.stream.write_all(&[b'a'; 1024]).await.is_ok() {
        pieces += 1;
    }
    let rest = client.rest().await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&rest));
    assert_served(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_follows_its_head_in_a_piece_of_its_own_is_no_long_head() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(server.running.address).await;
    let unknown = framed(&v1::RecommendRequest { model_version: "x".repeat(120_000), ..Default::default() });
    let head = GET_MOVIE.replace("CatalogService/GetMovie", "RecommendationService/Recommend");
    for _ in 0..20 {
        client.send(format!("{head}content-length: {}\r\n\r\n", unknown.len())).await;
        tokio::task::yield_now().await;
        client.send(&unknown).await;
        assert_eq!(client.reply().await.header("grpc-status"), "3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_head_after_a_large_request_is_no_flood() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(server.running.address).await;
    let unknown = framed(&v1::RecommendRequest { model_version: "x".repeat(2 << 20), ..Default::default() });
    let head = GET_MOVIE.replace("CatalogService/GetMovie", "RecommendationService/Recommend");
    for _ in 0..3 {
        client.send(format!("{head}content-length: {}\r\n\r\n", unknown.len())).await;
        client.send(&unknown).await;
        assert_eq!(client.reply().await.header("grpc-status"), "3");
        client.send(get_movie(&format!("x: {}\r\n", "a".repeat(20_000)))).await;
        assert_eq!(client.reply().await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_come_in_chunks_and_not_in_wrong_ones() {
    let server = TestServer::start().await;
    let message = framed(&v1::GetMovieRequest { movie: Some(1.into()) });
    let chunked = async |chunks: &[u8]| {
        let mut client = Http1::connect(server.running.address).await;
        client.send([GET_MOVIE.as_bytes(), CHUNKED, chunks].concat()).await;
        String::from_utf8_lossy(&client.rest().await).into_owned()
    };
    let pieces: Vec<u8> =
        message.iter().flat_map(|byte| [b"1;note=x\r\n", &[*byte][..], b"\r\n"].concat()).collect();
    let reply = chunked(&[&pieces, &b"0\r\nx-trailer: a\r\n\r\n"[..]].concat()).await;
    assert!(reply.contains("grpc-status:0"), "{reply}");
    for wrong in ["ffffffffffffffffff\r\n", "-1\r\n", "0x7\r\n", "zz\r\n", " \r\n", "2\r\naXX\r\n"] {
        let reply = chunked(wrong.as_bytes()).await;
        assert!(!reply.contains("grpc-status:0"), "{wrong:?}: {reply}");
    }
    let endless = format!("1;{}", "x".repeat(1 << 20));
    let reply = chunked(endless.as_bytes()).await;
    assert!(!reply.contains("grpc-status:0"), "{reply}");
    assert_served(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_one_length() {
    let server = TestServer::start().await;
    let message = framed(&v1::GetMovieRequest { movie: Some(1.into()) });
    let status = async |headers: &str| {
        let request = [GET_MOVIE.as_bytes(), headers.as_bytes(), b"\r\n", &message].concat();
        Http1::ask(server.running.address, request).await.status
    };
    for wrong in [
        "content-length: 7\r\ncontent-length: 8\r\n",
        "content-length: -1\r\n",
        "content-length: +7\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked, gzip\r\n",
    ] {
        assert_eq!(status(wrong).await, 400, "{wrong:?}");
    }
    // Chunks win over a length, and the connection is not used for a further request that hides in the difference.
    let hidden =
        format!("{GET_MOVIE}content-length: 200\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SHORT}");
    let mut client = Http1::connect(server.running.address).await;
    client.send(hidden).await;
    assert_eq!(client.reply().await.header("connection"), "close");
    assert_eq!(client.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_protocol_is_changed_and_nothing_is_tunnelled_or_echoed() {
    let server = TestServer::start().await;
    let upgrade =
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n";
    let reply = Http1::ask(server.running.address, get_movie(upgrade)).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.ends_with(b"grpc-status:0\r\n"), "{reply:?}");
    for request in [
        "CONNECT localhost:22 HTTP/1.1\r\nhost: localhost:22\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let reply = Http1::ask(server.running.address, request).await;
        assert!((400..500).contains(&reply.status), "{reply:?}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("HTTP/1.1"), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_before_sending_is_told_to_go_on_or_the_reply() {
    let server = TestServer::start().await;
    let message = framed(&v1::GetMovieRequest { movie: Some(1.into()) });
    let mut client = Http1::connect(server.running.address).await;
    client
        .send(format!("{GET_MOVIE}expect: 100-continue\r\ncontent-length: {}\r\n\r\n", message.len()))
        .await;
    assert_eq!(client.head().await.0, 100);
    client.send(&message).await;
    assert_eq!(client.reply().await.status, 200);

    let mut client = Http1::connect(server.running.address).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 7\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_request_is_read_before_it_is_refused_and_its_connection_goes_on() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(server.running.address).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\nhal").await;
    client.send("f or").await;
    assert_eq!(client.reply().await.status, 421);
    client.send(SHORT).await;
    assert_eq!(client.reply().await.status, 200);
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 1 << 30)).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (421, "close"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_stays_half_sent_ends() {
    let server = server_with(|config| config.server.receive_timeout = SOON).await;
    let mut client = Http1::connect(server.running.address).await;
    client.send(format!("{GET_MOVIE}content-length: 100\r\n\r\n\0\0\0\0\x5fbegin")).await;
    let reply = client.reply().await;
    assert_eq!(reply.header("grpc-status"), "4", "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_while_the_request_is_sent_is_told_in_the_form_that_its_caller_reads() {
    let server = TestServer::start().await;
    for (path, code) in
        [("/v1/recommend", json!(4)), ("/marquee.v1.CatalogService/GetMovie", json!("deadline_exceeded"))]
    {
        let mut client = Http1::connect(server.running.address).await;
        let head = "host: localhost\r\ncontent-type: application/json\r\ngrpc-timeout: 20m\r\n";
        client.send(format!("POST {path} HTTP/1.1\r\n{head}content-length: 100\r\n\r\n{{")).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, &reply.json()["code"]), (504, &code), "{reply:?}");
        assert!(!reply.header("x-request-id").is_empty());
    }
    let mut client = Http1::connect(server.running.address).await;
    client.send(format!("{GET_MOVIE}grpc-timeout: 20m\r\ncontent-length: 100\r\n\r\n\0")).await;
    assert_eq!(client.reply().await.header("grpc-status"), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_nobody_reads_end_with_their_connection() {
    let server = server_with(|config| config.server.send_timeout = Duration::from_secs(1)).await;
    let request = framed(&v1::RecommendRequest {
        subject: Some(v1::recommend_request::Subject::UserId(1)),
        k: Some(500),
        ..Default::default()
    });
    let head = GET_MOVIE.replace("CatalogService/GetMovie", "RecommendationService/Recommend");
    let request = [format!("{head}content-length: {}\r\n\r\n", request.len()).as_bytes(), &request].concat();
    let mut client = Http1::connect(server.running.address).await;
    // Until the server does not take any more, and then until it has closed.
    let asking = async { while client.stream.write_all(&request).await.is_ok() {} };
    tokio::time::timeout(Duration::from_mins(1), asking).await.expect("the server closes");
    assert_served(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_call_do_not_hold_the_end_of_the_server() {
    let server = server_with(|config| config.server.shutdown_timeout = NEVER).await;
    let address = server.running.address;
    let silent = Http1::connect(address).await;
    let mut half = Http1::connect(address).await;
    half.send("GET / HTTP/1.1\r\nhost: ").await;
    let mut idle = Http1::connect(address).await;
    idle.send(SHORT).await;
    assert_eq!(idle.reply().await.status, 200);
    let mut half_again = Http1::connect(address).await;
    half_again.send(SHORT).await;
    assert_eq!(half_again.reply().await.status, 200);
    half_again.send("GET / HTTP/1.1\r\nhost: ").await;
    let stopped = tokio::time::timeout(Duration::from_mins(1), server.running.stop()).await;
    stopped.expect("the drain ends by itself").unwrap();
    for connection in [silent, half, idle, half_again] {
        assert_eq!(connection.rest().await, b"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_still_being_sent_is_answered_before_the_server_ends() {
    let server = server_with(|config| config.server.shutdown_timeout = NEVER).await;
    let request = get_movie("expect: 100-continue\r\n");
    let mut client = Http1::connect(server.running.address).await;
    client.send(&request[..request.len() - 3]).await;
    // The server reads the body once it says so.
    assert_eq!(client.head().await.0, 100);
    let stopping = tokio::spawn(server.running.stop());
    client.send(&request[request.len() - 3..]).await;
    let reply = client.reply().await;
    assert!(reply.body.ends_with(b"grpc-status:0\r\n"), "{reply:?}");
    assert_eq!(client.rest().await, b"");
    stopping.await.unwrap().unwrap();
}
