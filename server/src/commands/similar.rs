//! `similar`: builds the table of movies that are alike while no server runs.

use clap::Args;

use super::{DamageArgs, Layers, Outcome};
use crate::app;
use crate::telemetry::Telemetry;

/// The options of `similar`.
#[derive(Args)]
pub(super) struct SimilarArgs {
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    damage: DamageArgs,
}

/// Builds the table and says of what.
pub(super) async fn run(args: SimilarArgs) -> Outcome {
    let config = args.damage.decide(args.layers.resolve()?);
    let _telemetry = Telemetry::start(config.telemetry.log_format, config.telemetry.log_level)?;
    let table = app::build_similar(&config).await?;
    println!("the neighbours of {} movies, by what {} users did", table.len(), table.from.users);
    Ok(())
}
