//! Naive, bare and served in one run, alternating, and the ratios between them.
//!
//! `cargo run --release -p marquee-benches --bin end-to-end` needs nothing else running; it makes its
//! bundle, builds and starts its server, and writes `benches/RESULTS.md`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use marquee_benches::arguments::Measured;
use marquee_benches::bundle::described;
use marquee_benches::figures::Figures;
use marquee_benches::loops::{Bare, Naive, Scan, WARMUP, best_group, scan, single_call_ms, speed};
use marquee_benches::machine::{Machine, load_average};
use marquee_benches::report::{self, Conditions};
use marquee_benches::requests::{Request, cancelling, decoded, workload};
use marquee_benches::served::{Arrivals, Server, Shape};
use marquee_benches::stress;
use marquee_engine::{Bundle, EncoderBackend, Precision};
use marquee_loadgen::workload::{Cancellation, Preencoded, Workload};
use mimalloc::MiMalloc;

/// The server's, so that the loops have the memory that it has.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Requests that the loops and the load generator go round.
const REQUESTS: usize = 4096;
/// Requests of the measurement with remembered vectors; the server sees each of them again and again.
const REMEMBERED: usize = 2048;
/// Rounds of naive, bare and served. A median of so many ratios is right to about 0.008, of five to 0.012.
const ROUNDS: usize = 9;
/// Most rounds of overload and swaps.
const STRESS_ROUNDS: usize = 5;
/// The longest time after which a call is cancelled.
const CANCELLED_WITHIN: Duration = Duration::from_millis(20);

/// Measure naive, bare and served in one run and print the ratios.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    measured: Measured,
    /// Rounds of naive, bare and served.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: usize,
    /// Seconds of every measurement of a round; 4 with --quick, else 8.
    #[arg(long)]
    seconds: Option<u64>,
    /// About 12 minutes on two cores.
    #[arg(long)]
    quick: bool,
    /// What the bare loop and the server encode with: ort, ort-only or native.
    #[arg(long, default_value = "ort")]
    encoder: EncoderBackend,
    /// In which precision: fp32, or bf16 of native; int8 is measured beside it.
    #[arg(long, default_value = "fp32")]
    precision: Precision,
    /// Threads of the loops and workers of the server; one a core when absent.
    #[arg(long)]
    threads: Option<usize>,
    /// Leave out what is beyond the ratios of naive, bare and served: remembered vectors, overload, swaps,
    /// cancelled calls.
    #[arg(long)]
    only_ratios: bool,
    /// Seed of the requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write all figures here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the tables here as Markdown.
    #[arg(long, default_value = "benches/RESULTS.md")]
    results: PathBuf,
    /// What else was going on, for the results.
    #[arg(long)]
    note: Option<String>,
}

impl Arguments {
    /// What is encoded with, as a name.
    fn encoded_with(&self) -> String {
        match self.encoder {
            EncoderBackend::Ort => self.precision.to_string(),
            other => format!("{other} {}", self.precision),
        }
    }

    /// How long a throughput is measured in a round.
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 4 } else { 8 }).max(1))
    }

    /// The command without folders, which are nobody's business.
    fn command(&self) -> String {
        let bundle = self.measured.bundle.as_ref().map(|_| " --bundle DIR".to_owned());
        let quick = self.quick.then(|| " --quick".to_owned());
        let rounds = (self.rounds != ROUNDS).then(|| format!(" --rounds {}", self.rounds));
        let seconds = self.seconds.map(|seconds| format!(" --seconds {seconds}"));
        let extra = self.only_ratios.then(|| " --only-ratios".to_owned());
        let encoder =
            (self.encoder != EncoderBackend::default()).then(|| format!(" --encoder {}", self.encoder));
        let precision =
            (self.precision != Precision::Fp32).then(|| format!(" --precision {}", self.precision));
        let options: String =
            [bundle, quick, rounds, seconds, extra, encoder, precision].into_iter().flatten().collect();
        let dashes = if options.is_empty() { "" } else { " --" };
        format!("cargo run --release -p marquee-benches --bin end-to-end{dashes}{options}")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = arguments.measured.folder()?;
    let binary = arguments.measured.binary()?;
    let machine = Machine::look();
    let mut field = Field::new(&arguments, folder, binary)?;
    let mut figures = Figures::default();
    field.measure(&mut figures).await?;
    field.measure_awake(&mut figures).await?;
    if !arguments.only_ratios {
        field.measure_remembered(&mut figures).await?;
        field.measure_stress(&mut figures).await?;
    }
    let conditions = Conditions {
        machine,
        load_after: load_average(),
        command: arguments.command(),
        bundle: described(&field.bundle),
        rounds: arguments.rounds,
        threads: field.threads,
        groups: format!(
            "the bare loop scans {} requests a pass in {} and {} in int8, which was fastest",
            field.group_main,
            arguments.encoded_with(),
            field.group_int8
        ),
        encoder: arguments.encoded_with(),
        note: arguments.note.clone(),
    };
    println!("{}", report::tables(&figures, &arguments.encoded_with()));
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write(&arguments.results, report::results(&figures, &conditions))?;
    if let Some(path) = &arguments.json {
        write(path, serde_json::to_string_pretty(&report::json(&figures, &conditions))? + "\n")?;
    }
    Ok(())
}

