//! The command line against the real server: the daily commands, and what goes wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use marquee_proto::v1::GetStatsRequest;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_uploaded_found_and_not_uploaded_twice() {
    let data = TempDir::new().expect("a temporary folder");
    let running = server(&data).await;
    let folder = repository("onnx/bundles/movielens-small");
    let folder = folder.to_str().expect("a path");
    let upload = || marquee(&running, &["models", "upload", folder, "--name", "movies", "--tag", "by=hand"]);
    let (first, again) = (upload(), upload());
    let reply = |output: &Output| -> serde_json::Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let version = reply(&first)["version"]["version"].as_str().expect("a version").to_owned();
    assert_eq!(reply(&first)["created"], true);
    assert_eq!(reply(&again)["version"]["version"], version);
    assert_ne!(reply(&again)["created"], true);

    let listed = reply(&marquee(&running, &["models", "versions", "movies"]));
    assert_eq!(listed["versions"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["versions"][0]["tags"]["by"], "hand");
    let got =
        reply(&marquee(&running, &["model", "get-model-version", "--name", "movies", "--version", &version]));
    assert!(got["model_card"].as_str().is_some_and(|card| card.starts_with('#')), "{got}");

    let activate = ["operations", "activate-model", "--registered.name", "movies"];
    let activate = marquee(&running, &[&activate[..], &["--registered.version", &version]].concat());
    assert_eq!(reply(&activate)["model"]["state"], "MODEL_STATE_ACTIVE");
    let back = reply(&marquee(&running, &["models", "rollback"]));
    assert_eq!(back["model"]["version"], "tiny@1");

    let missing = marquee(&running, &["models", "upload", "/no/such/folder", "--name", "movies"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
}

/// Retrains against a server whose model is this one, where the training is a program.
fn retrain(running: &Running, folder: &Path, commands: &str) -> Output {
    let folder = folder.display();
    let config = format!(
        "name = \"movies\"\nwork = \"{folder}/work\"\n[export]\ntarget = \"{folder}\"\n[train]\n\
         commands = [{commands}]\n[judge]\nmost_latency = 100000\nmost_memory = 100000\n"
    );
    let path = format!("{folder}/retrain.toml");
    std::fs::write(&path, config).expect("room for a configuration");
    marquee(running, &["retrain", &path])
}

/// The training that comes to this bundle.
fn coming_to(bundle: &str) -> String {
    let bundle = repository(bundle);
    format!(
        "[\"test\", \"-s\", \"{{data}}/ratings.csv\"], [\"cp\", \"-r\", \"{}\", \"{{bundle}}\"]",
        bundle.display()
    )
}

async fn in_service(running: &Running) -> String {
    let server = marquee_client::ConnectOptions::to(format!("http://{}", running.address));
    let client = marquee_client::Client::connect(server).await;
    let stats = client.expect("the server is there").get_stats(GetStatsRequest::default()).await;
    stats.expect("it answers").model_version
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_better_is_in_service_after_the_night_and_a_worse_one_is_not() {
    let (data, folder) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let running = server(&data).await;
    let better = retrain(&running, folder.path(), &coming_to("onnx/bundles/movielens-small"));
    assert_eq!(better.status.code(), Some(0), "{better:?}");
    assert!(text(&better.stdout).contains("is in service as movielens-small@2"), "{better:?}");
    assert_eq!(in_service(&running).await, "movielens-small@2");

    let same = retrain(&running, folder.path(), &coming_to("onnx/bundles/movielens-small"));
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    assert!(text(&same.stderr).contains("in service already"), "{same:?}");

    let worse = retrain(&running, folder.path(), &coming_to("onnx/fixtures/tiny"));
    assert_eq!(worse.status.code(), Some(5), "{worse:?}");
    assert!(text(&worse.stderr).contains("worse by more than the margin"), "{worse:?}");
    let failed = retrain(&running, folder.path(), "[\"false\"]");
    assert_eq!(failed.status.code(), Some(6), "{failed:?}");
    assert_eq!(in_service(&running).await, "movielens-small@2");

    let listed = text(&marquee(&running, &["models", "versions", "movies"]).stdout);
    assert!(listed.contains("\"accepted\"") && listed.contains("\"refused\""), "{listed}");
    let left = std::fs::read_dir(folder.path()).expect("the folder is there");
    let left = left.filter(|entry| {
        let entry = entry.as_ref().expect("an entry");
        entry.file_name().to_string_lossy().starts_with("export-")
    });
    assert_eq!(left.count(), 0, "what users did does not stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_wrong_is_refused_before_anything_is_done() {
    let (data, folder) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let running = server(&data).await;
    let wrong = retrain(&running, folder.path(), "[]");
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(text(&wrong.stderr).contains("without a program"), "{wrong:?}");
}
