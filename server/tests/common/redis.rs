//! A real Redis of a test's own, which it may freeze, stop and start again; and several as a cluster, or
//! under a Sentinel.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// For a server, a cluster or a Sentinel to get ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// After which the others take a server for dead: as short as an idle machine never takes to answer.
const DEAD_AFTER_MS: u32 = 1000;

/// Whether tests with a real Redis run: `MARQUEE_TEST_REDIS` says so, and names the shared one.
///
/// # Panics
/// Under `CI=true` when it is not set.
pub fn shared_redis() -> Option<String> {
    let url = std::env::var("MARQUEE_TEST_REDIS").ok();
    if url.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "MARQUEE_TEST_REDIS must be set in CI");
        // Not `eprintln!`, which the test harness keeps to itself.
        let said = writeln!(std::io::stderr(), "skipped: MARQUEE_TEST_REDIS is not set; see deploy/services");
        said.expect("standard error is open");
    }
    url
}

/// A redis-server child without persistence, killed when dropped.
pub struct RedisServer {
    child: Child,
    port: u16,
    arguments: Vec<String>,
}

impl RedisServer {
    /// On a free port.
    pub fn start() -> Self {
        Self::start_on(free_port(), &[])
    }

    /// On this port, with these options, ready when this returns.
    pub fn start_on(port: u16, options: &[&str]) -> Self {
        let own = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        Self::start_with(port, &[&own[..], options].concat())
    }

    fn start_with(port: u16, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().copied().map(str::to_owned).collect();
        let server = Self { child: spawn(&arguments), port, arguments };
        server.until("redis-server answers", "PING", |_| true);
        server
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child ends");
    }

