//! The `marquee` program against a real tonic server: what it prints, where, and how it exits.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use marquee_core::authority::{Authority, Purpose, in_days};
use support::{Fake, Trouble};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Serves `fake` and a serving health service on a free port; gives the address.
async fn serve(fake: &Fake) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (_, health) = tonic_health::server::health_reporter();
    let routes = fake.routes().add_service(health);
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(incoming));
    address
}

/// As [`serve`] over TLS, for callers that show a certificate; gives the port.
async fn serve_tls(fake: &Fake, authority: &Authority) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pair = authority.sign(Purpose::Server, "server", &["localhost"], in_days(1)).unwrap();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(pair.certificate, pair.key))
        .client_ca_root(Certificate::from_pem(authority.pair().certificate));
    let mut server = Server::builder().tls_config(tls).unwrap();
    let serving = server.add_routes(fake.routes()).serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    port
}

/// Runs the program in a thread of its own, so that the server goes on.
async fn marquee(address: &str, line: &[&str], input: &str) -> Output {
    marquee_in(address, line, input, &[]).await
}

/// As [`marquee`], in this environment.
async fn marquee_in(address: &str, line: &[&str], input: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marquee"));
    command.args(line).env("MARQUEE_SERVER", address).env_remove("MARQUEE_API_KEY");
    command.env("COLUMNS", "80").envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let run = move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piped_reply_is_one_line_of_json_with_the_names_of_the_protos() {
    let address = serve(&Fake::default()).await;
    let output = marquee(&address, &["recommend", "1", "--k", "2"], "").await;
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1);
    let reply: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["recommendations"].as_array().unwrap().len(), 2);
    assert_eq!(reply["recommendations"][0]["movie_id"], 1);
    assert_eq!(reply["model_version"], "fixture-1");
    assert_eq!(reply["source"], "SOURCE_MODEL");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_written_when_asked_for() {
    let address = serve(&Fake::default()).await;
    let line = ["recommendation", "recommend", "--user-id", "1", "--k", "2", "--output", "table"];
    let text = stdout(&marquee(&address, &line, "").await);
    assert!(text.lines().next().unwrap().contains("MOVIE_ID"), "{text}");
    assert!(text.contains("Movie 2 (1999)"), "{text}");
    assert!(text.contains("total_us 812"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bidirectional_stream_answers_line_by_line() {
    let address = serve(&Fake::default()).await;
    let input = "{\"request\":{\"user_id\":1,\"k\":1}}\n{\"request\":{\"user_id\":2,\"k\":3}}\n";
    let output = marquee(&address, &["recommendation", "recommend-stream"], input).await;
    let counts: Vec<usize> = stdout(&output)
        .lines()
        .map(|line| {
            let reply: serde_json::Value = serde_json::from_str(line).unwrap();
            reply["outcome"]["response"]["recommendations"].as_array().unwrap().len()
        })
        .collect();
    assert_eq!(counts, [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stream_sends_every_line_and_prints_one_reply() {
    let fake = Fake::default();
    let address = serve(&fake).await;
    let event =
        |user: u32| format!("{{\"interaction\":{{\"user_id\":{user},\"movie_id\":2,\"rating\":4}}}}\n");
    let input: String = (1..=200).map(event).collect();
    let text = stdout(&marquee(&address, &["interaction", "record-interactions"], &input).await);
    assert!(text.contains(r#""accepted":"200""#), "{text}");
    assert_eq!(fake.recorded().len(), 200);
    assert!(fake.recorded().iter().all(|event| event.time.is_some()));
}

const EVENT: &str = "{\"interaction\":{\"user_id\":1,\"movie_id\":2,\"rating\":4}}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_ends_a_stream_and_what_was_sent_before_it_is_acknowledged() {
    let fake = Fake::default();
    let address = serve(&fake).await;
    let input = format!("{EVENT}\n{EVENT}{{\"interaction\":{{\"user_id\":1}}}}\n{EVENT}");
    let output = marquee(&address, &["interaction", "record-interactions"], &input).await;
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let reply: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reply["accepted"], "2");
    assert_eq!(fake.recorded().len(), 2);
    assert!(
        stderr(&output).contains("interaction.movie_id: must be there: movie_id or movie_key"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("line 4 of the input was not sent"), "{}", stderr(&output));
    let report = "2 messages were sent, up to line 3; the reply says what became of them";
    assert!(stderr(&output).contains(report), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stream_whose_first_line_is_bad_nothing_is_sent() {
    let fake = Fake::default();
    let address = serve(&fake).await;
    let input = format!("{{\"interaction\":5}}\n{EVENT}");
    let output = marquee(&address, &["interaction", "record-interactions"], &input).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(fake.header("x-request-id").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_server_fails_says_that_nothing_was_acknowledged() {
    let fake = Fake::with_troubles([Trouble::Fail(Status::unavailable("draining"))]);
    let address = serve(&fake).await;
    let output = marquee(&address, &["interaction", "record-interactions"], EVENT).await;
    assert_eq!(output.status.code(), Some(24));
    let report = "1 message was sent, up to line 1; the server acknowledged none of them";
    assert!(stderr(&output).contains(report), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_of_a_bidirectional_stream_comes_after_the_replies_to_those_before() {
    let address = serve(&Fake::default()).await;
    let input = "{\"request\":{\"userId\":1,\"method\":\"exact\"}}\n{\"request\":{\"usr\":1}}\n";
    let output = marquee(&address, &["recommendation", "recommend-stream"], input).await;
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap().lines().count(), 1);
    assert!(
        stderr(&output).contains("1 message was sent, up to line 1; 1 reply came"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_a_block_for_each_of_its_users() {
    let address = serve(&Fake::default()).await;
    let json = r#"{"requests":[{"user_id":7,"k":1},{"user_id":8,"k":2}]}"#;
    let line = ["recommendation", "recommend-batch", "--json", json, "--output", "table"];
    let text = stdout(&marquee(&address, &line, "").await);
    let blocks: Vec<&str> = text.lines().filter(|line| line.starts_with("outcomes[")).collect();
    assert_eq!(blocks, ["outcomes[0]: user_id 7, k 1", "outcomes[1]: user_id 8, k 2"], "{text}");
    assert_eq!(text.matches("Movie 1 (1999)").count(), 2, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("MOVIE_ID")).count(), 2, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_keeps_to_the_width_that_columns_says() {
    let address = serve(&Fake::default()).await;
    let line = ["recommend", "1", "--output", "table"];
    let wide = stdout(&marquee(&address, &line, "").await);
    assert!(wide.contains("GENRES"), "{wide}");
    let narrow = stdout(&marquee_in(&address, &line, "", &[("COLUMNS", "40")]).await);
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    assert!(narrow.contains("Movie 10 (1999)") && narrow.contains("in every row: GENRES Drama"), "{narrow}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_a_rule_is_a_usage_error_and_is_not_sent() {
    let fake = Fake::default();
    let address = serve(&fake).await;
    let output = marquee(&address, &["recommend", "1", "--k", "501"], "").await;
    assert_eq!(output.status.code(), Some(2));
    assert!(fake.header("x-request-id").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_server_names_field_flag_and_status() {
    let details =
        ErrorDetails::with_bad_request_violation("filter.genres_any", "no movie has the genre \"Scifi\"");
    let status = Status::with_error_details(Code::InvalidArgument, "1 field is wrong", details);
    let address = serve(&Fake::with_troubles([Trouble::Fail(status)])).await;
    let output = marquee(&address, &["recommend", "1", "--filter.genres-any", "Scifi"], "").await;
    assert_eq!(output.status.code(), Some(13));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("INVALID_ARGUMENT"), "{}", stderr(&output));
    let line = "filter.genres_any: no movie has the genre \"Scifi\" (--filter.genres-any)";
    assert!(stderr(&output).contains(line), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_ends_a_call_that_is_never_answered() {
    let address = serve(&Fake::with_troubles([Trouble::NeverAnswer])).await;
    let output = marquee(&address, &["recommend", "1", "--timeout", "200ms"], "").await;
    assert_eq!(output.status.code(), Some(14), "{}", stderr(&output));
    assert!(stderr(&output).contains("--timeout"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_refusal_is_repeated_as_the_proto_allows() {
    let fake = Fake::with_troubles([Trouble::Fail(Status::unavailable("draining"))]);
    let address = serve(&fake).await;
    stdout(&marquee(&address, &["recommend", "1"], "").await);
    assert_eq!(fake.header("x-request-id").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = marquee(&address, &["models"], "").await;
    assert_eq!(output.status.code(), Some(24));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
    assert!(stderr(&output).contains("--server"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_health_service_can_be_asked() {
    let address = serve(&Fake::default()).await;
    let text = stdout(&marquee(&address, &["health"], "").await);
    assert!(text.contains("SERVING"), "{text}");
    let unknown = marquee(&address, &["health", "check", "--service", "nobody"], "").await;
    assert_eq!(unknown.status.code(), Some(15), "{}", stderr(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stream_is_one_line_a_message_until_its_time_is_over() {
    let address = serve(&Fake::default()).await;
    let output = marquee(&address, &["health", "watch", "--timeout", "2s"], "").await;
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), "{\"status\":\"SERVING\"}\n");
    assert_eq!(output.status.code(), Some(14), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_key_and_the_request_id_travel() {
    let fake = Fake::default();
    let address = serve(&fake).await;
    let line = ["recommend", "1", "--api-key", "k-1", "--request-id", "r-1"];
    stdout(&marquee(&address, &line, "").await);
    assert_eq!(
        (fake.header("x-api-key"), fake.header("x-request-id")),
        (vec!["k-1".into()], vec!["r-1".into()])
    );
}

#[tokio::test]
async fn a_server_is_called_over_tls_and_shown_a_certificate() {
    let authority = Authority::new("Test").unwrap();
    let (fake, folder) = (Fake::default(), tempfile::tempdir().unwrap());
    let address = format!("https://localhost:{}", serve_tls(&fake, &authority).await);
    let pair = authority.sign(Purpose::Client, "person", &[], in_days(1)).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ca = file("ca.pem", &authority.pair().certificate);
    let (certificate, key) = (file("client.pem", &pair.certificate), file("client-key.pem", &pair.key));

    let line = ["recommend", "7", "--tls-ca", &ca, "--tls-cert", &certificate, "--tls-key", &key];
    let output = marquee(&address, &line, "").await;
    assert!(output.status.success(), "{}", stderr(&output));
    let environment =
        [("MARQUEE_TLS_CA", &*ca), ("MARQUEE_CLIENT_CERT", &certificate), ("MARQUEE_CLIENT_KEY", &key)];
    let output = marquee_in(&address, &["recommend", "7"], "", &environment).await;
    assert!(output.status.success(), "{}", stderr(&output));

    let output = marquee(&address, &["recommend", "7", "--tls-ca", &ca], "").await;
    assert!(!output.status.success(), "no certificate is shown");
    let output = marquee(&address, &["recommend", "7"], "").await;
    assert_eq!(output.status.code(), Some(24), "the system does not know the authority");
    assert!(stderr(&output).contains("UnknownIssuer"), "{}", stderr(&output));
    let output = marquee(&address, &["recommend", "7", "--tls-cert", &certificate], "").await;
    assert_eq!(output.status.code(), Some(2), "a certificate has a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_manual_need_no_server() {
    let nobody = "http://127.0.0.1:1";
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&marquee(nobody, &["completions", shell], "").await).contains("recommend"));
    }
    assert!(stdout(&marquee(nobody, &["man"], "").await).starts_with(".ie"));
}
