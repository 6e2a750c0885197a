//! All metrics of the server, which METRICS.md lists.

use marquee_core::meters::Metric;

use crate::access::{self, accounts, audit};
use crate::edge::{layers, tls};
use crate::shared::{cache, events, limit, redis};
use crate::{activation, experiments, jobs, judge, recommend, telemetry};

/// Every metric that the server may show, by name.
pub fn metrics() -> Vec<&'static Metric> {
    let shared = [redis::METRICS, cache::METRICS, events::METRICS, limit::METRICS];
    let mut all: Vec<&Metric> = telemetry::metrics()
        .chain(layers::metrics())
        .chain(tls::METRICS)
        .chain(audit::METRICS)
        .chain(recommend::METRICS)
        .chain(activation::METRICS)
        .chain(judge::METRICS)
        .chain(experiments::METRICS)
        .chain(jobs::METRICS)
        .chain(accounts::METRICS)
        .chain(access::TOKEN_METRICS)
        .chain(shared.into_iter().flatten())
        .chain(marquee_engine::METRICS)
        .chain(marquee_store::metrics())
        .collect();
    all.sort_by_key(|metric| metric.name);
    all
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use marquee_core::meters::{Label, LabelValues};

    use super::*;

    fn described(label: &Label) -> String {
        match label.values {
            LabelValues::OneOf(values) => format!("`{}`: `{}`", label.key, values.join("`, `")),
            LabelValues::Any(what) => format!("`{}`: {what}", label.key),
        }
    }

    /// The table of METRICS.md.
    fn table() -> String {
        let mut text = "| OpenTelemetry | Prometheus | type | unit | labels | what it says |\n".to_owned();
        text += "|---|---|---|---|---|---|\n";
        for metric in metrics() {
            let labels: Vec<String> = metric.labels.iter().map(described).collect();
            let unit = if metric.unit.is_empty() { String::new() } else { format!("`{}`", metric.unit) };
            writeln!(
                text,
                "| `{}` | `{}` | {} | {unit} | {} | {} |",
                metric.name,
                metric.prometheus(),
                metric.kind,
                labels.join("; "),
                metric.description,
            )
            .unwrap();
        }
        text
    }

    #[test]
    fn the_page_lists_every_metric_as_it_is() {
        let page = include_str!("../../METRICS.md");
        let table = table();
        assert!(page.contains(&table), "put this table into server/METRICS.md:\n{table}");
    }

    #[test]
    fn names_follow_the_scheme_and_repeat_no_word() {
        for metric in metrics() {
            let words: Vec<&str> = metric.name.split('.').collect();
            assert!(matches!(words[..], ["marquee" | "rpc", _, _, ..]), "{}", metric.name);
            let prometheus = metric.prometheus();
            let words: Vec<&str> = prometheus.split('_').collect();
            assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{prometheus}");
        }
    }

    #[test]
    fn what_is_sampled_is_measured() {
        let known: Vec<String> = metrics().into_iter().map(Metric::prometheus).collect();
        for name in telemetry::SAMPLED {
            assert!(known.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn no_two_metrics_have_one_name() {
        let all = metrics();
        assert!(all.windows(2).all(|pair| pair[0].name != pair[1].name), "{all:?}");
    }
}