/// All that is compared, ready to run.
struct Field {
    folder: PathBuf,
    binary: PathBuf,
    bundle: Arc<Bundle>,
    workload: Arc<Workload>,
    requests: Vec<Request>,
    naive: Vec<Naive>,
    /// With what is asked for.
    main: Vec<Bare>,
    /// All by ONNX Runtime, in fp32.
    ort: Vec<Bare>,
    int8: Vec<Bare>,
    scan: Vec<Scan>,
    group_main: usize,
    group_ort: usize,
    group_int8: usize,
    threads: usize,
    rounds: usize,
    time: Duration,
    seed: u64,
    /// Settings of a server that encodes with what is asked for.
    encoder: [String; 4],
}

impl Field {
    fn new(arguments: &Arguments, folder: PathBuf, binary: PathBuf) -> anyhow::Result<Self> {
        let bundle = Arc::new(Bundle::open(&folder)?);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = arguments.threads.unwrap_or(cores).max(1);
        let workload = workload(&bundle, arguments.seed)?;
        let requests = decoded(&workload, &bundle, REQUESTS)?;
        // The loops read theirs prepared, too.
        let workload = Arc::new(Workload::Preencoded(Box::new(Preencoded::new(workload, REQUESTS as u64))));
        let scorer = scan(&bundle)?;
        let bare = |backend, precision| -> anyhow::Result<Vec<Bare>> {
            let one = |_| Bare::new(&bundle, backend, precision, Arc::clone(&scorer));
            (0..threads).map(one).collect()
        };
        let mut main = bare(arguments.encoder, arguments.precision)?;
        let mut ort = bare(EncoderBackend::OrtOnly, Precision::Fp32)?;
        let mut int8 = bare(EncoderBackend::Ort, Precision::Int8)?;
        let naive = (0..threads).map(|_| Naive::new(&bundle)).collect::<anyhow::Result<_>>()?;
        let vectors = Arc::new(main[0].encode(&requests[..REMEMBERED.min(256)])?);
        let scan = (0..threads).map(|_| Scan::new(Arc::clone(&scorer), Arc::clone(&vectors))).collect();
        eprintln!("looking for the bare loop's best group");
        let group_main = best_group(&mut main, &requests)?;
        let (group_ort, group_int8) = (best_group(&mut ort, &requests)?, best_group(&mut int8, &requests)?);
        let encoder =
            ["--encoder", &arguments.encoder.to_string(), "--precision", &arguments.precision.to_string()];
        let encoder = encoder.map(str::to_owned);
        Ok(Self {
            folder,
            binary,
            bundle,
            workload,
            requests,
            naive,
            main,
            ort,
            int8,
            scan,
            group_main,
            group_ort,
            group_int8,
            threads,
            rounds: arguments.rounds,
            time: arguments.time(),
            seed: arguments.seed,
            encoder,
        })
    }

    /// A server that encodes with what is asked for.
    async fn start(&self, options: &[&str]) -> anyhow::Result<Server> {
        let encoder = self.encoder.each_ref().map(String::as_str);
        self.start_with(&[&encoder, options].concat()).await
    }

    async fn start_with(&self, options: &[&str]) -> anyhow::Result<Server> {
        let workers = self.threads.to_string();
        let all = [&["--workers", workers.as_str()], options].concat();
        Server::start(&self.binary, &self.folder, &all).await
    }

    fn closed(&self, callers: u32) -> Shape {
        Shape { arrivals: Arrivals::Callers(callers), warmup: WARMUP, time: self.time, count: None }
    }

