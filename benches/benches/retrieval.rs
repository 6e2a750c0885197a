//! Scans by kernel and by number of queries, with and without filters, the top-k alone, and the planner.

mod common;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marquee_benches::tables::ClusteredTable;
use marquee_retrieval::{
    ExactScorer, IndexPolicy, ItemTable, Metric, Planner, PlannerOptions, Query, ScanScorer, Scorer,
    ScorerQuery, TableValues,
};
use roaring::RoaringBitmap;

const ITEMS: usize = 84_432;
const DIMENSION: usize = 256;
/// Tables of codes, 22 MB each, that no cache keeps together.
const TABLES: usize = 10;
const KERNELS: [&str; 5] = ["amx-int8", "avx512-vnni", "avx2", "neon", "portable"];

fn query(k: usize, allowed: Option<RoaringBitmap>) -> Query {
    let excluded: RoaringBitmap = (0..100).map(|i| i * 97).collect();
    Query { allowed: allowed.map(Arc::new), excluded: Arc::new(excluded), ..Query::exact(k) }
}

fn batch<'a>(users: &'a [Vec<f32>], query: &'a Query) -> Vec<ScorerQuery<'a>> {
    users.iter().map(|vector| ScorerQuery { vector, query }).collect()
}

fn scans(criterion: &mut Criterion) {
    let mut clustered = ClusteredTable::new(ITEMS, DIMENSION, 1);
    let users = clustered.users(32);
    let movie_ids = clustered.movie_ids();
    let values: TableValues = clustered.values.into();
    let table = ItemTable::new(values.clone(), DIMENSION, &movie_ids).expect("the table is finite");
    queries_by_kernel(criterion, &table, &users);
    tables_in_no_cache(criterion, &table, &users);
    filters(criterion, &table, &users);
    sizes_of_k(criterion, &table, &users);
    metrics(criterion, &table, &users);
    let options = PlannerOptions { index: IndexPolicy::Never, ..PlannerOptions::default() };
    let planner = Planner::build(values, DIMENSION, &movie_ids, options).expect("the table is finite");
    plans(criterion, &planner, &users);
    let mut group = criterion.benchmark_group("reference");
    group.sample_size(10);
    let (exact, query) = (ExactScorer::new(table), query(10, None));
    let batch = batch(&users[..1], &query);
    group.bench_function("1 query", |bencher| bencher.iter(|| black_box(exact.top_k(&batch))));
}

fn queries_by_kernel(criterion: &mut Criterion, table: &ItemTable, users: &[Vec<f32>]) {
    let query = query(10, None);
    for scan in KERNELS.iter().filter_map(|kernel| ScanScorer::with_kernel_named(table.clone(), kernel)) {
        let mut group = criterion.benchmark_group(format!("scan/{}", scan.kernel_name()));
        for queries in [1, 2, 4, 8, 16, 32] {
            let batch = batch(&users[..queries], &query);
            group.throughput(Throughput::Elements(queries as u64));
            group.bench_function(BenchmarkId::from_parameter(queries), |bencher| {
                bencher.iter(|| black_box(scan.top_k(&batch)));
            });
        }
    }
}

/// As a server scans: what ran since the last pass has taken the caches. So no pass meets the codes of one before it
/// until there have been more than a processor keeps.
fn tables_in_no_cache(criterion: &mut Criterion, table: &ItemTable, users: &[Vec<f32>]) {
    let query = query(10, None);
    for kernel in KERNELS {
        let scan = || ScanScorer::with_kernel_named(table.clone(), kernel);
        let Some(scans) = std::iter::repeat_with(scan).take(TABLES).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let mut scans = scans.iter().cycle();
        let mut group = criterion.benchmark_group(format!("scan in no cache/{kernel}"));
        for queries in [1, 9, 16, 32] {
            let batch = batch(&users[..queries], &query);
            group.throughput(Throughput::Elements(queries as u64));
            group.bench_function(BenchmarkId::from_parameter(queries), |bencher| {
                bencher.iter(|| black_box(scans.next().map(|scan| scan.top_k(&batch))));
            });
        }
    }
}

fn filters(criterion: &mut Criterion, table: &ItemTable, users: &[Vec<f32>]) {
    let scan = ScanScorer::new(table.clone());
    let mut group = criterion.benchmark_group("scan with a filter");
    for one_in in [2, 10, 100] {
        let query = query(10, Some((0..ITEMS as u32).filter(|row| row % one_in == 0).collect()));
        let batch = batch(&users[..1], &query);
        group.bench_function(BenchmarkId::new("1 row in", one_in), |bencher| {
            bencher.iter(|| black_box(scan.top_k(&batch)));
        });
    }
}

fn sizes_of_k(criterion: &mut Criterion, table: &ItemTable, users: &[Vec<f32>]) {
    let scan = ScanScorer::new(table.clone());
    let mut group = criterion.benchmark_group("scan by k");
    for k in [1, 10, 100, 500] {
        let query = query(k, None);
        let batch = batch(&users[..1], &query);
        group.bench_function(BenchmarkId::from_parameter(k), |bencher| {
            bencher.iter(|| black_box(scan.top_k(&batch)));
        });
    }
}

fn metrics(criterion: &mut Criterion, table: &ItemTable, users: &[Vec<f32>]) {
    let scan = ScanScorer::new(table.clone());
    let mut group = criterion.benchmark_group("scan by metric");
    for metric in [Metric::InnerProduct, Metric::Cosine] {
        let query = Query { metric, ..query(10, None) };
        let batch = batch(&users[..1], &query);
        group.bench_function(format!("{metric:?}"), |bencher| bencher.iter(|| black_box(scan.top_k(&batch))));
    }
}

/// The planner alone, with company, and in a batch where every query needs another plan.
fn plans(criterion: &mut Criterion, planner: &Planner, users: &[Vec<f32>]) {
    let mut group = criterion.benchmark_group("planner");
    let one_in = |n: u32| query(10, Some((0..ITEMS as u32).filter(|row| row % n == 0).collect()));
    let queries = [query(10, None), one_in(2), one_in(50), one_in(1000)];
    for (name, query) in ["no filter", "1 row in 2", "1 row in 50", "1 row in 1000"].into_iter().zip(&queries)
    {
        let batch = batch(&users[..1], query);
        group.bench_function(name, |bencher| bencher.iter(|| black_box(planner.top_k(&batch))));
    }
    let mixed: Vec<ScorerQuery<'_>> = users
        .iter()
        .zip(queries.iter().cycle())
        .map(|(vector, query)| ScorerQuery { vector, query })
        .collect();
    group.bench_function("32 queries of these four kinds", |bencher| {
        bencher.iter(|| black_box(planner.top_k(&mixed)));
    });
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = scans
}
criterion_main!(benches);
