//! `health`: whether a server serves, for the container that it runs in, which has no other program to ask with.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use super::{Layers, Outcome};
use crate::telemetry::is_ready;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The options of `health`.
#[derive(Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    layers: Layers,
}

/// Why it is not said that the server serves.
#[derive(Debug, thiserror::Error)]
enum HealthError {
    #[error(
        "metrics-listen is none, and health is asked for there; give it to the server and to this command"
    )]
    NoAddress,
    #[error("nothing answers at {address}: {source}; start the server with --metrics-listen {address}")]
    Unreachable { address: SocketAddr, source: io::Error },
    #[error("{address} accepts the question and does not answer it in time; look at the log of the server")]
    Late { address: SocketAddr },
    #[error("the server does not serve: it is about to load its model, or to end")]
    NotServing,
}

/// Asks the server that has these settings.
pub(super) async fn run(args: HealthArgs) -> Outcome {
    let listen = args.layers.resolve()?.telemetry.metrics_listen.ok_or(HealthError::NoAddress)?;
    Ok(ask(reachable(listen)).await?)
}

async fn ask(address: SocketAddr) -> Result<(), HealthError> {
    let answer = timeout(PATIENCE, is_ready(address)).await.map_err(|_| HealthError::Late { address })?;
    let serves = answer.map_err(|source| HealthError::Unreachable { address, source })?;
    if serves { Ok(()) } else { Err(HealthError::NotServing) }
}

/// Where a server that listens at all addresses of the machine is reached from the machine itself.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_at_all_addresses_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("192.0.2.7:9464", "192.0.2.7:9464"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap(), "{listen}");
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_the_address_and_the_remedy_are_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = ask(address).await.unwrap_err().to_string();
        assert!(error.contains("--metrics-listen") && error.contains(&address.to_string()), "{error}");
    }
}
