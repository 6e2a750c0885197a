//! What a request reads before the engine: the user's history from the embedded store, and the vector that
//! the cache may remember.

mod common;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use marquee_benches::synthetic;
use marquee_retrieval::ItemRow;
use marquee_server::recommend::UserVectorCache;
use marquee_server::shared::cache::LocalCache;
use marquee_store::{RedbStore, Store as _};
use tokio::runtime::Runtime;

const MOVIES: usize = 84_432;
/// The newest events that a recommendation reads: twice the model's longest sequence.
const NEWEST: usize = 400;
const DIMENSION: usize = 256;
const REMEMBERED: u32 = 10_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has a runtime")
}

fn histories(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let store = RedbStore::open(folder.path()).expect("the folder is empty");
    let lengths = [20, 200, 2_000, 20_000];
    for (user_id, length) in (1..).zip(lengths) {
        let events = synthetic::history(user_id, length, MOVIES);
        runtime.block_on(store.record(&events, 0)).expect("the store takes events");
    }
    let mut group = criterion.benchmark_group("history");
    for (user_id, length) in (1..).zip(lengths) {
        group.bench_function(BenchmarkId::new("profile of", length), |bencher| {
            bencher.iter(|| black_box(runtime.block_on(store.profile(user_id, NEWEST))));
        });
        group.bench_function(BenchmarkId::new("page of 50 of", length), |bencher| {
            bencher.iter(|| black_box(runtime.block_on(store.history(user_id, None, 50))));
        });
    }
}

fn vectors(criterion: &mut Criterion) {
    let runtime = runtime();
    let value_bytes = 4 * DIMENSION as u64;
    let cache = LocalCache::new(2 * u64::from(REMEMBERED) * value_bytes, value_bytes);
    let vectors = UserVectorCache::new(Arc::new(cache));
    let sequence = |n: u32| -> Vec<ItemRow> { (n..n + 200).collect() };
    for n in 0..REMEMBERED {
        runtime.block_on(vectors.put(UserVectorCache::key(1, "1", &sequence(n)), &[0.5; DIMENSION]));
    }
    let mut group = criterion.benchmark_group("vector cache");
    let (known, unknown) = (sequence(77), sequence(REMEMBERED + 1));
    group.bench_function("key of 200 items", |bencher| {
        bencher.iter(|| black_box(UserVectorCache::key(1, "1", black_box(&known))));
    });
    for (name, sequence) in [("hit", &known), ("miss", &unknown)] {
        let key = UserVectorCache::key(1, "1", sequence);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(runtime.block_on(vectors.get(key, DIMENSION))));
        });
    }
    group.bench_function("put", |bencher| {
        let key = UserVectorCache::key(1, "1", &known);
        bencher.iter(|| runtime.block_on(vectors.put(key, &[0.5; DIMENSION])));
    });
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = histories, vectors
}
criterion_main!(benches);
