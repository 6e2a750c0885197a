//! Whether experiments keep what they promise, on simulated users of whom the truth is known.
//!
//! What is simulated is read by the same arithmetic as on a server, `marquee-experiments`, looked at after every 100
//! users. Each figure stands beside what was promised; all of it but times is seeded, so that it is the same on each machine.

mod assignment;
mod interleaving;
mod looks;
mod power;
mod runs;
mod sample_ratio;
mod users;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use comfy_table::Table;
use serde_json::{Map, Value, json};

/// The error that is promised.
const ALPHA: f64 = 0.05;
/// After how many users it is looked again.
const USERS_A_LOOK: u64 = 100;

/// Simulate experiments of known truth, and print how often what they say is wrong.
#[derive(Debug, Parser)]
struct Arguments {
    /// 2,000 runs of 10,000 users in less than a minute, instead of 10,000 runs of 20,000.
    #[arg(long)]
    quick: bool,
    /// What makes the users.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures here.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// How much is simulated.
#[derive(Clone, Copy)]
struct Size {
    /// Simulated experiments.
    runs: u64,
    /// Users of each.
    users: u64,
    /// What makes them.
    seed: u64,
}

/// A measured figure.
struct Figure {
    name: &'static str,
    what: String,
    value: f64,
    promised: &'static str,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (runs, users) = if arguments.quick { (2_000, 10_000) } else { (10_000, 20_000) };
    let size = Size { runs, users, seed: arguments.seed };
    let parts = [looks::false_positives, looks::coverage, power::power, sample_ratio::alarms];
    let mut figures: Vec<Figure> = parts.iter().flat_map(|part| part(size)).collect();
    figures.extend(interleaving::users_ratio(size)?);
    figures.extend(assignment::cost());
    println!("{}", table(&figures));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&document(&figures, size))?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(comfy_table::presets::ASCII_MARKDOWN)
        .set_header(["figure", "value", "promised", "what"]);
    for Figure { name, what, value, promised } in figures {
        let value = if *value < 100.0 { format!("{value:.4}") } else { format!("{value:.0}") };
        table.add_row([name, &*value, promised, what]);
    }
    table
}

fn document(figures: &[Figure], size: Size) -> Value {
    let named = figures.iter().map(|figure| (figure.name.to_owned(), json!(figure.value)));
    let mut object: Map<String, Value> = named.collect();
    let Size { runs, users, seed } = size;
    object.insert("size".to_owned(), json!({ "runs": runs, "users": users, "seed": seed }));
    Value::Object(object)
}
