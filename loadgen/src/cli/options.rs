//! The options that `run`, `search` and `compare` share, and how they become a plan.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use http::HeaderValue;
use marquee_core::duration;
use marquee_core::tls::ClientCertificate;
use marquee_proto::v1;

use super::CliError;
use super::side::Side;
use crate::drive::{Load, Plan};
use crate::measure::Verdict;
use crate::metrics::MetricsTarget;
use crate::report::live::Style;
use crate::report::{Report, Setup, Tally};
use crate::wire::{Dialect, HttpVersion, Protocol, Target, TlsOptions};
use crate::workload::{
    Cancellation, Catalogue, Marquee, MarqueeSettings, Population, Rpc, Subject, Template, UserRange,
    Weighted, Workload, WorkloadError, discover, writes,
};

/// Most connections of a run.
const MAX_CONNECTIONS: usize = 1024;

/// Most movies of a history, requests of a batch, and calls in flight.
const MAX_MOVIES: u64 = 100_000;
const MAX_REQUESTS: u64 = 100_000;
const MAX_IN_FLIGHT: u64 = 10_000_000;

/// Most machines that make parts of the requests.
const MAX_PARTS: u64 = 10_000;

/// How candidates shall be found.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Method {
    Auto,
    Exact,
    Ann,
}

