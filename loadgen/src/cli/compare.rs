//! `marquee-loadgen compare`: the same load against several servers, in alternating rounds.
//!
//! Machines drift: caches warm, clocks throttle, neighbours wake. Rounds that alternate share the drift,
//! and medians over rounds ignore the odd one.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::run::{Shape, observed};
use super::{CliError, LoadOptions, write_json};
use crate::report::Report;
use crate::wire::Target;

/// The arguments of `compare`.
#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    /// A server, NAME=http://HOST:PORT or NAME=http://HOST:PORT,TEMPLATE.toml; twice or more.
    #[arg(long = "side", required = true, value_name = "NAME=TARGET[,TEMPLATE]")]
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

/// One server of a comparison.
#[derive(Clone, Debug)]
struct Side {
    name: String,
    target: Target,
    template: Option<PathBuf>,
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' is no side; write NAME=http://HOST:PORT[,TEMPLATE.toml]"))?;
        let (target, template) = match rest.split_once(',') {
            Some((target, template)) => (target, Some(PathBuf::from(template))),
            None => (rest, None),
        };
        let target = target.parse().map_err(|error: crate::wire::WireError| error.to_string())?;
        Ok(Self { name: name.to_owned(), target, template })
    }
}

/// The medians of one side.
#[derive(Clone, Debug, Serialize)]
struct Medians {
    name: String,
    throughput: f64,
    /// The lowest and the highest throughput of a round.
    spread: (f64, f64),
    p50_ms: f64,
    p99_ms: f64,
    error_rate: f64,
    valid_rounds: usize,
}

#[derive(Debug, Serialize)]
struct Comparison {
    medians: Vec<Medians>,
    rounds: Vec<Vec<Report>>,
}

impl CompareArguments {
    pub(super) async fn run(self) -> Result<bool, CliError> {
        if self.sides.len() < 2 {
            return Err(CliError::Options("a comparison needs --side twice or more".to_owned()));
        }
        let mut rounds: Vec<Vec<Report>> = vec![Vec::new(); self.sides.len()];
        for round in 1..=self.rounds.max(1) {
            for (side, reports) in self.sides.iter().zip(&mut rounds) {
                let report = self.one(side).await?;
                println!(
                    "round {round}  {:<16} {:>10.1}/s  p50 {:>8.3} ms  p99 {:>8.3} ms  errors {}{}",
                    side.name,
                    report.throughput,
                    report.latency_ms.p50,
                    report.latency_ms.p99,
                    report.errors,
                    if report.valid { "" } else { "  NOT VALID" }
                );
                reports.push(report);
            }
        }
        let medians: Vec<Medians> =
            self.sides.iter().zip(&rounds).map(|(side, reports)| medians(&side.name, reports)).collect();
        println!("\n{}", table(&medians));
        if let Some(path) = &self.json {
            write_json(path, &Comparison { medians, rounds })?;
        }
        Ok(true)
    }

    async fn one(&self, side: &Side) -> Result<Report, CliError> {
        let options = self.options.with_template(side.template.clone());
        let (load, duration, words) = self.shape.load(options.warmup())?;
        let plan = Arc::new(options.plan(&side.target, load, duration, None).await?);
        let (output, metrics) = observed(&plan, &options, options.progress).await?;
        Ok(options.report(&plan, words, &output, metrics))
    }
}

fn medians(name: &str, reports: &[Report]) -> Medians {
    let over = |figure: fn(&Report) -> f64| median(reports.iter().map(figure).collect());
    let throughputs = || reports.iter().map(|report| report.throughput);
    Medians {
        name: name.to_owned(),
        throughput: over(|report| report.throughput),
        spread: (throughputs().fold(f64::INFINITY, f64::min), throughputs().fold(0.0, f64::max)),
        p50_ms: over(|report| report.latency_ms.p50),
        p99_ms: over(|report| report.latency_ms.p99),
        error_rate: over(|report| report.error_rate),
        valid_rounds: reports.iter().filter(|report| report.valid).count(),
    }
}

/// The median; the mean of the middle two of an even number. 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

fn table(medians: &[Medians]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header([
        "medians",
        "answers/s",
        "lowest to highest",
        "p50, ms",
        "p99, ms",
        "errors",
        "of the first",
    ]);
    for side in medians {
        table.add_row([
            side.name.clone(),
            format!("{:.1}", side.throughput),
            format!("{:.1} to {:.1}", side.spread.0, side.spread.1),
            format!("{:.3}", side.p50_ms),
            format!("{:.3}", side.p99_ms),
            format!("{:.3}%", side.error_rate * 100.0),
            format!("{:.2}", side.throughput / medians[0].throughput.max(1e-9)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![5.0, 1.0, 100.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0, 100.0, 2.0]), 3.0);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn a_side_has_a_name_a_target_and_perhaps_a_template() {
        let side: Side = "other=http://127.0.0.1:8001,triton.toml".parse().unwrap();
        assert_eq!(side.name, "other");
        assert_eq!(side.target.authority, "127.0.0.1:8001");
        assert_eq!(side.template, Some(PathBuf::from("triton.toml")));
        assert!("http://127.0.0.1:8001".parse::<Side>().is_err());
    }
}
