//! The HTML page of a report, and of the search that it comes from: one file, no network, no scripts.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::measure::STAGES;
use crate::measure::histogram::quantile_ms;
use crate::plot::{self, Axis, Kind, Plot, Series, escape};
use crate::report::{Quantiles, Report, WindowTally};
use crate::search::{Finding, Probe};

const STYLE: &str = include_str!("page.css");

/// The whole page; with what a search found, where it comes from one.
pub fn html(report: &Report, finding: Option<&Finding>) -> String {
    let probes = finding.map(|finding| finding.probes.as_slice());
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{rpc}: {answer}</title><style>{STYLE}{plot_style}</style></head><body>",
        plot_style = plot::STYLE,
        rpc = escape(&report.setup.rpc),
        answer =
            escape(&finding.map_or_else(|| format!("{:.0} answers/s", report.throughput), Finding::answer)),
    );
    out.push_str(&title(report));
    out.push_str(&finding.map(answer).unwrap_or_default());
    out.push_str(&figures(report));
    out.push_str(&verdict(report));
    section(&mut out, "Latency over time", &latency_over_time(report));
    section(&mut out, "Percentiles", &percentiles(report));
    section(&mut out, "Throughput over time", &throughput_over_time(report));
    section(&mut out, "Throughput against rate", &throughput_against_rate(report, probes));
    if let Some(probes) = probes {
        section(&mut out, "Latency against rate", &latency_against_rate(probes));
        section(&mut out, "Probes of the search", &probe_table(probes));
    }
    section(&mut out, "Calls", &call_table(report));
    if !report.errors_by_kind.is_empty() {
        section(&mut out, "Errors", &error_table(report));
    }
    if report.server.is_some() {
        section(&mut out, "Where the server spent the time", &stages(report));
    }
    if let Some(metrics) = &report.metrics {
        section(&mut out, "Batch sizes over time", &batch_sizes(report));
        section(&mut out, "What the server counted", &delta_table(&metrics.deltas));
    }
    out.push_str("</body></html>\n");
    out
}

fn section(out: &mut String, title: &str, body: &str) {
    let _ = write!(out, "<h2>{title}</h2>{body}");
}

fn title(report: &Report) -> String {
    format!(
        "<h1>{}</h1><p class=\"soft\">{} · {} · {} · {} connections · {} machine(s) · {:.1} s measured · \
         marquee-loadgen {}</p>",
        escape(&report.setup.rpc),
        escape(&report.setup.target),
        escape(&report.setup.protocol),
        escape(&report.setup.load),
        report.setup.connections,
        report.setup.machines,
        report.measured_s,
        escape(&report.generator)
    )
}

/// What a search found, before the figures of the probe that it rests on.
fn answer(finding: &Finding) -> String {
    let caveat = finding.caveat().map(|caveat| format!("<p class=\"soft\">{caveat}</p>")).unwrap_or_default();
    let probe = if finding.highest_rate.is_some() { "the probe at this rate" } else { "the first probe" };
    format!(
        "<p class=\"answer\">{}</p>{caveat}<p class=\"soft\">The figures are those of {probe}.</p>",
        escape(&finding.answer())
    )
}

fn figures(report: &Report) -> String {
    let mut figures = vec![
        ("answers a second", format!("{:.1}", report.throughput)),
        ("p50, ms", format!("{:.2}", report.latency_ms.p50)),
        ("p95, ms", format!("{:.2}", report.latency_ms.p95)),
        ("p99, ms", format!("{:.2}", report.latency_ms.p99)),
        ("max, ms", format!("{:.2}", report.latency_ms.max)),
        ("errors", format!("{} ({:.2}%)", report.errors, report.error_rate * 100.0)),
    ];
    if let Some(goodput) = report.goodput {
        figures.push(("in time a second", format!("{:.1}", goodput.per_second)));
    }
    let mut out = "<div class=\"figures\">".to_owned();
    for (name, figure) in figures {
        let _ = write!(out, "<div><b>{figure}</b><span>{name}</span></div>");
    }
    out + "</div>"
}

fn verdict(report: &Report) -> String {
    let mut out = String::new();
    let busy = report.busiest_worker.map_or_else(String::new, |busy| {
        format!(" Its busiest thread computed {:.0}% of the time.", busy * 100.0)
    });
    let late = format!(
        "Requests went out {:.3} ms late at p50, {:.3} ms at p99.",
        report.lateness_ms.p50, report.lateness_ms.p99
    );
    if report.valid {
        let _ = write!(
            out,
            "<p class=\"verdict\"><b>Valid.</b> The generator was not the bottleneck. {late}{busy}</p>"
        );
    } else {
        let _ = write!(
            out,
            "<div class=\"verdict bad\"><b>Not valid.</b> Believe none of these figures. {late}{busy}<ul>"
        );
        for reason in &report.invalid_because {
            let _ = write!(out, "<li>{}</li>", escape(reason));
        }
        out.push_str("</ul></div>");
    }
    out
}

