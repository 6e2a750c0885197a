//! `compact`: the files of the embedded store are written anew.

use clap::Args;

use super::{Layers, Outcome};

/// The options of `compact`.
#[derive(Args)]
pub(super) struct CompactArgs {
    #[command(flatten)]
    layers: Layers,
}

/// Writes them anew and says how long they were and are.
pub(super) fn run(args: CompactArgs) -> Outcome {
    let config = args.layers.resolve()?;
    if config.store.store.url().is_some() {
        println!("A CQL store does this by itself: see gc_grace_seconds and nodetool compact.");
        return Ok(());
    }
    let marquee_store::Rewritten { before, after } = marquee_store::rewrite(&config.store.data_dir)?;
    println!("{before} bytes are {after} now, and have nothing of what was deleted.");
    Ok(())
}
