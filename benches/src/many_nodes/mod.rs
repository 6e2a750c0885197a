//! What one server on redb, and several on CQL and Redis, are to reach, measured in one run.
//!
//! Every figure has its aim in [`aims`]. Speeds of real servers are ratios to what their own driver does
//! in a loop of this very run, because the machine and the other programs on it are never the same twice.

pub mod aims;
mod caller;
pub mod embedded;
pub mod import;
pub mod nodes;
pub mod remote;
pub mod results;
pub mod synthetic_users;

use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Repetitions of every figure; ratios are taken within one.
    pub rounds: usize,
    /// Time of every throughput, and of every series of calls, in a round.
    pub time: Duration,
    /// Single reads in a round.
    pub reads: usize,
    /// Rows that are imported into the CQL store.
    pub import_rows: u64,
    /// Writes on one node that are looked for on the other.
    pub writes_to_see: usize,
}

impl Extent {
    /// Everything as the aims say it.
    pub const FULL: Self = Self {
        rounds: 5,
        time: Duration::from_secs(8),
        reads: 20_000,
        import_rows: 1_000_000,
        writes_to_see: 1_000,
    };

    /// Less than four minutes on two cores: fewer rounds, and an import of 150,000 rows.
    pub const QUICK: Self = Self {
        rounds: 3,
        time: Duration::from_secs(4),
        reads: 5_000,
        import_rows: 150_000,
        writes_to_see: 300,
    };
}

/// The value below which so large a share of the sorted values lies.
///
/// # Panics
/// When there are none.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len() - 1;
    sorted[((last as f64 * share).round() as usize).min(last)]
}

/// In microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// In milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<Duration> = (1..=101).map(Duration::from_millis).collect();
        assert_eq!(quantile(&values, 0.5), Duration::from_millis(51));
        assert_eq!(quantile(&values, 0.99), Duration::from_millis(100));
        assert_eq!(quantile(&values, 1.0), Duration::from_millis(101));
        assert_eq!(quantile(&values[..1], 0.5), Duration::from_millis(1));
    }
}