/// What is asked and over which connections.
#[derive(Clone, Debug, Args)]
pub struct LoadOptions {
    /// The calls, by weight: Recommend, or Recommend=95,GetUserStats=5. Writes need --allow-writes too.
    #[arg(long, default_value = "Recommend", help_heading = "Requests")]
    rpc: String,
    /// Make calls that change what the server holds, such as RecordInteraction.
    #[arg(long, help_heading = "Requests")]
    allow_writes: bool,
    /// Users that the server stores, drawn by a Zipf law.
    #[arg(long, value_name = "FIRST-LAST", default_value = "1-600", help_heading = "Requests")]
    users: UserRange,
    /// The exponent of the Zipf law; 0 draws users evenly.
    #[arg(long, default_value_t = 0.9, help_heading = "Requests")]
    zipf: f64,
    /// Send histories instead of user ids, as long as those of MovieLens users and by popularity.
    #[arg(long, help_heading = "Requests")]
    histories: bool,
    /// The longest history sent.
    #[arg(long, default_value_t = 200, value_parser = up_to(MAX_MOVIES), value_name = "MOVIES", help_heading = "Requests")]
    longest_history: usize,
    /// Movies to draw from: a CSV with columns movieId, ratings and perhaps title. The server is asked for
    /// its popular movies when absent.
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    popularity: Option<PathBuf>,
    /// How many movies are asked for, by weight: 10, or 10=90,100=10.
    #[arg(long, default_value = "10", help_heading = "Requests")]
    k: String,
    /// Filters by weight: none=80,genre:Drama=15,year:1990-1999+rating:3.5=5.
    #[arg(long, default_value = "none", help_heading = "Requests")]
    filters: String,
    /// Priorities by weight: default, or interactive=80,bulk=20.
    #[arg(long, default_value = "default", help_heading = "Requests")]
    priority: String,
    /// How the server shall find candidates.
    #[arg(long, value_enum, default_value = "auto", help_heading = "Requests")]
    method: Method,
    /// Requests in a batch, and messages in a stream.
    #[arg(long, default_value_t = 16, value_parser = up_to(MAX_REQUESTS), help_heading = "Requests")]
    batch: usize,
    /// The time each call is given; it travels as grpc-timeout or connect-timeout-ms, and the client gives up after
    /// it.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = "Requests")]
    deadline: Option<Duration>,
    /// The share of calls that are cancelled on purpose, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", help_heading = "Requests")]
    cancel: f64,
    /// The longest time after which a call is cancelled.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10ms", help_heading = "Requests")]
    cancel_within: Duration,
    /// How the server is spoken to; grpc when nothing else is said. Over the others every call is one request and
    /// one reply, and by rest those alone whose request is a whole body.
    #[arg(long, value_enum, help_heading = "Requests", conflicts_with = "template")]
    protocol: Option<Protocol>,
    /// The version of HTTP; 1 when nothing else is said, and of grpc always 2. Over HTTP/1.1 there are
    /// as many connections as calls in flight.
    #[arg(long, value_enum, value_name = "VERSION", help_heading = "Requests")]
    http: Option<HttpVersion>,
    /// A TOML file that describes calls of another server; see the README.
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    template: Option<PathBuf>,
    /// Requests are a function of the seed and their number.
    #[arg(long, default_value_t = 1, help_heading = "Requests")]
    seed: u64,
    /// Make part I of N of the requests, on each of N machines: 1/3, 2/3, 3/3. Rates are those of a machine.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = parse_part, help_heading = "Requests")]
    part: (u64, u64),
    /// Authorities as PEM that sign the certificates of https targets; those of the system when absent.
    #[arg(long, env = "MARQUEE_TLS_CA", value_name = "FILE", help_heading = "Sending")]
    tls_ca: Option<PathBuf>,
    /// Certificate as PEM that https targets are shown.
    #[arg(
        long,
        env = "MARQUEE_CLIENT_CERT",
        value_name = "FILE",
        requires = "tls_key",
        help_heading = "Sending"
    )]
    tls_cert: Option<PathBuf>,
    /// Private key of that certificate as PEM.
    #[arg(
        long,
        env = "MARQUEE_CLIENT_KEY",
        value_name = "FILE",
        requires = "tls_cert",
        help_heading = "Sending"
    )]
    tls_key: Option<PathBuf>,
    /// The API key, or token, that targets are shown as x-api-key.
    #[arg(
        long,
        env = "MARQUEE_API_KEY",
        hide_env_values = true,
        value_name = "KEY",
        value_parser = parse_api_key,
        help_heading = "Sending"
    )]
    api_key: Option<HeaderValue>,
    /// Connections to the server; over HTTP/1.1 those that are opened before the run.
    #[arg(long, default_value_t = 8, help_heading = "Sending")]
    connections: usize,
    /// Worker threads; a quarter of the cores when absent, two at least.
    #[arg(long, help_heading = "Sending")]
    threads: Option<usize>,
    /// Time before the measurement, at the first level of the load.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "1s", help_heading = "Sending")]
    warmup: Duration,
    /// How long answers are waited for after the end; what has not come then is an error.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5s", help_heading = "Sending")]
    drain: Duration,
    /// Most calls in flight in an open loop; what is due beyond is an error.
    #[arg(long, default_value_t = 10_000, value_parser = up_to(MAX_IN_FLIGHT), value_name = "CALLS", help_heading = "Sending")]
    max_in_flight: usize,
    /// Count the calls answered within this time as goodput; the deadline when absent.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = "Results")]
    goodput_under: Option<Duration>,
    /// The server's Prometheus page, such as http://127.0.0.1:9090/metrics; its changes are reported.
    #[arg(long, value_name = "URL", help_heading = "Results")]
    pub(super) metrics: Option<MetricsTarget>,
    /// The metric of batch sizes, a histogram; found by its name when absent.
    #[arg(long, value_name = "NAME", help_heading = "Results")]
    pub(super) batch_metric: Option<String>,
    /// The view while a run goes on.
    #[arg(long, value_enum, default_value = "auto", help_heading = "Results")]
    pub(super) progress: Style,
}

fn up_to(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=most)
}

fn parse_part(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("'{text}' is no part; write 1/3, 2/3 or 3/3");
    let (part, parts) = text.split_once('/').ok_or_else(wrong)?;
    let part: u64 = part.parse().map_err(|_| wrong())?;
    let parts: u64 = parts.parse().map_err(|_| wrong())?;
    if (1..=parts).contains(&part) && parts <= MAX_PARTS { Ok((part - 1, parts)) } else { Err(wrong()) }
}

