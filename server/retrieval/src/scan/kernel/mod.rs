//! Integer inner products of a tile of rows with a group of queries, for the instruction sets there are.
//!
//! A tile is 64 rows. Its codes lie in [`Line`]s, each with [`STEP`] coordinates of 16 rows, row by row and each more by
//! 128 than what it stands for, so that a sum stays in its lane from the first coordinate to the last, whatever the
//! register is wide. One step of a tile is four lines, one after the other in memory; so are the steps. A processor with
//! tiles of its own multiplies the same lines with many queries at once ([`group::TiledQueries`]).
//!
//! A kernel writes the same integers as [`portable`], for its own width of query codes. Which one runs
//! is decided once, by what the processor says it has.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod ahead;
mod group;
mod portable;
mod reach;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use ahead::Ahead;
pub(crate) use group::{CodeWidth, GROUP_MAX, Group};
pub(crate) use marquee_kernels::int8::{
    COLUMNS as TILE_ROWS, LINE_COLUMNS as LINE_ROWS, LINES as TILE_LINES, Line, STEP,
    TILE_STEPS as STEPS_AT_ONCE,
};
pub(crate) use reach::{InReach, Limits};

use group::{PackedQueries, TiledQueries, WORDS_MAX};
use marquee_kernels::int8::Unit;

use super::codes::TileBounds;

/// The integer inner product of each row of a tile with one query.
pub(crate) type Sums = [i32; TILE_ROWS];

/// The sums of a group.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct GroupSums(pub(crate) [Sums; GROUP_MAX]);

/// The steps of a tile.
pub(crate) type Steps = [[Line; TILE_LINES]];

/// From so many queries on, tiles are faster than vectors; with fewer both wait for memory, and vectors leave it more
/// room. Of 84,432 x 256 codes in the processor's last cache, each of twelve queries takes 88 us by tiles and 122 by
/// vectors, and each of 32 takes 47 and 103; of codes in no cache it is 165 and 159, and 71 and 107.
const TILED_FROM: usize = 12;

/// One way to do the arithmetic of a scan.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The instruction set.
    pub(crate) name: &'static str,
    /// How it wants queries coded.
    pub(crate) width: CodeWidth,
    /// For few queries.
    products: Products,
    /// For many queries; their codes are 8 bits wide.
    tiles: Option<Unit>,
    reach: Reach,
}

