//! What grows with the catalogue, with the number of users and with their histories, and how fast.
//!
//! Reads are processor times of the reading thread; writes, which other threads do, are times of the clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use marquee_benches::clock::cpu_time_of;
use marquee_benches::curve::Growth;
use marquee_benches::tables::ClusteredTable;
use marquee_benches::{machine::Machine, synthetic};
use marquee_core::domain::UserId;
use marquee_engine::{Bundle, Device, EncodedBatch, EncoderBackend, Precision, bare_encoder};
use marquee_loadgen::plot::{Plot, picture};
use marquee_retrieval::{ItemTable, Query, ScanScorer, Scorer as _, ScorerQuery};
use marquee_server::catalog::{Catalog, Filter};
use marquee_store::{RedbStore, Store as _};
use roaring::RoaringBitmap;
use tokio::runtime::Runtime;

/// Calls of which the median counts.
const ROUNDS: usize = 21;
/// Queries that share a scan.
const COMPANY: usize = 32;
/// The newest events that a recommendation reads: twice the longest sequence.
const NEWEST: usize = 400;
/// Events of each user while users grow.
const EVENTS_A_USER: usize = 20;
/// Events of one call of the store, as an import makes them.
const EVENTS_A_CALL: usize = 16_000;
/// Movies that histories draw from.
const MOVIES: usize = 80_000;
const SEED: u64 = 1;

/// Measure what grows with the catalogue, the users and their histories, and fit the exponents.
#[derive(Debug, Parser)]
struct Arguments {
    /// Catalogue sizes.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    items: Vec<usize>,
    /// The dimension of the tables.
    #[arg(long, default_value_t = 256)]
    dimension: usize,
    /// Numbers of stored users, of 20 ratings each.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    users: Vec<usize>,
    /// Lengths of one user's history.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1_000, 10_000, 100_000])]
    history: Vec<usize>,
    /// Stop at a tenth of the largest sizes.
    #[arg(long)]
    quick: bool,
    /// A bundle whose encoder is measured by the length of the sequence.
    #[arg(long, default_value = "onnx/bundles/movielens-small")]
    bundle: PathBuf,
    /// Write the plots here, as one SVG.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Write the figures here.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        for sizes in [&mut arguments.items, &mut arguments.users, &mut arguments.history] {
            let most = sizes.iter().copied().max().unwrap_or_default() / 10;
            sizes.retain(|size| *size <= most);
        }
    }
    let machine = Machine::look();
    println!("{}, {}, {}", machine.processor, machine.versions, machine.date);
    let growths = [
        by_catalogue(&arguments)?,
        by_users(&arguments.users)?,
        by_history(&arguments.history)?,
        by_sequence(&arguments.bundle)?,
    ];
    if let Some(path) = &arguments.plot {
        let plots: Vec<Plot> = growths.iter().map(Growth::plot).collect();
        write(path, &picture(&plots))?;
    }
    if let Some(path) = &arguments.json {
        let document = serde_json::json!({ "machine": machine, "growths": growths });
        write(path, &serde_json::to_string_pretty(&document)?)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints the table of what was just measured.
fn printed(growth: Growth) -> Growth {
    println!("\n{}", growth.table());
    growth
}

fn microseconds(rounds: usize, work: impl FnMut()) -> f64 {
    cpu_time_of(rounds, work).median.as_secs_f64() * 1e6
}

fn by_catalogue(arguments: &Arguments) -> anyhow::Result<Growth> {
    let mut growth = Growth::new("movies");
    for &items in &arguments.items {
        retrieval(&mut growth, items, arguments.dimension)?;
        metadata(&mut growth, items);
    }
    Ok(printed(growth))
}

/// The exact scan alone, in company, and over one row in a hundred.
fn retrieval(growth: &mut Growth, items: usize, dimension: usize) -> anyhow::Result<()> {
    let mut clustered = ClusteredTable::new(items, dimension, SEED);
    let (users, movie_ids) = (clustered.users(COMPANY), clustered.movie_ids());
    let scan = ScanScorer::new(ItemTable::new(clustered.values.into(), dimension, &movie_ids)?);
    let query = Query::exact(10);
    let batch: Vec<ScorerQuery<'_>> =
        users.iter().map(|vector| ScorerQuery { vector, query: &query }).collect();
    growth.add("scan for one query, us", items, microseconds(ROUNDS, || drop(scan.top_k(&batch[..1]))));
    let together = microseconds(ROUNDS.div_ceil(4), || drop(scan.top_k(&batch)));
    growth.add("scan for one of 32, us", items, together / COMPANY as f64);
    Ok(())
}

/// Filters, lists and searches of the catalogue.
fn metadata(growth: &mut Growth, items: usize) {
    let (movies, stats) = (synthetic::movies(items, SEED), synthetic::stats(items));
    let began = Instant::now();
    let catalog = Catalog::new(movies, stats);
    growth.add(
        "build of the catalogue, us a movie",
        items,
        began.elapsed().as_secs_f64() * 1e6 / items as f64,
    );
    let genre = Filter { genres_any: vec!["Drama".into()], ratings_min: Some(50), ..Filter::default() };
    growth.add(
        "filter by genre and ratings, us",
        items,
        microseconds(ROUNDS, || drop(catalog.select(&genre))),
    );
    let mistyped = format!("{}x", synthetic::word(items / 10));
    let searched = microseconds(ROUNDS, || drop(catalog.search(&mistyped, None, 10)));
    growth.add("search of a mistyped word, us", items, searched);
    let nobody = RoaringBitmap::new();
    let popular = microseconds(ROUNDS, || drop(catalog.popular(None, &nobody, None, 50)));
    growth.add("50 popular movies, us", items, popular);
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// A store that grows user by user.
fn by_users(sizes: &[usize]) -> anyhow::Result<Growth> {
    let mut growth = Growth::new("users");
    let (runtime, folder) = (runtime()?, tempfile::tempdir()?);
    let mut store = RedbStore::open(folder.path())?;
    let mut stored: usize = 0;
    for &users in sizes {
        let began = Instant::now();
        let first = stored as UserId + 1;
        let mut waiting = Vec::with_capacity(EVENTS_A_CALL + EVENTS_A_USER);
        for user_id in first..=users as UserId {
            waiting.extend(synthetic::history(user_id, EVENTS_A_USER, MOVIES));
            if waiting.len() >= EVENTS_A_CALL || user_id == users as UserId {
                runtime.block_on(store.record(&waiting, 0))?;
                waiting.clear();
            }
        }
        let events = (users - stored) * EVENTS_A_USER;
        growth.add("bulk write, us an event", users, began.elapsed().as_secs_f64() * 1e6 / events as f64);
        stored = users;
        drop(store);
        let began = Instant::now();
        store = RedbStore::open(folder.path())?;
        growth.add("opening the store, us", users, began.elapsed().as_secs_f64() * 1e6);
        let mut user_id = 0;
        let read = microseconds(1_000, || {
            // A stride that meets all users: the golden section of their number.
            user_id = (user_id + (users as f64 * 0.618) as UserId) % users as UserId;
            drop(runtime.block_on(store.profile(user_id + 1, NEWEST)));
        });
        growth.add("profile of any user, us", users, read);
        growth.add("file, bytes an event", users, size_of(folder.path())? / (users * EVENTS_A_USER) as f64);
    }
    Ok(printed(growth))
}

fn size_of(folder: &Path) -> anyhow::Result<f64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes as f64)
}

