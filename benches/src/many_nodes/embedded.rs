//! The embedded store at its trait: reads of profiles, and durable writes of many callers.

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use marquee_core::domain::{Interaction, Kind, MovieId, Rating, UserId};
use marquee_store::{RedbStore, Store as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::{Extent, micros, millis, quantile, synthetic_users};
use crate::figures::Figures;

/// Users whose profiles are read, with this many events each.
const READERS: u64 = 2_000;
/// The events of a profile that is read, and how many of the newest are asked for.
const PROFILE: usize = 200;
/// Users who get new events, after those who are read.
const WRITERS: u64 = 10_000;
/// What a writer has at first: the median of ML-32M.
const EVENTS_AT_FIRST: usize = 70;
/// Callers that write at once, each waiting for its acknowledgement.
const CALLERS: u64 = 2_048;
/// Movies.
const MOVIES: MovieId = 20_000;
/// The time of the first new event, after all others.
const NOW_MS: i64 = 1_760_000_000_000;
/// Appends before the writes, that tell what the disk can do.
const APPENDS: usize = 200;

/// Measures reads and writes on a store in a temporary folder.
///
/// # Errors
/// When the store fails, or holds fewer events afterwards than it acknowledged.
pub async fn measure(figures: &mut Figures, extent: Extent) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(RedbStore::open(&folder.path().join("store"))?);
    let movies: Vec<MovieId> = (1..=MOVIES).collect();
    eprintln!("filling the embedded store");
    store.record(&synthetic_users::histories(1..=READERS, PROFILE, &movies), NOW_MS).await?;
    let writers = READERS + 1..=READERS + WRITERS;
    store.record(&synthetic_users::histories(writers, EVENTS_AT_FIRST, &movies), NOW_MS).await?;
    let mut expected = store.stats().await?.interactions;
    let clock = Arc::new(AtomicI64::new(NOW_MS));
    for round in 1..=extent.rounds {
        eprintln!("embedded store: round {round} of {}", extent.rounds);
        reads(&store, figures, extent.reads, round as u64).await?;
        figures.add("append_and_sync_us", micros(append_and_sync(folder.path())?));
        expected += writes(&store, figures, extent.time, &clock).await?;
    }
    drop(store);
    let found = RedbStore::open(&folder.path().join("store"))?.stats().await?.interactions;
    anyhow::ensure!(found == expected, "{expected} events were acknowledged, {found} are there");
    Ok(())
}

/// One read after another, each of another user.
async fn reads(store: &RedbStore, figures: &mut Figures, reads: usize, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut times = Vec::with_capacity(reads);
    for _ in 0..reads {
        let user_id = random.random_range(1..=READERS);
        let began = Instant::now();
        let profile = store.profile(user_id, PROFILE).await?;
        times.push(began.elapsed());
        let profile = profile.context("the user is known")?;
        anyhow::ensure!(profile.newest.len() == PROFILE, "a profile lacks events");
    }
    times.sort_unstable();
    figures.add("redb_profile_p50_us", micros(quantile(&times, 0.5)));
    figures.add("redb_profile_p99_us", micros(quantile(&times, 0.99)));
    Ok(())
}

/// What an append of a page costs on this disk, synced as the journal syncs.
fn append_and_sync(folder: &Path) -> anyhow::Result<Duration> {
    let page = [1; 4096];
    let mut file = std::fs::File::create(folder.join("appended"))?;
    file.write_all(&vec![0; page.len() * APPENDS])?;
    file.sync_all()?;
    file.rewind()?;
    let mut times = Vec::with_capacity(APPENDS);
    for _ in 0..APPENDS {
        let began = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(quantile(&times, 0.5))
}

/// All callers at once for `time`; how many writes were acknowledged.
async fn writes(
    store: &Arc<RedbStore>,
    figures: &mut Figures,
    time: Duration,
    clock: &Arc<AtomicI64>,
) -> anyhow::Result<u64> {
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, clock) = (Arc::clone(store), Arc::clone(clock));
        callers.spawn(async move {
            let mut random = StdRng::seed_from_u64(caller);
            let mut times = Vec::new();
            while began.elapsed() < time {
                let event = new_event(&mut random, &clock);
                let sent = Instant::now();
                let outcomes = store.record(&[event], NOW_MS).await?;
                times.push(sent.elapsed());
                anyhow::ensure!(!outcomes[0].duplicate, "a new event was called a duplicate");
            }
            Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(caller) = callers.join_next().await {
        times.append(&mut caller??);
    }
    let took = began.elapsed();
    times.sort_unstable();
    figures.add("redb_writes_per_s", times.len() as f64 / took.as_secs_f64());
    figures.add("redb_write_p50_ms", millis(quantile(&times, 0.5)));
    figures.add("redb_write_p99_ms", millis(quantile(&times, 0.99)));
    figures.add("redb_write_slowest_ms", millis(quantile(&times, 1.0)));
    Ok(times.len() as u64)
}

/// An event that was never there: each has a time of its own.
fn new_event(random: &mut StdRng, clock: &AtomicI64) -> Interaction {
    Interaction {
        user_id: READERS + random.random_range(1..=WRITERS) as UserId,
        movie_id: random.random_range(1..=MOVIES),
        time_ms: clock.fetch_add(1, Ordering::Relaxed),
        kind: Kind::Rating,
        rating: Rating::from_half_stars(random.random_range(1..=10)),
    }
}
