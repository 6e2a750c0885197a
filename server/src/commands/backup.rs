//! `backup`: the store that the settings name is written to a folder or a bucket, while no server has it open, or a backup is checked.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use marquee_store::backup::{self, Counts, Made, Manifest, Place};
use marquee_store::{RedbStore, Store, StoreError};

use super::{DamageArgs, Layers, Outcome};
use crate::app;
use crate::config::Config;
use crate::telemetry::Telemetry;

/// The options of `backup`.
#[derive(Args)]
pub(super) struct BackupArgs {
    /// A folder, or s3://BUCKET/PREFIX: the backup becomes a folder in it, named by its moment
    target: Place,
    /// Check every byte of the backup in TARGET, or of the newest one there, instead of making one
    #[arg(long, conflicts_with = "keep")]
    verify: bool,
    /// Remove all but the newest N backups in TARGET afterwards
    #[arg(long, value_name = "N")]
    keep: Option<NonZeroUsize>,
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    damage: DamageArgs,
}

/// Why there is nothing to back up.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoStore {
    #[error("there is no store in {}; give the --data-dir or the --store of the server", .0.display())]
    NotThere(PathBuf),
    #[error("{0}; a server that has the store open makes its backups itself")]
    Open(StoreError),
    #[error("{0}; while a server has the store open, run its job `export`, or call ExportInteractions")]
    Export(StoreError),
}

/// Makes a backup, or checks one.
pub(super) async fn run(args: BackupArgs) -> Outcome {
    let BackupArgs { target, verify, keep, layers, damage } = args;
    let config = damage.decide(layers.resolve()?);
    let _telemetry = Telemetry::start(config.telemetry.log_format, config.telemetry.log_level)?;
    if verify {
        return check(&target).await;
    }
    make(&config, &target).await?;
    if let Some(count) = keep {
        for removed in target.keep(count.get()).await? {
            println!("Removed {removed}.");
        }
    }
    Ok(())
}

/// Opens the store that the settings name, if there is one; `closed` says what to do about one that does not open.
pub(super) async fn open(
    config: &Config,
    closed: fn(StoreError) -> NoStore,
) -> Result<Arc<dyn Store>, NoStore> {
    let data_dir = &config.store.data_dir;
    if config.store.store.url().is_none() && !RedbStore::is_in(data_dir) {
        return Err(NoStore::NotThere(data_dir.clone()));
    }
    app::open_store(&config.store.store, data_dir, config.on_damage).await.map_err(closed)
}

async fn check(source: &Place) -> Outcome {
    let fetched = source.fetch().await?;
    let folder = fetched.folder().to_owned();
    let (path, manifest) = tokio::task::spawn_blocking(move || backup::verify(&folder)).await??;
    let at = if let Place::Bucket(url) = source { url.clone() } else { path.display().to_string() };
    println!("{at} of {} is whole: {}.", manifest.made_at, said(&manifest));
    Ok(())
}

async fn make(config: &Config, target: &Place) -> Outcome {
    let store = open(config, NoStore::Open).await?;
    let bar = counting();
    let pace = |counts| {
        show(&bar, counts);
        backup::at_once(counts)
    };
    let made = target.write(store.as_ref(), &backup::staging(&config.store.data_dir), &pace).await;
    bar.finish_and_clear();
    let Made { at, manifest } = made?;
    println!("{at} is a backup: {}.", said(&manifest));
    Ok(())
}

/// What a backup holds, in words.
pub(super) fn said(manifest: &Manifest) -> String {
    let Counts { movies, rules, notes, documents, users, interactions } = manifest.counts;
    format!(
        "{users} users with {interactions} interactions, {movies} movies, {rules} rules, {documents} documents, {notes} \
         notes of a {} store",
        manifest.store
    )
}

/// A line that says what is done so far.
pub(super) fn counting() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}").expect("the template is valid");
    ProgressBar::new_spinner().with_style(style)
}

/// Shows what is done so far.
pub(super) fn show(bar: &ProgressBar, counts: Counts) {
    bar.set_message(format!(
        "{} movies, {} documents, {} users with {} interactions",
        counts.movies, counts.documents, counts.users, counts.interactions
    ));
    bar.tick();
}
