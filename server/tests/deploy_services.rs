//! `deploy/services`, which starts and stops real servers: whose processes it ends.

mod common;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::redis::shared_redis;
use tempfile::TempDir;

/// A checkout that has the script and nothing else.
struct Checkout {
    folder: TempDir,
    state: PathBuf,
}

impl Checkout {
    /// Its state, and that of all others, lies in this folder.
    fn new(state: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/services");
        fs::create_dir(folder.path().join("deploy")).expect("a folder");
        common::copy_program(&script, &folder.path().join("deploy/services"));
        Self { folder, state: state.to_owned() }
    }

    /// What the script says.
    fn services(&self, arguments: &[&str]) -> String {
        let mut script = Command::new(self.folder.path().join("deploy/services"));
        let output = script.args(arguments).env("TMPDIR", &self.state).output().expect("the script runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts what it can but CQL; the address of the Redis among it.
    fn up(&self) -> String {
        let environment = self.services(&["up", "0"]);
        let address = environment.lines().find_map(|line| line.strip_prefix("MARQUEE_TEST_REDIS=redis://"));
        address.expect("there is a Redis").to_owned()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.services(&["down"]);
    }
}

fn listens(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

/// The one file that names what was started.
fn pids(state: &Path) -> PathBuf {
    let mut folders = fs::read_dir(state).expect("a folder").map(|entry| entry.expect("an entry").path());
    let folder = folders.next().expect("a folder of the checkout's");
    assert!(folders.next().is_none(), "one checkout is up");
    folder.join("pids")
}

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().expect("sleep runs")
}

#[test]
fn a_checkout_ends_its_own_servers_only() {
    if shared_redis().is_none() {
        return;
    }
    let state = tempfile::tempdir().expect("a temporary folder");
    let (one, other) = (Checkout::new(state.path()), Checkout::new(state.path()));
    let (ones, others) = (one.up(), other.up());
    assert_ne!(ones, others);
    assert_eq!(one.up(), ones, "what is up stays as it is");
    one.services(&["down"]);
    assert!(!listens(&ones) && listens(&others));
    other.services(&["down"]);
    assert!(!listens(&others));
    assert_eq!(fs::read_dir(state.path()).expect("a folder").count(), 0, "nothing is left");
}

#[test]
fn a_process_that_has_the_number_of_one_that_ended_is_left_alone() {
    if shared_redis().is_none() {
        return;
    }
    let state = tempfile::tempdir().expect("a temporary folder");
    let checkout = Checkout::new(state.path());
    let address = checkout.up();
    let pids = pids(state.path());
    let started = fs::read_to_string(&pids).expect("it is named");
    let (_, born) = started.trim().split_once(' ').expect("a number and a start");
    let mut stranger = sleeper();
    fs::write(&pids, format!("{} {born}\n{}\n{started}", stranger.id(), stranger.id())).expect("a write");
    checkout.services(&["down"]);
    assert!(!listens(&address), "its own is ended");
    assert!(stranger.try_wait().expect("a child").is_none(), "another is not");
    stranger.kill().expect("it lives");
    stranger.wait().expect("it ends");
}
