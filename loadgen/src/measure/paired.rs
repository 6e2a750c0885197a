//! Ratios of two series that were measured in turns, and how surely they are known.
//!
//! What changes on a machine between rounds changes both figures of a round, so a ratio is taken within each. The
//! interval of the median rests on the ranks of the ratios alone: it holds whatever their distribution is, as long as
//! rounds do not know of one another.

use serde::Serialize;

/// Fewer rounds than this have no interval.
pub const SURE_FROM: usize = 6;

/// How surely the median lies in its interval.
pub const CONFIDENCE: f64 = 0.95;

/// The ratios of all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Their median.
    pub median: f64,
    /// The interval that has the true median with [`CONFIDENCE`]; of fewer than six rounds the lowest and the
    /// highest ratio, which cannot say as much.
    pub interval: (f64, f64),
}

impl Ratio {
    /// Of `figures` to `first`, which have one figure a round. 0 of no rounds.
    pub fn of(figures: &[f64], first: &[f64]) -> Self {
        let mut ratios: Vec<f64> =
            figures.iter().zip(first).map(|(figure, first)| figure / first.max(1e-9)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let (Some(lowest), Some(highest)) = (ratios.first(), ratios.last()) else {
            return Self { median: 0.0, interval: (0.0, 0.0) };
        };
        let interval = match outside(ratios.len()) {
            0 => (*lowest, *highest),
            count => (ratios[count - 1], ratios[ratios.len() - count]),
        };
        Self { median: median(&ratios), interval }
    }
}

/// The median of sorted values; the mean of the middle two of an even number. 0 of nothing.
pub fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// Which value from either end of `count` sorted ones bounds the interval, from 1; 0 where there are too few.
///
/// Each value is below the true median with probability 1/2, so the number of them that are is binomial.
fn outside(count: usize) -> usize {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let n = count as f64;
    // As logarithms: 2^-n is no number any more from a thousand on.
    let mut log = -n * std::f64::consts::LN_2;
    let mut below = 0.0;
    let mut rank = 0;
    while rank < count {
        below += log.exp();
        if below > tail {
            break;
        }
        log += ((n - rank as f64) / (rank as f64 + 1.0)).ln();
        rank += 1;
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[1.0, 5.0, 100.0]), 5.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 100.0]), 3.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        let ratio = Ratio::of(&[20.0, 2.0, 400.0], &[10.0, 1.0, 100.0]);
        assert_eq!(ratio, Ratio { median: 2.0, interval: (2.0, 4.0) });
        assert_eq!(Ratio::of(&[], &[]).median, 0.0);
    }

    #[test]
    fn the_ranks_of_the_interval_are_those_of_the_tables_of_the_sign_test() {
        for (count, rank) in [(5, 0), (6, 1), (8, 1), (9, 2), (20, 6), (50, 18), (100, 40)] {
            assert_eq!(outside(count), rank, "{count}");
        }
        assert_eq!(outside(2000), 956, "1000 less 1.96 standard deviations of 22.4");
    }

    #[test]
    fn the_interval_of_many_rounds_leaves_the_odd_ones_out() {
        let mut figures: Vec<f64> = (0..20).map(|round| 1.0 + f64::from(round) / 1000.0).collect();
        figures[19] = 9.0;
        let ratio = Ratio::of(&figures, &[1.0; 20]);
        assert_eq!(ratio.interval, (1.005, 1.014));
        assert_eq!(ratio.median, 1.0095);
    }
}
