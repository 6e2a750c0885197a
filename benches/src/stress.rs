//! What the server does when it is not left in peace: too many calls, calls that are taken back, a new model.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use marquee_loadgen::workload::Workload;
use marquee_proto::v1;
use marquee_proto::v1::operations_service_client::OperationsServiceClient;

use crate::bundle::renamed;
use crate::figures::Figures;
use crate::served::{Arrivals, Server, Shape};

/// How much more than the capacity is sent in the overload.
const OVERLOAD: f64 = 10.0;
/// The deadline of calls in the overload.
const DEADLINE: Duration = Duration::from_millis(250);
/// A deadline that no answer can meet, so that admission refuses every call.
const HOPELESS: Duration = Duration::from_millis(1);
/// Calls that are cancelled.
const CANCELLED: u64 = 100_000;
/// How long the queue may take to be empty after them: the server reads the last cancellations meanwhile.
const EMPTY_LIMIT: Duration = Duration::from_secs(2);
/// Their callers. They do not wait for answers, so four times as many send more than two cores can read, and some
/// are refused because the queue is full of calls whose cancellation is not read yet.
const CANCELLERS: u32 = 64;

/// Ten times what the server can do, from an open loop with a deadline. The rejections' cost is measured by
/// itself: as many calls a second, all of which are refused at admission.
///
/// # Errors
/// When the generator cannot connect.
pub async fn overload(
    server: &Server,
    workload: &Arc<Workload>,
    calm: Shape,
    cores: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let capacity = server.drive(workload, calm).await?;
    let flood = |deadline| {
        let rate = OVERLOAD * capacity.per_second;
        Shape { arrivals: Arrivals::Open { rate, deadline: Some(deadline) }, ..calm }
    };
    let before = server.process().resident_mib();
    let flooded = server.drive(workload, flood(DEADLINE)).await?;
    let refused = server.drive(workload, flood(HOPELESS)).await?;
    figures.add("overload_sent_per_s", flooded.errors_per_second + flooded.per_second);
    figures.add("overload_goodput_per_s", flooded.per_second);
    figures.add("overload_goodput_over_capacity", flooded.per_second / capacity.per_second);
    figures.add("overload_slowest_ms", flooded.slowest_ms);
    if let Some((before, after)) = before.zip(server.process().resident_mib()) {
        figures.add("overload_memory_growth_mib", after - before);
    }
    if let Some(rejection_us) = refused.rejection_cpu_us() {
        let rejecting = flooded.errors_per_second * rejection_us / 1e6 / cores as f64;
        let rest = capacity.per_second * (1.0 - rejecting);
        figures.add("overload_rejection_cpu_us", rejection_us);
        figures.add("overload_rest_per_s", rest);
        figures.add("overload_goodput_over_rest", flooded.per_second / rest);
    }
    Ok(())
}

/// A new version of the model is loaded and activated at half load.
///
/// # Errors
/// When the generator cannot connect or the new version is refused.
pub async fn swap(
    server: &Server,
    workload: &Arc<Workload>,
    calm: Shape,
    bundle: &Path,
    round: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let capacity = server.drive(workload, calm).await?;
    let arrivals = Arrivals::Open { rate: capacity.per_second / 2.0, deadline: None };
    let half = Shape { arrivals, time: 2 * calm.time, ..calm };
    let undisturbed = server.drive(workload, half).await?;
    let next = renamed(bundle, &format!("again-{round}"))?;
    let began = Instant::now();
    let activated = async {
        tokio::time::sleep(calm.warmup).await;
        activate(server, next.path()).await
    };
    let (swapped, activated) = tokio::join!(server.drive(workload, half), activated);
    let (swapped, took) = (swapped?, activated?.duration_since(began));
    anyhow::ensure!(took < half.warmup + half.time, "the swap took {took:?}, longer than it was watched");
    figures.add("swap_p99_over_calm", swapped.p99_ms / undisturbed.p99_ms);
    figures.add("swap_calm_p99_ms", undisturbed.p99_ms);
    figures.add("swap_p99_ms", swapped.p99_ms);
    figures.add("swap_errors", (swapped.errors + undisturbed.errors) as f64);
    figures.add("swap_took_s", took.saturating_sub(calm.warmup).as_secs_f64());
    Ok(())
}

/// Activates the bundle in a folder; when that was done.
async fn activate(server: &Server, folder: &Path) -> anyhow::Result<Instant> {
    let bundle_dir = folder.to_str().context("the folder's name is not text")?.to_owned();
    let target = Some(v1::activate_model_request::Target::BundleDir(bundle_dir));
    let mut operations = OperationsServiceClient::connect(server.url()).await?;
    operations.activate_model(v1::ActivateModelRequest { target }).await?;
    Ok(Instant::now())
}

/// Calls of which every one is cancelled after a random time; then whether anything is left of them.
///
/// # Errors
/// When the generator cannot connect or the server does not answer afterwards.
pub async fn cancelled(
    server: &Server,
    cancelling: &Arc<Workload>,
    answered: &Arc<Workload>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let all = Shape {
        arrivals: Arrivals::Callers(CANCELLERS),
        warmup: Duration::ZERO,
        time: Duration::from_mins(2),
        count: Some(CANCELLED),
    };
    // What is allocated once is allocated by the first of two runs.
    server.drive(cancelling, Shape { count: Some(CANCELLED / 10), ..all }).await?;
    let before = server.process().resident_mib();
    let run = server.drive(cancelling, all).await?;
    let (left, emptied) = (Instant::now(), emptied(server).await?);
    let one = Shape { arrivals: Arrivals::Callers(1), count: Some(1), ..all };
    let next = server.drive(answered, one).await?;
    figures.add("cancelled_calls", run.cancelled as f64);
    figures.add("cancelled_queue_empty_after_ms", emptied.duration_since(left).as_secs_f64() * 1e3);
    figures.add("cancelled_next_ms", next.slowest_ms);
    if let Some((before, after)) = before.zip(server.process().resident_mib()) {
        figures.add("cancelled_memory_growth_mib", after - before);
    }
    Ok(())
}

/// When the engine's queue was seen empty.
async fn emptied(server: &Server) -> anyhow::Result<Instant> {
    let mut operations = OperationsServiceClient::connect(server.url()).await?;
    let began = Instant::now();
    while began.elapsed() < EMPTY_LIMIT {
        let stats = operations.get_stats(v1::GetStatsRequest {}).await?.into_inner();
        if stats.queue_depth == 0 {
            return Ok(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    anyhow::bail!("cancelled jobs were still in the queue after {EMPTY_LIMIT:?}")
}
