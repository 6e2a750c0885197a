//! Attention of one position: the newest, in the last block.

use super::Rows;
use super::attention::weights;
use super::biases::Biases;
use super::tile::{TILE_ROWS, by_rows, tile};
use crate::panels::Panels;
use crate::shape::{HEADS_MAX, Heads};
use crate::simd::{Simd, Stored};

/// Each head's weighted sum of the positions: its logits are its row of `sought` times every row of `x`, and what is
/// added to them.
///
/// # Safety
/// `sought` and `to` have a row for each head, `x` one for each position, all as long as `x.ld`; a row of `logits` has
/// room for a vector behind the positions; the biases are of these heads and positions.
#[inline(always)]
pub(crate) unsafe fn attend_once<S: Simd, const V: usize>(
    s: S,
    sought: Rows<*const f32>,
    x: Rows<*const f32>,
    biases: Option<Biases>,
    (heads, length): (usize, usize),
    logits: Rows<*mut f32>,
    to: Rows<*mut f32>,
) {
    // SAFETY: the caller's.
    unsafe {
        for position in 0..length {
            let row = x.at.add(position * x.ld);
            let mut head = 0;
            while head < heads {
                head += if heads - head >= 4 {
                    products::<S, 4>(s, row, sought, head, logits, position)
                } else {
                    products::<S, 1>(s, row, sought, head, logits, position)
                };
            }
        }
        let mut inverses = [0.0; HEADS_MAX];
        for (head, inverse) in inverses.iter_mut().enumerate().take(heads) {
            let row = logits.at.add(head * logits.ld);
            if let Some(biases) = biases {
                biases.add(s, head, length - 1, row);
            }
            *inverse = weights(s, row, length, length);
        }
        for first in (0..heads).step_by(TILE_ROWS) {
            by_rows!(heads - first, R => {
                for column in (0..x.ld).step_by(V * S::LANES) {
                    let weights = (logits.at.cast_const().add(first * logits.ld), logits.ld);
                    let sums = tile::<S, _, R, V>(s, weights, (x.at.add(column), x.ld), length);
                    for (r, sums) in sums.into_iter().enumerate() {
                        let inverse = s.splat(inverses[first + r]);
                        for (v, sums) in sums.into_iter().enumerate() {
                            let to = to.at.add((first + r) * to.ld + column + v * S::LANES);
                            s.store(to, s.mul(sums, inverse));
                        }
                    }
                }
            });
        }
    }
}

/// The logits of `H` heads for one position; `H`.
#[inline(always)]
unsafe fn products<S: Simd, const H: usize>(
    s: S,
    row: *const f32,
    sought: Rows<*const f32>,
    head: usize,
    logits: Rows<*mut f32>,
    position: usize,
) -> usize {
    let mut sums = [[s.splat(0.0); 2]; H];
    // SAFETY: the caller's; rows are whole pairs of vectors.
    unsafe {
        for at in (0..sought.ld).step_by(2 * S::LANES) {
            for half in 0..2 {
                let at = at + half * S::LANES;
                let x = s.load(row.add(at));
                for (h, sums) in sums.iter_mut().enumerate() {
                    sums[half] = s.fma(x, s.load(sought.at.add((head + h) * sought.ld + at)), sums[half]);
                }
            }
        }
        for (h, [even, odd]) in sums.into_iter().enumerate() {
            *logits.at.add((head + h) * logits.ld + position) = s.sum(s.add(even, odd));
        }
    }
    H
}

/// Adds each head's part of its weighted sum times the value matrix.
///
/// # Safety
/// `mixed` has for each of `count` sequences a row of `row` numbers a head, one behind the other, and `to` a row.
#[inline(always)]
pub(crate) unsafe fn value_once<S: Simd, W: Stored>(
    s: S,
    heads: &Heads,
    (mixed, row): (Rows<*const f32>, usize),
    (count, d): (usize, usize),
    value: &Panels<W>,
    to: Rows<*mut f32>,
) {
    for head in 0..heads.count {
        for number in (0..heads.dimension).step_by(S::LANES) {
            let column = value.column(head * heads.step + number);
            let width = (heads.dimension - number).min(S::LANES);
            for sequence in (0..count).step_by(TILE_ROWS) {
                by_rows!(count - sequence, R => {
                    // SAFETY: the caller's; a vector of columns lies in one panel.
                    unsafe {
                        let mixed = mixed.at.add(sequence * mixed.ld + head * row);
                        let mixed = (mixed, heads.count * row);
                        let sums = tile::<S, _, R, 1>(s, mixed, (column, value.width), d);
                        for (r, [sums]) in sums.into_iter().enumerate() {
                            let to = to.at.add((sequence + r) * to.ld + head * heads.dimension + number);
                            s.store_first(to, s.add(sums, s.load_first(to, width)), width);
                        }
                    }
                });
            }
        }
    }
}
