//! The metrics as Prometheus text, on a port of their own.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::TelemetryError;

/// Serves `GET /metrics` until `stop`; the address that is really listened on.
///
/// # Errors
/// [`TelemetryError::Listen`] when the port cannot be opened.
pub(crate) async fn serve_metrics(
    address: SocketAddr,
    registry: Registry,
    stop: CancellationToken,
) -> Result<SocketAddr, TelemetryError> {
    let listen = |source| TelemetryError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let routes = Router::new().route("/metrics", get(move || async move { exposition(&registry) }));
    tokio::spawn(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "metrics endpoint failed");
        }
    });
    Ok(bound)
}

fn exposition(registry: &Registry) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
