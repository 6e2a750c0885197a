//! What the server's own work costs its callers: recommendations beside jobs, and writes beside a backup.
//!
//! A store of synthetic users is served. One caller, who waits for each answer before the next call, is measured in turns
//! alone and while jobs of one kind run, one after another without a pause. Generator, server and jobs have the same
//! processors.
//!
//! `cargo run --release -p marquee-benches --bin beside`

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use comfy_table::Table;
use marquee_benches::arguments::Measured;
use marquee_benches::bundle::described;
use marquee_benches::figures::Spread;
use marquee_benches::loops::WARMUP;
use marquee_benches::machine::Machine;
use marquee_benches::served::{Arrivals, Launch, Served, Server, Shape};
use marquee_benches::synthetic;
use marquee_core::domain::MovieRecord;
use marquee_engine::Bundle;
use marquee_loadgen::workload::{
    Cancellation, Catalogue, FilterSpec, Marquee, MarqueeSettings, Population, Priority, Rpc, Subject,
    UserRange, Weighted, Workload,
};
use marquee_proto::v1;
use marquee_proto::v1::job_service_client::JobServiceClient;
use marquee_store::{RedbStore, Store as _};
use tonic::transport::Channel;

/// Events of each user.
const EVENTS_A_USER: usize = 50;
/// Events of one call of the store, as an import makes them.
const EVENTS_A_CALL: usize = 16_000;
/// What a p99 of recommendations may be of its calm value.
const MOST_OF_READS: f64 = 1.2;
/// What a p99 of writes may be of its calm value.
const MOST_OF_WRITES: f64 = 2.0;

/// Measure what jobs cost callers.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    measured: Measured,
    /// Kinds of jobs beside which recommendations are measured.
    #[arg(long, value_delimiter = ',', default_values_t = ["backup", "evaluate", "statistics", "similar"].map(str::to_owned))]
    kinds: Vec<String>,
    /// Users of the store, of 50 events each.
    #[arg(long, default_value_t = 20_000)]
    users: u64,
    /// How often calm and beside are measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
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
    let data = tempfile::tempdir()?;
    let launch = Launch {
        binary,
        bundle: folder,
        data: data.path().join("store"),
        options: ["--sample-data", "none", "--job-schedules", "none"].map(str::to_owned).to_vec(),
        environment: Vec::new(),
    };
    fill(&launch.data, &bundle, arguments.users).await?;
    let server = launch.start().await?;
    let mut table = Table::new();
    table.set_header(["calls", "beside", "jobs", "p99 calm, ms", "p99 beside, ms", "ratio", "meant"]);
    let reads = arguments.kinds.iter().map(|kind| (Rpc::Recommend, kind.as_str(), MOST_OF_READS));
    let mut above = Vec::new();
    for (rpc, kind, most) in reads.chain([(Rpc::RecordInteraction, "backup", MOST_OF_WRITES)]) {
        let workload = Arc::new(workload(&bundle, rpc, &arguments)?);
        let measured = measure(&server, &workload, kind, &arguments, data.path()).await?;
        let ratio = measured.ratio()?;
        table.add_row(measured.row(rpc.name(), kind, most)?);
        if ratio.median > most {
            above.push(format!("{} beside {kind}: {:.2}", rpc.name(), ratio.median));
        }
    }
    println!("{table}");
    anyhow::ensure!(above.is_empty(), "more than is meant: {}", above.join("; "));
    Ok(())
}

/// Movies that the model knows, and users with histories of them.
async fn fill(folder: &Path, bundle: &Bundle, users: u64) -> anyhow::Result<()> {
    let store = RedbStore::open(folder)?;
    let known = &bundle.vocabulary;
    let movies: Vec<MovieRecord> = known
        .iter()
        .zip(synthetic::movies(known.len(), 1))
        .map(|(&movie_id, movie)| MovieRecord { movie_id, ..movie })
        .collect();
    store.put_movies(&movies).await?;
    let mut waiting = Vec::with_capacity(EVENTS_A_CALL + EVENTS_A_USER);
    for user_id in 1..=users {
        let events = synthetic::history(user_id, EVENTS_A_USER, known.len());
        waiting.extend(events.into_iter().map(|mut event| {
            event.movie_id = known[event.movie_id as usize - 1];
            event
        }));
        if waiting.len() >= EVENTS_A_CALL || user_id == users {
            store.record(&waiting, 0).await?;
            waiting.clear();
        }
    }
    Ok(())
}

