//! `doctor`, as a person runs it.

mod common;

use std::path::Path;
use std::process::Command;

use common::redis::shared_redis;
use marquee_store::{RedbStore, Store as _};
use serde_json::Value;
use tempfile::TempDir;

/// What the program finds, by check: how bad it is and what it says; and whether a server can serve.
struct Findings {
    all: Vec<Value>,
    is_well: bool,
}

impl Findings {
    /// With a data folder, the fixture's model, ports of the system's choice, and these arguments.
    fn of(data: &Path, arguments: &[&str]) -> Self {
        Self::with_bundle(&common::fixture_bundle(), data, arguments)
    }

    /// As [`Self::of`], with another model.
    fn with_bundle(bundle: &Path, data: &Path, arguments: &[&str]) -> Self {
        let output = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
            .args([
                "doctor",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(data)
            .arg("--bundle")
            .arg(bundle)
            .args(arguments)
            .output()
            .expect("the program starts");
        let all = serde_json::from_slice(&output.stdout).expect("it prints one array");
        Self { all, is_well: output.status.success() }
    }

    /// How bad something is, and what is said of it.
    fn get(&self, check: &str) -> (&str, &str) {
        let finding = self.all.iter().find(|finding| finding["check"] == check);
        let finding = finding.unwrap_or_else(|| panic!("nothing about {check}: {:?}", self.all));
        (finding["level"].as_str().expect("a text"), finding["says"].as_str().expect("a text"))
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn all_is_well_where_a_server_would_start() {
    let data = folder();
    let found = Findings::of(data.path(), &[]);
    assert!(found.is_well, "{:?}", found.all);
    for check in ["store", "clock", "model", "onnx runtime", "listen", "metrics port"] {
        assert_eq!(found.get(check).0, "ok", "{:?}", found.get(check));
    }
    assert!(found.get("store").1.contains("the first start makes it"));
    assert!(found.get("model").1.starts_with("tiny@1 "));
    assert_eq!(std::fs::read_dir(data.path()).expect("it is there").count(), 0, "nothing is made");
}

#[tokio::test]
async fn a_store_is_opened_or_left_to_the_server_that_has_it() {
    let data = folder();
    let store = RedbStore::open(data.path()).unwrap();
    store.register(7, 1).await.unwrap();
    let found = Findings::of(data.path(), &[]);
    assert!(found.is_well, "a server that runs is no fault");
    assert_eq!(found.get("store").0, "warn");
    drop(store);
    let found = Findings::of(data.path(), &[]);
    assert_eq!(found.get("store"), ("ok", "redb opens: 1 users, 0 interactions, 0 movies"));
    std::fs::write(data.path().join("marquee.redb"), [7; 10_000]).unwrap();
    let found = Findings::of(data.path(), &[]);
    assert!(!found.is_well && found.get("store").0 == "fail");
    assert!(found.get("store").1.contains("restore the data folder from a backup"), "{:?}", found.all);
}

#[test]
fn a_redis_answers_and_its_clock_is_compared() {
    let Some(redis) = shared_redis() else { return };
    let data = folder();
    let found = Findings::of(data.path(), &["--cache", &redis]);
    assert!(found.is_well, "{:?}", found.all);
    assert_eq!((found.get("redis").0, found.get("redis clock").0), ("ok", "ok"));
}

#[test]
fn a_redis_that_is_not_there_and_a_model_that_is_none_are_said_with_what_to_do() {
    let (data, nothing) = (folder(), folder());
    let found = Findings::with_bundle(nothing.path(), data.path(), &["--cache", "redis://127.0.0.1:1"]);
    assert!(!found.is_well);
    assert_eq!((found.get("redis").0, found.get("model").0), ("fail", "fail"));
    assert!(found.get("redis").1.contains("start it, or correct --cache"), "{:?}", found.all);
    assert!(found.get("model").1.contains("bundle.json"), "{:?}", found.all);
}

#[test]
fn a_certificate_is_read_and_a_key_of_another_is_said() {
    let (data, one, other) = (folder(), folder(), folder());
    for out in [&one, &other] {
        let made = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
            .args(["tls", "dev", "--dir"])
            .arg(out.path())
            .status()
            .expect("the program starts");
        assert!(made.success());
    }
    let file = |folder: &TempDir, name: &str| folder.path().join(name).to_str().expect("a text").to_owned();
    let [certificate, key] = ["server.pem", "server-key.pem"].map(|name| file(&one, name));
    let found = Findings::of(data.path(), &["--tls-cert", &certificate, "--tls-key", &key]);
    assert!(found.get("certificate").1.contains("days"), "{:?}", found.all);
    let found = Findings::of(
        data.path(),
        &["--tls-cert", &certificate, "--tls-key", &file(&other, "server-key.pem")],
    );
    assert!(!found.is_well && found.get("certificate").1.contains("are no pair"), "{:?}", found.all);
}
