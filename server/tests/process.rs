//! The binary as a process: what survives kill -9, how it drains, what it prints.

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use common::cql::{new_keyspace, shared_cql};
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::user_service_client::UserServiceClient;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

/// After which a call that is not answered counts as one that never will be.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// A server process and the address that it printed.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts the binary over this folder and waits until it says where it listens.
    fn start(data: &Path) -> Self {
        let sample = common::sample();
        Self::start_with(data, &["--sample-data", sample.to_str().expect("a path of letters")])
    }

    /// As [`Process::start`], with these arguments too.
    fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_logging(data, arguments, Stdio::null())
    }

    /// As [`Process::start_with`]; the log goes there.
    fn start_logging(data: &Path, arguments: &[&str], log: impl Into<Stdio>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
            .args(["serve", "--listen", "localhost:0", "--device", "cpu", "--workers", "1"])
            .arg("--data-dir")
            .arg(data)
            .arg("--bundle")
            .arg(common::fixture_bundle())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let address = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listens on ")?.1.to_owned()))
            .expect("it says where it listens");
        Self { child, address }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill can be run").success());
    }

    fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("the process ends")
    }
}

fn event(movie_id: u32, seconds: i64) -> v1::RecordInteractionRequest {
    v1::RecordInteractionRequest {
        user: Some(5_000_000.into()),
        movie: Some(movie_id.into()),
        kind: v1::InteractionKind::View.into(),
        rating: None,
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_interaction_is_lost_to_kill_9() {
    let data = TempDir::new().unwrap();
    assert_kill_9_loses_nothing(|| Process::start(data.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_interaction_is_lost_to_kill_9_on_the_cql_store() {
    let Some(cluster) = shared_cql() else { return };
    let (data, store) = (TempDir::new().unwrap(), new_keyspace(&cluster, "").await);
    let start = || Process::start_with(data.path(), &["--store", &store, "--sample-data", "none"]);
    assert_kill_9_loses_nothing(start).await;
}

/// Lets the process write to no file, as a full disk would, or again to all.
fn set_disk_full(server: &Process, full: bool) {
    let pid = rustix::process::Pid::from_raw(server.child.id().cast_signed());
    let limit = rustix::process::Rlimit { current: full.then_some(0), maximum: None };
    rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).expect("it is our child");
}

/// The movies of a user's whole history, the newest first.
async fn watched(address: &str, user_id: u64) -> Vec<u32> {
    let mut users = UserServiceClient::connect(address.to_owned()).await.expect("the server answers");
    let request = v1::ListHistoryRequest {
        user: Some(user_id.into()),
        page_size: Some(1000),
        page_token: String::new(),
    };
    let page = users.list_history(request).await.expect("reads go on").into_inner();
    page.interactions
        .iter()
        .map(|entry| entry.interaction.as_ref().map_or(0, v1::Interaction::movie_id))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_alone_and_only_for_as_long_as_it_is_full() {
    let data = TempDir::new().unwrap();
    let server = Process::start(data.path());
    let channel = Endpoint::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    let mut client = InteractionServiceClient::new(channel.clone());
    let mut health = HealthClient::new(channel);
    let request = HealthCheckRequest { service: "marquee.v1.InteractionService".to_owned() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    for movie in 1..=20 {
        client.record_interaction(event(movie, movie.into())).await.expect("there is room");
    }

    set_disk_full(&server, true);
    let refused = client.record_interaction(event(21, 21)).await.expect_err("the disk is full");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{refused}");
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let whole = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(whole.status(), ServingStatus::Serving, "the server goes on with what it reads");
    let refused = client.record_interaction(event(21, 21)).await.expect_err("the disk is full");
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(watched(&server.address, 5_000_000).await, (1..=20).rev().collect::<Vec<_>>());
    assert!(!watched(&server.address, 1).await.is_empty(), "a user of the sample");

    set_disk_full(&server, false);
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    client.record_interaction(event(22, 22)).await.expect("there is room again");
    let expected: Vec<_> = (1..=22).rev().filter(|movie| *movie != 21).collect();
    assert_eq!(watched(&server.address, 5_000_000).await, expected);
    server.signal("-KILL");
    server.wait();
    let server = Process::start(data.path());
    assert_eq!(watched(&server.address, 5_000_000).await, expected);
    server.signal("-KILL");
    server.wait();
}

#[test]
fn a_damaged_store_is_refused_with_what_to_do_about_it() {
    let data = TempDir::new().unwrap();
    let server = Process::start_with(data.path(), &["--sample-data", "none"]);
    server.signal("-KILL");
    server.wait();
    std::fs::remove_file(data.path().join("marquee.journal.2")).expect("it was made");
    let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .args(["--listen", "127.0.0.1:0", "--device", "cpu", "--sample-data", "none", "--bundle"])
        .arg(common::fixture_bundle())
        .arg("--data-dir")
        .arg(data.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("marquee.journal.2 is missing") && error.contains("--recover"), "{error}");
    let server = Process::start_with(data.path(), &["--sample-data", "none", "--recover"]);
    server.signal("-KILL");
    server.wait();
}

/// Kills a server under writes, starts another, and looks for what was acknowledged.
async fn assert_kill_9_loses_nothing(start: impl Fn() -> Process) {
    let server = start();
    let client = InteractionServiceClient::connect(server.address.clone()).await.expect("the server answers");
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let mut acknowledged = 0;
                for seconds in 0.. {
                    // The process is killed while this runs, so the first failure is the end.
                    match client.record_interaction(event(1 + writer, seconds)).await {
                        Ok(_) => acknowledged += 1,
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    let mut watcher =
        InteractionServiceClient::connect(server.address.clone()).await.expect("the server answers");
    for seconds in 0..50 {
        watcher.record_interaction(event(100, seconds)).await.expect("the server answers");
    }
    server.signal("-KILL");
    server.wait();
    let mut acknowledged = 50;
    for writer in writers {
        acknowledged += writer.await.expect("no writer panicked");
    }

    let server = start();
    let mut users = UserServiceClient::connect(server.address.clone()).await.expect("the server answers");
    let mut found = 0;
    let mut page_token = String::new();
    loop {
        let request =
            v1::ListHistoryRequest { user: Some(5_000_000.into()), page_size: Some(1000), page_token };
        let page = users.list_history(request).await.expect("the server answers").into_inner();
        found += page.interactions.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(found >= acknowledged, "{acknowledged} were acknowledged, {found} are there");
    server.signal("-KILL");
    server.wait();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_and_ends_with_exit_code_0() {
    let data = TempDir::new().unwrap();
    let server = Process::start(data.path());
    let mut users = UserServiceClient::connect(server.address.clone()).await.unwrap();
    let status = users.get_user(v1::GetUserRequest { user: Some(77_777_777.into()) }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_sigterm_calls_are_served_for_the_delay_while_health_says_no() {
    let data = TempDir::new().unwrap();
    let sample = common::sample();
    let arguments = ["--sample-data", sample.to_str().unwrap(), "--drain-delay", "24h"];
    let server = Process::start_with(data.path(), &arguments);
    let channel = Endpoint::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    let mut watch =
        HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    server.signal("-TERM");
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let mut users = UserServiceClient::connect(server.address.clone()).await.unwrap();
    users.get_user(v1::GetUserRequest { user: Some(1.into()) }).await.unwrap();
    server.signal("-TERM");
    while watch.message().await.is_ok() {}
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_new_callers_are_refused_and_old_ones_served() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let data = TempDir::new().unwrap();
    let server = Process::start(data.path());
    let request = || v1::GetUserRequest { user: Some(1.into()) };
    let call = async || {
        let mut users = UserServiceClient::connect(server.address.clone()).await.ok()?;
        let answer = tokio::time::timeout(PATIENCE, users.get_user(request())).await;
        answer.expect("a new caller does not hang").ok()?;
        Some(users)
    };
    let mut users = call().await.unwrap();

    let open = std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap();
    let highest = open.filter_map(|file| file.unwrap().file_name().to_str()?.parse::<u64>().ok()).max();
    let limit = Rlimit { current: highest.map(|highest| highest + 1), ..getrlimit(Resource::Nofile) };
    let pid = Pid::from_child(&server.child);
    let before = prlimit(Some(pid), Resource::Nofile, limit).unwrap();
    let mut fill_gaps = Vec::new();
    while let Some(users) = call().await {
        fill_gaps.push(users);
    }
    for _ in 0..3 {
        assert!(call().await.is_none());
    }
    users.get_user(request()).await.unwrap();
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    assert!(call().await.is_some());
    server.signal("-KILL");
    server.wait();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigint_exits_at_once_while_the_first_one_drains() {
    let data = TempDir::new().unwrap();
    let server = Process::start(data.path());
    let channel = Endpoint::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    // A call whose request never ends is in flight, so the server drains for as long as it may.
    let address = server.address.trim_start_matches("http://");
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post("http://test/marquee.v1.CatalogService/GetMovie")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let unfinished = client.send_request(request, false).unwrap();
    server.signal("-INT");
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    server.signal("-INT");
    assert_eq!(server.wait().code(), Some(130));
    drop(unfinished);
    connection.abort();
}

#[test]
fn a_server_that_others_reach_does_not_start_without_tls_and_identity() {
    let data = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .args(["--listen", "0.0.0.0:0", "--data-dir"])
        .arg(data.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let sentence = error.lines().last().unwrap();
    for way in ["--tls-cert", "--tls-terminated-by", "--auth on", "--insecure-open", "127.0.0.1"] {
        assert!(sentence.contains(way), "{way}: {error}");
    }
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "nothing was opened");
}

#[test]
fn a_bundle_that_is_not_there_is_one_clear_sentence() {
    let data = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--device",
            "cpu",
            "--sample-data",
            "none",
            "--bundle",
            "no/such/bundle",
        ])
        .arg("--data-dir")
        .arg(data.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let sentence = error.lines().last().unwrap();
    assert!(sentence.starts_with("marquee-server: ") && sentence.contains("no/such/bundle"), "{error}");
}

/// What an import of these ratings of one movie says: exit code, output and errors.
fn import(rows: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = || TempDir::new().expect("a temporary folder");
    let (data, release) = (folder(), folder());
    let ratings = format!("userId,movieId,rating,timestamp\n{rows}");
    for (file, text) in [("ratings.csv", &*ratings), ("movies.csv", "movieId,title,genres\n1,A,War\n")] {
        std::fs::write(release.path().join(file), text).expect("the folder is ours");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .arg("import")
        .arg(release.path())
        .arg("--data-dir")
        .arg(data.path())
        .args(arguments)
        .output()
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_import_of_other_units_fails_and_says_which_option_reads_them() {
    let milliseconds = "1,1,4.0,964982703000\n";
    let (code, _, error) = import(milliseconds, &[]);
    assert!(
        code == Some(1) && error.contains("looks like milliseconds; import with --time-unit ms"),
        "{error}"
    );
    let (code, report, _) = import(milliseconds, &["--time-unit", "ms", "--strict"]);
    assert!(code == Some(0) && report.contains("1 ratings"), "{report}");
    let points = "1,1,8,964982703\n";
    let (code, _, error) = import(points, &[]);
    assert!(code == Some(1) && error.contains("import with --rating-scale 10"), "{error}");
    let (code, report, _) = import(points, &["--rating-scale", "10"]);
    assert!(code == Some(0) && report.contains("1 ratings"), "{report}");
}

#[test]
fn an_import_that_reads_nothing_fails() {
    let (code, _, error) = import("", &[]);
    assert!(code == Some(1) && error.contains("ratings.csv has no rows"), "{error}");
}

#[test]
fn a_number_that_cannot_work_is_one_clear_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .args(["--sample-data", "none", "--max-concurrent-streams", "0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "marquee-server: max-concurrent-streams is 0; 1 to 1000000 is accepted\n");
}

#[test]
fn a_number_beyond_all_bounds_is_one_clear_sentence_wherever_it_stands() {
    const MOST: &str = "18446744073709551615";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("marquee.toml");
    std::fs::write(&file, format!("[engine]\nworkers = {MOST}\n")).unwrap();
    let mut by_option = Command::new(env!("CARGO_BIN_EXE_marquee-server"));
    by_option.args(["serve", "--workers", MOST]);
    let mut by_environment = Command::new(env!("CARGO_BIN_EXE_marquee-server"));
    by_environment.env("MARQUEE_WORKERS", MOST);
    let mut by_file = Command::new(env!("CARGO_BIN_EXE_marquee-server"));
    by_file.arg("--config").arg(&file);
    for mut command in [by_option, by_environment, by_file] {
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {error}");
        assert!(error.contains(MOST) && !error.contains("panicked"), "{command:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{command:?}: {error}");
    }
}

#[test]
fn the_printed_configuration_has_no_password() {
    let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .args(["--print-config", "--cache", "redis://marquee:secret@127.0.0.1:6379"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("marquee:***@") && !printed.contains("secret"), "{printed}");
}

#[test]
fn a_mistyped_url_is_repeated_without_its_password() {
    let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .env("MARQUEE_STORE", "scyla://marquee:secret@127.0.0.1/movies")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("scyla://marquee:***@") && !printed.contains("secret"), "{printed}");
}

#[test]
fn cuda_that_cannot_be_had_is_an_error_and_no_silent_run_on_the_cpu() {
    let data = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .args(["--listen", "127.0.0.1:0", "--device", "cuda:63", "--sample-data", "none", "--bundle"])
        .arg(common::fixture_bundle())
        .arg("--data-dir")
        .arg(data.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cuda"), "{error}");
}

/// What a server without metrics logs until it is ready, with these settings.
fn log_with(arguments: &[&str]) -> String {
    let data = TempDir::new().expect("a temporary folder");
    let log = data.path().join("log");
    let file = std::fs::File::create(&log).expect("the log can be created");
    let arguments = [&["--sample-data", "none"], arguments].concat();
    let server = Process::start_logging(data.path(), &arguments, file);
    server.signal("-TERM");
    server.wait();
    std::fs::read_to_string(log).expect("the log is text")
}

#[test]
fn a_text_log_in_a_file_has_no_colours() {
    let log = log_with(&["--log-format", "text"]);
    assert!(log.contains("INFO listening address=127.0.0.1:"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[test]
fn a_log_has_no_lines_below_its_level() {
    let log = log_with(&["--log-format", "text", "--log-level", "warn"]);
    assert!(!log.contains("INFO"), "{log}");
}

#[test]
fn a_json_log_leaves_out_what_there_is_not() {
    let log = log_with(&["--log-format", "json"]);
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let listening = lines
        .map(|line| line["fields"].clone())
        .find(|fields| fields["message"] == "listening")
        .expect("a line");
    assert!(listening["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")));
    assert!(listening["metrics"].is_null(), "{listening}");
}
