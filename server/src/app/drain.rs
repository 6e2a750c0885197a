//! Signals: SIGTERM and the first SIGINT drain, a second SIGINT exits at once.

use tokio::signal::unix::{SignalKind, signal};

use super::{Running, StartError};

/// The exit code of a process that a second SIGINT ended: 128 and the signal's number.
const EXIT_ON_SIGINT: i32 = 130;

/// Waits for SIGTERM or SIGINT. From then on a SIGINT exits at once.
pub async fn wait_for_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining; once more to exit at once"),
    }
    tokio::spawn(async move {
        interrupt.recv().await;
        std::process::exit(EXIT_ON_SIGINT);
    });
    Ok(())
}

/// Serves until a signal, then drains.
///
/// # Errors
/// [`StartError`] when the server ends by itself.
pub async fn serve_until_signal(running: Running) -> Result<(), StartError> {
    wait_for_signal().await.map_err(|error| StartError::Stopped(error.to_string()))?;
    running.stop().await
}
