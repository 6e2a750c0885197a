//! A real Redis of a test's own, which it may freeze, stop and start again.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
}

impl RedisServer {
    /// On a free port.
    pub fn start() -> Self {
        Self::start_on(free_port(), &[])
    }

    /// On this port, with these options, ready when this returns.
    pub fn start_on(port: u16, options: &[&str]) -> Self {
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed where MARQUEE_TEST_REDIS is set");
        let server = Self { child, port };
        let patience = Instant::now() + Duration::from_secs(30);
        while server.ask("PING").is_err() {
            assert!(Instant::now() < patience, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
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
        let mut answer = [0; 64];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child ends");
    }
}

/// A loopback port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("the listener has an address").port()
}
