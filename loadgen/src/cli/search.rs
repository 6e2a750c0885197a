//! `marquee-loadgen search`.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use marquee_core::duration;
use serde::Serialize;

use super::run::observed;
use super::{CliError, LoadOptions, Output, write, write_json};
use crate::drive::Load;
use crate::page;
use crate::report::{Report, table};
use crate::schedule::{Profile, Spacing};
use crate::search::{Bisection, Finding, Objective, Probe, Standing, WINDOWS};
use crate::wire::Target;

/// The arguments of `search`.
#[derive(Debug, Args)]
pub(super) struct SearchArguments {
    /// The server, http://HOST:PORT or https://HOST:PORT.
    #[arg(long)]
    target: Target,
    /// What must hold, such as p99<20ms,errors<0.1%.
    #[arg(long)]
    objective: Objective,
    /// The rate to begin with, requests a second.
    #[arg(long, default_value_t = 50.0, help_heading = "Search")]
    min: f64,
    /// The highest rate to try.
    #[arg(long, default_value_t = 100_000.0, help_heading = "Search")]
    max: f64,
    /// The search ends when the gap is this share of the rate.
    #[arg(long, default_value_t = 0.03, value_name = "SHARE", help_heading = "Search")]
    precision: f64,
    /// The length of one of the three windows of a probe, in whole seconds.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "4s", help_heading = "Search")]
    window: Duration,
    /// How far the windows may lie from their mean, in throughput and median latency.
    #[arg(long, default_value_t = 0.15, value_name = "SHARE", help_heading = "Search")]
    tolerance: f64,
    /// How often a rate is tried while it is unsteady: the windows disagree, or one alone broke the objective.
    #[arg(long, default_value_t = 3, help_heading = "Search")]
    attempts: u32,
    /// How requests lie between one another.
    #[arg(long, value_enum, default_value = "poisson", help_heading = "Search")]
    arrivals: Spacing,
    #[command(flatten)]
    options: LoadOptions,
    #[command(flatten)]
    output: Output,
}

/// The document that `search --json` writes.
#[derive(Debug, Serialize)]
struct SearchReport {
    #[serde(flatten)]
    finding: Finding,
    /// The result of the probe at the highest rate, or of the first one.
    #[serde(flatten)]
    report: Report,
}

impl SearchArguments {
    pub(super) async fn run(self) -> Result<bool, CliError> {
        if self.window < Duration::from_secs(1) || self.window.subsec_nanos() > 0 {
            return Err(CliError::Options("--window must be whole seconds, 1 at least".to_owned()));
        }
        let mut bisection = Bisection::new(self.min, self.max, self.precision)?;
        let mut options = self.options.clone();
        options.default_goodput(self.objective.latency_limit_ms());
        let mut probes: Vec<Probe> = Vec::new();
        let mut best: Option<Report> = None;
        while let Some(rate) = bisection.next_rate() {
            let (probe, report) = self.probe(&options, rate).await?;
            println!("{}", line(&probe));
            bisection.learn(rate, probe.kept());
            if probe.kept() || best.is_none() {
                best = Some(report);
            }
            probes.push(probe);
        }
        let Some(report) = best else {
            return Err(CliError::Options("the search made no probe".to_owned()));
        };
        let objective = self.objective.to_string();
        let finding = Finding { objective, highest_rate: bisection.highest(), probes };
        println!("\n{}\n", finding.answer());
        if let Some(caveat) = finding.caveat() {
            println!("{caveat}\n");
        }
        print!("{}", table::render(&report));
        if let Some(path) = &self.output.html {
            write(path, &page::html(&report, Some(&finding)))?;
        }
        let kept = finding.highest_rate.is_some();
        if let Some(path) = &self.output.json {
            write_json(path, &SearchReport { finding, report })?;
        }
        Ok(kept)
    }

    /// Probes one rate, again while it is unsteady.
    async fn probe(&self, options: &LoadOptions, rate: f64) -> Result<(Probe, Report), CliError> {
        let duration = self.window * WINDOWS as u32;
        let mut attempt = 1;
        loop {
            let load = Load::Open(Profile::constant(rate, duration), self.arrivals);
            let plan = Arc::new(options.plan(&self.target, load, duration, None).await?);
            let (output, metrics) = observed(&plan, options, options.progress).await?;
            let report = options.report(&plan, format!("open loop, {rate:.1}/s"), &output, metrics);
            let probe = Probe::judge(rate, &report, &self.objective, self.tolerance);
            if attempt >= self.attempts || probe.standing != Standing::Unsteady {
                return Ok((probe, report));
            }
            println!("{}", line(&probe));
            attempt += 1;
        }
    }
}

fn line(probe: &Probe) -> String {
    format!(
        "{:<8} {:>9.1}/s  answered {:>9.1}/s  p50 {:>8.2} ms  p99 {:>8.2} ms  errors {:.3}%  {}",
        probe.standing.label(),
        probe.rate,
        probe.throughput,
        probe.latency_ms.p50,
        probe.latency_ms.p99,
        probe.error_rate * 100.0,
        probe.because.join("; ")
    )
}