fn plot(x: Axis, y_label: &str, kind: Kind, series: Vec<Series>) -> String {
    Plot { title: String::new(), x, y: Axis::linear(y_label), kind, series }.element()
}

/// The middle of window `index`, in seconds.
fn middle(report: &Report, index: usize) -> f64 {
    (index as f64 + 0.5) * report.tally.window_s
}

fn latency_over_time(report: &Report) -> String {
    let line = |name: &str, quantile: f64| Series {
        name: name.to_owned(),
        points: report
            .tally
            .windows
            .iter()
            .enumerate()
            .map(|(index, window)| {
                let latency = &window.latency.0;
                (middle(report, index), (!latency.is_empty()).then(|| quantile_ms(latency, quantile)))
            })
            .collect(),
    };
    let series = vec![line("p50", 0.5), line("p95", 0.95), line("p99", 0.99)];
    plot(Axis::linear("seconds"), "latency, ms", Kind::Lines, series)
}

/// Latency by percentile, on an axis that gives each further nine the same room.
fn percentiles(report: &Report) -> String {
    let place = |quantile: f64| -(1.0 - quantile).log10();
    let line = |name: &str, histogram: &Histogram<u64>| Series {
        name: name.to_owned(),
        points: by_nines(histogram),
    };
    let mut series = vec![line("latency", &report.tally.latency().0)];
    series.push(line("lateness of the generator", &report.tally.lateness.0));
    if report.server.is_some() {
        series.push(line("total in the server", &report.tally.server_total.0));
    }
    let ticks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
    let ticks = ticks.map(|quantile| (place(quantile), format!("{}%", number_of_percent(quantile)))).to_vec();
    plot(Axis::linear("percentile").with_ticks(ticks), "ms", Kind::Lines, series)
}

/// Times by how many nines their percentile has, up to the maximum, which stands where its share of the calls
/// does: one in ten at one nine, one in a hundred at two.
fn by_nines(histogram: &Histogram<u64>) -> Vec<(f64, Option<f64>)> {
    const STEPS: u32 = 120;
    let nines = (histogram.len() as f64).log10().max(1.0);
    let below = (0..STEPS)
        .map(|step| nines * f64::from(step) / f64::from(STEPS))
        .map(|place| (place, Some(quantile_ms(histogram, 1.0 - 10_f64.powf(-place)))));
    below.chain([(nines, Some(quantile_ms(histogram, 1.0)))]).collect()
}

