//! The server's own counters, read from its Prometheus page before, while and after a run.
//!
//! A client sees that answers are slow; the server's counters say why: refusals, batch sizes, cache hits.
//! Only differences over the measured time are reported.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::{CallFailure, Target, get};

/// How long one reading may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Where the metrics are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsTarget {
    target: Target,
    path: String,
}

impl std::str::FromStr for MetricsTarget {
    type Err = crate::wire::WireError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, "metrics"));
        let path = if path.is_empty() { "metrics" } else { path };
        Ok(Self { target: authority.parse()?, path: format!("/{path}") })
    }
}

/// One reading: the value of each series, by its name and labels as the page writes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    series: BTreeMap<String, f64>,
}

/// What changed over the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsReport {
    /// Counters that grew, by name and labels, without the buckets of histograms.
    pub deltas: BTreeMap<String, f64>,
    /// The mean batch size of each second; absent in a second without a batch.
    pub batch_sizes: Vec<Option<f64>>,
    /// The histogram that the batch sizes come from; empty if the server has none.
    pub batch_metric: String,
}

impl MetricsTarget {
    /// Reads the page.
    ///
    /// # Errors
    /// [`CallFailure`] when it cannot be had within two seconds.
    pub async fn read(&self) -> Result<Reading, CallFailure> {
        let page = get(&self.target, &self.path, LIMIT).await?;
        Ok(Reading::parse(&String::from_utf8_lossy(&page)))
    }
}

impl Reading {
    /// Reads the Prometheus text form; lines that are none are passed over.
    pub fn parse(page: &str) -> Self {
        let series = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                // Labels may hold blanks, so the value is what stands behind the closing brace.
                let end = line.rfind('}').map(|at| at + 1).or_else(|| line.find(' '))?;
                let (name, rest) = line.split_at_checked(end)?;
                let value = rest.split_whitespace().next()?.parse().ok()?;
                Some((name.trim().to_owned(), value))
            })
            .collect();
        Self { series }
    }

    fn sum(&self, metric: &str) -> f64 {
        let all = self.series.iter().filter(|(name, _)| base(name) == metric);
        all.map(|(_, value)| value).sum()
    }
}

fn base(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

/// The histogram of batch sizes: the one whose name speaks of batches and not of time.
fn batch_metric(reading: &Reading) -> Option<String> {
    let times = ["seconds", "duration", "latency", "_us_", "_ms_"];
    let named = |name: &&str| {
        name.contains("batch")
            && (name.contains("size") || name.contains("jobs") || name.contains("requests"))
    };
    reading
        .series
        .keys()
        .map(|series| base(series))
        .filter(|name| name.ends_with("_sum") && !times.iter().any(|time| name.contains(time)))
        .find(named)
        .map(|name| name.trim_end_matches("_sum").to_owned())
}

/// Compares readings: the first is that of the beginning, the last that of the end, each a window apart.
pub fn compare(readings: &[Reading], metric: Option<&str>) -> MetricsReport {
    let (Some(first), Some(last)) = (readings.first(), readings.last()) else {
        return MetricsReport::default();
    };
    let cumulative = |name: &str| ["_total", "_sum", "_count"].iter().any(|end| base(name).ends_with(end));
    let deltas = last
        .series
        .iter()
        .filter(|(name, _)| cumulative(name))
        .map(|(name, value)| (name.clone(), value - first.series.get(name).unwrap_or(&0.0)))
        .filter(|(_, delta)| *delta > 0.0)
        .collect();
    let batch_metric = metric.map(str::to_owned).or_else(|| batch_metric(last)).unwrap_or_default();
    let batch_sizes = if batch_metric.is_empty() {
        Vec::new()
    } else {
        let (sum, count) = (format!("{batch_metric}_sum"), format!("{batch_metric}_count"));
        readings
            .windows(2)
            .map(|pair| {
                let batches = pair[1].sum(&count) - pair[0].sum(&count);
                (batches > 0.0).then(|| (pair[1].sum(&sum) - pair[0].sum(&sum)) / batches)
            })
            .collect()
    };
    MetricsReport { deltas, batch_sizes, batch_metric }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(batches: u32, jobs: u32) -> Reading {
        Reading::parse(&format!(
            "# HELP marquee_engine_batch_size jobs\n\
             marquee_engine_batch_size_bucket{{le=\"1\"}} 3\n\
             marquee_engine_batch_size_sum{{device=\"cpu 0\"}} {jobs}\n\
             marquee_engine_batch_size_count{{device=\"cpu 0\"}} {batches}\n\
             marquee_engine_batch_duration_seconds_sum 0.5\n\
             marquee_users 600\n"
        ))
    }

    #[test]
    fn counters_are_reported_as_differences() {
        let report = compare(&[page(10, 40), page(30, 140)], None);
        assert_eq!(report.deltas["marquee_engine_batch_size_sum{device=\"cpu 0\"}"], 100.0);
        assert!(!report.deltas.keys().any(|name| name.contains("bucket") || name.contains("users")));
    }

    #[test]
    fn the_batch_size_is_that_of_each_window() {
        let report = compare(&[page(10, 40), page(20, 60), page(20, 60), page(30, 140)], None);
        assert_eq!(report.batch_metric, "marquee_engine_batch_size");
        assert_eq!(report.batch_sizes, [Some(2.0), None, Some(8.0)]);
    }

    #[test]
    fn a_metrics_target_has_a_path() {
        let target: MetricsTarget = "http://127.0.0.1:9090/metrics".parse().unwrap();
        assert_eq!(target.path, "/metrics");
        let target: MetricsTarget = "127.0.0.1:9090".parse().unwrap();
        assert_eq!(target.path, "/metrics");
    }
}
