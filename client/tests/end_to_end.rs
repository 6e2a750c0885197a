//! The command line against the real server: the daily commands, and what goes wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use marquee_server::app::{self, Running};
use marquee_server::config::Config;
use marquee_server::telemetry::{LogFormat, Telemetry};
use tempfile::TempDir;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A warm server over the bundled sample and the small test bundle.
async fn server(data: &TempDir) -> Running {
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".parse().expect("a valid address");
    config.store.data_dir = data.path().to_owned();
    config.store.sample_data = repository("onnx/data/ml-latest-small");
    config.engine.bundle = repository("onnx/fixtures/tiny");
    config.engine.device = "cpu".parse().expect("a valid device");
    config.engine.workers = 1;
    let level = config.telemetry.log_level;
    let telemetry = Telemetry::start(LogFormat::Text, level).expect("telemetry starts");
    let mut running = app::start(config, &telemetry).await.expect("the server starts");
    running.ready().await.expect("the model loads");
    running
}

fn marquee(running: &Running, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_marquee"))
        .args(arguments)
        .env("MARQUEE_SERVER", format!("http://{}", running.address))
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daily_commands_work_against_the_real_server() {
    let data = TempDir::new().expect("a temporary folder");
    let running = server(&data).await;

    let found = marquee(&running, &["--output", "table", "search", "matrix"]);
    assert!(text(&found.stdout).contains("Matrix, The (1999)"), "{found:?}");

    let rated = marquee(&running, &["rate", "7000000", "1", "5"]);
    assert!(text(&rated.stdout).contains("consistency_token"), "{rated:?}");

    let history = marquee(&running, &["--output", "table", "history", "7000000"]);
    assert!(text(&history.stdout).contains("Toy Story (1995)"), "{history:?}");

    let recommended = marquee(&running, &["recommend", "7000000", "--k", "3"]);
    let reply: serde_json::Value = serde_json::from_slice(&recommended.stdout).expect("JSON when piped");
    assert_eq!(reply["recommendations"].as_array().map(Vec::len), Some(3), "{reply}");
    assert_eq!(reply["source"], "SOURCE_MODEL");

    let watch =
        ["--timeout", "1s", "interaction", "watch-interactions", "--after", "0-0", "--output", "json"];
    let watched = marquee(&running, &watch);
    assert!(text(&watched.stdout).contains("\"7000000\""), "{watched:?}");

    let healthy = marquee(&running, &["health"]);
    assert!(healthy.status.success(), "{healthy:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_field_and_the_exit_code_the_status() {
    let data = TempDir::new().expect("a temporary folder");
    let running = server(&data).await;
    let missing = marquee(&running, &["movie", "4000000"]);
    assert_eq!(missing.status.code(), Some(15), "10 and NOT_FOUND: {missing:?}");
    let refused =
        marquee(&running, &["interaction", "record-interaction", "--user-id", "1", "--movie-id", "1"]);
    assert_eq!(refused.status.code(), Some(13), "10 and INVALID_ARGUMENT: {refused:?}");
    assert!(text(&refused.stderr).contains("rating"), "{refused:?}");
}

const LISTS: &str = r#"
name = "short-lists"
goals = [{ name = "watched", measure = "count", kinds = ["view", "rating"], cap = 50 }]
[[arms]]
name = "A"
[[arms]]
name = "B"
overrides = { k = 5 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_of_a_file_is_planned_applied_and_read() {
    let data = TempDir::new().expect("a temporary folder");
    let running = server(&data).await;
    let file = data.path().join("lists.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("a path of letters");
    let experiment = |arguments: &[&str]| {
        let line: Vec<&str> =
            ["--output", "table", "experiment"].into_iter().chain(arguments.iter().copied()).collect();
        marquee(&running, &line)
    };
    write(LISTS);

    let planned = experiment(&["plan", path, "--effect", "0.1", "--history-days", "3650"]);
    assert!(text(&planned.stdout).starts_with("short-lists needs"), "{planned:?}");

    let shown = experiment(&["apply", path, "--start", "--dry-run"]);
    let said = text(&shown.stdout);
    assert!(said.starts_with("short-lists is new, and starts\n"), "{shown:?}");
    assert!(said.contains("  + arms[B].overrides.k  5\n") && said.contains("  + layer  default\n"), "{said}");
    let unknown = experiment(&["results", "short-lists"]);
    assert_eq!(unknown.status.code(), Some(15), "10 and NOT_FOUND: {unknown:?}");

    let applied = experiment(&["apply", path, "--start"]);
    assert!(text(&applied.stdout).ends_with("short-lists created and started\n"), "{applied:?}");
    let again = experiment(&["apply", path, "--start"]);
    assert_eq!(text(&again.stdout), "short-lists is as the file says\n", "{again:?}");

    write(&LISTS.replace("goals", "description = \"Why\"\ngoals"));
    let described = experiment(&["apply", path]);
    let expected = "short-lists changes\n  + description  Why\nshort-lists updated\n";
    assert_eq!(text(&described.stdout), expected, "{described:?}");

    write(&LISTS.replace("k = 5", "k = 6"));
    let frozen = experiment(&["apply", path]);
    assert_eq!(frozen.status.code(), Some(19), "10 and FAILED_PRECONDITION: {frozen:?}");

    let results = experiment(&["results", "short-lists"]);
    assert!(text(&results.stdout).starts_with("no decision yet: arm A has 0 users"), "{results:?}");
    let json = marquee(&running, &["experiment", "results", "short-lists"]);
    let reply: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON when piped");
    assert_eq!(reply["state"], "EXPERIMENT_STATE_RUNNING");

    let stop = experiment(&["stop-experiment", "--name", "short-lists"]);
    assert!(stop.status.success(), "{stop:?}");
    let watched = experiment(&["results", "short-lists", "--watch"]);
    assert!(text(&watched.stdout).contains("0 users  watched B"), "{watched:?}");
    let over = experiment(&["apply", path, "--start"]);
    assert!(!over.status.success() && text(&over.stderr).contains("over"), "{over:?}");
}
