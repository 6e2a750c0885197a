//! The paths of REST through the socket.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use bytes::Bytes;
use common::TestServer;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The answer to a request on a connection of its own, and its text as JSON.
async fn ask(server: &TestServer, verb: &str, path: &str, body: &'static str) -> (Response<Bytes>, Value) {
    let socket = TcpStream::connect(server.running.address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(verb).uri(path).header("host", "localhost");
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
    let (head, body) = client.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    let json = serde_json::from_slice(&body).unwrap_or_default();
    (Response::from_parts(head, body), json)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_a_get_with_path_and_query() {
    let server = TestServer::start().await;
    let (response, movie) = ask(&server, "GET", "/v1/movies/1", "").await;
    assert_eq!((response.status().as_u16(), &movie["movie"]["movie_id"]), (200, &1.into()));
    assert!(response.headers().contains_key("x-request-id"));
    let (head, _) = ask(&server, "HEAD", "/v1/movies/1", "").await;
    assert_eq!(head.headers()["content-length"], response.body().len().to_string());
    assert!(head.body().is_empty());
    let (_, found) = ask(&server, "GET", "/v1/movies:search?query=toy&limit=2", "").await;
    assert_eq!(found["movies"].as_array().unwrap().len(), 2);
    let (_, found) = ask(&server, "GET", "/v1/movies:suggest?query=toy%20st&limit=1", "").await;
    assert_eq!(found["suggestions"][0]["completion"], "toy story");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_has_its_message_in_the_body() {
    let server = TestServer::start().await;
    let (response, reply) = ask(&server, "POST", "/v1/recommend", r#"{"user_id": 1, "k": 3}"#).await;
    assert_eq!(response.status(), 200, "{reply}");
    assert_eq!(reply["recommendations"].as_array().unwrap().len(), 3);
    let (response, error) = ask(&server, "POST", "/v1/recommend?k=1", r#"{"user_id": 1}"#).await;
    let field = &error["details"][1]["field_violations"][0]["field"];
    assert_eq!((response.status().as_u16(), field), (400, &"k".into()), "{error}");
    let (response, reply) = ask(&server, "PUT", "/v1/users/990001", "").await;
    assert_eq!(response.status(), 200, "{reply}");
    let (response, _) = ask(&server, "GET", "/v1/users/990001", "").await;
    assert_eq!(response.status(), 200);
    let event = r#"{"user_id": 990001, "movie_id": 1, "kind": "view", "time": "2026-05-01T10:00:00.250Z"}"#;
    let (response, reply) = ask(&server, "POST", "/v1/interactions", event).await;
    assert_eq!(response.status(), 200, "{reply}");
    let undo = "/v1/users/990001/interactions/1?kind=view&time=2026-05-01T10:00:00.250Z";
    for was_there in [true, false] {
        let (response, reply) = ask(&server, "DELETE", undo, "").await;
        assert_eq!((response.status().as_u16(), &reply["deleted"]), (200, &was_there.into()), "{reply}");
    }
    let (response, _) = ask(&server, "DELETE", "/v1/users/990001", "").await;
    assert_eq!(response.status(), 200);
    let (response, error) = ask(&server, "GET", "/v1/users/990001", "").await;
    assert_eq!((response.status().as_u16(), &error["code"]), (404, &5.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_its_field_and_what_there_is() {
    let server = TestServer::start().await;
    let (response, error) = ask(&server, "POST", "/v1/recommend", r#"{"user_id": 1, "k": 501}"#).await;
    assert_eq!((response.status().as_u16(), &error["code"]), (400, &3.into()));
    let details = error["details"].as_array().unwrap();
    let bad = details.iter().find(|detail| detail["@type"] == "type.googleapis.com/google.rpc.BadRequest");
    assert_eq!(bad.unwrap()["field_violations"][0]["field"], "k");
    let (response, error) = ask(&server, "GET", "/v1/movies/one", "").await;
    assert_eq!(response.status(), 400);
    assert!(error["message"].as_str().unwrap().starts_with("movie_id is \"one\""), "{error}");
    let (response, error) = ask(&server, "POST", "/v1/movies/1", "{}").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"GET, HEAD".parse().unwrap())
    );
    assert!(error["message"].as_str().unwrap().contains("/openapi.json"), "{error}");
    let (response, _) = ask(&server, "GET", "/v1/films", "").await;
    assert_eq!(response.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_it_is_a_call_counts_for_its_caller_and_in_the_metrics() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.rate_limit = Some("2/h".parse().unwrap());
    config.telemetry.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    let server = TestServer::start_with(config, data).await;
    for status in [400, 400, 429] {
        let (response, error) = ask(&server, "POST", "/v1/recommend", r#"{"user": 1}"#).await;
        assert_eq!(response.status(), status, "{error}");
        assert_eq!(response.headers().contains_key("retry-after"), status == 429);
    }
    let (response, _) = ask(&server, "GET", "/v1/nothing", "").await;
    assert_eq!(response.status(), 404);
    let metrics = common::metrics(&server).await;
    for (method, code) in [
        ("marquee.v1.RecommendationService/Recommend", "INVALID_ARGUMENT"),
        ("marquee.v1.RecommendationService/Recommend", "RESOURCE_EXHAUSTED"),
        ("unknown", "NOT_FOUND"),
    ] {
        let labels =
            format!(r#"rpc_method="{method}",rpc_response_status_code="{code}",rpc_system_name="http""#);
        assert!(metrics.contains(&labels), "{labels}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_a_user_has_a_path_and_one_for_a_history_takes_a_body() {
    let server = TestServer::start().await;
    let (response, page) = ask(&server, "GET", "/v1/users/990001/home?row_size=4&rows=2", "").await;
    assert_eq!(response.status(), 200, "{page}");
    let rows = page["rows"].as_array().unwrap();
    assert_eq!((rows.len(), rows[0]["movies"].as_array().unwrap().len()), (2, 4));
    let history = r#"{"history": {"movie_ids": [1, 2, 3]}, "rows": 1}"#;
    let (response, page) = ask(&server, "POST", "/v1/home", history).await;
    assert_eq!(response.status(), 200, "{page}");
    assert_eq!(page["rows"][0]["kind"], "ROW_KIND_FOR_YOU", "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn movies_to_ask_about_and_vectors_have_paths() {
    let server = TestServer::start().await;
    let (_, asked) = ask(&server, "GET", "/v1/movies:onboarding?k=3", "").await;
    assert_eq!(asked["movies"].as_array().unwrap().len(), 3);
    let (_, vector) = ask(&server, "GET", "/v1/movies/1/vector", "").await;
    assert_eq!(vector["vector"]["vector"].as_array().unwrap().len(), 16);
    let (response, parts) = ask(&server, "GET", "/v1/vectors:export?filter.allow_movie_ids=1", "").await;
    assert_eq!(response.status(), 200);
    assert_eq!(parts["result"]["vectors"][0], vector["vector"]);
    let (response, error) = ask(&server, "POST", "/v1/vectors:search", r#"{"vector": [1, "NaN"]}"#).await;
    assert_eq!(response.status(), 400);
    assert!(error["message"].as_str().unwrap().starts_with("vector has 2 numbers"), "{error}");
    let (response, _) = ask(&server, "GET", "/v1/users/1/similar", "").await;
    assert_eq!(response.status(), 400);
}
