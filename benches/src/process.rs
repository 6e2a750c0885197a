//! What Linux says of a process: processor time, memory, threads.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

/// A process, by its number. Every figure is `None` where the system does not say.
#[derive(Clone, Copy, Debug)]
pub struct Process(u32);

impl Process {
    /// The process of this number.
    pub fn new(id: u32) -> Self {
        Self(id)
    }

    /// Processor time since its start.
    pub fn cpu_time(self) -> Option<Duration> {
        let ticks = ticks(&self.read("stat")?)?;
        Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Resident memory in MiB.
    pub fn resident_mib(self) -> Option<f64> {
        Some(number(&self.read("status")?, "VmRSS:")? / 1024.0)
    }

    /// The most resident memory in MiB since its start, or since [`Process::forget_peak`].
    pub fn peak_mib(self) -> Option<f64> {
        Some(number(&self.read("status")?, "VmHWM:")? / 1024.0)
    }

    /// Lets the peak of its memory begin anew, where the system allows it.
    pub fn forget_peak(self) {
        // Where it is not allowed the peak is that since the start, which is no less.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.0), "5");
    }

    /// Threads.
    pub fn threads(self) -> Option<f64> {
        number(&self.read("status")?, "Threads:")
    }

    /// Files and sockets that it has open.
    pub fn open_files(self) -> Option<f64> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.0)).ok()?.count() as f64)
    }

    /// SIGKILL. One that is gone already is no error.
    pub fn kill(self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Limits what it may have of a resource; `None` takes that back, as far as this process may have of it.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn limit(self, resource: Resource, current: Option<u64>) -> anyhow::Result<()> {
        let pid = self.pid().context("a process has a number")?;
        let maximum = getrlimit(resource).maximum;
        let limit = Rlimit { current: current.or(maximum), maximum };
        prlimit(Some(pid), resource, limit).with_context(|| format!("{resource:?} cannot be limited"))?;
        Ok(())
    }

    fn pid(self) -> Option<Pid> {
        Pid::from_raw(self.0.cast_signed())
    }

    fn read(self, file: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).ok()
    }
}

/// User and system time of `/proc/PID/stat`: its 14th and 15th field.
fn ticks(stat: &str) -> Option<u64> {
    // The second field is the name in parentheses, in which anything may stand.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The number of a line of `/proc/PID/status`.
fn number(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_hides_no_time() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_line_of_the_status_is_found_by_its_name() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nThreads:\t12\n";
        assert_eq!(number(status, "VmHWM:"), Some(2048.0));
        assert_eq!(number(status, "Threads:"), Some(12.0));
        assert_eq!(number(status, "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_memory_time_and_threads() {
        let this = Process::new(std::process::id());
        assert!(this.resident_mib() > Some(0.0) && this.peak_mib() >= this.resident_mib());
        assert!(this.threads() >= Some(1.0) && this.open_files() >= Some(1.0) && this.cpu_time().is_some());
    }
}