/// `sums[q][row]` becomes the inner product of the codes of query `q` and the row. Unsafe because the
/// processor must have the kernel's instruction set.
type Products = unsafe fn(&Steps, &PackedQueries, &mut [Sums], &mut Ahead<'_>);

/// Which rows of a tile are in reach of the queries of a group, and which queries have any, the first one in the lowest
/// bit; the rows of others are not written. Unsafe as [`Products`].
type Reach = unsafe fn(&GroupSums, &TileBounds, &Limits, &mut InReach, &mut Ahead<'_>) -> u32;

impl Kernel {
    /// The kernels that this processor can run, best first; the last one runs anywhere.
    pub(crate) fn available() -> Vec<&'static Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        kernels.extend(x86::available());
        #[cfg(target_arch = "aarch64")]
        kernels.push(&aarch64::NEON);
        #[cfg(test)]
        kernels.push(&portable::TILED);
        kernels.push(&portable::PORTABLE);
        kernels
    }

    /// Queries in groups, in order. Each query's codes are whole steps long.
    pub(crate) fn groups(&self, codes: &[Vec<i32>]) -> Vec<Group> {
        match self.tiles.filter(|_| codes.len() >= TILED_FROM) {
            Some(unit) => {
                let groups = codes.chunks(GROUP_MAX);
                groups.map(|codes| Group::Tiles(TiledQueries::new(codes, unit))).collect()
            }
            None => self.groups_in_words(codes),
        }
    }

    /// Queries in groups of the sizes that vectors take, the greatest first.
    fn groups_in_words(&self, codes: &[Vec<i32>]) -> Vec<Group> {
        let mut rest = codes;
        let mut groups = Vec::new();
        while !rest.is_empty() {
            let (group, others) = rest.split_at(WORDS_MAX.min(1 << rest.len().ilog2()));
            groups.push(Group::Words(PackedQueries::new(group, self.width)));
            rest = others;
        }
        groups
    }

    /// `sums[q][row]` becomes the inner product of the codes of query `q` of the group and the row. `tile` goes on
    /// behind the tile's steps up to a multiple of [`STEPS_AT_ONCE`], with whatever there is.
    pub(crate) fn products(&self, tile: &Steps, group: &Group, sums: &mut GroupSums, ahead: &mut Ahead<'_>) {
        match group {
            Group::Words(queries) => {
                assert!(queries.words.len() <= tile.len() * queries.queries * self.width.words());
                // SAFETY: kernels are only handed out by `available`, which asked the processor.
                unsafe { (self.products)(tile, queries, &mut sums.0[..queries.queries], ahead) }
            }
            Group::Tiles(queries) => queries.products(tile, &mut sums.0, ahead),
        }
    }

    /// Which rows of a tile are in reach of the queries of a group, as bits in `in_reach`, and which queries have any;
    /// the rows of others are not written.
    pub(crate) fn rows_in_reach(
        &self,
        sums: &GroupSums,
        rows: &TileBounds,
        limits: &Limits,
        in_reach: &mut InReach,
        ahead: &mut Ahead<'_>,
    ) -> u32 {
        // SAFETY: as in `products`.
        unsafe { (self.reach)(sums, rows, limits, in_reach, ahead) }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn sum_by_hand(tile: &Steps, codes: &[i32], row: usize) -> i32 {
        (0..codes.len())
            .map(|column| {
                let line = &tile[column / STEP][row / LINE_ROWS];
                (i32::from(line.0[row % LINE_ROWS * STEP + column % STEP]) - 128) * codes[column]
            })
            .sum()
    }

    fn check(kernel: &Kernel, queries: usize, steps: usize, extreme: bool) {
        let mut random = StdRng::seed_from_u64(7);
        let greatest = kernel.width.greatest_code(steps);
        let mut lines = vec![[Line::filled(0); TILE_LINES]; steps.next_multiple_of(STEPS_AT_ONCE)];
        for line in lines.iter_mut().flatten() {
            line.0.fill_with(|| if extreme { [1, 255][random.random_range(0..2)] } else { random.random() });
        }
        let codes: Vec<Vec<i32>> = (0..queries)
            .map(|_| {
                let one = || if extreme { greatest } else { random.random_range(-greatest..=greatest) };
                std::iter::repeat_with(one).take(steps * STEP).collect()
            })
            .collect();
        let mut sums = GroupSums([[0; TILE_ROWS]; GROUP_MAX]);
        let mut of_groups = codes.as_slice();
        for group in kernel.groups(&codes) {
            kernel.products(&lines, &group, &mut sums, &mut Ahead::nothing());
            let (of_group, others) = of_groups.split_at(group.queries());
            for (sums, codes) in sums.0.iter().zip(of_group) {
                for (row, sum) in sums.iter().enumerate() {
                    assert_eq!(*sum, sum_by_hand(&lines, codes, row), "{}, row {row}", kernel.name);
                }
            }
            of_groups = others;
        }
        assert!(of_groups.is_empty());
    }

    #[test]
    fn every_kernel_gives_the_integers_of_plain_arithmetic() {
        for kernel in Kernel::available() {
            for queries in [1, 2, 4, 7, 13, 16, 19] {
                for steps in [1, 2, 25, 64] {
                    check(kernel, queries, steps, false);
                }
            }
        }
    }

    #[test]
    fn many_queries_go_to_tiles_and_few_to_vectors() {
        let sizes = |kernel: &Kernel, queries: usize| -> Vec<usize> {
            kernel.groups(&vec![vec![0; STEP]; queries]).iter().map(Group::queries).collect()
        };
        assert_eq!(sizes(&portable::TILED, TILED_FROM - 1), [4, 4, 2, 1]);
        assert_eq!(sizes(&portable::TILED, TILED_FROM), [TILED_FROM]);
        assert_eq!(sizes(&portable::TILED, 37), [16, 16, 5]);
        assert_eq!(sizes(&portable::PORTABLE, 37), [4, 4, 4, 4, 4, 4, 4, 4, 4, 1]);
    }

    #[test]
    fn the_greatest_codes_saturate_no_kernel() {
        for kernel in Kernel::available() {
            for queries in [1, 2, 4, 16] {
                check(kernel, queries, 64, true);
            }
            for queries in [1, 16] {
                check(kernel, queries, 16_384, true);
            }
        }
    }
}
