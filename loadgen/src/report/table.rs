//! The final table on the terminal.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use marquee_core::text::printable;

use super::{Quantiles, Report};

/// The whole result in words and tables.
pub fn render(report: &Report) -> String {
    let mut out = summary(report);
    out.push_str(&calls(report));
    out.push('\n');
    if !report.errors_by_kind.is_empty() {
        out.push_str(&errors(report));
        out.push('\n');
    }
    if report.server.is_some() {
        out.push_str(&stages(report));
        out.push('\n');
    }
    if let Some(sizes) = mean_batch_size(report) {
        let _ = writeln!(out, "mean batch size of the server {sizes:.1}");
    }
    out.push_str(&verdict(report));
    out
}

fn summary(report: &Report) -> String {
    let mut lines = vec![
        format!(
            "{} on {} by {}: {}, {} connections",
            report.setup.rpc,
            report.setup.target,
            report.setup.protocol,
            report.setup.load,
            report.setup.connections
        ),
        format!(
            "throughput {:.1} answers/s over {:.1} s, offered {:.1}/s, errors {} ({:.3}%), cancelled {}",
            report.throughput,
            report.measured_s,
            report.offered,
            report.errors,
            report.error_rate * 100.0,
            report.cancelled
        ),
    ];
    if let Some(goodput) = report.goodput {
        lines.push(format!("goodput {:.1} calls/s within {} ms", goodput.per_second, goodput.under_ms));
    }
    if report.failed_outcomes > 0 {
        lines.push(format!("{} outcomes inside answered calls were errors", report.failed_outcomes));
    }
    lines.join("\n") + "\n"
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn quantile_cells(quantiles: &Quantiles) -> [String; 6] {
    [quantiles.mean, quantiles.p50, quantiles.p90, quantiles.p95, quantiles.p99, quantiles.max]
        .map(|time| format!("{time:.3}"))
}

fn calls(report: &Report) -> String {
    let mut table = table(&["latency, ms", "answered", "errors", "mean", "p50", "p90", "p95", "p99", "max"]);
    let mut row = |name: &str, answered: u64, errors: u64, latency: &Quantiles| {
        let mut cells = vec![name.to_owned(), answered.to_string(), errors.to_string()];
        cells.extend(quantile_cells(latency));
        table.add_row(cells);
    };
    for call in &report.calls {
        row(&call.name, call.answered, call.errors, &call.latency_ms);
    }
    if report.calls.len() > 1 {
        let answered = report.calls.iter().map(|call| call.answered).sum();
        row("all", answered, report.errors, &report.latency_ms);
    }
    let mut cells = vec!["(lateness)".to_owned(), String::new(), String::new()];
    cells.extend(quantile_cells(&report.lateness_ms));
    table.add_row(cells);
    table.to_string()
}

fn errors(report: &Report) -> String {
    let mut table = table(&["error", "count", "first message"]);
    for (kind, failure) in &report.errors_by_kind {
        let first_message = printable(&failure.first_message);
        let mut message: String = first_message.chars().take(90).collect();
        if message.len() < first_message.len() {
            message.push('…');
        }
        table.add_row([kind.clone(), failure.count.to_string(), message]);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Left);
    }
    table.to_string()
}

fn stages(report: &Report) -> String {
    let mut table = table(&["server, ms", "mean", "p50", "p90", "p95", "p99", "max"]);
    if let Some(server) = &report.server {
        let rows = server.stages_ms.iter().map(|(name, stage)| (name.as_str(), stage));
        for (name, quantiles) in rows.chain([("total", &server.total_ms)]) {
            let mut cells = vec![name.to_owned()];
            cells.extend(quantile_cells(quantiles));
            table.add_row(cells);
        }
    }
    table.to_string()
}

fn mean_batch_size(report: &Report) -> Option<f64> {
    let metrics = report.metrics.as_ref()?;
    let sum = |end: &str| -> f64 {
        let name = format!("{}{end}", metrics.batch_metric);
        let matches = |series: &str| series.split('{').next() == Some(name.as_str());
        metrics.deltas.iter().filter(|(series, _)| matches(series)).map(|(_, delta)| delta).sum()
    };
    let count = sum("_count");
    (!metrics.batch_metric.is_empty() && count > 0.0).then(|| sum("_sum") / count)
}

fn verdict(report: &Report) -> String {
    let busy = report
        .busiest_worker
        .map_or_else(|| "unknown".to_owned(), |busy| format!("{:.0}% of a core", busy * 100.0));
    if report.valid {
        format!("valid: the generator was not the bottleneck (busiest worker {busy})\n")
    } else {
        let mut out = format!("NOT VALID: believe none of these figures (busiest worker {busy})\n");
        for reason in &report.invalid_because {
            let _ = writeln!(out, "  - {reason}");
        }
        out
    }
}
