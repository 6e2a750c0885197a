//! `import`: a release goes into the store that the settings name.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use marquee_core::clock::{EventTimes, now_ms};

use super::{DamageArgs, Layers, Outcome};
use crate::app;
use crate::config::{Config, ConfigError};
use crate::import::{ImportOptions, OnSample, TimeUnit, Units, import, progress_bar};

/// The options of `import`.
#[derive(Args)]
pub(super) struct ImportArgs {
    /// A MovieLens folder or zip file
    path: PathBuf,
    /// Refuse the first malformed row instead of counting it
    #[arg(long)]
    strict: bool,
    /// Unit of the timestamps that are numbers; those that are dates are read as such
    #[arg(long, value_enum, default_value_t, value_name = "UNIT")]
    time_unit: TimeUnit,
    /// The rating that is 5 stars, such as 10 or 100: the others above 0 are rounded to half stars; only
    /// MovieLens' 0.5 to 5 in half stars when absent
    #[arg(long, value_name = "N")]
    rating_scale: Option<NonZeroU32>,
    /// Remove the sample from the store first: its users with their histories, and its movies
    #[arg(long)]
    replace_sample: bool,
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    damage: DamageArgs,
}

impl ImportArgs {
    /// The settings in force.
    ///
    /// # Errors
    /// [`ConfigError`] when the file or a number cannot be used.
    fn resolve(self) -> Result<Config, ConfigError> {
        Ok(self.damage.decide(self.layers.resolve()?))
    }
}

/// Imports and prints the report.
pub(super) async fn run(args: ImportArgs) -> Outcome {
    let (path, strict) = (args.path.clone(), args.strict);
    let (time_unit, highest_rating) = (args.time_unit, args.rating_scale);
    let sample = if args.replace_sample { OnSample::Replace } else { OnSample::Refuse };
    let config = args.resolve()?;
    let times = EventTimes::at(now_ms(), config.max_clock_skew.0);
    let units = Units { time_unit, highest_rating, times };
    let options = ImportOptions { strict, sample, units, ..ImportOptions::new(now_ms()) };
    let store = app::open_store_despite(&config.store, &config.data_dir, config.on_damage).await?;
    let report = import(&path, store.as_ref(), options, &progress_bar()).await?;
    // For the nodes that share the store; their next start would read the whole of it otherwise.
    store.sum_up(Duration::ZERO, now_ms()).await?;
    println!("{report}");
    Ok(())
}
