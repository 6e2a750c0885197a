//! Signals: SIGTERM and the first SIGINT drain, a second SIGINT exits at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Running, StartError};

/// The exit code of a process that a second SIGINT ended: 128 and the signal's number.
const EXIT_ON_SIGINT: i32 = 130;

/// The signals that end the server, from when this is made on: one that comes between two waits is not lost.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals from the system.
    ///
    /// # Errors
    /// What the system says when it does not give them.
    pub fn listen() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM or SIGINT.
    ///
    /// # Cancel safety
    /// A wait that is given up loses no signal.
    pub async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: draining; once more to exit at once"),
        }
    }

    /// Exits at once at the next SIGINT.
    fn exit_at_the_next(mut self) {
        tokio::spawn(async move {
            self.interrupt.recv().await;
            std::process::exit(EXIT_ON_SIGINT);
        });
    }
}

/// Drains after the first signal; the next SIGINT exits at once.
///
/// # Errors
/// [`StartError`] when the server had failed before.
pub async fn stop(running: Running, signals: Signals) -> Result<(), StartError> {
    signals.exit_at_the_next();
    running.stop().await
}
