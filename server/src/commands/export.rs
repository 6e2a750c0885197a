//! `export`: interactions and movies of the store that the settings name, as files for other programs.

use std::path::PathBuf;

use clap::Args;
use marquee_core::domain::TimeMs;

use super::backup::{NoStore, counting, open};
use super::{DamageArgs, Layers, Outcome};
use crate::export::{Format, Range, Rest, to_folder};
use crate::import::written_out;
use crate::telemetry::Telemetry;

/// The options of `export`.
#[derive(Args)]
pub(super) struct ExportArgs {
    /// A folder that is empty or not there
    folder: PathBuf,
    /// csv, in MovieLens' form, which the trainer reads, or jsonl
    #[arg(long, default_value = "csv", value_name = "FORMAT")]
    format: Format,
    /// Interactions of this time or later, such as 2026-01-31 or 2026-01-31T12:00:00Z
    #[arg(long, value_parser = time, value_name = "TIME")]
    since: Option<TimeMs>,
    /// Interactions of before this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<TimeMs>,
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    damage: DamageArgs,
}

fn time(text: &str) -> Result<TimeMs, &'static str> {
    written_out(text).ok_or("is no time; such as 2026-01-31 or 2026-01-31T12:00:00Z")
}

/// Writes the files and says what is in them.
pub(super) async fn run(args: ExportArgs) -> Outcome {
    let ExportArgs { folder, format, since, until, layers, damage } = args;
    let config = damage.decide(layers.resolve()?);
    let _telemetry = Telemetry::start(config.telemetry.log_format, config.telemetry.log_level)?;
    let store = open(&config, NoStore::Export).await?;
    let bar = counting();
    let pace = |interactions: u64| -> Rest<'_> {
        bar.set_message(format!("{interactions} interactions"));
        bar.tick();
        Box::pin(std::future::ready(()))
    };
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err("--until is before --since".into());
    }
    let range = Range { since_ms: since, until_ms: until };
    let made = to_folder(store.as_ref(), &folder, format, range, &pace).await;
    bar.finish_and_clear();
    let made = made?;
    println!(
        "{} has {} interactions of {} users, and {} movies.",
        folder.display(),
        made.interactions,
        made.users,
        made.movies
    );
    Ok(())
}
