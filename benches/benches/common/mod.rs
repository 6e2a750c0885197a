//! Short measurements: all benchmarks together take minutes, not an hour.

use std::time::Duration;

use criterion::Criterion;

pub(crate) fn criterion() -> Criterion {
    let (warm_up, measurement) = (Duration::from_millis(300), Duration::from_millis(1_500));
    Criterion::default().warm_up_time(warm_up).measurement_time(measurement).sample_size(20)
}
