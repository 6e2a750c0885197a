//! Real CQL nodes of a test's own, which it may freeze, kill and start again.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use marquee_store::{MigrateMode, ScyllaSettings, ScyllaStore};
use tempfile::TempDir;

use super::redis::free_port;

/// A Cassandra starts in some ten seconds on two idle cores.
const PATIENCE: Duration = Duration::from_mins(3);

/// Whether tests with real CQL nodes run: `MARQUEE_TEST_CQL` says so, and names the shared one.
///
/// # Panics
/// Under `CI=true` when it is not set.
pub fn shared_cql() -> Option<String> {
    let url = std::env::var("MARQUEE_TEST_CQL").ok();
    if url.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "MARQUEE_TEST_CQL must be set in CI");
        // Not `eprintln!`, which the test harness keeps to itself.
        let said = writeln!(std::io::stderr(), "skipped: MARQUEE_TEST_CQL is not set; see deploy/services");
        said.expect("standard error is open");
    }
    url
}

/// A new keyspace with this program's schema; the store's URL with `options`.
pub async fn new_keyspace(cluster: &str, options: &str) -> String {
    let url = format!("{cluster}/marquee_test_{:x}?{options}", rand::random::<u64>());
    let settings = ScyllaSettings::parse(&url).expect("a good URL");
    ScyllaStore::migrate(&settings, MigrateMode::Apply).await.expect("the keyspace is made");
    url
}

/// What a node asks of those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    /// Passwords, and TLS with the certificate in [`CqlCluster::certificate`].
    Secured,
}

/// Nodes on 127.0.0.1, 127.0.0.2, ... that are killed when dropped.
pub struct CqlCluster {
    nodes: Vec<CqlNode>,
    folder: TempDir,
}

impl CqlCluster {
    /// One node after the other, each ready before the next begins.
    pub fn start(nodes: u8, access: Access) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, storage_port) = (free_port(), free_port());
        let nodes = (1..=nodes).map(|number| {
            let address = Ipv4Addr::new(127, 0, 0, number);
            let folder = folder.path().join(number.to_string());
            CqlNode::start(Spec { folder, address, port, storage_port, access })
        });
        Self { nodes: nodes.collect(), folder }
    }

    /// The cluster's URL without a keyspace.
    pub fn url(&self) -> String {
        format!("scylla://{}", self.hosts())
    }

    /// The nodes' addresses, separated by commas.
    pub fn hosts(&self) -> String {
        let hosts = self.nodes.iter().map(|node| format!("{}:{}", node.spec.address, node.spec.port));
        hosts.collect::<Vec<_>>().join(",")
    }

    pub fn node(&mut self, place: usize) -> &mut CqlNode {
        &mut self.nodes[place]
    }

    /// The certificate of a secured cluster's first node.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("1/ca.pem")
    }
}

struct Spec {
    folder: PathBuf,
    address: Ipv4Addr,
    port: u16,
    storage_port: u16,
    access: Access,
}

pub struct CqlNode {
    spec: Spec,
    child: Child,
}

impl CqlNode {
    fn start(spec: Spec) -> Self {
        let child = spec.spawn();
        let mut node = Self { spec, child };
        node.wait_until_it_listens();
        node
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("the node can be killed");
        self.child.wait().expect("the node ends");
    }

    /// Starts a killed node over the data that it left, and returns when it listens.
    pub fn start_again(&mut self) {
        self.child = self.spec.spawn();
        self.wait_until_it_listens();
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    fn wait_until_it_listens(&mut self) {
        let began = Instant::now();
        while TcpStream::connect((self.spec.address, self.spec.port)).is_err() {
            let ended = self.child.try_wait().expect("the node can be asked").is_some();
            if ended || began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.spec.folder.join("output")).unwrap_or_default();
                panic!("the CQL node does not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Spec {
    fn spawn(&self) -> Child {
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/services");
        let mut command = Command::new(services);
        command.arg("cql-node").arg(&self.folder).arg(self.address.to_string());
        command.args([self.port.to_string(), self.storage_port.to_string()]);
        if self.access == Access::Secured {
            command.arg("--secured");
        }
        command.stderr(Stdio::null()).spawn().expect("deploy/services can be run")
    }
}

impl Drop for CqlNode {
    fn drop(&mut self) {
        self.kill();
    }
}
