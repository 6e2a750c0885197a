//! `marquee-loadgen run`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args;
use marquee_core::duration;

use super::{CliError, LoadOptions, Output};
use crate::drive::{Load, Plan, Progress, RunOutput, run};
use crate::metrics::{MetricsReport, MetricsTarget, Reading, compare};
use crate::report::live::{Live, Style};
use crate::report::{Report, table};
use crate::schedule::{MAX_LEVEL, Profile, Spacing, read_schedule};
use crate::wire::Target;

/// The arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The server, http://HOST:PORT or https://HOST:PORT.
    #[arg(long)]
    target: Target,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    options: LoadOptions,
    #[command(flatten)]
    output: Output,
    /// End with status 2 when the result is not valid.
    #[arg(long, help_heading = "Results")]
    strict: bool,
}

/// The load over time.
#[derive(Clone, Debug, Args)]
pub(super) struct Shape {
    /// Closed loop: so many callers, each of which waits for its answer. 16 when nothing else is said.
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=MAX_LEVEL as i64), conflicts_with_all = ["rate", "schedule"], help_heading = "Load")]
    callers: Option<u32>,
    /// Open loop: so many requests a second, whatever becomes of them.
    #[arg(long, conflicts_with = "schedule", help_heading = "Load")]
    rate: Option<f64>,
    /// Ramps and steps: segments such as 100-1000:60s,1000:30s. Levels are requests a second, or callers with
    /// --closed.
    #[arg(long, value_name = "SEGMENTS", conflicts_with_all = ["callers", "rate", "schedule", "duration"], help_heading = "Load")]
    profile: Option<Profile>,
    /// The levels of --profile are callers.
    #[arg(long, requires = "profile", help_heading = "Load")]
    closed: bool,
    /// Open loop: replay a file of offsets in seconds, one a line.
    #[arg(long, value_name = "FILE", help_heading = "Load")]
    schedule: Option<PathBuf>,
    /// How requests of an open loop lie between one another.
    #[arg(long, value_enum, default_value = "poisson", help_heading = "Load")]
    arrivals: Spacing,
    /// The measured time.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = "Load")]
    duration: Option<Duration>,
    /// Stop after so many measured requests.
    #[arg(long, help_heading = "Load")]
    count: Option<u64>,
}

/// Time of a run that says nothing of it.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

impl Shape {
    /// The load, how long it is measured, and both in words.
    pub(super) fn load(&self, warmup: Duration) -> Result<(Load, Duration, String), CliError> {
        let duration = self.duration.unwrap_or(DEFAULT_DURATION);
        let spacing = match self.arrivals {
            Spacing::Constant => "evenly spaced",
            Spacing::Poisson => "Poisson",
        };
        if let Some(path) = &self.schedule {
            let offsets = read_schedule(path)?;
            let last = offsets.iter().max().copied().unwrap_or_default();
            let left = last.saturating_sub(warmup) + Duration::from_millis(1);
            let duration = self.duration.map_or(left, |duration| duration.min(left));
            let words = format!("open loop, {} recorded arrivals", offsets.len());
            return Ok((Load::Replay(Arc::new(offsets)), duration, words));
        }
        if let Some(profile) = &self.profile {
            let length = profile.length();
            return Ok(if self.closed {
                (Load::Closed(profile.clone()), length, format!("closed loop, callers {profile}"))
            } else {
                let words = format!("open loop, {spacing}, requests/s {profile}");
                (Load::Open(profile.clone(), self.arrivals), length, words)
            });
        }
        if let Some(rate) = self.rate {
            if !(rate > 0.0 && rate <= MAX_LEVEL) {
                return Err(CliError::Options(format!("--rate must be above 0, and {MAX_LEVEL} at most")));
            }
            let words = format!("open loop, {spacing}, {rate}/s");
            return Ok((Load::Open(Profile::constant(rate, duration), self.arrivals), duration, words));
        }
        let callers = self.callers.unwrap_or(16);
        let words = format!("closed loop, {callers} callers");
        Ok((Load::Closed(Profile::constant(f64::from(callers), duration)), duration, words))
    }

    /// Runs this load against `target`.
    pub(super) async fn measured(&self, target: &Target, options: &LoadOptions) -> Result<Report, CliError> {
        let (load, duration, words) = self.load(options.warmup())?;
        let plan = Arc::new(options.plan(target, load, duration, self.count).await?);
        let (output, metrics) = observed(&plan, options, options.progress).await?;
        Ok(options.report(&plan, words, &output, metrics))
    }
}

impl RunArguments {
    pub(super) async fn run(self) -> Result<bool, CliError> {
        let report = self.shape.measured(&self.target, &self.options).await?;
        print!("{}", table::render(&report));
        self.output.write(&report)?;
        Ok(report.valid || !self.strict)
    }
}

/// Runs with the live view and, where asked for, the server's metrics.
pub(super) async fn observed(
    plan: &Arc<Plan>,
    options: &LoadOptions,
    style: Style,
) -> Result<(RunOutput, Option<MetricsReport>), CliError> {
    let progress = Arc::new(Progress::new(plan.threads));
    let mut live = Live::new(style, plan.warmup, plan.end());
    let readings = Arc::new(Mutex::new(Vec::new()));
    let reader = match &options.metrics {
        Some(target) => {
            target.read().await.map_err(|failed| CliError::Metrics(failed.message))?;
            let reading = read_metrics(target.clone(), plan.warmup, plan.window(), readings.clone());
            Some(tokio::spawn(reading))
        }
        None => None,
    };
    let stop = progress.clone();
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.stop();
        }
    });
    let output = run(plan.clone(), progress, |tick| live.show(tick)).await;
    interrupt.abort();
    drop(live);
    if let Some(reader) = reader {
        reader.abort();
    }
    let output = output?;
    let metrics = match &options.metrics {
        Some(target) => {
            let last = target.read().await.map_err(|failed| CliError::Metrics(failed.message))?;
            let mut readings = readings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            readings.push(last);
            let mut report = compare(&readings, options.batch_metric.as_deref());
            // What came after the last window belongs to the drain.
            report.batch_sizes.truncate(output.recorder.windows.len());
            Some(report)
        }
        None => None,
    };
    Ok((output, metrics))
}

/// Reads the metrics at the end of the warm-up and after each window.
async fn read_metrics(
    target: MetricsTarget,
    warmup: Duration,
    window: Duration,
    readings: Arc<Mutex<Vec<Reading>>>,
) {
    let mut due = tokio::time::interval_at(tokio::time::Instant::now() + warmup, window);
    loop {
        due.tick().await;
        // A reading that fails leaves its window out.
        if let Ok(reading) = target.read().await {
            readings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(reading);
        }
    }
}
