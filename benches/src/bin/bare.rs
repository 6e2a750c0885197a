//! The loops without a server, alone: for trying graphs, kernels and thread counts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use marquee_benches::loops::{Bare, Naive, Runner, best_group, scan, single_call_ms, speed};
use marquee_benches::requests::{Request, decoded, workload};
use marquee_engine::{Bundle, EncoderBackend, Precision};

/// Requests that the loops go round.
const REQUESTS: usize = 4096;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Contestant {
    /// The project's graph and scan.
    Bare,
    /// What one would write first.
    Naive,
}

/// Run the bare or the naive loop on a bundle.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which loop.
    #[arg(value_enum, default_value = "bare")]
    contestant: Contestant,
    /// The bundle, made by `marquee-onnx random --with-int8 --with-naive`.
    #[arg(long)]
    bundle: PathBuf,
    /// What computes the bare loop's encoder: ort, ort-only or native.
    #[arg(long, default_value = "mixed")]
    encoder: EncoderBackend,
    /// Its precision: fp32, int8 (of ort and mixed) or bf16 (of native).
    #[arg(long, default_value = "fp32")]
    precision: Precision,
    /// Threads; one a core when absent.
    #[arg(long)]
    threads: Option<usize>,
    /// Requests a pass over the table; the fastest is looked for when absent.
    #[arg(long)]
    group: Option<usize>,
    /// Seconds a figure.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seed of the requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let bundle = Arc::new(Bundle::open(&arguments.bundle)?);
    let requests = decoded(&workload(&bundle, arguments.seed)?, &bundle, REQUESTS)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores).max(1);
    match arguments.contestant {
        Contestant::Bare => {
            let scorer = scan(&bundle)?;
            let runner = |_| Bare::new(&bundle, arguments.encoder, arguments.precision, Arc::clone(&scorer));
            let mut runners = (0..threads).map(runner).collect::<anyhow::Result<Vec<_>>>()?;
            let group = match arguments.group {
                Some(group) => group.clamp(1, REQUESTS),
                None => best_group(&mut runners, &requests)?,
            };
            measure(&mut runners, &requests, group, arguments.seconds)
        }
        Contestant::Naive => {
            let mut runners =
                (0..threads).map(|_| Naive::new(&bundle)).collect::<anyhow::Result<Vec<_>>>()?;
            measure(&mut runners, &requests, 1, arguments.seconds)
        }
    }
}

fn measure<R: Runner>(
    runners: &mut [R],
    requests: &[Request],
    group: usize,
    seconds: f64,
) -> anyhow::Result<()> {
    let time = Duration::from_secs_f64(seconds);
    let speed = speed(runners, requests, group, time)?;
    println!(
        "{:.1} answers/s on {} threads, {group} a pass; {:.0} us of processor time each",
        speed.per_second,
        runners.len(),
        speed.cpu_us
    );
    println!("a single call takes {:.3} ms (median)", single_call_ms(&mut runners[0], requests, time)?);
    Ok(())
}
