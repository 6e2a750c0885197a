//! Integer inner products of a tile of rows with a few queries, for the instruction sets there are.
//!
//! A tile is 64 rows. Its codes lie in [`Line`]s, each with [`STEP`] coordinates of 16 rows, so that a
//! sum stays in its lane from the first coordinate to the last, whatever the register is wide. One
//! step of a tile is four lines, one after the other in memory; so are the steps.
//!
//! A kernel writes the same integers as [`portable`], for its own width of query codes. Which one runs
//! is decided once, by what the processor says it has.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod ahead;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use ahead::Ahead;

use super::codes::{QueryBound, TileBounds};

/// Coordinates in a line.
pub(crate) const STEP: usize = 4;
/// Rows in a line.
pub(crate) const LINE_ROWS: usize = 16;
/// Lines in a step of a tile.
pub(crate) const TILE_LINES: usize = 4;
/// Rows in a tile.
pub(crate) const TILE_ROWS: usize = LINE_ROWS * TILE_LINES;

/// Codes of 4 coordinates of 16 rows, row by row, each more by 128 than what it stands for.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; LINE_ROWS * STEP]);

impl Line {
    pub(crate) fn filled(code: u8) -> Self {
        Self([code; LINE_ROWS * STEP])
    }
}

/// The integer inner product of each row of a tile with one query.
pub(crate) type Sums = [i32; TILE_ROWS];

/// How wide the codes of queries are. Wider ones make fewer candidates; narrower ones go faster where
/// the processor has an instruction for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeWidth {
    /// 8 bits: four codes in a word.
    Byte,
    /// 16 bits: two codes in a word, first those of coordinates 0 and 2, then those of 1 and 3.
    Short,
}

impl CodeWidth {
    /// The greatest magnitude of a query's code with which no sum leaves i32.
    pub(crate) fn greatest_code(self, steps: usize) -> i32 {
        let widest = match self {
            Self::Byte => i32::from(i8::MAX),
            Self::Short => i32::from(i16::MAX),
        };
        widest.min((i32::MAX as usize / (usize::from(u8::MAX) * steps * STEP)) as i32)
    }

    /// Words in a step of one query.
    const fn words(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Short => 2,
        }
    }

    fn pack(self, codes: &[i32; STEP], words: &mut Vec<i32>) {
        let [a, b, c, d] = *codes;
        match self {
            Self::Byte => words.push(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8])),
            Self::Short => words.extend([pair(a, c), pair(b, d)]),
        }
    }
}

/// Two 16-bit codes as a word, `low` in the low half.
fn pair(low: i32, high: i32) -> i32 {
    (low & 0xffff) | (high << 16)
}

/// The most queries that go through a kernel together.
pub(crate) const GROUP_MAX: usize = 4;

/// 1, 2 or 4 queries as a kernel reads them: `steps x queries` of a step's words each.
#[derive(Debug)]
pub(crate) struct PackedQueries {
    words: Vec<i32>,
    queries: usize,
    /// What the bias of the rows' codes adds to each query's sums.
    bias: [i32; GROUP_MAX],
}

impl PackedQueries {
    /// `codes` holds one slice a query, whole steps long.
    pub(crate) fn new(codes: &[&[i32]], width: CodeWidth) -> Self {
        debug_assert!(codes.len().is_power_of_two() && codes.len() <= GROUP_MAX);
        let mut words = Vec::with_capacity(codes.len() * codes[0].len() / STEP * width.words());
        for step in 0..codes[0].len() / STEP {
            for query in codes {
                width.pack(&query.as_chunks().0[step], &mut words);
            }
        }
        let mut bias = [0; GROUP_MAX];
        for (bias, codes) in bias.iter_mut().zip(codes) {
            *bias = 128 * codes.iter().sum::<i32>();
        }
        Self { words, queries: codes.len(), bias }
    }

    pub(crate) fn queries(&self) -> usize {
        self.queries
    }
}

/// One way to do the arithmetic of a scan.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The instruction set.
    pub(crate) name: &'static str,
    /// How it wants queries coded.
    pub(crate) width: CodeWidth,
    products: Products,
    reach: Reach,
}

