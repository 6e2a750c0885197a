//! Whole runs through real sockets, by the command line that users type.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use common::{REFUSED, SILENT, serve_on};
use marquee_core::authority::{Authority, Purpose, in_days};
use marquee_loadgen::cli::Cli;
use marquee_loadgen::drive::{Load, Pacer, Plan, Progress, run_paced};
use marquee_loadgen::schedule::{Profile, Spacing};
use marquee_loadgen::workload::{
    Cancellation, FilterSpec, Marquee, MarqueeSettings, Population, Priority, Rpc, Subject, UserRange,
    Weighted, Workload,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Starts the test server on a free port of loopback.
async fn serve() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_on(listener));
    address
}

/// Ends the TLS of whoever connects to `listener` and shows a certificate of the authority, before a server at `behind`.
async fn end_tls(listener: tokio::net::TcpListener, authority: Authority, behind: std::net::SocketAddr) {
    let pair = authority.sign(Purpose::Server, "server", &["localhost"], in_days(1)).unwrap();
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from_pem_slice(authority.pair().certificate.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(clients)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut encrypted = acceptor.accept(socket).await?;
            let mut plain = tokio::net::TcpStream::connect(behind).await?;
            plain.set_nodelay(true)?;
            tokio::io::copy_bidirectional(&mut encrypted, &mut plain).await
        });
    }
}

/// Runs `marquee-loadgen` with these arguments and a few that every test wants; the JSON it wrote.
async fn loadgen(command: &str, json: &Path) -> Value {
    let line = format!("marquee-loadgen {command} --progress none --json {}", json.display());
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    cli.run().await.unwrap();
    serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap()
}

