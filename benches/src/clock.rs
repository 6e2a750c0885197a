//! How long something takes a thread.

use std::time::Duration;

use cpu_time::ThreadTime;

/// The median and the least time that one call of `work` kept this thread's processor busy, in at
/// least `rounds` calls after one that does not count.
///
/// Processor time and not the wall's: on a machine that is shared, a call that loses the processor for
/// a moment would measure the neighbours.
pub fn cpu_time_of(rounds: usize, mut work: impl FnMut()) -> Spread {
    work();
    let mut times: Vec<Duration> = std::iter::repeat_with(|| {
        let start = ThreadTime::now();
        work();
        start.elapsed()
    })
    .take(rounds.max(1))
    .collect();
    times.sort_unstable();
    Spread { least: times[0], median: times[times.len() / 2] }
}

/// Times of several calls.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The least.
    pub least: Duration,
    /// The one in the middle.
    pub median: Duration,
}
