//! Does one greedy caller take the answers of a polite one?
//!
//! A server that asks who calls gives each caller a share of the calls in flight (`--caller-share`). The polite caller
//! waits for each answer before its next call; the greedy one sends so many times what its share can be answered. The
//! polite one's p99 is taken in turns, calm and beside the greedy one, over loopback; the load is bounded by
//! `--most-per-second`, since generator and server have the same processors.
//!
//! `cargo run --release -p marquee-benches --bin fairness`

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use comfy_table::Table;
use http::HeaderValue;
use marquee_benches::arguments::Measured;
use marquee_benches::bundle::described;
use marquee_benches::figures::Spread;
use marquee_benches::loops::WARMUP;
use marquee_benches::machine::Machine;
use marquee_benches::requests::workload;
use marquee_benches::served::{Arrivals, Launch, Served, Server, Shape};
use marquee_engine::Bundle;
use marquee_loadgen::workload::{Preencoded, Workload};

/// Requests that the generator goes round.
const REQUESTS: u64 = 2_048;

/// Measure what a greedy caller costs a polite one.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    measured: Measured,
    /// The share of each caller: calls in flight, as `--caller-share` has it.
    #[arg(long, default_value_t = 1)]
    share: u32,
    /// How many times what its share can be answered the greedy caller sends.
    #[arg(long, default_value_t = 20.0)]
    times: f64,
    /// Calls a second that the greedy caller sends at most.
    #[arg(long, default_value_t = 4_000.0)]
    most_per_second: f64,
    /// How often calm and flooded are measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// What the polite one's p99 may be of its calm value; more is exit code 1.
    #[arg(long, default_value_t = 1.5)]
    most: f64,
    /// Seed of the requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (binary, folder) = (arguments.measured.binary()?, arguments.measured.folder()?);
    let bundle = Bundle::open(&folder)?;
    println!("{}\n{}\n", Machine::look().processor, described(&bundle));
    let requests = Preencoded::new(workload(&bundle, arguments.seed)?, REQUESTS);
    let requests = Arc::new(Workload::Preencoded(Box::new(requests)));

    let data = tempfile::tempdir()?;
    let data_dir = data.path().join("store");
    let [polite, greedy] = [key(&binary, &data_dir, "polite")?, key(&binary, &data_dir, "greedy")?];
    let options = ["--sample-data", "none", "--auth", "on", "--vector-cache-mib", "0", "--caller-share"];
    let options = options.map(str::to_owned).into_iter().chain([arguments.share.to_string()]).collect();
    let launch = Launch { binary, bundle: folder, data: data_dir, options, environment: Vec::new() };
    let server = launch.start().await?;

    let shape = |arrivals| Shape {
        arrivals,
        warmup: WARMUP,
        time: Duration::from_secs(arguments.seconds),
        count: None,
    };
    let alone = shape(Arrivals::Callers(1));
    let share = server.drive_as(Some(&greedy), &requests, shape(Arrivals::Callers(arguments.share))).await?;
    let rate = (arguments.times * share.per_second).min(arguments.most_per_second);
    let flood = shape(Arrivals::Open { rate, deadline: None });
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let calm = server.drive_as(Some(&polite), &requests, alone).await?;
        let (flooded, flood) = beside(&server, &requests, (&polite, alone), (&greedy, flood)).await?;
        rounds.push(Round { calm, flooded, flood });
    }
    let ratio = told(&rounds, rate / share.per_second)?;
    anyhow::ensure!(ratio <= arguments.most, "the ratio is {ratio:.2}, more than {}", arguments.most);
    Ok(())
}

/// What came of one turn.
struct Round {
    calm: Served,
    flooded: Served,
    flood: Served,
}

/// Two callers at once.
async fn beside(
    server: &Server,
    requests: &Arc<Workload>,
    (polite, calm): (&HeaderValue, Shape),
    (greedy, flood): (&HeaderValue, Shape),
) -> anyhow::Result<(Served, Served)> {
    tokio::try_join!(
        server.drive_as(Some(polite), requests, calm),
        server.drive_as(Some(greedy), requests, flood)
    )
}

/// Prints all figures; the median of the ratios.
fn told(rounds: &[Round], times: f64) -> anyhow::Result<f64> {
    let mut table = Table::new();
    table.set_header([
        "polite p99, calm, ms",
        "beside the greedy one, ms",
        "ratio",
        "greedy answers/s",
        "refused/s",
    ]);
    let ratio = |round: &Round| round.flooded.p99_ms / round.calm.p99_ms;
    for round in rounds {
        table.add_row([
            format!("{:.2}", round.calm.p99_ms),
            format!("{:.2}", round.flooded.p99_ms),
            format!("{:.2}", ratio(round)),
            format!("{:.0}", round.flood.per_second),
            format!("{:.0}", round.flood.errors_per_second),
        ]);
    }
    println!("{table}");
    let ratios: Vec<f64> = rounds.iter().map(ratio).collect();
    let Spread { least, median, most } = Spread::of(&ratios).context("there is a round")?;
    println!(
        "A caller at {times:.1} times its share leaves a polite one's p99 at {median:.2} of its calm value ({least:.2} to \
         {most:.2} in {} rounds).",
        rounds.len()
    );
    Ok(median)
}

/// A new key of this name in a store that no server has open.
fn key(binary: &Path, data_dir: &Path, name: &str) -> anyhow::Result<HeaderValue> {
    let made = Command::new(binary)
        .args(["access", "create-key", name, "--role", "recommender", "--sample-data", "none", "--data-dir"])
        .arg(data_dir)
        .output()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    anyhow::ensure!(made.status.success(), "no key is made: {}", String::from_utf8_lossy(&made.stderr));
    let mut key = HeaderValue::from_str(String::from_utf8(made.stdout)?.trim())?;
    key.set_sensitive(true);
    Ok(key)
}
