//! The metrics at one moment, as far as people look at them.

use std::collections::{BTreeMap, HashSet};

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use prometheus::proto::{Bucket, Metric, MetricFamily};
use tokio::time::Instant;

/// One line a metric that is read: its name in Prometheus text.
macro_rules! sampled {
    ($($name:ident = $text:literal;)+) => {
        $(pub(super) const $name: &str = $text;)+
        /// All metrics that are read.
        #[cfg(test)]
        pub(crate) const SAMPLED: &[&str] = &[$($name),+];
    };
}

sampled! {
    CALLS = "rpc_server_call_duration_seconds";
    IN_FLIGHT = "marquee_rpc_in_flight";
    CONNECTIONS = "marquee_connections_open";
    QUEUE_DEPTH = "marquee_engine_queue_depth";
    BATCH_SIZE = "marquee_engine_batch_size";
    BUSY = "marquee_engine_worker_busy_seconds_total";
    VECTORS = "marquee_recommend_vector_cache_lookups_total";
    LOOKUPS = "marquee_cache_lookups_total";
    REDIS = "marquee_redis_command_duration_seconds";
    REFUSED_BY_ADMISSION = "marquee_admission_refused_total";
    REFUSED_BY_RATE = "marquee_limit_rate_limited_total";
    REFUSED_BY_SHARE = "marquee_limit_share_taken_total";
    CPU = "marquee_process_cpu_time_seconds_total";
    RESIDENT = "marquee_process_resident_memory_bytes";
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Part {
    pub(super) some: f64,
    pub(super) all: f64,
}

/// The calls of a method since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MethodReading {
    pub(super) by_code: BTreeMap<String, u64>,
    /// How many took no longer than each of the bounds, and how many there were; empty for a stream.
    pub(super) cumulative: Vec<u64>,
}

/// The metrics at one moment; what counts, counts from the start.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) time_ms: TimeMs,
    /// The upper bounds of how long calls take, in seconds.
    pub(super) bounds: Vec<f64>,
    pub(super) calls: BTreeMap<String, MethodReading>,
    pub(super) in_flight: f64,
    pub(super) connections: f64,
    pub(super) queue_depth: f64,
    /// Jobs, of batches.
    pub(super) batches: Part,
    pub(super) busy_seconds: f64,
    pub(super) workers: usize,
    /// Found, of look-ups.
    pub(super) vectors: Part,
    /// Found, of look-ups.
    pub(super) profiles: Part,
    /// Failed, of commands.
    pub(super) redis: Part,
    pub(super) refused: f64,
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
}

impl Reading {
    /// What is read of all metrics.
    pub(super) fn of(families: &[MetricFamily], streams: &HashSet<&str>) -> Self {
        let of = |name: &str| series_of(families, name);
        let total = |name: &str| of(name).iter().map(value).sum::<f64>();
        let one = |name: &str| of(name).first().map(value);
        let (bounds, calls) = calls_of(of(CALLS), streams);
        Self {
            at: Instant::now(),
            time_ms: now_ms(),
            bounds,
            calls,
            in_flight: total(IN_FLIGHT),
            connections: total(CONNECTIONS),
            queue_depth: total(QUEUE_DEPTH),
            batches: sizes(of(BATCH_SIZE)),
            busy_seconds: total(BUSY),
            workers: of(BUSY).len(),
            vectors: found(of(VECTORS)),
            profiles: profiles(of(LOOKUPS)),
            redis: failed(of(REDIS)),
            refused: [REFUSED_BY_ADMISSION, REFUSED_BY_RATE, REFUSED_BY_SHARE].into_iter().map(total).sum(),
            cpu_seconds: one(CPU),
            resident_bytes: one(RESIDENT),
        }
    }

    /// The methods that were ever called, by name.
    pub(super) fn methods(&self) -> impl Iterator<Item = &String> {
        self.calls.keys()
    }
}

fn series_of<'a>(families: &'a [MetricFamily], name: &str) -> &'a [Metric] {
    families.iter().find(|family| family.name() == name).map_or(&[], MetricFamily::get_metric)
}

/// The value of a label; empty if there is none.
fn label<'a>(series: &'a Metric, name: &str) -> &'a str {
    series.get_label().iter().find(|label| label.name() == name).map_or("", |label| label.value())
}

/// The value of a counter or a gauge.
fn value(series: &Metric) -> f64 {
    series.get_counter().get_value() + series.get_gauge().get_value()
}

/// The bounds of the histogram, and the calls by method, over all protocols.
fn calls_of(series: &[Metric], streams: &HashSet<&str>) -> (Vec<f64>, BTreeMap<String, MethodReading>) {
    let finite = |bound: &f64| bound.is_finite();
    let buckets = series.first().map_or(&[][..], |first| first.get_histogram().get_bucket());
    let bounds: Vec<f64> = buckets.iter().map(Bucket::upper_bound).filter(finite).collect();
    let mut calls: BTreeMap<String, MethodReading> = BTreeMap::new();
    for one in series {
        let histogram = one.get_histogram();
        let method = label(one, "rpc_method");
        let sum = calls.entry(method.to_owned()).or_default();
        let code = label(one, "rpc_response_status_code").to_owned();
        *sum.by_code.entry(code).or_default() += histogram.get_sample_count();
        if streams.contains(method) {
            continue;
        }
        sum.cumulative.resize(bounds.len() + 1, 0);
        let below = histogram.get_bucket().iter().map(Bucket::cumulative_count).take(bounds.len());
        for (sum, count) in sum.cumulative.iter_mut().zip(below.chain([histogram.get_sample_count()])) {
            *sum += count;
        }
    }
    (bounds, calls)
}

fn sizes(series: &[Metric]) -> Part {
    series.iter().map(Metric::get_histogram).fold(Part::default(), |part, histogram| Part {
        some: part.some + histogram.get_sample_sum(),
        all: part.all + histogram.get_sample_count() as f64,
    })
}

/// Those whose outcome is a hit.
fn found<'a>(series: impl IntoIterator<Item = &'a Metric>) -> Part {
    series.into_iter().fold(Part::default(), |part, one| {
        let count = value(one);
        let hits = if label(one, "outcome") == "hit" { count } else { 0.0 };
        Part { some: part.some + hits, all: part.all + count }
    })
}

/// A profile that the first tier does not find may be in the next one.
fn profiles(series: &[Metric]) -> Part {
    let of = |tier: &str| {
        found(series.iter().filter(|one| label(one, "cache") == "profile" && label(one, "tier") == tier))
    };
    let (local, redis) = (of("local"), of("redis"));
    Part { some: local.some + redis.some, all: if local.all > 0.0 { local.all } else { redis.all } }
}

fn failed(series: &[Metric]) -> Part {
    let count = |one: &Metric| one.get_histogram().get_sample_count() as f64;
    let failed = series.iter().filter(|one| label(one, "outcome") != "ok").map(count).sum();
    Part { some: failed, all: series.iter().map(count).sum() }
}
