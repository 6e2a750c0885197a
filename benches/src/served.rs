//! The real server in a process of its own, and the load on it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cpu_time::ProcessTime;
use http::HeaderValue;
use marquee_loadgen::drive::{Load, Plan, Progress, RunOutput, run};
use marquee_loadgen::measure::{CallStats, histogram};
use marquee_loadgen::schedule::{Profile, Spacing};
use marquee_loadgen::wire::Target;
use marquee_loadgen::workload::Workload;
use tonic::transport::Endpoint;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::process::Process;

/// How long a server may take until it serves.
const START_LIMIT: Duration = Duration::from_mins(3);
/// How often its health is asked for meanwhile.
const HEALTH_INTERVAL: Duration = Duration::from_millis(50);
/// Most connections; more callers share them.
const MAX_CONNECTIONS: usize = 8;
/// How long answers are waited for after a run.
const DRAIN: Duration = Duration::from_secs(2);
/// Most calls in flight in an open loop.
const MAX_IN_FLIGHT: usize = 20_000;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub binary: PathBuf,
    /// The folder of its model.
    pub bundle: PathBuf,
    /// Its data folder; the log lies beside it.
    pub data: PathBuf,
    /// Further options of `serve`.
    pub options: Vec<String>,
    /// Settings in its environment.
    pub environment: Vec<(String, String)>,
}

/// What came of a start.
pub enum Started {
    /// It serves.
    Serving(Server),
    /// It ended by itself.
    Ended {
        /// Its exit status; `None` when a signal ended it.
        code: Option<i32>,
        /// Its log.
        said: String,
    },
}

impl Launch {
    /// Starts it and waits until it is warm or ends.
    ///
    /// # Errors
    /// When it cannot be run, or is not ready in time, with the end of its log.
    pub async fn attempt(&self) -> anyhow::Result<Started> {
        let mut server = self.spawn()?;
        match server.wait_until_serving().await {
            Ok(None) => Ok(Started::Serving(server)),
            Ok(Some(status)) => Ok(Started::Ended { code: status.code(), said: server.log() }),
            Err(error) => Err(error.context(last_words(&server.log()))),
        }
    }

    /// Starts it and waits until it is warm.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub async fn start(&self) -> anyhow::Result<Server> {
        match self.attempt().await? {
            Started::Serving(server) => Ok(server),
            Started::Ended { code, said } => {
                let ended = anyhow::anyhow!("the server ended with {code:?}");
                Err(ended.context(last_words(&said)))
            }
        }
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn(&self) -> anyhow::Result<Server> {
        let log = self.data.with_extension("log");
        let listen = free_port()?;
        let child = Command::new(&self.binary)
            .args(["serve", "--device", "cpu", "--log-format", "text", "--listen", &listen])
            .arg("--bundle")
            .arg(&self.bundle)
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.options)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        Ok(Server { child, target: Target::plain(listen), log, folder: None })
    }
}

fn last_words(log: &str) -> String {
    let last: Vec<&str> = log.lines().rev().take(5).collect();
    format!("the server said last: {}", last.into_iter().rev().collect::<Vec<_>>().join("\n"))
}

/// A server that runs until it is dropped.
pub struct Server {
    child: Child,
    target: Target,
    log: PathBuf,
    /// Where its data lies, if that is its own.
    folder: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts `binary` on the bundle, without a sample, over a folder of its own, and waits until it is warm.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub async fn start(binary: &Path, bundle: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let launch = Launch {
            binary: binary.to_owned(),
            bundle: bundle.to_owned(),
            data: folder.path().join("store"),
            options: ["--sample-data", "none"]
                .iter()
                .chain(options)
                .map(|option| (*option).to_owned())
                .collect(),
            environment: Vec::new(),
        };
        let mut server = launch.start().await?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// `None` when it serves, how it ended when it did.
    async fn wait_until_serving(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let began = Instant::now();
        while began.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if self.is_serving().await.unwrap_or(false) {
                return Ok(None);
            }
            tokio::time::sleep(HEALTH_INTERVAL).await;
        }
        anyhow::bail!("the server was not ready after {START_LIMIT:?}")
    }

    async fn is_serving(&self) -> anyhow::Result<bool> {
        let channel = Endpoint::from_shared(self.url())?.connect().await?;
        let mut health = HealthClient::new(channel);
        let answer = health.check(tonic_health::pb::HealthCheckRequest::default()).await?;
        Ok(answer.into_inner().status() == ServingStatus::Serving)
    }

    /// Host and port where it listens.
    pub fn authority(&self) -> &str {
        &self.target.authority
    }

