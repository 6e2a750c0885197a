//! The metrics as Prometheus text, and whether the server lives and serves, on a port of their own.
//!
//! The port speaks plain HTTP whatever that of the API speaks, so that probes need neither certificate nor key.
//! `/livez` asks nothing of the store: one that is slow or gone is no reason to start the server again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::TelemetryError;
use super::exemplars::{Exemplars, OPENMETRICS};

/// Where it is said whether the server serves: 200 while it does, else 503.
const READINESS: &str = "/readyz";

/// Serves `GET /metrics`, `/livez` (200 while the process answers) and `/readyz` (200 while `serving` is true, else 503)
/// until `stop`, with what is known of traces; the address that is really listened on.
///
/// # Errors
/// [`TelemetryError::Listen`] when the port cannot be opened.
pub(crate) async fn serve_metrics(
    address: SocketAddr,
    registry: Registry,
    exemplars: Arc<Exemplars>,
    serving: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<SocketAddr, TelemetryError> {
    let listen = |source| TelemetryError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let routes = Router::new()
        .route("/metrics", get(move |headers| async move { exposition(&registry, &exemplars, &headers) }))
        .route("/livez", get(|| async { "alive\n" }))
        .route(READINESS, get(move || async move { readiness(*serving.borrow()) }));
    tokio::spawn(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "metrics endpoint failed");
        }
    });
    Ok(bound)
}

/// In OpenMetrics for who takes it, else in the text of Prometheus.
fn exposition(registry: &Registry, exemplars: &Exemplars, headers: &HeaderMap) -> Response {
    let families = registry.gather();
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let (format, text) = if accepted.is_some_and(|accepted| accepted.contains(OPENMETRICS)) {
        (format!("{OPENMETRICS}; version=1.0.0; charset=utf-8"), exemplars.openmetrics(&families))
    } else {
        let encoder = TextEncoder::new();
        (encoder.format_type().to_owned(), encoder.encode_to_string(&families))
    };
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, format)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn readiness(serves: bool) -> (StatusCode, &'static str) {
    if serves { (StatusCode::OK, "serving\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not serving\n") }
}

/// Whether the server whose metrics are at this address says that it serves.
///
/// # Errors
/// What the system says when nothing answers there.
pub(crate) async fn is_ready(address: SocketAddr) -> io::Result<bool> {
    Ok(status_of(address, READINESS).await? == StatusCode::OK.as_str())
}

/// The status code that `GET` of this path is answered with.
async fn status_of(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut reply = String::new();
    connection.read_to_string(&mut reply).await?;
    Ok(reply.split_whitespace().nth(1).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_does_not_serve_is_alive_and_not_ready() {
        let (serving, said) = watch::channel(false);
        let stop = CancellationToken::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = serve_metrics(any, Registry::new(), Arc::default(), said, stop.clone()).await.unwrap();
        assert_eq!(status_of(address, "/livez").await.unwrap(), "200");
        assert_eq!(status_of(address, "/readyz").await.unwrap(), "503");
        assert!(!is_ready(address).await.unwrap());

        serving.send_replace(true);
        assert_eq!(status_of(address, "/readyz").await.unwrap(), "200");
        assert!(is_ready(address).await.unwrap());
        assert_eq!(status_of(address, "/metrics").await.unwrap(), "200");
        stop.cancel();
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_is_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(is_ready(address).await.is_err());
    }
}