fn number_of_percent(quantile: f64) -> String {
    let text = format!("{:.3}", quantile * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn throughput_over_time(report: &Report) -> String {
    let line = |name: &str, count: fn(&WindowTally) -> u64| Series {
        name: name.to_owned(),
        points: report
            .tally
            .windows
            .iter()
            .enumerate()
            .map(|(index, window)| {
                (middle(report, index), Some(count(window) as f64 / report.tally.window_seconds(index)))
            })
            .collect(),
    };
    let series = vec![
        line("answers", |window| window.answers),
        line("requests due", |window| window.due),
        line("errors", |window| window.errors),
    ];
    plot(Axis::linear("seconds"), "a second", Kind::Lines, series)
}

/// From the probes of a search, or from the windows of the run itself.
fn throughput_against_rate(report: &Report, probes: Option<&[Probe]>) -> String {
    let points = |figure: fn(&Probe) -> f64, probes: &[Probe]| {
        let mut points: Vec<_> = probes.iter().map(|probe| (probe.rate, Some(figure(probe)))).collect();
        points.sort_by(|one, two| one.0.total_cmp(&two.0));
        points
    };
    let (kind, series) = match probes {
        Some(probes) => (
            Kind::Dots,
            vec![
                Series { name: "answers".to_owned(), points: points(|probe| probe.throughput, probes) },
                Series { name: "in time".to_owned(), points: points(|probe| probe.goodput, probes) },
            ],
        ),
        None => (Kind::Points, vec![Series { name: "answers".to_owned(), points: windows_by_rate(report) }]),
    };
    plot(Axis::linear("requests due a second"), "answers a second", kind, series)
}

fn windows_by_rate(report: &Report) -> Vec<(f64, Option<f64>)> {
    let windows = report.tally.windows.iter().enumerate();
    let mut points: Vec<_> = windows
        .map(|(index, window)| {
            let seconds = report.tally.window_seconds(index);
            (window.due as f64 / seconds, Some(window.answers as f64 / seconds))
        })
        .collect();
    points.sort_by(|one, two| one.0.total_cmp(&two.0));
    points
}

fn latency_against_rate(probes: &[Probe]) -> String {
    let line = |name: &str, figure: fn(&Quantiles) -> f64| {
        let mut points: Vec<_> =
            probes.iter().map(|probe| (probe.rate, Some(figure(&probe.latency_ms)))).collect();
        points.sort_by(|one, two| one.0.total_cmp(&two.0));
        Series { name: name.to_owned(), points }
    };
    let series = vec![line("p50", |latency| latency.p50), line("p99", |latency| latency.p99)];
    plot(Axis::linear("requests due a second"), "latency, ms", Kind::Dots, series)
}

fn stages(report: &Report) -> String {
    let line = |stage: usize| Series {
        name: STAGES[stage].to_owned(),
        points: report
            .tally
            .windows
            .iter()
            .enumerate()
            .map(|(index, window)| {
                let stages = window.stages;
                let mean = stages.sum_us[stage] as f64 / stages.count.max(1) as f64 / 1e3;
                (middle(report, index), (stages.count > 0).then_some(mean))
            })
            .collect(),
    };
    let series = (0..STAGES.len()).map(line).collect();
    let plot = plot(Axis::linear("seconds"), "mean of a reply, ms", Kind::Stacked, series);
    let rows = report.server.iter().flat_map(|server| {
        let stages = server.stages_ms.iter().map(|(name, stage)| (name.clone(), *stage));
        stages.chain([("total".to_owned(), server.total_ms)])
    });
    plot + &quantile_table("stage, ms", rows)
}

fn batch_sizes(report: &Report) -> String {
    let Some(metrics) = &report.metrics else { return String::new() };
    let points =
        metrics.batch_sizes.iter().enumerate().map(|(index, size)| (middle(report, index), *size)).collect();
    let series = vec![Series { name: "mean batch size".to_owned(), points }];
    plot(Axis::linear("seconds"), "requests in a batch", Kind::Lines, series)
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut out = "<div class=\"scroll\"><table><tr>".to_owned();
    for name in header {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str("</tr>");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            // Words read from the left, numbers from the right.
            let class = if cell.parse::<f64>().is_err() && cell.len() > 12 { " class=\"text\"" } else { "" };
            let _ = write!(out, "<td{class}>{}</td>", escape(&cell));
        }
        out.push_str("</tr>");
    }
    out + "</table></div>"
}

fn quantile_table(name: &str, rows: impl Iterator<Item = (String, Quantiles)>) -> String {
    let header = [name, "mean", "p50", "p90", "p95", "p99", "p99.9", "max"];
    table(
        &header,
        rows.map(|(name, times)| {
            let times = [times.mean, times.p50, times.p90, times.p95, times.p99, times.p999, times.max];
            [name].into_iter().chain(times.map(|time| format!("{time:.3}"))).collect()
        }),
    )
}

fn call_table(report: &Report) -> String {
    let calls = report.calls.iter().map(|call| {
        let name = format!("{} ({} answered, {} errors)", call.name, call.answered, call.errors);
        (name, call.latency_ms)
    });
    quantile_table("latency, ms", calls.chain([("lateness of the generator".to_owned(), report.lateness_ms)]))
}

fn error_table(report: &Report) -> String {
    let rows = report
        .errors_by_kind
        .iter()
        .map(|(kind, failure)| vec![kind.clone(), failure.count.to_string(), failure.first_message.clone()]);
    table(&["error", "count", "first message"], rows)
}

fn probe_table(probes: &[Probe]) -> String {
    let rows = probes.iter().map(|probe| {
        vec![
            format!("{:.1}", probe.rate),
            probe.standing.label().to_owned(),
            format!("{:.1}", probe.throughput),
            format!("{:.2}", probe.latency_ms.p50),
            format!("{:.2}", probe.latency_ms.p99),
            format!("{:.3}%", probe.error_rate * 100.0),
            probe.because.join("; "),
        ]
    });
    table(&["rate", "objective", "answers/s", "p50, ms", "p99, ms", "errors", "because"], rows)
}

fn delta_table(deltas: &std::collections::BTreeMap<String, f64>) -> String {
    let rows = deltas.iter().map(|(name, delta)| vec![name.clone(), format!("{delta:.3}")]);
    table(&["series", "grew by"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tally::tests::{report, tally};

    #[test]
    fn the_plot_of_percentiles_reaches_the_maximum() {
        let mut latencies_ms = vec![5; 999];
        latencies_ms.push(83);
        let report = report(tally("Recommend", &latencies_ms), true);
        let (place, time) = by_nines(&report.tally.latency().0).last().copied().unwrap();
        assert_eq!(place, 3.0);
        assert_eq!(time, Some(report.latency_ms.max));
    }

    #[test]
    fn the_page_of_a_search_begins_with_its_answer() {
        let report = report(tally("Recommend", &[5]), true);
        let objective = "p99<20ms".to_owned();
        let finding = Finding { objective, highest_rate: Some(12_000.0), probes: vec![] };
        let page = html(&report, Some(&finding));
        let place = |text: &str| page.find(text).unwrap();
        let answer = place("<p class=\"answer\">highest rate with p99&lt;20ms: 12000.0 requests/s</p>");
        assert!(answer < place("<div class=\"figures\">"));
    }
}
