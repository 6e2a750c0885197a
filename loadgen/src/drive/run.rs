//! A whole run: starts the workers together, watches them, adds them up.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::pacer::{Pacer, SystemPacer};
use super::shard::{Place, Shard};
use super::{Plan, Progress, RunError, Tick};
use crate::measure::{Evidence, Failure, Recorder, Verdict, histogram, judge};

/// Time for all workers to hear of the common start.
const START_DELAY: Duration = Duration::from_millis(20);

/// What a run found.
#[derive(Clone, Debug)]
pub struct RunOutput {
    /// The counts of all workers.
    pub recorder: Recorder,
    /// When the warm-up began.
    pub began: SystemTime,
    /// The time that was really measured: less than planned when the count or the user ended it.
    pub measured: Duration,
    /// The share of the time that the busiest worker computed.
    pub busiest_worker: Option<f64>,
    /// Whether the result may be believed.
    pub verdict: Verdict,
}

/// What a worker hands back.
struct WorkerOutput {
    recorder: Recorder,
    ended: Duration,
    busy: Option<f64>,
}

/// Runs `plan`. `watch` is called once a second with what happened since.
///
/// # Errors
/// [`RunError`] when a connection cannot be opened or the system refuses a thread.
pub async fn run(
    plan: Arc<Plan>,
    progress: Arc<Progress>,
    watch: impl FnMut(Tick),
) -> Result<RunOutput, RunError> {
    run_paced(plan, progress, watch, SystemPacer::new).await
}

/// Runs with the pacers that `pacer` makes, one on each worker's thread.
///
/// # Errors
/// As [`run`].
pub async fn run_paced<P: Pacer + 'static>(
    plan: Arc<Plan>,
    progress: Arc<Progress>,
    mut watch: impl FnMut(Tick),
    pacer: impl Fn() -> std::io::Result<P> + Clone + Send + 'static,
) -> Result<RunOutput, RunError> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let (ready, mut readiness) = mpsc::channel(threads);
    let mut starts = Vec::new();
    let mut outputs = Vec::new();
    for worker in 0..threads {
        let (start, started) = oneshot::channel();
        let (output, finished) = oneshot::channel();
        let place = Place { worker, of: threads };
        let (plan, progress, ready, pacer) = (plan.clone(), progress.clone(), ready.clone(), pacer.clone());
        thread::Builder::new().name(format!("load-{worker}")).spawn(move || {
            let result = work(&plan, &progress, place, &ready, started, &pacer);
            // The receiver is gone only when another worker has failed first.
            drop(output.send(result));
        })?;
        starts.push(start);
        outputs.push(finished);
    }
    drop(ready);
    for _ in 0..threads {
        // A worker that fails says so in its output.
        if readiness.recv().await.is_none() {
            break;
        }
    }

    let start = Instant::now() + START_DELAY;
    let began = SystemTime::now() + START_DELAY;
    for sender in starts {
        // A worker that failed to connect does not listen; its output says why.
        let _ = sender.send(start);
    }
    let gather = async {
        let mut all = Vec::new();
        for output in outputs {
            all.push(output.await.map_err(|_| RunError::Worker("it panicked".to_owned()))??);
        }
        Ok::<_, RunError>(all)
    };
    tokio::pin!(gather);
    let mut second = tokio::time::interval_at(start + Duration::from_secs(1), Duration::from_secs(1));
    let workers = loop {
        tokio::select! {
            done = &mut gather => break done?,
            now = second.tick() => watch(progress.look(now.saturating_duration_since(start))),
        }
    };
    Ok(add_up(&plan, &workers, began))
}

fn work<P: Pacer>(
    plan: &Arc<Plan>,
    progress: &Arc<Progress>,
    place: Place,
    ready: &mpsc::Sender<()>,
    started: oneshot::Receiver<Instant>,
    pacer: &impl Fn() -> std::io::Result<P>,
) -> Result<WorkerOutput, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    let (shard, ended, busy) = tasks.block_on(&runtime, async {
        let shard = Shard::open(plan.clone(), progress.clone(), place).await?;
        let mut pacer = pacer()?;
        let gone = |_| RunError::Worker("another worker failed first".to_owned());
        ready.send(()).await.map_err(|_| RunError::Worker("the run was given up".to_owned()))?;
        let start = started.await.map_err(gone)?;
        let (cpu, wall) = (thread_cpu_time(), Instant::now());
        shard.run(start, &mut pacer).await;
        let busy = thread_cpu_time().zip(cpu).map(|(after, before)| {
            after.saturating_sub(before).as_secs_f64() / wall.elapsed().as_secs_f64().max(1e-9)
        });
        Ok::<_, RunError>((shard, start.elapsed(), busy))
    })?;
    // Calls that are still in flight end with their tasks, and count.
    drop(tasks);
    Ok(WorkerOutput { recorder: shard.recorder(), ended, busy })
}

fn add_up(plan: &Plan, workers: &[WorkerOutput], began: SystemTime) -> RunOutput {
    let mut recorder = Recorder::new(plan.settings());
    let mut busiest: Option<f64> = None;
    let mut ended = Duration::ZERO;
    for worker in workers {
        recorder.merge(&worker.recorder);
        ended = ended.max(worker.ended);
        busiest = worker.busy.map(|busy| busiest.map_or(busy, |most| most.max(busy))).or(busiest);
    }
    let measured = plan.duration.min(ended.saturating_sub(plan.warmup));
    let verdict = judge(&evidence(plan, &recorder, busiest));
    RunOutput { recorder, began, measured, busiest_worker: busiest, verdict }
}

fn evidence(plan: &Plan, recorder: &Recorder, busiest_worker: Option<f64>) -> Evidence {
    let mut latency = histogram::precise();
    for call in &recorder.calls {
        histogram::add(&mut latency, &call.latency);
    }
    Evidence {
        kind: plan.load.kind(),
        due: recorder.calls.iter().map(|call| call.due).sum(),
        not_sent: recorder.failures.get(&Failure::NotSent).map_or(0, |(count, _)| *count),
        answered: latency.len(),
        lateness_p50_ms: histogram::quantile_ms(&recorder.lateness, 0.5),
        lateness_p99_ms: histogram::quantile_ms(&recorder.lateness, 0.99),
        latency_p50_ms: histogram::quantile_ms(&latency, 0.5),
        latency_p99_ms: histogram::quantile_ms(&latency, 0.99),
        busiest_worker,
    }
}

#[cfg(target_os = "linux")]
#[expect(clippy::unnecessary_wraps, reason = "other systems have none")]
fn thread_cpu_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(not(target_os = "linux"))]
fn thread_cpu_time() -> Option<Duration> {
    None
}
