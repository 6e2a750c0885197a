//! `import`: a MovieLens release, or anything tabular by a map of its columns, goes into the store that the settings name.

use std::error::Error;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use marquee_core::clock::{EventTimes, now_ms};
use marquee_core::text::printable;

use super::{DamageArgs, Layers, Outcome};
use crate::app;
use crate::config::{Config, ConfigError};
use crate::import::mapped::{self, Collections, ColumnMap, MapError};
use crate::import::{ImportOptions, OnSample, Part, Progress, Reached, TimeUnit, Units, import};

/// The options of `import`.
#[derive(Args)]
pub(super) struct ImportArgs {
    /// A MovieLens folder or zip file; with --map a file, a folder, or a pattern such as 'plays-*.csv.gz'
    path: PathBuf,
    /// What lies there: a release of MovieLens, as without it, or collections of the system that Marquee replaces, as
    /// mongoexport writes them; a --map then says what is named otherwise. See server/MIGRATING.md
    #[arg(long, value_enum, value_name = "NAME")]
    preset: Option<Preset>,
    /// A TOML file that says which column is the user, the item, the time; see server/IMPORT.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["time_unit", "rating_scale"])]
    map: Option<PathBuf>,
    /// Store nothing: say what would be imported and what refused, and propose a map where none is given
    #[arg(long)]
    dry_run: bool,
    /// Refuse the first malformed row instead of counting it
    #[arg(long)]
    strict: bool,
    /// Unit of the timestamps that are numbers; those that are dates are read as such
    #[arg(long, value_parser = time_unit(), default_value_t, value_name = "UNIT")]
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

/// Systems whose files need no map.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// ratings.csv and movies.csv, with links.csv and tags.csv, or the older ratings.dat and u.data
    Movielens,
    /// ratings.json or interactions.json, and movies.json, of a folder of collections
    Tcd,
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

/// The units by their names.
fn time_unit() -> impl TypedValueParser<Value = TimeUnit> {
    let described = TimeUnit::ALL.map(|unit| {
        let like = if unit == TimeUnit::default() { ", as in MovieLens" } else { "" };
        PossibleValue::new(unit.symbol()).help(format!("{} since 1970{like}", unit.name()))
    });
    PossibleValuesParser::new(described).try_map(|symbol| {
        TimeUnit::ALL.into_iter().find(|unit| unit.symbol() == symbol).ok_or("is not a unit")
    })
}

/// The map that an import goes by; none for a release of `MovieLens`. What a preset finds is printed.
fn find_map(
    path: &Path,
    preset: Option<Preset>,
    own: Option<&Path>,
    units: &Units,
) -> Result<Option<ColumnMap>, Box<dyn Error>> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|source| ReadMapError::Unreadable { path: path.to_owned(), source })
    };
    let text = own.map(read).transpose()?;
    match (preset, own, text) {
        (Some(Preset::Tcd), _, text) => {
            let Collections { map, text, left_out } = mapped::collections(path, units, text.as_deref())?;
            print!("{}", printable_lines(&text));
            if !left_out.is_empty() {
                println!("# not read: {}", printable(&left_out.join(", ")));
            }
            Ok(Some(map))
        }
        (Some(Preset::Movielens), Some(_), _) => Err(ReadMapError::OfRelease.into()),
        (None, Some(path), Some(text)) => {
            let map = ColumnMap::parse(&text);
            Ok(Some(map.map_err(|source| ReadMapError::Map { path: path.to_owned(), source })?))
        }
        _ => Ok(None),
    }
}

/// Lines for a terminal.
fn printable_lines(text: &str) -> String {
    text.lines().flat_map(|line| [printable(line), "\n".into()]).collect()
}

/// Why a file is no map.
#[derive(Debug, thiserror::Error)]
enum ReadMapError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A release has no use for it.
    #[error("releases of MovieLens are read as they are; leave out --map, or --preset")]
    OfRelease,
    /// A release has no dry run.
    #[error(
        "--dry-run is for files with a map; a release of MovieLens is checked by --strict before anything is stored"
    )]
    DryRelease,
    /// It says something else.
    #[error("{}: {source}", path.display())]
    Map {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MapError,
    },
}

/// Imports and prints the report.
pub(super) async fn run(args: ImportArgs) -> Outcome {
    let (path, strict, dry_run) = (args.path.clone(), args.strict, args.dry_run);
    let (preset, own) = (args.preset, args.map.clone());
    let (time_unit, highest_rating) = (args.time_unit, args.rating_scale);
    let sample = if args.replace_sample { OnSample::Replace } else { OnSample::Refuse };
    let config = args.resolve()?;
    let times = EventTimes::at(now_ms(), config.store.max_clock_skew);
    let units = Units { time_unit, highest_rating, times };
    let options = ImportOptions { strict, units, sample, ..ImportOptions::new(now_ms()) };
    let map = find_map(&path, preset, own.as_deref(), &units)?;
    if dry_run {
        match map {
            Some(map) => {
                let look = mapped::look(&path, &map, options).await?;
                print!("{look}");
                look.check(strict)?;
            }
            None if preset == Some(Preset::Movielens) => return Err(ReadMapError::DryRelease.into()),
            None => print!("{}", mapped::propose(&path, &units)?),
        }
        return Ok(());
    }
    let store = app::open_store(&config.store.store, &config.store.data_dir, config.on_damage).await?;
    let report = match map {
        Some(map) => {
            mapped::import_mapped(&path, &map, store.as_ref(), options, &Bar::new()).await?.to_string()
        }
        None => import(&path, store.as_ref(), options, &Bar::new()).await?.to_string(),
    };
    // For the nodes that share the store; their next start would read the whole of it otherwise.
    store.sum_up(Duration::ZERO, now_ms()).await?;
    println!("{report}");
    Ok(())
}

/// A bar that shows bytes read, rows a second and the time left.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{msg:32} [{bar:40}] {percent:>3}%  {elapsed} + {eta} left");
        let style = style.expect("the template is valid").progress_chars("=> ");
        Self(ProgressBar::new(0).with_style(style))
    }
}

impl Progress for Bar {
    fn reached(&self, reached: Reached) {
        self.0.set_length(reached.total_bytes);
        self.0.set_position(reached.bytes);
        self.0.set_message(match reached.part {
            Part::Movies => "movies".to_owned(),
            Part::Ratings { stored, per_second } => format!("{stored} ratings, {per_second:.0}/s"),
        });
    }

    fn finished(&self) {
        self.0.finish_and_clear();
    }
}
