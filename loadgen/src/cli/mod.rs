//! The command line.

#![allow(rustdoc::bare_urls, reason = "the docs of options are their help on the command line")]

mod compare;
mod options;
mod run;
mod search;
mod side;
mod simulate;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
pub use options::LoadOptions;

use crate::page;
use crate::report::{FORMAT, Report, table};

/// Drives a Marquee server, or any other gRPC or HTTP server, and tells what came of it.
#[derive(Debug, Parser)]
#[command(name = "marquee-loadgen", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One run: a closed loop of callers, or an open loop at a rate.
    Run(Box<run::RunArguments>),
    /// The highest rate at which the server keeps an objective.
    Search(Box<search::SearchArguments>),
    /// Several servers side by side, in alternating rounds.
    Compare(Box<compare::CompareArguments>),
    /// People who ask for recommendations and watch what they like of them, for experiments to have something to find.
    Simulate(simulate::SimulateArguments),
    /// Adds up results of machines that ran at the same time.
    Merge {
        /// Results that `run --json` wrote.
        #[arg(required = true)]
        results: Vec<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Shows a result again, as a table or as a page.
    Report {
        /// A result that `run --json` wrote.
        result: PathBuf,
        /// The page.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

/// Where results go, beside the terminal.
#[derive(Debug, clap::Args)]
pub struct Output {
    /// Write the result as JSON, histograms included.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write one HTML page with plots that needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What goes wrong on the command line.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The requests cannot be made.
    #[error(transparent)]
    Workload(#[from] crate::workload::WorkloadError),
    /// The server cannot be spoken to as asked.
    #[error(transparent)]
    Wire(#[from] crate::wire::WireError),
    /// The schedule cannot be made.
    #[error(transparent)]
    Schedule(#[from] crate::schedule::ScheduleError),
    /// The run failed.
    #[error(transparent)]
    Run(#[from] crate::drive::RunError),
    /// The objective or the search is no good.
    #[error(transparent)]
    Search(#[from] crate::search::SearchError),
    /// People cannot be simulated.
    #[error(transparent)]
    Simulate(#[from] crate::simulate::SimulateError),
    /// The results do not add up.
    #[error(transparent)]
    Merge(#[from] crate::report::MergeError),
    /// The metrics cannot be read.
    #[error("cannot read the server's metrics ({0}); check --metrics, or leave it out")]
    Metrics(String),
    /// Options that do not go together, or have no meaning.
    #[error("{0}")]
    Options(String),
    /// A file cannot be read or written.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl Cli {
    /// Does what the command line says; false when what was asked for was not reached.
    ///
    /// # Errors
    /// [`CliError`], whose text says what to do.
    pub async fn run(self) -> Result<bool, CliError> {
        match self.command {
            Command::Run(arguments) => arguments.run().await,
            Command::Search(arguments) => arguments.run().await,
            Command::Compare(arguments) => arguments.run().await,
            Command::Simulate(arguments) => arguments.run().await,
            Command::Merge { results, output } => {
                let reports = results.iter().map(|path| read_report(path)).collect::<Result<Vec<_>, _>>()?;
                let report = Report::merge(reports)?;
                print!("{}", table::render(&report));
                output.write(&report)?;
                Ok(true)
            }
            Command::Report { result, html } => {
                let report = read_report(&result)?;
                print!("{}", table::render(&report));
                Output { json: None, html }.write(&report)?;
                Ok(true)
            }
        }
    }
}

impl Output {
    fn write(&self, report: &Report) -> Result<(), CliError> {
        if let Some(path) = &self.json {
            write_json(path, report)?;
        }
        if let Some(path) = &self.html {
            write(path, &page::html(report, None))?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text)
        .map_err(|error| CliError::File { path: path.to_owned(), message: error.to_string() })
}

fn write_json(path: &Path, document: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| CliError::File { path: path.to_owned(), message: error.to_string() })?;
    write(path, &text)
}

fn read_report(path: &Path) -> Result<Report, CliError> {
    let failed = |message: String| CliError::File { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let foreign = |error: serde_json::Error| failed(format!("no result of marquee-loadgen: {error}"));
    // Another format has other fields, so that it is looked for first.
    let Versioned { format } = serde_json::from_str(&text).map_err(foreign)?;
    if format == FORMAT {
        serde_json::from_str(&text).map_err(foreign)
    } else {
        Err(failed(format!("has format {format}, this version reads {FORMAT}")))
    }
}

/// What a result says of itself, in every format.
#[derive(serde::Deserialize)]
struct Versioned {
    format: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_another_format_is_refused_by_its_format_whatever_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        std::fs::write(&path, r#"{"format": 1, "stages": [1, 2]}"#).unwrap();
        let refusal = read_report(&path).unwrap_err().to_string();
        assert!(refusal.contains(&format!("has format 1, this version reads {FORMAT}")), "{refusal}");
    }
}
