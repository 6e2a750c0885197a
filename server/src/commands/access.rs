//! `access`: API keys while no server runs, such as the first one.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use marquee_core::clock::now_ms;
use marquee_core::duration;

use super::{DamageArgs, Layers, Outcome};
use crate::app;
use crate::telemetry::Telemetry;

/// What can be done.
#[derive(Subcommand)]
pub(super) enum AccessCommand {
    /// Make an API key and print it, and nothing else, on standard output: nobody can ask for it again
    CreateKey(CreateKeyArgs),
}

/// The options of `access create-key`.
#[derive(Args)]
pub(super) struct CreateKeyArgs {
    /// Who the key is for
    name: String,
    /// What it may do: viewer, recommender, writer, operator, admin, or a role of the settings
    #[arg(long)]
    role: String,
    /// For how long, such as 24h; for good when absent
    #[arg(long, value_name = "TIME", value_parser = |text: &str| duration::parse(text))]
    lifetime: Option<Duration>,
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    damage: DamageArgs,
}

/// Does what is asked.
pub(super) async fn run(command: AccessCommand) -> Outcome {
    match command {
        AccessCommand::CreateKey(args) => create_key(args).await,
    }
}

async fn create_key(args: CreateKeyArgs) -> Outcome {
    let config = args.damage.decide(args.layers.resolve()?);
    let _telemetry = Telemetry::start(config.telemetry.log_format, config.telemetry.log_level)?;
    let keys = Arc::new(app::open_keys(&config).await?);
    let made = keys.create(args.name, args.role, args.lifetime, now_ms()).await?;
    println!("{}", made.text);
    Ok(())
}