    /// The rounds of naive, bare and served.
    async fn measure(&mut self, figures: &mut Figures) -> anyhow::Result<()> {
        let main = self.start(&["--vector-cache-mib", "0"]).await?;
        let int8 = self.start_with(&["--vector-cache-mib", "0", "--precision", "int8"]).await?;
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            self.round(figures, &main, &int8).await?;
        }
        Ok(())
    }

    async fn round(&mut self, figures: &mut Figures, main: &Server, int8: &Server) -> anyhow::Result<()> {
        let naive = speed(&mut self.naive, &self.requests, 1, self.time)?;
        let c64 = main.drive(&self.workload, self.closed(64)).await?;
        let bare = speed(&mut self.main, &self.requests, self.group_main, self.time)?;
        let ort = speed(&mut self.ort, &self.requests, self.group_ort, self.time)?;
        let c16 = main.drive(&self.workload, self.closed(16)).await?;
        let single = single_call_ms(&mut self.main[0], &self.requests, self.time)?;
        let c1 = main.drive(&self.workload, self.closed(1)).await?;
        let bare_int8 = speed(&mut self.int8, &self.requests, self.group_int8, self.time)?;
        let int8_c64 = int8.drive(&self.workload, self.closed(64)).await?;

        figures.add("served_over_bare_c64", c64.per_second / bare.per_second);
        figures.add("served_over_bare_c16", c16.per_second / bare.per_second);
        figures.add("served_over_bare_c1_p50", c1.p50_ms / single);
        figures.add("served_over_bare_int8_c64", int8_c64.per_second / bare_int8.per_second);
        figures.add("bare_over_naive_fp32", bare.per_second / naive.per_second);
        figures.add("bare_over_naive_int8", bare_int8.per_second / naive.per_second);
        figures.add("bare_over_ort", bare.per_second / ort.per_second);
        figures.add("served_over_ort", c64.per_second / ort.per_second);
        figures.add("ort_per_s", ort.per_second);
        figures.add("served_over_naive_c64", c64.per_second / naive.per_second);
        figures.add("naive_fp32_per_s", naive.per_second);
        figures.add("bare_fp32_per_s", bare.per_second);
        figures.add("bare_int8_per_s", bare_int8.per_second);
        figures.add("served_c64_per_s", c64.per_second);
        figures.add("served_c16_per_s", c16.per_second);
        figures.add("served_int8_c64_per_s", int8_c64.per_second);
        figures.add("bare_c1_p50_ms", single);
        figures.add("served_c1_p50_ms", c1.p50_ms);
        figures.add("served_c1_p99_ms", c1.p99_ms);
        figures.add("served_c16_p99_ms", c16.p99_ms);
        figures.add("served_c64_p99_ms", c64.p99_ms);
        figures.add("naive_cpu_us", naive.cpu_us);
        figures.add("bare_fp32_cpu_us", bare.cpu_us);
        figures.add("served_c64_client_cpu_us", c64.client_cpu_us());
        if let Some(cpu_us) = c64.server_cpu_us() {
            figures.add("served_c64_server_cpu_us", cpu_us);
        }
        Ok(())
    }

    /// One caller of a server that keeps the processors awake, if it may.
    async fn measure_awake(&mut self, figures: &mut Figures) -> anyhow::Result<()> {
        eprintln!("one caller, processors awake");
        let server = match self.start(&["--vector-cache-mib", "0", "--wake-latency-us", "0"]).await {
            Ok(server) => server,
            Err(error) => {
                eprintln!("left out: {error:#}");
                return Ok(());
            }
        };
        for _ in 0..self.rounds {
            let single = single_call_ms(&mut self.main[0], &self.requests, self.time)?;
            let served = server.drive(&self.workload, self.closed(1)).await?;
            figures.add("served_over_bare_c1_awake_p50", served.p50_ms / single);
        }
        Ok(())
    }

    /// The same requests again and again to a server that remembers their vectors, against the scan alone.
    async fn measure_remembered(&mut self, figures: &mut Figures) -> anyhow::Result<()> {
        let server = self.start(&["--vector-cache-mib", "64"]).await?;
        let workload = workload(&self.bundle, self.seed)?;
        let again = Arc::new(Workload::Preencoded(Box::new(Preencoded::new(workload, REMEMBERED as u64))));
        eprintln!("remembered vectors");
        let once = Shape { time: Duration::from_mins(1), count: Some(REMEMBERED as u64), ..self.closed(64) };
        server.drive(&again, once).await?;
        let group = best_group(&mut self.scan, &self.requests)?;
        for _ in 0..self.rounds {
            let scan = speed(&mut self.scan, &self.requests, group, Duration::from_secs(1))?;
            let served = server.drive(&again, self.closed(64)).await?;
            figures.add("bare_scan_per_s", scan.per_second);
            figures.add("cached_c64_per_s", served.per_second);
            figures.add("cached_over_bare_scan", served.per_second / scan.per_second);
            if let Some(cpu_us) = served.server_cpu_us() {
                figures.add("cached_server_cpu_us", cpu_us);
            }
        }
        Ok(())
    }

    /// Too many calls, calls that are taken back, a new model.
    async fn measure_stress(&mut self, figures: &mut Figures) -> anyhow::Result<()> {
        let server = self.start(&["--vector-cache-mib", "0"]).await?;
        for round in 1..=self.rounds.min(STRESS_ROUNDS) {
            eprintln!("overload and swap, round {round}");
            stress::overload(&server, &self.workload, self.closed(64), self.threads, figures).await?;
            stress::swap(&server, &self.workload, self.closed(64), &self.folder, round, figures).await?;
        }
        eprintln!("cancelled calls");
        let cancellation = Cancellation { share: 1.0, within: CANCELLED_WITHIN };
        let cancelling = Arc::new(cancelling(&self.bundle, self.seed, cancellation)?);
        stress::cancelled(&server, &cancelling, &self.workload, figures).await
    }
}