    /// Starts a killed server as it was started before, ready when this returns.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.arguments);
        self.until("redis-server answers", "PING", |_| true);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// The number of keys.
    pub fn keys(&self) -> u64 {
        let answer = self.ask("DBSIZE").expect("redis-server answers");
        answer.trim().trim_start_matches(':').parse().expect("DBSIZE answers a number")
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Sends an inline command; the first bytes of the answer.
    fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// Waits until it has what its master has.
    fn until_it_replicates(&self) {
        let is_linked = |answer: &str| answer.contains("master_link_status:up");
        self.until("the replica has what its master has", "INFO replication", is_linked);
    }

    /// Sends an inline command that must be accepted.
    pub fn tell(&self, command: &str) {
        let answer = self.ask(command).expect("redis-server answers");
        assert!(!answer.starts_with('-'), "{command}: {answer}");
    }

    /// The number of entries of a stream.
    pub fn length(&self, stream: &str) -> u64 {
        let answer = self.ask(&format!("XLEN {stream}")).expect("redis-server answers");
        answer.trim().trim_start_matches(':').parse().expect("XLEN answers a number")
    }

    /// What a key holds.
    pub fn type_of(&self, key: &str) -> String {
        let answer = self.ask(&format!("TYPE {key}")).expect("redis-server answers");
        answer.trim().trim_start_matches('+').to_owned()
    }

    /// Waits until the answer to an inline command is right.
    fn until(&self, what: &str, command: &str, is_right: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !self.ask(command).is_ok_and(|answer| is_right(&answer)) {
            assert!(began.elapsed() < PATIENCE, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    let spawned = command.args(arguments).stdout(Stdio::null()).spawn();
    spawned.expect("redis-server is installed where MARQUEE_TEST_REDIS is set")
}

/// A Redis Cluster of three masters; the first may have a replica.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    folder: TempDir,
}

/// Which masters of a cluster have a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    None,
    OfTheFirst,
}

impl RedisCluster {
    /// Ready when this returns: every slot has a master, and every node knows it.
    pub fn start(replicas: Replicas) -> Self {
        const SLOTS: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let count = SLOTS.len() + usize::from(replicas == Replicas::OfTheFirst);
        let mut cluster = Self { nodes: Vec::new(), folder };
        let mut bus_ports = Vec::new();
        for _ in 0..count {
            let (port, bus_port) = (free_port(), free_port());
            let node = start_cluster_node(cluster.folder.path(), port, bus_port);
            cluster.nodes.push(node);
            bus_ports.push(bus_port);
        }
        for ((node, slots), epoch) in cluster.nodes.iter().zip(SLOTS).zip(1..) {
            node.tell(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}"));
            node.tell(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
        }
        let first = &cluster.nodes[0];
        for (node, bus_port) in cluster.nodes.iter().zip(bus_ports).skip(1) {
            first.tell(&format!("CLUSTER MEET 127.0.0.1 {} {bus_port}", node.port));
        }
        let known = format!("cluster_known_nodes:{count}\r");
        for node in &cluster.nodes {
            let is_ready = |answer: &str| answer.contains("cluster_state:ok") && answer.contains(&known);
            node.until("the cluster is ready", "CLUSTER INFO", is_ready);
        }
        if let Some(replica) = cluster.nodes.get(SLOTS.len()) {
            let answer = cluster.nodes[0].ask("CLUSTER MYID").expect("redis-server answers");
            let id = answer.lines().nth(1).expect("the id is on the second line");
            replica.tell(&format!("CLUSTER REPLICATE {id}"));
            replica.until_it_replicates();
        }
        cluster
    }

    /// The cluster's URL, with all nodes named.
    pub fn url(&self) -> String {
        let others = self.nodes[1..].iter().map(|node| format!("node=127.0.0.1:{}", node.port));
        let others: Vec<String> = others.collect();
        format!("redis-cluster://127.0.0.1:{}?{}", self.nodes[0].port, others.join("&"))
    }

    pub fn node(&mut self, place: usize) -> &mut RedisServer {
        &mut self.nodes[place]
    }

    /// The number of keys of all nodes; all must live.
    pub fn keys(&self) -> u64 {
        self.nodes.iter().map(RedisServer::keys).sum()
    }
}

/// A node of a cluster that it has still to meet.
fn start_cluster_node(folder: &Path, port: u16, bus_port: u16) -> RedisServer {
    let folder = folder.join(port.to_string());
    std::fs::create_dir_all(&folder).expect("a folder for the node");
    let (folder, bus_port) = (folder.display().to_string(), bus_port.to_string());
    let timeout = DEAD_AFTER_MS.to_string();
    let options = ["--cluster-enabled", "yes", "--cluster-port", &bus_port, "--dir", &folder];
    let times = ["--cluster-node-timeout", &timeout, "--repl-diskless-sync-delay", "0"];
    RedisServer::start_on(port, &[&options[..], &times[..]].concat())
}

/// The name that the Sentinel has for its master.
const SERVICE: &str = "main";

/// A master, its replica and the Sentinel that watches them.
pub struct RedisSentinel {
    pub master: RedisServer,
    _replica: RedisServer,
    sentinel: RedisServer,
    _folder: TempDir,
}

impl RedisSentinel {
    /// Ready when this returns: the Sentinel knows the replica, which has all that the master has.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = folder.path().display().to_string();
        let options = ["--dir", &at, "--repl-diskless-sync-delay", "0"];
        let master = RedisServer::start_on(free_port(), &options);
        let of_master = ["--dir", &at, "--replicaof", "127.0.0.1", &master.port.to_string()];
        let replica = RedisServer::start_on(free_port(), &of_master);
        replica.until_it_replicates();
        let settings = folder.path().join("sentinel.conf");
        let watch = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {SERVICE} {DEAD_AFTER_MS}\n",
            master.port
        );
        std::fs::write(&settings, watch).expect("the settings are written");
        let port = free_port();
        let settings = settings.display().to_string();
        let arguments = [&settings, "--sentinel", "--port", &port.to_string(), "--bind", "127.0.0.1"];
        let sentinel = RedisServer::start_with(port, &arguments);
        let replicas = format!("SENTINEL REPLICAS {SERVICE}");
        let is_known = format!("127.0.0.1:{}", replica.port);
        sentinel.until("the Sentinel knows the replica", &replicas, |answer| answer.contains(&is_known));
        Self { master, _replica: replica, sentinel, _folder: folder }
    }

    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName={SERVICE}", self.sentinel.port)
    }
}

/// A Redis that speaks TLS on one port, for 127.0.0.1, and plain text on another.
pub struct EncryptedRedis {
    server: RedisServer,
    port: u16,
    folder: TempDir,
}

impl EncryptedRedis {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name| folder.path().join(name).display().to_string();
        let (key, certificate, port) = (file("key.pem"), file(AUTHORITY), free_port());
        make_certificate(&key, &certificate);
        let files =
            ["--tls-key-file", &key, "--tls-cert-file", &certificate, "--tls-ca-cert-file", &certificate];
        let options = ["--tls-auth-clients", "no", "--tls-port", &port.to_string()];
        let server = RedisServer::start_on(free_port(), &[&files[..], &options[..]].concat());
        Self { server, port, folder }
    }

    /// Its URL for who trusts the authorities in this file.
    pub fn url(&self, authority: &Path) -> String {
        format!("rediss://127.0.0.1:{}?ca={}", self.port, authority.display())
    }

    /// Who vouches for it.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join(AUTHORITY)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn plain_port(&self) -> u16 {
        self.server.port
    }
}

const AUTHORITY: &str = "ca.pem";

/// A certificate that vouches for itself, for 127.0.0.1.
fn make_certificate(key: &str, certificate: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=marquee", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate])
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl is installed where MARQUEE_TEST_REDIS is set").success());
}

/// A port that nobody listens on, another one at every call. It lies below those that the kernel gives to
/// connections, so that none of them takes it before its server listens.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 20_000;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    loop {
        let place = std::process::id().wrapping_mul(101).wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
        let port = (FIRST + place % PORTS) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
