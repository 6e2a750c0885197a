//! Long computations in time that nobody else wants, for what is loaded beside serving.
//!
//! A low priority is not enough: whoever wakes up next to a thread of any priority waits until its turn is over,
//! and is not put on its processor, which does not count as free. To Linux's idle class both do not apply, but
//! on a machine that is never idle it would take minutes, and a thread without privileges cannot leave it again.
//! So a thread of its own does the steps in that class, for as long as one is patient; the caller does the rest.

use std::thread;
use std::time::{Duration, Instant};

/// For how long the steps may wait for idle time. On a machine that is half busy it is hardly ever reached.
const PATIENCE: Duration = Duration::from_secs(2);
/// With so few steps it is not worth a thread.
const FEW: usize = 64;
/// Numbers that are checked at once: a tenth of a millisecond.
const CHECKED_AT_ONCE: usize = 1 << 16;

/// Does the steps 0, 1, 2, …, one after another; each should take well under a millisecond.
///
/// ```
/// # use marquee_core::idle::in_idle_time;
/// let mut sum = 0;
/// in_idle_time(1000, |step| sum += step);
/// assert_eq!(sum, 499_500);
/// ```
pub fn in_idle_time(steps: usize, step: impl FnMut(usize) + Send) {
    within(PATIENCE, steps, step);
}

/// Lets the calling thread run behind others from now on: it gets a seventieth of a processor that an ordinary thread
/// wants too. Unlike the idle class it goes on then, so that whoever waits for something that it holds does not wait for
/// long. Where the system does not take it, nothing changes.
pub fn run_behind_others() {
    #[cfg(target_os = "linux")]
    {
        const LAST: libc::c_int = 19;
        // SAFETY: it takes numbers alone; to Linux 0 is the calling thread.
        let _is_taken = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LAST) } == 0;
    }
}

/// Whether all numbers are finite.
pub fn all_finite(numbers: &[f32]) -> bool {
    all(numbers, |number| number.is_finite())
}

/// Whether it holds for all numbers.
pub fn all<T: Sync>(numbers: &[T], holds: impl Fn(&T) -> bool + Sync) -> bool {
    let mut parts = numbers.chunks(CHECKED_AT_ONCE);
    let mut for_all = true;
    in_idle_time(parts.len(), |_| {
        for_all &= parts.next().is_none_or(|part| part.iter().all(&holds));
    });
    for_all
}

fn within(patience: Duration, steps: usize, mut step: impl FnMut(usize) + Send) {
    let mut next = 0;
    if steps > FEW {
        let began = Instant::now();
        thread::scope(|scope| {
            let in_idle_class = || {
                if enter_idle_class() {
                    while next < steps && began.elapsed() < patience {
                        step(next);
                        next += 1;
                    }
                }
            };
            // Where there can be no further thread, the caller does all steps.
            let _ = thread::Builder::new().name("idle".to_owned()).spawn_scoped(scope, in_idle_class);
        });
    }
    (next..steps).for_each(step);
}

/// Whether the calling thread runs from now on only when no other wants to.
#[cfg(target_os = "linux")]
fn enter_idle_class() -> bool {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters are live, and 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn enter_idle_class() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    fn threads(patience: Duration, steps: usize) -> Vec<(usize, ThreadId)> {
        let mut done = Vec::new();
        within(patience, steps, |step| done.push((step, thread::current().id())));
        done
    }

    #[test]
    fn every_step_is_done_once_and_in_order_wherever() {
        for (patience, steps) in [(Duration::MAX, 1000), (Duration::ZERO, 1000), (Duration::MAX, FEW)] {
            let order: Vec<usize> = threads(patience, steps).into_iter().map(|(step, _)| step).collect();
            assert_eq!(order, (0..steps).collect::<Vec<_>>());
        }
    }

    #[test]
    fn few_steps_and_those_that_are_left_after_the_patience_are_the_callers() {
        let here = thread::current().id();
        assert!(threads(Duration::MAX, FEW).iter().all(|(_, thread)| *thread == here));
        assert!(threads(Duration::ZERO, 1000).iter().all(|(_, thread)| *thread == here));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn many_steps_are_an_idle_threads() {
        let here = thread::current().id();
        assert!(threads(Duration::MAX, 1000).iter().all(|(_, thread)| *thread != here));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_a_step_is_the_callers() {
        within(Duration::MAX, 1000, |step| assert!(step < 500, "a mistake in step {step}"));
    }
}
