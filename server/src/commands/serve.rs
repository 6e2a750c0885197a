//! `serve`: a server from its start to the signal that ends it.

use std::io::Write as _;
use std::thread::available_parallelism;

use clap::Args;
use tokio::runtime::Builder;

use super::signals::{Signals, stop};
use super::welcome::welcome;
use super::{DamageArgs, Layers, Outcome};
use crate::app::{self, StartError};
use crate::config::{Config, ConfigError};
use crate::telemetry::Telemetry;

/// The options of `serve`.
#[derive(Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    layers: Layers,
    /// Print the settings in force as TOML, passwords taken out, and exit
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    damage: DamageArgs,
}

impl ServeArgs {
    /// The settings in force.
    ///
    /// # Errors
    /// [`ConfigError`] when the file or a number cannot be used.
    pub(super) fn resolve(self) -> Result<Config, ConfigError> {
        Ok(self.damage.decide(self.layers.resolve()?))
    }
}

/// Serves until a signal says otherwise.
pub(super) fn run(args: ServeArgs) -> Outcome {
    let print_only = args.print_config;
    let config = args.resolve()?;
    if print_only {
        print!("{}", config.to_toml());
        return Ok(());
    }
    let threads = config.async_threads(available_parallelism().map_or(1, usize::from));
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()?.block_on(async {
        let telemetry = Telemetry::start(config.telemetry.log_format, config.telemetry.log_level)?;
        let served = Box::pin(serve(config, &telemetry)).await;
        tokio::task::spawn_blocking(move || telemetry.flush()).await?;
        Ok(served?)
    })
}

async fn serve(config: Config, telemetry: &Telemetry) -> Result<(), StartError> {
    app::outlive_file_limits().map_err(|error| StartError::Stopped(error.to_string()))?;
    let mut signals = Signals::listen().map_err(|error| StartError::Stopped(error.to_string()))?;
    // What is given up here goes on at the next start, as after a crash.
    let mut running = tokio::select! {
        started = app::start(config, telemetry) => started?,
        _ = signals.next() => return Ok(()),
    };
    let metrics = running.metrics_address.map(tracing::field::display);
    tracing::info!(address = %running.address, metrics, "listening");
    let model = tokio::select! {
        model = running.ready() => model?,
        first = signals.next() => return stop(running, signals, first).await,
    };
    // Who started the server may have closed its output; that is no reason to stop.
    if let Err(error) = writeln!(std::io::stdout(), "{}", welcome(&running, &model).await) {
        tracing::debug!(%error, "welcome not written to standard output");
    }
    drop(model);
    let first = signals.next().await;
    stop(running, signals, first).await
}
