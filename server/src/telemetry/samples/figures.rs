//! What happened between two readings.

use std::collections::BTreeMap;

use marquee_core::domain::TimeMs;

use super::reading::{MethodReading, Part, Reading};

/// Calls that ended between two readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Calls {
    /// How long that was.
    pub(crate) seconds: f64,
    /// How many ended, by status code; those of which none ended are left out.
    pub(crate) by_code: BTreeMap<String, u64>,
    /// How long they took; `None` if there were none but streams.
    pub(crate) latencies: Option<Latencies>,
}

/// Quantiles of how long calls took, in seconds, estimated within the buckets of the histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
}

impl Calls {
    /// The calls of a method, or of all.
    pub(super) fn between(begin: &Reading, end: &Reading, method: Option<&str>) -> Self {
        let none = MethodReading::default();
        let wanted = end.calls.iter().filter(|(name, _)| method.is_none_or(|method| method == *name));
        let mut by_code = BTreeMap::new();
        let mut cumulative = vec![0; end.bounds.len() + 1];
        for (name, now) in wanted {
            let before = begin.calls.get(name).unwrap_or(&none);
            for (code, count) in &now.by_code {
                let new = count.saturating_sub(before.by_code.get(code).copied().unwrap_or(0));
                if new > 0 {
                    *by_code.entry(code.clone()).or_default() += new;
                }
            }
            for (place, count) in now.cumulative.iter().enumerate() {
                cumulative[place] += count.saturating_sub(before.cumulative.get(place).copied().unwrap_or(0));
            }
        }
        let seconds = end.at.saturating_duration_since(begin.at).as_secs_f64();
        Self { seconds, by_code, latencies: Latencies::of(&end.bounds, &cumulative) }
    }

    /// How many ended.
    pub(crate) fn count(&self) -> u64 {
        self.by_code.values().sum()
    }

    /// How many ended a second.
    pub(crate) fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.count() as f64 / self.seconds } else { 0.0 }
    }
}

impl Latencies {
    /// Of how many took no longer than each bound, and how many there were.
    fn of(bounds: &[f64], cumulative: &[u64]) -> Option<Self> {
        let all = *cumulative.last()?;
        let quantile = |part| quantile(bounds, cumulative, part * all as f64);
        (all > 0).then(|| Self { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) })
    }
}

/// Where the call of this rank lies if those of a bucket are spread evenly over it; the last bound for those beyond.
fn quantile(bounds: &[f64], cumulative: &[u64], rank: f64) -> f64 {
    let place = cumulative.iter().position(|count| *count as f64 >= rank).unwrap_or(bounds.len());
    let Some(upper) = bounds.get(place) else { return bounds.last().copied().unwrap_or(0.0) };
    let (lower, below) = match place.checked_sub(1) {
        Some(before) => (bounds[before], cumulative[before]),
        None => (0.0, 0),
    };
    let within = (cumulative[place] - below) as f64;
    if within > 0.0 { lower + (upper - lower) * (rank - below as f64) / within } else { lower }
}

/// What the server did in a period. What is `None` did not happen in it or cannot be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    /// When it ended.
    pub(crate) time_ms: TimeMs,
    pub(crate) calls: Calls,
    /// At its end, as what follows.
    pub(crate) in_flight: u64,
    pub(crate) connections: u64,
    pub(crate) queue_depth: u64,
    /// On average.
    pub(crate) batch_size: Option<f64>,
    /// From 0 to 1.
    pub(crate) busy_ratio: Option<f64>,
    pub(crate) vector_cache_hit_ratio: Option<f64>,
    pub(crate) profile_cache_hit_ratio: Option<f64>,
    pub(crate) redis_failure_ratio: Option<f64>,
    pub(crate) refused_calls: u64,
    pub(crate) cpu_cores: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
}

impl Figures {
    /// Those of the period between two readings.
    pub(super) fn between(begin: &Reading, end: &Reading) -> Self {
        let calls = Calls::between(begin, end, None);
        let seconds = calls.seconds;
        let of = |part: fn(&Reading) -> Part| ratio(part(begin), part(end));
        let capacity = seconds * end.workers as f64;
        let busy = end.busy_seconds - begin.busy_seconds;
        let cpu = end.cpu_seconds.zip(begin.cpu_seconds).map(|(end, begin)| end - begin);
        Self {
            time_ms: end.time_ms,
            calls,
            in_flight: end.in_flight.max(0.0) as u64,
            connections: end.connections.max(0.0) as u64,
            queue_depth: end.queue_depth as u64,
            batch_size: of(|reading| reading.batches),
            busy_ratio: (capacity > 0.0).then(|| (busy / capacity).clamp(0.0, 1.0)),
            vector_cache_hit_ratio: of(|reading| reading.vectors),
            profile_cache_hit_ratio: of(|reading| reading.profiles),
            redis_failure_ratio: of(|reading| reading.redis),
            refused_calls: (end.refused - begin.refused).max(0.0) as u64,
            cpu_cores: cpu.filter(|_| seconds > 0.0).map(|cpu| cpu / seconds),
            resident_bytes: end.resident_bytes.map(|bytes| bytes as u64),
        }
    }
}

fn ratio(begin: Part, end: Part) -> Option<f64> {
    let all = end.all - begin.all;
    (all > 0.0).then(|| (end.some - begin.some) / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let bounds = [0.001, 0.01, 0.1];
        // Ten up to 0.001, eighty up to 0.01, nine up to 0.1, one beyond.
        let latencies = Latencies::of(&bounds, &[10, 90, 99, 100]).unwrap();
        assert!((latencies.p50 - 0.0055).abs() < 1e-9, "{latencies:?}");
        assert!((latencies.p95 - 0.06).abs() < 1e-9, "{latencies:?}");
        assert!((latencies.p99 - 0.1).abs() < 1e-9, "{latencies:?}");
        let beyond = Latencies::of(&bounds, &[0, 0, 0, 5]).unwrap();
        assert_eq!(beyond, Latencies { p50: 0.1, p95: 0.1, p99: 0.1 });
        assert_eq!(Latencies::of(&bounds, &[0; 4]), None);
        assert_eq!(Latencies::of(&[], &[]), None);
    }
}
