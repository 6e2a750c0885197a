//! What something costs a server while it lasts: memory, processor time, threads, and what an ordinary caller
//! notices of it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Row;
use super::ordinary::{Answered, Ordinary};
use crate::many_nodes::aims::Bound;
use crate::process::Process;
use crate::served::Server;

/// How often memory and threads are looked at.
const SAMPLED_EVERY: Duration = Duration::from_millis(20);
/// A server that has grown beyond this is ended before the machine suffers, and the row is red.
const MAX_MIB: f64 = 4096.0;
/// An ordinary caller's slowest hundredth, on cores that are shared with the flood.
const P99_MS: f64 = 250.0;

/// A server that is watched.
pub(super) struct Watch {
    process: Process,
    ordinary: Ordinary,
    stop: oneshot::Sender<()>,
    sampler: JoinHandle<Most>,
    before: Most,
    cpu_before: Duration,
    began: Instant,
}

/// What it cost.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    pub(super) grown_mib: f64,
    pub(super) cpu_s: f64,
    pub(super) threads_grown: f64,
    pub(super) took_s: f64,
    answered: Answered,
    alive: bool,
}

/// What it may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// Growth of the resident memory at its peak.
    pub(super) mib: f64,
    /// Processor time, that of the ordinary caller's answers included; `None` where it follows from the time that
    /// is waited.
    pub(super) cpu_s: Option<f64>,
    /// Threads more than before.
    pub(super) threads: f64,
}

impl Watch {
    /// Begins to watch.
    pub(super) async fn start(server: &Server) -> anyhow::Result<Self> {
        let process = server.process();
        process.forget_peak();
        let before = Most::default().and(process);
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            process,
            ordinary: Ordinary::start(server).await?,
            stop,
            sampler: tokio::spawn(sample(process, stopped)),
            before,
            cpu_before: process.cpu_time().unwrap_or_default(),
            began: Instant::now(),
        })
    }

    /// Ends it and says what was seen.
    pub(super) async fn end(self, server: &mut Server) -> anyhow::Result<Cost> {
        let took_s = self.began.elapsed().as_secs_f64();
        let cpu = self.process.cpu_time().unwrap_or_default().saturating_sub(self.cpu_before);
        // The sampler may have ended with the server.
        let _ = self.stop.send(());
        let most = self.sampler.await?;
        let peak_mib = self.process.peak_mib().unwrap_or_default().max(most.mib);
        Ok(Cost {
            grown_mib: (peak_mib - self.before.mib).max(0.0),
            cpu_s: cpu.as_secs_f64(),
            threads_grown: (most.threads - self.before.threads).max(0.0),
            took_s,
            answered: self.ordinary.end().await?,
            alive: most.mib < MAX_MIB && server.is_alive(),
        })
    }
}

/// The most of each that was seen.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    mib: f64,
    threads: f64,
}

impl Most {
    /// With what is now, where the process still lives.
    fn and(self, process: Process) -> Self {
        Self {
            mib: self.mib.max(process.resident_mib().unwrap_or_default()),
            threads: self.threads.max(process.threads().unwrap_or_default()),
        }
    }
}

/// Looks at the process until it is told to stop, and ends one that grows too much.
async fn sample(process: Process, mut stopped: oneshot::Receiver<()>) -> Most {
    let mut most = Most::default();
    loop {
        most = most.and(process);
        if most.mib >= MAX_MIB {
            process.kill();
            return most;
        }
        tokio::select! {
            _ = &mut stopped => return most,
            () = tokio::time::sleep(SAMPLED_EVERY) => {}
        }
    }
}

impl Cost {
    /// Adds to a row what it cost, and what the ordinary caller noticed.
    pub(super) fn judged(&self, row: Row, allowed: Allowed) -> Row {
        let Self { grown_mib, cpu_s, threads_grown, took_s, answered, alive } = self;
        let failed = answered.failures.len();
        let first =
            answered.failures.first().map_or_else(String::new, |first| format!(", the first: {first}"));
        let calls = failed + answered.answers();
        let row = row
            .sees("the server lives", if *alive { "it does" } else { "it ended" }, *alive)
            .within("memory grows", "grown_mib", Bound::AtMost(allowed.mib), "MiB", Some(*grown_mib))
            .within("threads more", "threads_grown", Bound::AtMost(allowed.threads), "", Some(*threads_grown))
            .sees(
                "an ordinary caller is answered beside it",
                format!("{failed} of {calls} failed{first}"),
                failed == 0 && calls > 0,
            )
            .timed("its p99", "ordinary_p99_ms", Bound::AtMost(P99_MS), "ms", answered.p99_ms())
            .figure("cpu_s", *cpu_s)
            .figure("took_s", *took_s);
        match allowed.cpu_s {
            None => row,
            Some(most) => row.timed("processor time", "cpu_s", Bound::AtMost(most), "s", Some(*cpu_s)),
        }
    }
}
