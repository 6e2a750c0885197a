//! `migrate`: the schema of a cluster becomes this program's.

use clap::Args;
use marquee_store::{MigrateMode, ScyllaSettings, ScyllaStore};

use super::{Layers, Outcome};

/// The options of `migrate`.
#[derive(Args)]
pub(super) struct MigrateArgs {
    /// Print the statements that are missing and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    layers: Layers,
}

/// Runs the missing statements, or only prints them.
pub(super) async fn run(args: MigrateArgs) -> Outcome {
    let mode = if args.dry_run { MigrateMode::DryRun } else { MigrateMode::Apply };
    let config = args.layers.resolve()?;
    let Some(url) = config.store.store.url() else {
        println!("The embedded store brings itself up to date when it is opened.");
        return Ok(());
    };
    let statements = ScyllaStore::migrate(&ScyllaSettings::parse(url)?, mode).await?;
    for statement in &statements {
        println!("{statement};");
    }
    match (mode, statements.len()) {
        (_, 0) => println!("-- nothing to do: the schema is this program's"),
        (MigrateMode::DryRun, _) => println!("-- dry run: nothing was changed"),
        (MigrateMode::Apply, count) => println!("-- {count} statements were run"),
    }
    Ok(())
}