/// A run of 200 measured requests against the test server.
async fn run(arguments: &str) -> Value {
    let address = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let command =
        format!("run --target http://{address} --warmup 20ms --duration 60s --count 200 {arguments}");
    loadgen(&command, &folder.path().join("result.json")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_answers_with_the_names_that_others_rely_on() {
    let result = run("--rpc Recommend --users 1-600 --callers 16 --connections 16").await;
    assert_eq!(result["calls"][0]["answered"], 200);
    assert_eq!(result["errors"], 0);
    assert!(result["throughput"].as_f64().unwrap() > 0.0);
    for name in ["p50", "p95", "p99", "max"] {
        assert!(result["latency_ms"][name].as_f64().unwrap() > 0.0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_loaded_over_tls_and_shown_a_certificate() {
    let authority = Authority::new("Test").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let client = authority.sign(Purpose::Client, "loadgen", &[], in_days(1)).unwrap();
    let ca = file("ca.pem", &authority.pair().certificate);
    let (certificate, key) = (file("client.pem", &client.certificate), file("key.pem", &client.key));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(end_tls(listener, authority, serve().await));
    // Asks for movies first, over a connection of its own.
    let histories = "--protocol grpc --histories";
    for how in [histories, "--protocol rest --http 1", "--protocol connect --http 2"] {
        let command = format!(
            "run --target https://localhost:{port} --tls-ca {ca} --tls-cert {certificate} --tls-key {key} \
             --warmup 20ms --duration 60s --count 200 --callers 4 {how}"
        );
        let result = loadgen(&command, &folder.path().join("result.json")).await;
        assert_eq!((&result["calls"][0]["answered"], &result["errors"]), (&200.into(), &0.into()), "{how}");
        assert_eq!(result["setup"]["target"], format!("https://localhost:{port}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_stages_are_read_from_every_reply() {
    let result = run("--callers 4 --connections 2 --threads 2").await;
    assert_eq!(result["server"]["replies"], 200);
    assert_eq!(result["server"]["stages_ms"][2][0], "encode");
    assert_eq!(result["server"]["stages_ms"][2][1]["p50"], 0.7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_sends_what_is_due() {
    let result = run("--rate 2000 --connections 4").await;
    assert_eq!(result["calls"][0]["due"], 200);
    assert_eq!(result["calls"][0]["answered"], 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_schedule_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = folder.path().join("schedule.txt");
    std::fs::write(&schedule, "0.001\n0.030\n0.031\n0.040\n").unwrap();
    let address = serve().await;
    let command = format!("run --target http://{address} --warmup 20ms --schedule {}", schedule.display());
    let result = loadgen(&command, &folder.path().join("result.json")).await;
    assert_eq!(result["calls"][0]["due"], 3, "the first lies in the warm-up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_and_streams_count_their_answers() {
    let result =
        run(&format!("--rpc RecommendBatch,RecommendStream --batch 5 --k 10=4,{REFUSED}=1 --callers 4"))
            .await;
    let calls = result["calls"].as_array().unwrap();
    let answered: u64 = calls.iter().map(|call| call["answered"].as_u64().unwrap()).sum();
    assert_eq!(answered, 200);
    assert_eq!(result["errors"], 0);
    let failed = result["failed_outcomes"].as_u64().unwrap();
    assert!((100..300).contains(&failed), "about a fifth of 1000: {failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_can_be_mixed() {
    let rpcs =
        "SimilarMovies,EncodeHistory,GetMovie,SearchMovies,ListGenres,ListPopularMovies,ListTrendingMovies";
    let result = run(&format!("--rpc {rpcs} --histories --callers 4")).await;
    assert_eq!(result["errors"], 0, "{}", result["errors_by_kind"]);
    assert!(result["calls"].as_array().unwrap().iter().all(|call| call["answered"].as_u64() > Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_counted_by_their_code_and_kept_out_of_the_latency() {
    let result = run(&format!("--k {REFUSED} --callers 4")).await;
    assert_eq!(result["errors"], 200);
    assert_eq!(result["error_rate"], 1.0);
    let refused = &result["errors_by_kind"]["RESOURCE_EXHAUSTED"];
    assert_eq!(refused["count"], 200);
    assert_eq!(refused["first_message"], "the queue is full; try again in 5 ms");
    assert_eq!(result["latency_ms"]["max"], 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let result = run(&format!("--k {SILENT} --callers 50 --deadline 20ms")).await;
    assert_eq!(result["errors"], 200);
    // Both ends watch the deadline; the server's word may come first.
    let kinds = result["errors_by_kind"].as_object().unwrap();
    let known = ["DEADLINE_EXCEEDED at the client", "DEADLINE_EXCEEDED", "CANCELLED"];
    assert!(kinds.keys().all(|kind| known.contains(&kind.as_str())), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_an_answer_is_an_error_after_the_drain() {
    let address = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let command = format!(
        "run --target http://{address} --k {SILENT} --callers 3 --warmup 0s --duration 50ms --drain 20ms"
    );
    let result = loadgen(&command, &folder.path().join("result.json")).await;
    assert_eq!(result["errors_by_kind"]["unanswered"]["count"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_calls_are_no_errors() {
    let result = run(&format!("--k {SILENT} --callers 50 --cancel 1 --cancel-within 5ms")).await;
    assert_eq!(result["cancelled"], 200);
    assert_eq!(result["errors"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrivals_beyond_the_bound_in_flight_make_the_result_invalid() {
    let result =
        run(&format!("--k {SILENT} --rate 5000 --max-in-flight 10 --deadline 30s --drain 10ms")).await;
    assert!(result["errors_by_kind"]["not sent"]["count"].as_u64() > Some(0));
    assert_eq!(result["valid"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_named() {
    let cli = Cli::try_parse_from(["marquee-loadgen", "run", "--target", "http://127.0.0.1:1"]).unwrap();
    let error = cli.run().await.unwrap_err().to_string();
    assert!(error.contains("cannot connect to 127.0.0.1:1"), "{error}");
}

/// Runs a command line that is expected to be refused; why it was.
async fn refusal(command: &str) -> String {
    let cli = Cli::try_parse_from(format!("marquee-loadgen {command}").split_whitespace()).unwrap();
    cli.run().await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_refused_before_anything_is_sent_unless_they_are_allowed() {
    let nobody = "run --target http://127.0.0.1:1";
    let refused = refusal(&format!("{nobody} --rpc Recommend=95,RecordInteraction=5")).await;
    assert!(refused.starts_with("RecordInteraction changes what the server holds; give --allow-writes"));
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("delete.toml");
    std::fs::write(
        &template,
        "protocol = 'grpc'\nmethod = '/marquee.v1.UserService/DeleteUser'\nrequest = '{\"user_id\": \"{user}\"}'",
    )
    .unwrap();
    let refused = refusal(&format!("{nobody} --template {}", template.display())).await;
    assert!(refused.starts_with("DeleteUser changes what the server holds; give --allow-writes"));

    let sent = run("--rpc RecordInteraction --allow-writes --callers 4").await;
    assert_eq!(sent["errors_by_kind"]["UNIMPLEMENTED"]["count"], 200, "the test server records nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_and_a_closed_run_do_not_merge() {
    let address = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let (closed, open) = (folder.path().join("closed.json"), folder.path().join("open.json"));
    let command = format!("run --target http://{address} --warmup 0s --count 50");
    loadgen(&format!("{command} --part 1/2 --callers 4"), &closed).await;
    loadgen(&format!("{command} --part 2/2 --rate 2000"), &open).await;
    let refused = refusal(&format!("merge {} {}", closed.display(), open.display())).await;
    assert!(
        refused.starts_with("one result has the load 'closed loop, 4 callers', another 'open loop"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_two_machines_merge_into_one() {
    let address = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for part in ["1/2", "2/2"] {
        let name = format!("{}.json", &part[..1]);
        let command =
            format!("run --target http://{address} --part {part} --warmup 0s --duration 60s --count 50");
        loadgen(&command, &path(&name)).await;
    }
    let merge = format!(
        "marquee-loadgen merge {} {} --json {} --html {}",
        path("1.json").display(),
        path("2.json").display(),
        path("both.json").display(),
        path("both.html").display()
    );
    Cli::try_parse_from(merge.split_whitespace()).unwrap().run().await.unwrap();
    let both: Value = serde_json::from_str(&std::fs::read_to_string(path("both.json")).unwrap()).unwrap();
    assert_eq!(both["calls"][0]["answered"], 100);
    assert_eq!(both["setup"]["machines"], 2);
    let page = std::fs::read_to_string(path("both.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("src=") && !page.contains("<script"));
}

/// Every way to speak to a Marquee server.
const DIALECTS: [&str; 9] = [
    "grpc",
    "grpc-web",
    "grpc-web --http 2",
    "connect",
    "connect --http 2",
    "connect-proto",
    "connect-proto --http 2",
    "rest",
    "rest --http 2",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_is_answered_alike_over_both_versions_of_http() {
    for dialect in DIALECTS {
        let result = run(&format!("--protocol {dialect} --callers 4 --deadline 30s")).await;
        assert_eq!(result["calls"][0]["answered"], 200, "{dialect}: {}", result["errors_by_kind"]);
        assert_eq!(result["server"]["replies"], 200, "{dialect}");
        assert_eq!(result["server"]["stages_ms"][2][1]["p50"], 0.7, "{dialect}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_counted_by_their_code_in_every_protocol() {
    for dialect in DIALECTS {
        let result = run(&format!("--protocol {dialect} --k {REFUSED} --callers 4")).await;
        let refused = &result["errors_by_kind"]["RESOURCE_EXHAUSTED"];
        assert_eq!(refused["count"], 200, "{dialect}: {}", result["errors_by_kind"]);
        assert_eq!(refused["first_message"], "the queue is full; try again in 5 ms", "{dialect}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_1_a_call_that_is_not_answered_keeps_no_other_waiting() {
    let result =
        run(&format!("--protocol rest --k 10,{SILENT} --rate 2000 --connections 1 --drain 1s")).await;
    let unanswered = result["errors_by_kind"]["unanswered"]["count"].as_u64().unwrap();
    assert_eq!(
        result["calls"][0]["answered"].as_u64().unwrap() + unanswered,
        200,
        "{}",
        result["errors_by_kind"]
    );
    assert!((60..140).contains(&unanswered), "about half of 200: {unanswered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_1_a_call_that_is_cancelled_takes_its_connection_along() {
    let result = run("--protocol connect --callers 4 --cancel 0.5 --cancel-within 1us").await;
    assert_eq!(result["errors"], 0, "{}", result["errors_by_kind"]);
    assert!(result["cancelled"].as_u64() > Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_that_cannot_carry_the_calls_is_refused_before_anything_is_sent() {
    let nobody = "run --target http://127.0.0.1:1";
    let refused = refusal(&format!("{nobody} --http 1")).await;
    assert!(refused.starts_with("gRPC is over HTTP/2 alone"), "{refused}");
    let refused = refusal(&format!("{nobody} --protocol rest --rpc RecommendStream")).await;
    assert!(refused.starts_with("RecommendStream cannot be made by REST"), "{refused}");
    let both = "marquee-loadgen run --target http://127.0.0.1:1 --protocol rest --template a.toml";
    assert!(Cli::try_parse_from(both.split_whitespace()).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocols_of_one_server_are_compared_round_by_round() {
    let address = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let command = format!(
        "compare --side grpc=http://{address} --side json=http://{address},protocol=connect,http=2 \
         --side rest=http://{address},protocol=rest --rounds 2 --callers 2 --warmup 10ms --duration 60s --count 50"
    );
    let result = loadgen(&command, &folder.path().join("result.json")).await;
    let said: Vec<&str> =
        (0..3).map(|side| result["rounds"][side][1]["setup"]["protocol"].as_str().unwrap()).collect();
    assert_eq!(said, ["gRPC over HTTP/2", "Connect in JSON over HTTP/2", "REST over HTTP/1.1"]);
    for side in 0..3 {
        let ratios = &result["sides"][side]["ratios"];
        for figure in ["throughput", "p50", "mean", "p99"] {
            let ratio = &ratios[figure]["median"];
            if side == 0 {
                assert_eq!(*ratio, 1.0, "{figure}");
            } else {
                assert!(ratio.as_f64() > Some(0.0), "{side} {figure} {ratio}");
            }
        }
    }
}

/// Answers every request on a connection with the same JSON, and a page of metrics.
async fn serve_http() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                loop {
                    let end = request.windows(4).position(|four| four == b"\r\n\r\n");
                    let length = end.map(|end| {
                        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
                        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                        end + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap())
                    });
                    if let Some(length) = length.filter(|length| *length <= request.len()) {
                        let metrics = request.starts_with(b"GET");
                        request.drain(..length);
                        let body = if metrics { "batch_size_sum 10\nbatch_size_count 2\n" } else { "{}" };
                        let reply =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                        socket.write_all(reply.as_bytes()).await.unwrap();
                    } else if socket.read_buf(&mut request).await.unwrap() == 0 {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_server_is_driven_by_a_template() {
    let address = serve_http().await;
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("http.toml");
    std::fs::write(&template, "protocol = 'http'\npath = '/recommend'\nrequest = '{\"user\": \"{user}\"}'")
        .unwrap();
    let command = format!(
        "run --target http://{address} --template {} --metrics http://{address}/metrics --callers 8 --warmup 0s \
         --duration 60s --count 100",
        template.display()
    );
    let result = loadgen(&command, &folder.path().join("result.json")).await;
    assert_eq!(result["calls"][0]["answered"], 100, "{}", result["errors_by_kind"]);
    assert_eq!(result["metrics"]["batch_metric"], "batch_size");
}

/// A pacer that is always five milliseconds late.
struct Late;

impl Pacer for Late {
    async fn until(&mut self, due: Instant) {
        tokio::time::sleep_until(due + Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deliberately_slow_generator_is_caught() {
    let address = serve().await;
    let duration = Duration::from_millis(300);
    let settings = MarqueeSettings {
        seed: 1,
        mix: Weighted::single(Rpc::Recommend),
        subject: Subject::Users,
        population: Population::new(UserRange { first: 1, last: 9 }, 0.0, None).unwrap(),
        k: Weighted::single(10),
        filters: Weighted::single(FilterSpec::default()),
        priorities: Weighted::single(Priority::default()),
        method: marquee_proto::v1::Method::Unspecified,
        batch: 1,
        cancellation: Cancellation::default(),
    };
    let plan = Arc::new(Plan {
        target: format!("http://{address}").parse().unwrap(),
        workload: Arc::new(Workload::Marquee(Box::new(Marquee::new(settings).unwrap()))),
        load: Load::Open(Profile::constant(100.0, duration), Spacing::Constant),
        connections: 1,
        threads: 1,
        warmup: Duration::ZERO,
        duration,
        count: None,
        drain: Duration::from_secs(5),
        deadline: None,
        max_in_flight: 100,
        seed: 1,
        part: (0, 1),
    });
    let output = run_paced(plan, Arc::new(Progress::new(1)), |_| {}, || Ok(Late)).await.unwrap();
    assert!(!output.verdict.valid);
    assert!(output.verdict.reasons[0].contains("requests went out late"), "{:?}", output.verdict);
    let latency = &output.recorder.calls[0].latency;
    assert!(latency.min() >= 5_000, "the lateness is part of the latency: {} us", latency.min());
}
