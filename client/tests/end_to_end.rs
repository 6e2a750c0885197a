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
