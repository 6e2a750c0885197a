//! Causal attention of one sequence in fp32, exact: the largest logit is taken away before the exponentials.

use super::Rows;
use super::biases::Biases;
use super::tile::{TILE_ROWS, by_rows, tile};
use crate::memory::Aligned;
use crate::shape::Heads;
use crate::simd::{EXP2, LANES_MAX, Simd};

/// Room behind the rows that kernels read and write in whole tiles.
pub(crate) const SPARE_ROWS: usize = LANES_MAX;

/// What attention needs beside its operands, for sequences up to a length.
pub(crate) struct Scratch {
    /// The keys across: a row for each number of a row of keys.
    keys: Aligned<f32>,
    /// Positions in a row of `keys` and of `logits`.
    across: usize,
    /// Logits, then weights, of a tile's rows.
    logits: Aligned<f32>,
}

impl Scratch {
    pub(crate) fn new(longest: usize, heads: &Heads) -> Self {
        // A tile of logits is up to 64 wide, and weights are written a vector further.
        let across = longest.next_multiple_of(64) + LANES_MAX;
        Self {
            keys: Aligned::zeros(heads.row() * across),
            across,
            logits: Aligned::zeros(TILE_ROWS * across),
        }
    }
}

/// What attends to what.
#[derive(Clone, Copy)]
pub(crate) struct Attention {
    /// Scaled, so that the logits are exponents of 2; heads in their places, as `keys` and `values`.
    pub(crate) queries: Rows<*const f32>,
    pub(crate) keys: Rows<*const f32>,
    pub(crate) values: Rows<*const f32>,
    /// What is added to the logits, if anything is.
    pub(crate) biases: Option<Biases>,
    /// Positions, 1 to what the scratch was made for.
    pub(crate) length: usize,
    /// What is attended to is added here, without places: head after head.
    pub(crate) to: Rows<*mut f32>,
}

/// Attends from each position to those up to it, head by head.
///
/// # Safety
/// All rows of `attention` are there, and [`SPARE_ROWS`] more of keys, whatever these hold; its biases are of as many
/// heads and at least the length, for which `scratch` was made too.
#[inline(always)]
pub(crate) unsafe fn causal<S: Simd, const V: usize>(
    s: S,
    attention: &Attention,
    heads: &Heads,
    scratch: &mut Scratch,
) {
    // SAFETY: the caller's.
    unsafe { across(s, attention, heads, scratch) };
    for head in 0..heads.count {
        for row in (0..attention.length).step_by(TILE_ROWS) {
            by_rows!(attention.length - row, R => {
                // SAFETY: the caller's; rows up to `row + R` are there.
                unsafe {
                    logits::<S, R, V>(s, attention, heads, scratch, (head, row));
                    // A loop: what a closure calls may not be inlined, and vectors are slow to hand over.
                    let mut inverses = [0.0; R];
                    for (r, inverse) in inverses.iter_mut().enumerate() {
                        let logits = scratch.logits.as_mut_ptr().add(r * scratch.across);
                        if let Some(biases) = attention.biases {
                            biases.add(s, head, row + r, logits);
                        }
                        *inverse = weights(s, logits, row + r + 1, row + R);
                    }
                    mix::<S, R, V>(s, attention, heads, scratch, (head, row), inverses);
                }
            });
        }
    }
}

/// Lays the keys across.
#[inline(always)]
unsafe fn across<S: Simd>(s: S, attention: &Attention, heads: &Heads, scratch: &mut Scratch) {
    let Rows { at, ld } = attention.keys;
    let to = scratch.keys.as_mut_ptr();
    for row in (0..attention.length).step_by(S::LANES) {
        for column in (0..heads.count * heads.step).step_by(S::LANES) {
            // SAFETY: the caller's; spare rows are read at most.
            unsafe {
                let to = to.add(column * scratch.across + row);
                s.transpose(at.add(row * ld + column), ld, to, scratch.across);
            }
        }
    }
}

