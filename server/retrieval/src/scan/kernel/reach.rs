//! Which rows of a tile may be among the best of a query: those whose upper bound reaches its threshold.

use super::{Ahead, GROUP_MAX, GroupSums, Sums};
use crate::scan::codes::{QueryBound, TileBounds};

/// The rows in reach of each query of a group, the first row in the lowest bit.
pub(crate) type InReach = [u64; GROUP_MAX];

/// What the queries of a group make of a sum, and what it must reach, in the unit of bounds. A lane is a query.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Limits {
    pub(super) scale: [f32; GROUP_MAX],
    pub(super) norm: [f32; GROUP_MAX],
    pub(super) error: [f32; GROUP_MAX],
    pub(super) slack: [f32; GROUP_MAX],
    pub(crate) threshold: [f32; GROUP_MAX],
    pub(super) queries: usize,
}

impl Limits {
    /// Of up to [`GROUP_MAX`] queries, each with its threshold.
    pub(crate) fn new<'a>(queries: impl Iterator<Item = (&'a QueryBound, f32)>) -> Self {
        let [scale, norm, error, slack, threshold] = [[0.0; GROUP_MAX]; 5];
        let mut limits = Self { scale, norm, error, slack, threshold, queries: 0 };
        for (query, (bound, threshold)) in queries.enumerate() {
            limits.scale[query] = bound.scale;
            limits.norm[query] = bound.norm;
            limits.error[query] = bound.error;
            limits.slack[query] = bound.slack;
            limits.threshold[query] = threshold;
            limits.queries = query + 1;
        }
        limits
    }

    /// The bound of a query.
    pub(super) fn bound(&self, query: usize) -> QueryBound {
        let (scale, norm) = (self.scale[query], self.norm[query]);
        QueryBound { scale, norm, error: self.error[query], slack: self.slack[query] }
    }

    /// How far off the score of any row of a tile may be, for each query.
    #[inline]
    pub(super) fn greatest_margins(&self, rows: &TileBounds) -> [f32; GROUP_MAX] {
        std::array::from_fn(|query| self.bound(query).margin(rows.greatest_error, rows.greatest_norm))
    }
}

/// [`super::Reach`] in plain Rust.
pub(super) fn rows_in_reach(
    sums: &GroupSums,
    rows: &TileBounds,
    limits: &Limits,
    in_reach: &mut InReach,
    _: &mut Ahead<'_>,
) -> u32 {
    let mut queries = 0;
    for (query, sums) in sums.0[..limits.queries].iter().enumerate() {
        in_reach[query] = of_query(sums, rows, &limits.bound(query), limits.threshold[query]);
        queries |= u32::from(in_reach[query] != 0) << query;
    }
    queries
}

fn of_query(sums: &Sums, rows: &TileBounds, bound: &QueryBound, threshold: f32) -> u64 {
    let mut reached = 0;
    for (lane, sum) in sums.iter().enumerate() {
        let (score, margin) = bound.score_and_margin(rows, lane, *sum);
        reached |= u64::from(score + margin >= threshold) << lane;
    }
    reached
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::{Kernel, TILE_ROWS};
    use super::*;

    type Reach = (u32, Vec<u64>);

    /// What a kernel finds; of a query that has no row in reach, 0.
    fn found(kernel: &Kernel, sums: &GroupSums, rows: &TileBounds, limits: &Limits) -> Reach {
        let mut in_reach = [0; GROUP_MAX];
        let queries = kernel.rows_in_reach(sums, rows, limits, &mut in_reach, &mut Ahead::nothing());
        let rows = in_reach.iter().enumerate();
        (queries, rows.map(|(query, rows)| if queries >> query & 1 == 1 { *rows } else { 0 }).collect())
    }

    /// What a query finds by itself.
    fn expected(sums: &GroupSums, rows: &TileBounds, bound: &QueryBound, thresholds: &[f32]) -> Reach {
        let of_queries = thresholds.iter().zip(&sums.0);
        let mut in_reach: Vec<u64> =
            of_queries.map(|(threshold, sums)| of_query(sums, rows, bound, *threshold)).collect();
        in_reach.resize(GROUP_MAX, 0);
        let queries = in_reach.iter().enumerate().map(|(query, rows)| u32::from(*rows != 0) << query).sum();
        (queries, in_reach)
    }

    #[test]
    fn every_kernel_finds_the_rows_of_plain_arithmetic_in_reach() {
        let mut random = StdRng::seed_from_u64(8);
        let thresholds = [f32::NEG_INFINITY, -10.0, 0.0, 10.0, 12.0, 14.0, 16.0, 20.0, 24.0, f32::INFINITY];
        for slack in [0.0, f32::INFINITY] {
            for queries in [1, 2, 4, 10] {
                let mut numbers = || std::array::from_fn(|_| random.random_range(0.0..1.0));
                let rows = TileBounds::new(numbers(), numbers(), numbers());
                let bound = QueryBound { scale: 0.5, norm: 0.7, error: 0.1, slack };
                let limits = Limits::new(thresholds[..queries].iter().map(|threshold| (&bound, *threshold)));
                let mut sums = GroupSums([[0; TILE_ROWS]; GROUP_MAX]);
                sums.0.as_flattened_mut().fill_with(|| random.random_range(-50..50));
                let expected = expected(&sums, &rows, &bound, &thresholds[..queries]);
                for kernel in Kernel::available() {
                    assert_eq!(found(kernel, &sums, &rows, &limits), expected, "{}, {queries}", kernel.name);
                }
            }
        }
    }
}
