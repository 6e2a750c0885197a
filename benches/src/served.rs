//! The real server in a process of its own, and the load on it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cpu_time::ProcessTime;
use marquee_loadgen::drive::{Load, Plan, Progress, RunOutput, run};
use marquee_loadgen::measure::{CallStats, histogram};
use marquee_loadgen::schedule::{Profile, Spacing};
use marquee_loadgen::wire::Target;
use marquee_loadgen::workload::Workload;
use tonic::transport::Endpoint;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long a server may take until it serves.
const START_LIMIT: Duration = Duration::from_mins(3);
/// How often its health is asked for meanwhile.
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);
/// Most connections; more callers share them.
const MOST_CONNECTIONS: usize = 8;
/// How long answers are waited for after a run.
const DRAIN: Duration = Duration::from_secs(2);
/// Most calls in flight in an open loop.
const MOST_IN_FLIGHT: usize = 20_000;

/// A server that runs until it is dropped.
pub struct Server {
    child: Child,
    target: Target,
    _data_dir: tempfile::TempDir,
}

impl Server {
    /// Starts `binary` on the bundle, without a sample, and waits until it is warm.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub async fn start(binary: &Path, bundle: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let log = data_dir.path().join("server.log");
        let listen = free_port()?;
        let child = Command::new(binary)
            .args(["serve", "--sample", "none", "--device", "cpu", "--listen", &listen])
            .arg("--bundle")
            .arg(bundle)
            .arg("--data-dir")
            .arg(data_dir.path().join("store"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let target = Target { authority: listen };
        let mut server = Self { child, target, _data_dir: data_dir };
        server.wait_until_serving().await.with_context(|| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(5).collect();
            format!("the server said last: {}", last.into_iter().rev().collect::<Vec<_>>().join("\n"))
        })?;
        Ok(server)
    }

    async fn wait_until_serving(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("the server ended with {status}");
            }
            if self.is_serving().await.unwrap_or(false) {
                return Ok(());
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

    /// Processor time of the server since its start; `None` where the system does not say.
    fn cpu_time(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The second field is the name in parentheses; user and system time are the 14th and the 15th.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Resident memory in MiB; `None` where the system does not say.
    pub fn resident_mib(&self) -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
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
        let plan = shape.plan(&self.target, workload);
        let (server, client) = (self.cpu_time(), ProcessTime::now());
        let output = run(Arc::new(plan), Arc::new(Progress::new(1)), |_| ()).await?;
        let server = self.cpu_time().zip(server).map(|(after, before)| after.saturating_sub(before));
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
                (load, (callers as usize).min(MOST_CONNECTIONS), None)
            }
            Arrivals::Open { rate, deadline } => {
                let load = Load::Open(Profile::constant(rate, self.time), Spacing::Poisson);
                (load, MOST_CONNECTIONS, deadline)
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
            max_in_flight: MOST_IN_FLIGHT,
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