    /// Where it listens, as `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.target.authority)
    }

    /// Runs a load and says what came of it.
    ///
    /// # Errors
    /// When the generator cannot connect, or a closed loop got an error.
    pub async fn drive(&self, workload: &Arc<Workload>, shape: Shape) -> anyhow::Result<Served> {
        self.drive_as(None, workload, shape).await
    }

    /// The same by a caller with this key.
    ///
    /// # Errors
    /// As [`Self::drive`].
    pub async fn drive_as(
        &self,
        key: Option<&HeaderValue>,
        workload: &Arc<Workload>,
        shape: Shape,
    ) -> anyhow::Result<Served> {
        let plan = shape.plan(&self.target.clone().with_api_key(key.cloned()), workload);
        let (server, client) = (self.process().cpu_time(), ProcessTime::now());
        let output = run(Arc::new(plan), Arc::new(Progress::new(1)), |_| ()).await?;
        let server =
            self.process().cpu_time().zip(server).map(|(after, before)| after.saturating_sub(before));
        let served = Served::new(&output, server, client.elapsed(), shape);
        if matches!(shape.arrivals, Arrivals::Callers(_)) && served.errors > 0 {
            let first = output.recorder.failures.iter().next();
            anyhow::bail!("{} of the calls failed, the first: {first:?}", served.errors);
        }
        Ok(served)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; its data is temporary either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Arrivals {
    /// So many callers, each waiting for its answer.
    Callers(u32),
    /// So many a second, Poisson.
    Open {
        /// Requests a second.
        rate: f64,
        /// The time each call is given.
        deadline: Option<Duration>,
    },
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// When requests are sent.
    pub arrivals: Arrivals,
    /// Time before the measurement.
    pub warmup: Duration,
    /// The measured time.
    pub time: Duration,
    /// Stop after so many requests.
    pub count: Option<u64>,
}

impl Shape {
    fn plan(self, target: &Target, workload: &Arc<Workload>) -> Plan {
        let (load, connections, deadline) = match self.arrivals {
            Arrivals::Callers(callers) => {
                let load = Load::Closed(Profile::constant(f64::from(callers), self.time));
                (load, (callers as usize).min(MAX_CONNECTIONS), None)
            }
            Arrivals::Open { rate, deadline } => {
                let load = Load::Open(Profile::constant(rate, self.time), Spacing::Poisson);
                (load, MAX_CONNECTIONS, deadline)
            }
        };
        Plan {
            target: target.clone(),
            workload: Arc::clone(workload),
            load,
            connections,
            threads: 1,
            warmup: self.warmup,
            duration: self.time,
            count: self.count,
            drain: DRAIN,
            deadline,
            max_in_flight: MAX_IN_FLIGHT,
            seed: 1,
            part: (0, 1),
        }
    }
}

/// What came of a load.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Answers a second, in the measured time.
    pub per_second: f64,
    /// Median latency as the caller sees it.
    pub p50_ms: f64,
    /// The same of the slowest hundredth.
    pub p99_ms: f64,
    /// The longest latency of an answer.
    pub slowest_ms: f64,
    /// Calls that got no answer, whatever the reason; cancelled ones are not among them.
    pub errors: u64,
    /// Calls cancelled on purpose.
    pub cancelled: u64,
    /// The same as `errors`, a second.
    pub errors_per_second: f64,
    /// Processor time of the server, warm-up included.
    server_cpu: Option<Duration>,
    /// Processor time of the generator, warm-up included.
    client_cpu: Duration,
    /// The time in which it was taken.
    time: Duration,
}

impl Served {
    fn new(output: &RunOutput, server: Option<Duration>, client: Duration, shape: Shape) -> Self {
        let mut latency = histogram::precise();
        for call in &output.recorder.calls {
            histogram::add(&mut latency, &call.latency);
        }
        let measured = output.measured.as_secs_f64();
        let sum = |of: fn(&CallStats) -> u64| output.recorder.calls.iter().map(of).sum::<u64>();
        let errors = sum(|call| call.failed);
        Self {
            per_second: output.recorder.answers as f64 / measured,
            p50_ms: histogram::quantile_ms(&latency, 0.5),
            p99_ms: histogram::quantile_ms(&latency, 0.99),
            slowest_ms: histogram::quantile_ms(&latency, 1.0),
            errors,
            cancelled: sum(|call| call.cancelled),
            errors_per_second: errors as f64 / measured,
            server_cpu: server,
            client_cpu: client,
            time: output.measured + shape.warmup,
        }
    }

    /// Processor time that the server took for an answer, in microseconds; `None` where the system does not say.
    pub fn server_cpu_us(&self) -> Option<f64> {
        Some(self.server_cpu?.as_secs_f64() * 1e6 / self.in_all(self.per_second))
    }

    /// Processor time that the generator took for an answer, in microseconds.
    pub fn client_cpu_us(&self) -> f64 {
        self.client_cpu.as_secs_f64() * 1e6 / self.in_all(self.per_second)
    }

    /// Processor time that both ends took for a call without an answer, in microseconds, where there were no
    /// others; `None` where the system does not say.
    pub fn rejection_cpu_us(&self) -> Option<f64> {
        let both = self.server_cpu? + self.client_cpu;
        Some(both.as_secs_f64() * 1e6 / self.in_all(self.errors_per_second))
    }

    /// What comes of so many a second in the time in which processor time was taken.
    fn in_all(&self, per_second: f64) -> f64 {
        per_second * self.time.as_secs_f64()
    }
}

/// The server's binary beside this one, built first if it is not fresh.
///
/// # Errors
/// When cargo fails.
pub fn built_server() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Both packages are named so that features, and with them what is built already, are those of this one.
    let packages = ["--package", "marquee-server", "--package", "marquee-benches"];
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--bin", "marquee-server"])
        .args(packages)
        .status()
        .context("cannot run cargo to build the server; give --server FILE")?;
    anyhow::ensure!(status.success(), "the server does not build; see above");
    let beside = std::env::current_exe()?.with_file_name("marquee-server");
    anyhow::ensure!(
        beside.is_file(),
        "{} is not there; run this with --release, or give --server FILE",
        beside.display()
    );
    Ok(beside)
}