/// A header that is printed nowhere.
fn parse_api_key(text: &str) -> Result<HeaderValue, String> {
    let mut key: HeaderValue = text.parse().map_err(|_| "a key is text without line breaks".to_owned())?;
    key.set_sensitive(true);
    Ok(key)
}

impl LoadOptions {
    /// The time before the measurement.
    pub(super) fn warmup(&self) -> Duration {
        self.warmup
    }

    /// Goodput means answers within this time, in milliseconds, unless something else was said.
    pub(super) fn default_goodput(&mut self, under_ms: Option<f64>) {
        let default = under_ms.map(|ms| Duration::from_secs_f64(ms / 1e3));
        self.goodput_under = self.goodput_under.or(default);
    }

    /// The same for one side of a comparison: what it does not say itself is said for all.
    pub(super) fn for_side(&self, side: &Side) -> Self {
        let template =
            side.template.clone().or_else(|| self.template.clone().filter(|_| side.protocol.is_none()));
        Self {
            protocol: side.protocol.or(self.protocol.filter(|_| template.is_none())),
            http: side.http.or(self.http),
            template,
            ..self.clone()
        }
    }

    /// The plan of a run against `target`.
    ///
    /// # Errors
    /// When the requests cannot be made, or the numbers are out of range.
    pub(super) async fn plan(
        &self,
        target: &Target,
        load: Load,
        duration: Duration,
        count: Option<u64>,
    ) -> Result<Plan, CliError> {
        let target = target.clone().with_tls(&self.tls())?.with_api_key(self.api_key.clone());
        let workload = self.workload(&target).await?;
        self.plan_for(target, Arc::new(workload), load, duration, count)
    }

    fn tls(&self) -> TlsOptions {
        let pair = self.tls_cert.clone().zip(self.tls_key.clone());
        TlsOptions {
            authorities: self.tls_ca.clone(),
            certificate: pair.map(|(certificate, key)| ClientCertificate { certificate, key }),
        }
    }

    fn plan_for(
        &self,
        target: Target,
        workload: Arc<Workload>,
        load: Load,
        duration: Duration,
        count: Option<u64>,
    ) -> Result<Plan, CliError> {
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            return Err(CliError::Options(format!("--connections must be 1 to {MAX_CONNECTIONS}")));
        }
        if duration.is_zero() {
            return Err(CliError::Options("the measured time must be above 0".to_owned()));
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Two at least: where cores are contended, one of two threads is more often let in at once.
        let threads = self.threads.unwrap_or((cores / 4).max(2)).clamp(1, self.connections);
        let connections = match &load {
            // So that none is opened while a call waits for it.
            Load::Closed(callers) if workload.dialect().http() == HttpVersion::One => {
                self.connections.max((callers.peak().ceil() as usize).min(MAX_CONNECTIONS))
            }
            _ => self.connections,
        };
        Ok(Plan {
            target,
            workload,
            load,
            connections,
            threads,
            warmup: self.warmup,
            duration,
            count,
            drain: self.drain,
            deadline: self.deadline,
            max_in_flight: self.max_in_flight,
            seed: self.seed,
            part: self.part,
        })
    }

