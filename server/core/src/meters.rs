//! Conventions of the instruments: durations of all parts are comparable because they share their buckets.

/// From 0.1 ms to 10 s: the smallest lets a cached answer be told from an encoded one.
pub const LATENCY_BUCKETS_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
