//! Which core a worker stays on.
//!
//! As many workers as cores share them best if each has its own, and Linux does not see to that: beside a thread of the
//! idle class, which loads a model, two busy workers were left on one core for a seventh of a second, and their
//! calls waited. Fewer or more workers are left to Linux: a process without all cores shares them with another, and would
//! wait for a core that is taken while another is free.

/// A core, by the system's number.
pub(super) type Cpu = usize;

/// The core of each of so many workers, one after another; none where they are not as many as the cores that this
/// thread may use.
pub(super) fn of_workers(workers: usize) -> Vec<Cpu> {
    let cores = allowed();
    if cores.len() == workers { cores } else { Vec::new() }
}

/// The cores that the calling thread may use; none where the system does not say.
pub(super) fn allowed() -> Vec<Cpu> {
    system::allowed()
}

/// Keeps the calling thread on a core. Where that can't be, it only costs more.
pub(super) fn stay_on(core: Cpu) {
    system::stay_on(core);
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    use super::Cpu;

    pub(super) fn allowed() -> Vec<Cpu> {
        let cores = sched_getaffinity(None).unwrap_or_default();
        (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect()
    }

    pub(super) fn stay_on(core: Cpu) {
        let mut cores = CpuSet::new();
        cores.set(core);
        if let Err(error) = sched_setaffinity(None, &cores) {
            tracing::debug!(%error, core, "worker thread not pinned to its core");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Cpu;

    pub(super) fn allowed() -> Vec<Cpu> {
        Vec::new()
    }

    pub(super) fn stay_on(_: Cpu) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn as_many_workers_as_cores_have_one_each() {
        let cores = allowed();
        assert!(!cores.is_empty());
        assert_eq!(of_workers(cores.len()), cores);
    }

    #[test]
    fn fewer_or_more_workers_are_left_to_the_system() {
        let cores = allowed().len();
        assert!(of_workers(cores - 1).is_empty());
        assert!(of_workers(cores + 1).is_empty());
    }

    #[test]
    fn a_thread_stays_on_its_core() {
        for core in allowed() {
            let stays = thread::spawn(move || {
                stay_on(core);
                allowed()
            });
            assert_eq!(stays.join().unwrap(), [core]);
        }
    }
}
