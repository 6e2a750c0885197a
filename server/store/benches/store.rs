//! What the embedded store costs: profile reads, durable writes, bulk loading.
//!
//! `cargo bench -p marquee-store --bench store` prints one line per figure. `-- --bulk 32000000`
//! loads that many rows as an import does; `--dir DIR` says on which disk (a temporary folder if
//! absent).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use marquee_core::domain::{Interaction, Kind, Rating};
use marquee_store::{RedbStore, Store};

/// Users that the read and write figures spread over, each with a history of 200.
const USERS: u64 = 20_000;
const HISTORY: u32 = 200;
const MOVIES: u64 = 20_000;
const START_MS: i64 = 1_700_000_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs this too, without `--bench`: nothing to measure there.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let bulk = value("--bulk").map_or(4_000_000, |rows| rows.parse().expect("--bulk takes a number of rows"));
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dir = value("--dir").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(&dir, bulk));
}

async fn measure(dir: &Path, bulk: u64) {
    let store = Arc::new(RedbStore::open(&dir.join("small")).expect("a new store opens"));
    load(&store, u64::from(HISTORY) * USERS, u64::from(HISTORY)).await;
    profile_reads(&store).await;
    for callers in [1, 64, 512, 2048] {
        durable_writes(&store, callers).await;
    }
    profile_reads(&store).await;
    drop(store);

    let large = dir.join("bulk");
    let store = Arc::new(RedbStore::open(&large).expect("a new store opens"));
    let started = Instant::now();
    load(&store, bulk, 160).await;
    let elapsed = started.elapsed().as_secs_f64();
    println!("bulk load: {bulk} rows in {elapsed:.1} s, {:.0} rows/s", bulk as f64 / elapsed);
    println!("bulk load: peak resident {} MiB, file {} MiB", peak_mib(), folder_mib(&large));
    drop(store);
    let started = Instant::now();
    let store = Arc::new(RedbStore::open(&large).expect("it opens again"));
    println!("open after close: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let movies = store.movie_stats().await.expect("a read").len();
    println!("statistics of {movies} movies: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    durable_writes(&store, 512).await;
}

/// Writes rows sorted by user in batches, a few at once, as an import does.
async fn load(store: &Arc<RedbStore>, rows: u64, per_user: u64) {
    const BATCH: u64 = 20_000;
    let batches = (0..rows).step_by(BATCH as usize).map(|first| {
        let store = Arc::clone(store);
        async move {
            let rows: Vec<_> =
                (first..rows.min(first + BATCH)).map(|row| event(row / per_user, row)).collect();
            store.record(&rows, 0).await.expect("a write").len()
        }
    });
    stream::iter(batches).buffered(4).for_each(async |_| ()).await;
}

/// Row `row` of a made-up history: its movie is skewed to the popular and its time grows.
fn event(user: u64, row: u64) -> Interaction {
    let unit = (mix(row) >> 11) as f64 / (1_u64 << 53) as f64;
    Interaction {
        user_id: 1 + user,
        movie_id: 1 + (MOVIES as f64 * unit * unit * unit) as u32,
        time_ms: START_MS + row as i64 * 1000,
        kind: Kind::Rating,
        rating: Rating::from_half_stars(1 + (mix(row ^ 7) % 10) as u8),
    }
}

/// SplitMix64: a number that looks random and is the same in every run.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

async fn profile_reads(store: &Arc<RedbStore>) {
    let mut latencies = Vec::new();
    for read in 0..100_000 {
        let user = 1 + mix(read) % USERS;
        let started = Instant::now();
        let profile = store.profile(user, HISTORY as usize).await.expect("a read").expect("a known user");
        latencies.push(started.elapsed());
        assert_eq!(profile.newest.len(), HISTORY as usize);
    }
    report("profile of 200 newest", &mut latencies);
}

/// Callers that each wait for their event before they send the next, for 5 seconds.
async fn durable_writes(store: &Arc<RedbStore>, callers: u64) {
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    let tasks = (0..callers).map(|caller| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < Duration::from_secs(5) {
                let row = (1 << 40) + callers * latencies.len() as u64 + caller;
                let sent = Instant::now();
                let event = Interaction { time_ms: now_ms(), ..event(mix(row) % USERS, row) };
                store.record(&[event], 0).await.expect("a write");
                latencies.push(sent.elapsed());
            }
            latencies
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a caller ends well"));
    }
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    let cpu_us = (cpu_seconds() - cpu_before) * 1e6 / latencies.len() as f64;
    println!(
        "{callers} callers: {rate:.0} durable events/s, {cpu_us:.1} us of CPU an event, callers included"
    );
    report(&format!("{callers} callers, one write"), &mut latencies);
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_millis() as i64
}

fn report(what: &str, latencies: &mut [Duration]) {
    latencies.sort_unstable();
    let at =
        |quantile: f64| latencies[((latencies.len() - 1) as f64 * quantile) as usize].as_secs_f64() * 1e6;
    println!("{what}: p50 {:.1} us, p99 {:.1} us", at(0.5), at(0.99));
}

/// What this process has used of all CPUs; Linux counts in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn folder_mib(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("the folder is there");
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum::<u64>() >> 20
}
