//! What the service withstands, tried on a real server: a table of faults, what is expected and what was seen.
//!
//! `cargo run --release -p marquee-benches --bin faults -- --quick` needs nothing else running; it builds
//! and starts its servers, writes `benches/RESULTS-faults.md`, and ends with status 1 if anything was not
//! as expected.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use marquee_benches::arguments::Measured;
use marquee_benches::faults::results::{self, Conditions, Found};
use marquee_benches::faults::{Extent, Field, Part};
use marquee_benches::machine::{Machine, load_average};

/// Try what the service is to withstand.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    measured: Measured,
    /// Less of everything: some minutes on two cores.
    #[arg(long)]
    quick: bool,
    /// The least of everything, with bounds of time printed only: for debug builds.
    #[arg(long, conflicts_with = "quick")]
    tiny: bool,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// The seed of all that is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write everything here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the table here as Markdown; only a run of all parts writes it where this is absent, to
    /// benches/RESULTS-faults.md.
    #[arg(long)]
    results: Option<PathBuf>,
    /// What else was going on, for the results.
    #[arg(long)]
    note: Option<String>,
}

impl Arguments {
    fn extent(&self) -> Extent {
        match (self.quick, self.tiny) {
            (true, _) => Extent::QUICK,
            (_, true) => Extent::TINY,
            _ => Extent::FULL,
        }
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(|part| self.only.is_empty() || self.only.contains(part))
    }

    /// Where the table goes: the results of some parts, or of a run in which no bound counts, are not those of
    /// the repository.
    fn results(&self) -> Option<PathBuf> {
        let whole = self.only.is_empty() && !self.tiny;
        self.results.clone().or_else(|| whole.then(|| PathBuf::from("benches/RESULTS-faults.md")))
    }

    /// The command without folders, which are nobody's business.
    fn command(&self) -> String {
        let bundle = self.measured.bundle.as_ref().map_or("", |_| " --bundle DIR");
        let quick = if self.quick { " --quick" } else { "" };
        let dashes = if bundle.is_empty() && quick.is_empty() { "" } else { " --" };
        format!("cargo run --release -p marquee-benches --bin faults{dashes}{bundle}{quick}")
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let field = Field {
        binary: arguments.measured.binary()?,
        measured: arguments.measured.clone(),
        extent: arguments.extent(),
        seed: arguments.seed,
    };
    let machine = Machine::look();
    let mut found = Vec::new();
    for part in arguments.parts() {
        eprintln!("{}", part.name());
        found.push(tried(part, &field).await);
    }
    let conditions = Conditions {
        machine,
        load_after: load_average(),
        command: arguments.command(),
        seed: arguments.seed,
        note: arguments.note.clone(),
    };
    println!("{}", results::table(&found));
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = arguments.results() {
        write(&path, results::results(&found, &conditions))?;
    }
    if let Some(path) = &arguments.json {
        write(path, serde_json::to_string_pretty(&results::json(&found, &conditions))? + "\n")?;
    }
    Ok(if results::all_ok(&found) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a part. One that cannot go on is red, and the others run all the same.
async fn tried(part: Part, field: &Field) -> Found {
    let began = Instant::now();
    let rows =
        part.run(field).await.unwrap_or_else(|error| vec![field.row_of("the part itself", Err(error))]);
    for row in rows.iter().filter(|row| !row.ok) {
        eprintln!("not as expected: {}: {}", row.fault, row.seen.join("; "));
    }
    Found { part, rows, took: began.elapsed() }
}
