//! A server as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::nodes::{PATIENCE, until};
use super::redis::free_port;

/// A server process that writes all that it says to a file, at the most verbose level, killed when it is dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// One without a sample and with further options, whose port is open when this returns.
    pub async fn start(data: &Path, log: &Path, options: &[&str]) -> Self {
        let log = std::fs::File::create(log).expect("a file");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let child = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
            .args(["serve", "--listen", &address.to_string(), "--device", "cpu", "--workers", "1"])
            .args(["--sample-data", "none", "--log-level", "trace", "--log-calls-one-in", "1"])
            .args(options)
            .arg("--data-dir")
            .arg(data)
            .arg("--bundle")
            .arg(super::fixture_bundle())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let server = Self { child, address };
        until("the port is open", PATIENCE, async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await;
        server
    }

    /// SIGTERM, and waits until it has ended well.
    pub fn end(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.expect("kill can be run").success());
        assert!(self.child.wait().expect("the process ends").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
