//! What the scheduler itself costs a job: one arrival and its share of a batch's end, by how many wait.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marquee_engine::{Priority, SchedulerSimulator, Sequence};

/// How long each batch pretends to run.
const BATCH_TIME: Duration = Duration::from_millis(5);
/// The buckets of a GPU.
const BUCKETS: [usize; 5] = [16, 32, 64, 128, 200];

/// Sequences of 20 to 200 rows, each its own.
fn sequences() -> Vec<Sequence> {
    (0..4096_u32).map(|n| (n..n + 20 + n * 37 % 181).collect()).collect()
}

/// Submits jobs until so many wait, and then one for each that ends.
fn steps(criterion: &mut Criterion) {
    let sequences = sequences();
    for (name, workers, buckets) in [("cpu, 2 workers", 2, &[][..]), ("gpu, 1 worker", 1, &BUCKETS[..])] {
        let mut group = criterion.benchmark_group(format!("scheduler/{name}"));
        group.throughput(Throughput::Elements(1));
        for waiting in [0, 64, 1024, 16_384] {
            let mut arrivals = sequences.iter().cycle().cloned().zip(priorities());
            let mut simulator = SchedulerSimulator::new(workers, buckets);
            let mut now = Instant::now();
            let mut arrive = |simulator: &mut SchedulerSimulator, now| {
                let Some((sequence, priority)) = arrivals.next() else { return };
                simulator.submit(now, sequence, priority);
            };
            while simulator.waiting() < waiting {
                arrive(&mut simulator, now);
            }
            group.bench_function(BenchmarkId::new("a job", format!("{waiting} waiting")), |bencher| {
                bencher.iter(|| {
                    now += Duration::from_micros(100);
                    arrive(&mut simulator, now);
                    if simulator.waiting() > waiting {
                        now += BATCH_TIME;
                        black_box(simulator.finish(now, BATCH_TIME));
                    }
                });
            });
        }
    }
}

/// One job in four is bulk.
fn priorities() -> impl Iterator<Item = Priority> {
    [Priority::Interactive, Priority::Interactive, Priority::Interactive, Priority::Bulk].into_iter().cycle()
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = steps
}
criterion_main!(benches);
