//! Signals: SIGTERM and the first SIGINT drain, a second SIGINT exits at once.
//!
//! Who sends calls here, a balancer above all, notices that health says NOT_SERVING only when it asks again. So SIGTERM,
//! the signal of those who run many servers, can have a delay: calls are served as before, until the next signal at
//! the latest. SIGINT comes from a person at a terminal, who does not want to wait.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::app::{Running, StartError};

/// The exit code of a process that a second SIGINT ended: 128 and the signal's number.
const EXIT_ON_SIGINT: i32 = 130;

/// Who wants the server to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// SIGTERM: whoever runs the server.
    Terminate,
    /// SIGINT: a person at its terminal.
    Interrupt,
}

/// The signals that end the server, from when this is made on: one that comes between two waits is not lost.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals from the system.
    ///
    /// # Errors
    /// What the system says when it does not give them.
    pub(super) fn listen() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM or SIGINT.
    ///
    /// # Cancel safety
    /// A wait that is given up loses no signal.
    pub(super) async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
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

/// Drains after the first signal, SIGTERM with its delay; the next SIGINT exits at once.
///
/// # Errors
/// [`StartError`] when the server had failed before.
pub(super) async fn stop(
    mut running: Running,
    mut signals: Signals,
    first: StopSignal,
) -> Result<(), StartError> {
    match first {
        StopSignal::Interrupt => tracing::info!("SIGINT: draining; once more to exit at once"),
        StopSignal::Terminate => {
            let delay = running.drain_delay();
            tracing::info!(?delay, "SIGTERM: draining after the delay");
            running.leave().await;
            // Whoever asks again does not want to wait.
            let _asked_again = timeout(delay, signals.next()).await;
        }
    }
    signals.exit_at_the_next();
    running.stop().await
}
