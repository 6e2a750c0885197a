//! A trace for each bucket of the durations of calls, so that a slow bucket leads to one of its calls.
//!
//! OpenTelemetry's meters keep no exemplars yet, and the text of Prometheus has no room for them: they are kept here for the
//! one histogram of calls, and written into OpenMetrics, which Prometheus asks for.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_core::meters::LATENCY_BUCKETS_SECONDS;
use opentelemetry::trace::TraceId;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Error, TextEncoder};

/// The media type of what [`Exemplars::openmetrics`] writes.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text";

/// One for each bound, and one beyond the last.
const BUCKETS: usize = LATENCY_BUCKETS_SECONDS.len() + 1;

/// A series of the histogram: protocol, method and status code.
type Series = (&'static str, &'static str, &'static str);

/// Its labels, as Prometheus has them.
const LABELS: [&str; 3] = ["rpc_system_name", "rpc_method", "rpc_response_status_code"];

/// The newest traced call of each bucket.
#[derive(Debug, Default)]
pub(crate) struct Exemplars(Mutex<HashMap<Series, [Option<Exemplar>; BUCKETS]>>);

#[derive(Clone, Copy, Debug)]
struct Exemplar {
    trace: TraceId,
    seconds: f64,
    at: TimeMs,
}

impl Exemplars {
    /// A call of this series took so long, and is in this trace. While somebody reads, or another call is noted, it is
    /// passed over.
    pub(super) fn note(&self, series: Series, duration: Duration, trace: TraceId) {
        let Ok(mut kept) = self.0.try_lock() else { return };
        let exemplar = Exemplar { trace, seconds: duration.as_secs_f64(), at: now_ms() };
        kept.entry(series).or_default()[bucket(exemplar.seconds)] = Some(exemplar);
    }

    /// The families in OpenMetrics, with what is known of traces.
    ///
    /// # Errors
    /// When a family is not well formed.
    pub(super) fn openmetrics(&self, families: &[MetricFamily]) -> Result<String, Error> {
        let mut text = String::new();
        for family in families {
            let classic = TextEncoder::new().encode_to_string(std::slice::from_ref(family))?;
            for line in classic.lines() {
                text += &if family.get_field_type() == MetricType::COUNTER {
                    of_counter(line)
                } else {
                    line.into()
                };
                if let Some(exemplar) = self.of(line) {
                    let seconds = exemplar.at as f64 / 1e3;
                    write!(text, " # {{trace_id=\"{}\"}} {} {seconds}", exemplar.trace, exemplar.seconds)
                        .map_err(|error| Error::Msg(error.to_string()))?;
                }
                text.push('\n');
            }
        }
        text += "# EOF\n";
        Ok(text)
    }

    /// The traces of all series.
    #[cfg(test)]
    pub(crate) fn traces(&self) -> Vec<(Series, TraceId)> {
        let kept = self.0.lock().unwrap();
        let noted = kept.iter().map(|(series, buckets)| (*series, buckets.iter().flatten()));
        noted.flat_map(|(series, buckets)| buckets.map(move |exemplar| (series, exemplar.trace))).collect()
    }

    /// The exemplar of a line that counts the calls of a bucket.
    fn of(&self, line: &str) -> Option<Exemplar> {
        if !line.starts_with("rpc_server_call_duration_seconds_bucket{") {
            return None;
        }
        let value = |label: &str| {
            let (_, rest) = line.split_once(&format!("{label}=\""))?;
            Some(rest.split_once('"')?.0)
        };
        let [system, method, code] = LABELS;
        let wanted = (value(system)?, value(method)?, value(code)?);
        let upper: f64 = value("le")?.parse().ok()?;
        let kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (_, buckets) = kept.iter().find(|(series, _)| **series == wanted)?;
        buckets[bucket(upper)]
    }
}

/// Which bucket holds so many seconds.
fn bucket(seconds: f64) -> usize {
    LATENCY_BUCKETS_SECONDS.partition_point(|bound| *bound < seconds)
}

/// What is said of a counter is said of its name without `_total`, which its samples alone have.
fn of_counter(line: &str) -> String {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    match words[..] {
        ["#", what, name, rest] => format!("# {what} {} {rest}", name.trim_end_matches("_total")),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounter, Registry};

    use super::*;

    const SERIES: Series = ("grpc", "a.B/C", "OK");

    fn families() -> Vec<MetricFamily> {
        let registry = Registry::new();
        let options = HistogramOpts::new("rpc_server_call_duration_seconds", "How long calls take")
            .buckets(LATENCY_BUCKETS_SECONDS.to_vec());
        let durations = HistogramVec::new(options, &LABELS).unwrap();
        durations.with_label_values(&["grpc", "a.B/C", "OK"]).observe(0.3);
        let calls = IntCounter::new("calls_total", "Calls").unwrap();
        calls.inc();
        registry.register(Box::new(durations)).unwrap();
        registry.register(Box::new(calls)).unwrap();
        registry.gather()
    }

    #[test]
    fn a_bucket_leads_to_the_trace_of_its_newest_call() {
        let exemplars = Exemplars::default();
        exemplars.note(SERIES, Duration::from_millis(400), TraceId::from(1));
        exemplars.note(SERIES, Duration::from_millis(300), TraceId::from(2));
        let text = exemplars.openmetrics(&families()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("trace_id")).collect();
        let [line] = lines[..] else { panic!("{text}") };
        assert!(
            line.contains(r#"le="0.5"} 1 # {trace_id="00000000000000000000000000000002"} 0.3 "#),
            "{line}"
        );
    }

    #[test]
    fn a_call_beyond_the_last_bound_is_in_the_bucket_without_one() {
        let exemplars = Exemplars::default();
        exemplars.note(SERIES, Duration::from_mins(1), TraceId::from(3));
        let text = exemplars.openmetrics(&families()).unwrap();
        assert!(text.contains(r#"le="+Inf"} 1 # {trace_id="#), "{text}");
    }

    #[test]
    fn counters_are_described_without_total_and_the_text_has_an_end() {
        let text = Exemplars::default().openmetrics(&families()).unwrap();
        assert!(text.contains("# TYPE calls counter\ncalls_total 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
