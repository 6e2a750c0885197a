//! Many simulated experiments at once.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// What each run gives, in their order: every run has random numbers of its own, whichever thread does it.
pub(crate) fn of<T: Send>(runs: u64, seed: u64, run: impl Fn(&mut StdRng) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let each = |thread: u64| {
        let run = &run;
        move || -> Vec<(u64, T)> {
            let own = (thread..runs).step_by(threads as usize);
            own.map(|number| (number, run(&mut StdRng::seed_from_u64(seed << 32 | number)))).collect()
        }
    };
    let mut results: Vec<(u64, T)> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|thread| scope.spawn(each(thread))).collect();
        started.into_iter().flat_map(|thread| thread.join().expect("a run does not panic")).collect()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The share of runs of which it is true.
pub(crate) fn share(outcomes: impl ExactSizeIterator<Item = bool>) -> f64 {
    let runs = outcomes.len();
    outcomes.filter(|outcome| *outcome).count() as f64 / runs as f64
}