/// `sums[q][row]` becomes the inner product of the codes of query `q` and the row. Unsafe because the
/// processor must have the kernel's instruction set.
type Products = unsafe fn(&Steps, &PackedQueries, &mut [Sums], &mut Ahead<'_>);

/// Which rows of a tile may reach a threshold, in the unit of bounds, the first one in the lowest bit. Unsafe
/// as [`Products`].
type Reach = unsafe fn(&Sums, &TileBounds, &QueryBound, threshold: f32) -> u64;

/// The steps of a tile.
pub(crate) type Steps = [[Line; TILE_LINES]];

impl Kernel {
    /// The kernels that this processor can run, best first; the last one runs anywhere.
    pub(crate) fn available() -> Vec<&'static Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        kernels.extend(x86::available());
        #[cfg(target_arch = "aarch64")]
        kernels.push(&aarch64::NEON);
        kernels.push(&portable::PORTABLE);
        kernels
    }

    pub(crate) fn products(
        &self,
        tile: &Steps,
        queries: &PackedQueries,
        sums: &mut [Sums],
        ahead: &mut Ahead<'_>,
    ) {
        assert_eq!(queries.words.len(), tile.len() * queries.queries * self.width.words());
        assert_eq!(sums.len(), queries.queries);
        // SAFETY: kernels are only handed out by `available`, which asked the processor.
        unsafe { (self.products)(tile, queries, sums, ahead) }
    }

    pub(crate) fn rows_in_reach(
        &self,
        sums: &Sums,
        rows: &TileBounds,
        query: &QueryBound,
        threshold: f32,
    ) -> u64 {
        // SAFETY: as in `products`.
        unsafe { (self.reach)(sums, rows, query, threshold) }
    }
}

/// [`Reach`] in plain Rust.
fn rows_in_reach(sums: &Sums, rows: &TileBounds, query: &QueryBound, threshold: f32) -> u64 {
    let mut reached = 0;
    for (lane, sum) in sums.iter().enumerate() {
        let (score, margin) = query.score_and_margin(rows, lane, *sum);
        reached |= u64::from(score + margin >= threshold) << lane;
    }
    reached
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
        let mut tile = vec![[Line::filled(0); TILE_LINES]; steps];
        for line in tile.iter_mut().flatten() {
            line.0.fill_with(|| if extreme { [1, 255][random.random_range(0..2)] } else { random.random() });
        }
        let codes: Vec<Vec<i32>> = (0..queries)
            .map(|_| {
                let one = || if extreme { greatest } else { random.random_range(-greatest..=greatest) };
                std::iter::repeat_with(one).take(steps * STEP).collect()
            })
            .collect();
        let slices: Vec<&[i32]> = codes.iter().map(Vec::as_slice).collect();
        let mut sums = vec![[0; TILE_ROWS]; queries];
        let queries = PackedQueries::new(&slices, kernel.width);
        kernel.products(&tile, &queries, &mut sums, &mut Ahead::nothing());
        for (sums, codes) in sums.iter().zip(&codes) {
            for (row, sum) in sums.iter().enumerate() {
                assert_eq!(*sum, sum_by_hand(&tile, codes, row), "{}, row {row}", kernel.name);
            }
        }
    }

    #[test]
    fn every_kernel_gives_the_integers_of_plain_arithmetic() {
        for kernel in Kernel::available() {
            for queries in [1, 2, 4] {
                for steps in [1, 2, 25, 64] {
                    check(kernel, queries, steps, false);
                }
            }
        }
    }

    #[test]
    fn every_kernel_finds_the_rows_of_plain_arithmetic_in_reach() {
        let mut random = StdRng::seed_from_u64(8);
        for slack in [0.0, f32::INFINITY] {
            let mut numbers = || std::array::from_fn(|_| random.random_range(0.0..1.0));
            let rows = TileBounds { scale: numbers(), error: numbers(), norm: numbers() };
            let query = QueryBound { scale: 0.5, norm: 0.7, error: 0.1, slack, unit: 1.0 };
            let sums: Sums = std::array::from_fn(|_| random.random_range(-100..100));
            for threshold in [f32::NEG_INFINITY, -10.0, 0.0, 10.0, f32::INFINITY] {
                let expected = rows_in_reach(&sums, &rows, &query, threshold);
                for kernel in Kernel::available() {
                    let found = kernel.rows_in_reach(&sums, &rows, &query, threshold);
                    assert_eq!(found, expected, "{}, {threshold}", kernel.name);
                }
            }
        }
    }

    #[test]
    fn the_greatest_codes_saturate_no_kernel() {
        for kernel in Kernel::available() {
            for queries in [1, 2, 4] {
                check(kernel, queries, 64, true);
            }
            check(kernel, 1, 16_384, true);
        }
    }
}
