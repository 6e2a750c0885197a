//! `marquee-loadgen compare`: the same load against several servers, or by several protocols, in alternating
//! rounds.
//!
//! Machines drift: caches warm, clocks throttle, neighbours wake. Rounds that alternate share the drift, every
//! second one goes backwards so that no side is always the later one, and medians over rounds ignore the odd one.

use std::path::PathBuf;

use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::run::Shape;
use super::side::Side;
use super::{CliError, LoadOptions, write_json};
use crate::measure::paired::{CONFIDENCE, Ratio, SURE_FROM, median};
use crate::report::Report;

/// The arguments of `compare`.
#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    /// A server and how it is asked, NAME=http://HOST:PORT, and behind it any of ,protocol=PROTOCOL ,http=VERSION
    /// and ,template=FILE in place of those options; twice or more.
    #[arg(long = "side", required = true, value_name = "NAME=TARGET[,OPTION=VALUE]...")]
    sides: Vec<Side>,
    /// Rounds; each side runs once in each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    options: LoadOptions,
    /// Write all rounds and the medians as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One side over all rounds.
#[derive(Clone, Debug, Serialize)]
struct Summary {
    name: String,
    throughput: f64,
    /// The lowest and the highest throughput of a round.
    spread: (f64, f64),
    p50_ms: f64,
    mean_ms: f64,
    p99_ms: f64,
    error_rate: f64,
    valid_rounds: usize,
    /// To the first side, within each round.
    ratios: Ratios,
}

/// A side to the first one.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ratios {
    throughput: Ratio,
    p50: Ratio,
    mean: Ratio,
    p99: Ratio,
}

#[derive(Debug, Serialize)]
struct Comparison {
    sides: Vec<Summary>,
    rounds: Vec<Vec<Report>>,
}

impl CompareArguments {
    pub(super) async fn run(self) -> Result<bool, CliError> {
        if self.sides.len() < 2 {
            return Err(CliError::Options("a comparison needs --side twice or more".to_owned()));
        }
        let mut rounds: Vec<Vec<Report>> = vec![Vec::new(); self.sides.len()];
        for round in 1..=self.rounds.max(1) {
            let mut order: Vec<usize> = (0..self.sides.len()).collect();
            if round % 2 == 0 {
                order.reverse();
            }
            for index in order {
                let side = &self.sides[index];
                let report = self.shape.measured(&side.target, &self.options.for_side(side)).await?;
                println!(
                    "round {round}  {:<16} {:>10.1}/s  p50 {:>8.3} ms  p99 {:>8.3} ms  errors {}{}",
                    side.name,
                    report.throughput,
                    report.latency_ms.p50,
                    report.latency_ms.p99,
                    report.errors,
                    if report.valid { "" } else { "  NOT VALID" }
                );
                rounds[index].push(report);
            }
        }
        let sides: Vec<Summary> = self
            .sides
            .iter()
            .zip(&rounds)
            .map(|(side, reports)| Summary::of(&side.name, reports, &rounds[0]))
            .collect();
        println!("\n{}\n{}", medians(&sides), ratios(&sides, rounds[0].len()));
        if let Some(path) = &self.json {
            write_json(path, &Comparison { sides, rounds })?;
        }
        Ok(true)
    }
}

impl Summary {
    fn of(name: &str, reports: &[Report], first: &[Report]) -> Self {
        let over = |figure: fn(&Report) -> f64| {
            let mut figures = figures(reports, figure);
            figures.sort_unstable_by(f64::total_cmp);
            median(&figures)
        };
        let ratio =
            |figure: fn(&Report) -> f64| Ratio::of(&figures(reports, figure), &figures(first, figure));
        let throughputs = || reports.iter().map(|report| report.throughput);
        Self {
            name: name.to_owned(),
            throughput: over(|report| report.throughput),
            spread: (throughputs().fold(f64::INFINITY, f64::min), throughputs().fold(0.0, f64::max)),
            p50_ms: over(|report| report.latency_ms.p50),
            mean_ms: over(|report| report.latency_ms.mean),
            p99_ms: over(|report| report.latency_ms.p99),
            error_rate: over(|report| report.error_rate),
            valid_rounds: reports.iter().filter(|report| report.valid).count(),
            ratios: Ratios {
                throughput: ratio(|report| report.throughput),
                p50: ratio(|report| report.latency_ms.p50),
                mean: ratio(|report| report.latency_ms.mean),
                p99: ratio(|report| report.latency_ms.p99),
            },
        }
    }
}

fn figures(reports: &[Report], figure: fn(&Report) -> f64) -> Vec<f64> {
    reports.iter().map(figure).collect()
}

fn medians(sides: &[Summary]) -> Table {
    let head = ["medians", "answers/s", "lowest to highest", "p50, ms", "mean, ms", "p99, ms", "errors"];
    let rows = sides.iter().map(|side| {
        vec![
            side.name.clone(),
            format!("{:.1}", side.throughput),
            format!("{:.1} to {:.1}", side.spread.0, side.spread.1),
            format!("{:.3}", side.p50_ms),
            format!("{:.3}", side.mean_ms),
            format!("{:.3}", side.p99_ms),
            format!("{:.3}%", side.error_rate * 100.0),
        ]
    });
    table(head.map(str::to_owned).to_vec(), rows)
}

/// The others to the first side.
fn ratios(sides: &[Summary], rounds: usize) -> Table {
    let interval = if rounds < SURE_FROM {
        "least to most".to_owned()
    } else {
        format!("{:.0}% certain", CONFIDENCE * 100.0)
    };
    let first = format!("of {} in {rounds} rounds, {interval}", sides[0].name);
    let head = [first.as_str(), "answers/s", "p50", "mean", "p99"].map(str::to_owned).to_vec();
    let cell =
        |ratio: Ratio| format!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.interval.0, ratio.interval.1);
    let rows = sides.iter().skip(1).map(|side| {
        let Ratios { throughput, p50, mean, p99 } = side.ratios;
        vec![side.name.clone(), cell(throughput), cell(p50), cell(mean), cell(p99)]
    });
    table(head, rows)
}

fn table(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(head).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
