//! What the process uses: processors, memory and files, as far as the system says.

use std::fs;
use std::io;

use marquee_core::meters::Metric;
use marquee_core::metrics;
use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

metrics! {
    pub(super) METRICS;
    CPU_TIME = Metric::counter(
        "marquee.process.cpu_time",
        "s",
        &[],
        "Time that processors spent on this process; its rate is how many of them it keeps busy",
    );
    RESIDENT = Metric::gauge("marquee.process.resident_memory", "By", &[], "Memory of this process that is resident");
    OPEN_FILES = Metric::gauge("marquee.process.open_files", "{file}", &[], "Files and sockets that this process has open");
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Time of processors since the start, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Memory that is resident, in bytes; `None` where the system does not say.
    pub(crate) resident_bytes: Option<u64>,
}

impl Usage {
    /// That of this process, now.
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu_seconds: time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9,
            resident_bytes: resident_bytes().ok(),
        }
    }
}

/// The second number of `statm`, which counts pages.
fn resident_bytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map(|pages| pages * page_size() as u64).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Shows what this process uses whenever metrics are read.
pub(super) fn observe() {
    CPU_TIME.f64_observable_counter(|shown| shown.observe(Usage::now().cpu_seconds, &[]));
    RESIDENT.u64_observable_gauge(|shown| {
        if let Ok(bytes) = resident_bytes() {
            shown.observe(bytes, &[]);
        }
    });
    OPEN_FILES.u64_observable_gauge(|shown| {
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            shown.observe(files.count() as u64, &[]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_processors_and_memory() {
        let before = Usage::now();
        let pages = vec![1_u8; 32 << 20];
        assert!(pages.iter().map(|page| u64::from(*page)).sum::<u64>() > 0);
        let after = Usage::now();
        assert!(after.cpu_seconds > before.cpu_seconds, "{before:?} {after:?}");
        assert!(after.resident_bytes.unwrap() >= pages.len() as u64, "{after:?}");
    }
}
