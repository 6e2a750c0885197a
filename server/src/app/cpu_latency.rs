//! Keeps idle processors from sleeping deeply, if the settings ask for it.
//!
//! A call crosses four threads. Where processors that have nothing to do sleep, on virtual machines above all,
//! each crossing waits until one is cpu_latency again, and a lone caller pays for all of them. Linux lets a process
//! bound that time for the whole machine, for as long as it holds `/dev/cpu_dma_latency` open.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

const DEVICE: &str = "/dev/cpu_dma_latency";

/// A wake-up latency that is asked for until this is dropped.
pub(super) struct CpuLatencyGuard(
    #[expect(dead_code, reason = "the request stands while the file is open")] File,
);

/// Asks for processors that are cpu_latency within `latency_us` microseconds; 0 keeps them from sleeping at all.
///
/// # Errors
/// When the system has no such device, or lets only others write to it.
pub(super) fn hold_cpu_latency(latency_us: i32) -> io::Result<CpuLatencyGuard> {
    ask(Path::new(DEVICE), latency_us)
}

fn ask(device: &Path, latency_us: i32) -> io::Result<CpuLatencyGuard> {
    let mut file = OpenOptions::new().write(true).open(device)?;
    file.write_all(&latency_us.to_ne_bytes())?;
    Ok(CpuLatencyGuard(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_is_written_as_the_system_reads_it() {
        let device = tempfile::NamedTempFile::new().unwrap();
        let _cpu_latency = ask(device.path(), 2).unwrap();
        assert_eq!(std::fs::read(device.path()).unwrap(), 2_i32.to_ne_bytes());
    }

    #[test]
    fn a_system_without_the_device_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ask(&folder.path().join("none"), 0).is_err());
    }
}