/// The logits of `R` rows for all positions up to the last of them, and some that mean nothing behind.
#[inline(always)]
unsafe fn logits<S: Simd, const R: usize, const V: usize>(
    s: S,
    attention: &Attention,
    heads: &Heads,
    scratch: &mut Scratch,
    (head, row): (usize, usize),
) {
    let (across, first) = (scratch.across, head * heads.step);
    for key in (0..row + R).step_by(V * S::LANES) {
        // SAFETY: the caller's; `across` leaves room for a whole tile.
        unsafe {
            let queries = attention.queries.at.add(row * attention.queries.ld + first);
            let keys = scratch.keys.as_ptr().add(first * across + key);
            let sums =
                tile::<S, _, R, V>(s, (queries, attention.queries.ld), (keys, across), heads.dimension);
            for (r, sums) in sums.into_iter().enumerate() {
                for (v, sums) in sums.into_iter().enumerate() {
                    s.store(scratch.logits.as_mut_ptr().add(r * across + key + v * S::LANES), sums);
                }
            }
        }
    }
}

/// Makes logits weights, which are not divided by their sum yet, zeros from `seen` up to `read`; one over the sum.
///
/// # Safety
/// The row has `read` numbers, and room for a vector behind them.
#[inline(always)]
pub(crate) unsafe fn weights<S: Simd>(s: S, row: *mut f32, seen: usize, read: usize) -> f32 {
    let whole = seen / S::LANES * S::LANES;
    let nothing = s.splat(f32::NEG_INFINITY);
    // SAFETY: the caller's.
    unsafe {
        let mut most = s.first(s.load(row.add(whole)), seen - whole, nothing);
        for at in (0..whole).step_by(S::LANES) {
            most = s.max(most, s.load(row.add(at)));
        }
        let most = s.splat(s.largest(most));
        let mut sum = s.splat(0.0);
        for at in (0..whole).step_by(S::LANES) {
            let weight = s.exp2(s.sub(s.load(row.add(at)), most), &EXP2);
            sum = s.add(sum, weight);
            s.store(row.add(at), weight);
        }
        let weight = s.exp2(s.sub(s.load(row.add(whole)), most), &EXP2);
        let weight = s.first(weight, seen - whole, s.splat(0.0));
        s.store(row.add(whole), weight);
        for at in (whole + S::LANES..read).step_by(S::LANES) {
            s.store(row.add(at), s.splat(0.0));
        }
        1.0 / s.sum(s.add(sum, weight))
    }
}

/// Adds the weighted values of `R` rows to the output.
#[inline(always)]
unsafe fn mix<S: Simd, const R: usize, const V: usize>(
    s: S,
    attention: &Attention,
    heads: &Heads,
    scratch: &Scratch,
    place: (usize, usize),
    inverses: [f32; R],
) {
    let mut at = 0;
    while at < heads.dimension {
        // SAFETY: the caller's; the columns belong to the head, whose padding is zeros.
        at += unsafe {
            match (heads.step - at) / S::LANES {
                left if left >= V => mixed::<S, R, V>(s, attention, heads, scratch, place, at, inverses),
                2 | 3 => mixed::<S, R, 2>(s, attention, heads, scratch, place, at, inverses),
                _ => mixed::<S, R, 1>(s, attention, heads, scratch, place, at, inverses),
            }
        };
    }
}

/// `V` vectors of [`mix`] from number `at` of the head on; how many numbers that is.
#[inline(always)]
unsafe fn mixed<S: Simd, const R: usize, const V: usize>(
    s: S,
    attention: &Attention,
    heads: &Heads,
    scratch: &Scratch,
    (head, row): (usize, usize),
    at: usize,
    inverses: [f32; R],
) -> usize {
    let Rows { at: values, ld } = attention.values;
    // SAFETY: the caller's.
    unsafe {
        let weights = (scratch.logits.as_ptr(), scratch.across);
        let values = (values.add(head * heads.step + at), ld);
        let sums = tile::<S, _, R, V>(s, weights, values, row + R);
        for (r, sums) in sums.into_iter().enumerate() {
            let inverse = s.splat(inverses[r]);
            for (v, sums) in sums.into_iter().enumerate() {
                let number = at + v * S::LANES;
                if number < heads.dimension {
                    let count = (heads.dimension - number).min(S::LANES);
                    let to =
                        attention.to.at.add((row + r) * attention.to.ld + head * heads.dimension + number);
                    s.store_first(to, s.fma(sums, inverse, s.load_first(to, count)), count);
                }
            }
        }
    }
    V * S::LANES
}