/// One user whose history grows.
fn by_history(lengths: &[usize]) -> anyhow::Result<Growth> {
    let mut growth = Growth::new("events of one user");
    let (runtime, folder) = (runtime()?, tempfile::tempdir()?);
    let store = RedbStore::open(folder.path())?;
    for (user_id, &length) in (1..).zip(lengths) {
        let mut events = synthetic::history(user_id, length + ROUNDS, MOVIES);
        let later = events.split_off(length);
        runtime.block_on(store.record(&events, 0))?;
        let profile = microseconds(ROUNDS, || drop(runtime.block_on(store.profile(user_id, NEWEST))));
        growth.add("profile (newest 400 and all seen), us", length, profile);
        let page = microseconds(ROUNDS, || drop(runtime.block_on(store.history(user_id, None, 50))));
        growth.add("page of 50, us", length, page);
        let mut times = Vec::with_capacity(later.len());
        for event in later {
            let began = Instant::now();
            runtime.block_on(store.record(&[event], 0))?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_unstable_by(f64::total_cmp);
        growth.add("durable write of one event, us", length, times[times.len() / 2]);
    }
    Ok(printed(growth))
}

/// The encoder by the length of what it reads, up to the model's longest.
fn by_sequence(bundle: &Path) -> anyhow::Result<Growth> {
    let mut growth = Growth::new("movies that the encoder reads");
    let bundle = Arc::new(Bundle::open(bundle)?);
    let mut encoder = bare_encoder(&bundle, Device::Cpu, EncoderBackend::Ort, Precision::Fp32)?;
    let mut out = EncodedBatch::default();
    for length in [10, 25, 50, 100, 200].into_iter().filter(|length| *length <= bundle.maximum_length()) {
        let sequence: Vec<u32> = (0..length as u32).collect();
        let time = microseconds(ROUNDS, || drop(encoder.encode(&[&sequence], &mut out)));
        growth.add(&format!("{}, fp32, us", bundle.name()), length, time);
    }
    Ok(printed(growth))
}