    async fn workload(&self, target: &Target) -> Result<Workload, CliError> {
        let cancellation = Cancellation { share: self.cancel, within: self.cancel_within };
        if let Some(path) = &self.template {
            let catalogue = self.popularity.as_deref().map(Catalogue::read).transpose()?;
            let population = Population::new(self.users, self.zipf, catalogue)?;
            let template =
                Template::read(path, &population, self.longest_history.max(1), self.seed, cancellation)?;
            let workload = Workload::Template(Box::new(template.over(self.http)?));
            self.permit(workload.routes().iter().map(|route| route.path.as_str()))?;
            return Ok(workload);
        }
        let mix = Weighted::parse(&self.rpc, str::parse::<Rpc>)?;
        self.permit(mix.items().iter().map(|rpc| rpc.path()))?;
        let subject = if self.histories {
            Subject::Histories { longest: self.longest_history.max(1) }
        } else {
            Subject::Users
        };
        let catalogue = match &self.popularity {
            Some(path) => Some(Catalogue::read(path)?),
            None if Marquee::needs_movies(&mix, subject).is_some() => Some(discover(target).await?),
            None => None,
        };
        let method = match self.method {
            Method::Auto => v1::Method::Unspecified,
            Method::Exact => v1::Method::Exact,
            Method::Ann => v1::Method::Ann,
        };
        let settings = MarqueeSettings {
            seed: self.seed,
            mix,
            subject,
            population: Population::new(self.users, self.zipf, catalogue)?,
            k: Weighted::parse(&self.k, str::parse::<u32>)?,
            filters: Weighted::parse(&self.filters, str::parse)?,
            priorities: Weighted::parse(&self.priority, str::parse)?,
            method,
            batch: self.batch.max(1),
            cancellation,
        };
        let dialect = Dialect::new(self.protocol.unwrap_or(Protocol::Grpc), self.http)?;
        Ok(Workload::Marquee(Box::new(Marquee::new(settings)?.over(dialect)?)))
    }

    /// Refuses the first of these paths that writes, unless writing is allowed.
    fn permit<'a>(&self, mut paths: impl Iterator<Item = &'a str>) -> Result<(), WorkloadError> {
        match paths.find(|path| writes(path)) {
            Some(path) if !self.allow_writes => {
                Err(WorkloadError::Writes(path.rsplit('/').next().unwrap_or(path).to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// What is asked, in words: results of other requests do not add up with these.
    fn requests(&self) -> String {
        let users = format!("users {}-{} by Zipf {}", self.users.first, self.users.last, self.zipf);
        let longest = format!("histories of at most {} movies", self.longest_history);
        let mut words = match &self.template {
            Some(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                vec![format!("template {name}"), users, longest]
            }
            None => vec![
                if self.histories { longest } else { users },
                format!("k {}", self.k),
                format!("filters {}", self.filters),
                format!("priority {}", self.priority),
                format!("method {:?}", self.method).to_lowercase(),
                format!("batches of {}", self.batch),
            ],
        };
        if self.cancel > 0.0 {
            words.push(format!("{}% cancelled within {:?}", self.cancel * 100.0, self.cancel_within));
        }
        words.join(", ")
    }

    /// The result of a run of `plan`.
    pub(super) fn report(
        &self,
        plan: &Plan,
        load: String,
        output: &crate::drive::RunOutput,
        metrics: Option<crate::metrics::MetricsReport>,
    ) -> Report {
        let setup = Setup {
            target: format!("{}://{}", plan.target.scheme(), plan.target.authority),
            rpc: if self.template.is_some() { plan.workload.names().join(",") } else { self.rpc.clone() },
            requests: self.requests(),
            protocol: plan.workload.dialect().to_string(),
            load,
            connections: plan.connections,
            threads: plan.threads,
            machines: 1,
            parts: vec![format!("{}/{}", plan.part.0 + 1, plan.part.1)],
            seed: self.seed,
            deadline_ms: self.deadline.map(|deadline| deadline.as_millis() as u64),
        };
        let began = output.began.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let good = self.goodput_under.or(self.deadline).map(|time| time.as_secs_f64() * 1e3);
        let tally = Tally::new(
            &output.recorder,
            &plan.workload.names(),
            output.measured,
            plan.window(),
            output.busiest_worker,
            good,
        );
        let Verdict { valid, reasons } = output.verdict.clone();
        Report::new(setup, began, Verdict { valid, reasons }, tally, metrics)
    }
}