fn workload(bundle: &Bundle, rpc: Rpc, arguments: &Arguments) -> anyhow::Result<Workload> {
    let movies = bundle.vocabulary.iter().map(|movie_id| (*movie_id, 1.0, String::new())).collect();
    let users = UserRange { first: 1, last: arguments.users };
    let settings = MarqueeSettings {
        seed: arguments.seed,
        mix: Weighted::single(rpc),
        subject: Subject::Users,
        population: Population::new(users, 0.0, Some(Catalogue::new(movies)?))?,
        k: Weighted::single(10),
        filters: Weighted::single(FilterSpec::default()),
        priorities: Weighted::single(Priority::default()),
        method: v1::Method::Exact,
        batch: 1,
        cancellation: Cancellation::default(),
    };
    Ok(Workload::Marquee(Box::new(Marquee::new(settings)?)))
}

/// What came of all turns of one kind.
struct Turns {
    calm: Vec<Served>,
    beside: Vec<Served>,
    /// Jobs that ended meanwhile.
    jobs: u64,
}

impl Turns {
    fn ratio(&self) -> anyhow::Result<Spread> {
        let ratios: Vec<f64> = self.beside.iter().zip(&self.calm).map(|(b, c)| b.p99_ms / c.p99_ms).collect();
        Spread::of(&ratios).context("there is a turn")
    }

    fn row(&self, calls: &str, kind: &str, most: f64) -> anyhow::Result<[String; 7]> {
        let p99 = |turns: &[Served]| {
            let all: Vec<f64> = turns.iter().map(|turn| turn.p99_ms).collect();
            Spread::of(&all).map(|spread| format!("{:.2}", spread.median)).context("there is a turn")
        };
        let Spread { least, median, most: highest } = self.ratio()?;
        Ok([
            calls.to_owned(),
            kind.to_owned(),
            self.jobs.to_string(),
            p99(&self.calm)?,
            p99(&self.beside)?,
            format!("{median:.2} ({least:.2} to {highest:.2})"),
            format!("{most}"),
        ])
    }
}

async fn measure(
    server: &Server,
    workload: &Arc<Workload>,
    kind: &str,
    arguments: &Arguments,
    folder: &Path,
) -> anyhow::Result<Turns> {
    let shape = Shape {
        arrivals: Arrivals::Callers(1),
        warmup: WARMUP,
        time: Duration::from_secs(arguments.seconds),
        count: None,
    };
    let jobs = Jobs { client: JobServiceClient::connect(server.url()).await?, kind, folder };
    let mut turns = Turns { calm: Vec::new(), beside: Vec::new(), jobs: 0 };
    for _ in 0..arguments.rounds {
        turns.calm.push(server.drive(workload, shape).await?);
        let is_over = AtomicBool::new(false);
        let driven = async {
            let served = server.drive(workload, shape).await;
            is_over.store(true, Ordering::Relaxed);
            served
        };
        let (served, ended) = tokio::try_join!(driven, jobs.run_until(&is_over))?;
        turns.beside.push(served);
        turns.jobs += ended;
    }
    Ok(turns)
}

/// Jobs of one kind.
struct Jobs<'a> {
    client: JobServiceClient<Channel>,
    kind: &'a str,
    /// Where backups are written.
    folder: &'a Path,
}

impl Jobs<'_> {
    /// Runs one after another until it is over and the last has ended; how many ended.
    async fn run_until(&self, is_over: &AtomicBool) -> anyhow::Result<u64> {
        let mut client = self.client.clone();
        let mut ended = 0;
        while !is_over.load(Ordering::Relaxed) {
            let request = v1::RunJobRequest { kind: self.kind.to_owned(), arguments: self.arguments() };
            let job = client.run_job(request).await?.into_inner().job.context("a job is answered")?;
            let watched = v1::WatchJobRequest { job_id: job.job_id };
            let mut states = client.watch_job(watched).await?.into_inner();
            let mut last = job.state;
            while let Some(now) = states.message().await? {
                last = now.job.map_or(last, |job| job.state);
            }
            anyhow::ensure!(
                last == v1::JobState::Succeeded as i32,
                "a job of kind {} ended in state {last}",
                self.kind
            );
            ended += 1;
        }
        Ok(ended)
    }

    fn arguments(&self) -> HashMap<String, String> {
        if self.kind != "backup" {
            return HashMap::new();
        }
        let target = self.folder.join("backups").display().to_string();
        [("target", target), ("keep", "1".to_owned())].map(|(name, value)| (name.to_owned(), value)).into()
    }
}
