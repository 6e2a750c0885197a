//! The product that all of fp32 is made of: a few rows by a few vectors of columns, in registers.

use crate::simd::{Simd, Stored};

/// The most rows of a tile.
pub(crate) const TILE_ROWS: usize = 6;

/// `R` rows of `a` times `V` vectors of columns of `b`, over `k`; strides in numbers.
///
/// Every sum is made one product after the other, so that a row's does not depend on the rows beside it.
///
/// # Safety
/// `a` has `R` rows of `k`, `b` has `k` rows of `V` vectors.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, W: Stored, const R: usize, const V: usize>(
    s: S,
    (a, lda): (*const f32, usize),
    (b, ldb): (*const W, usize),
    k: usize,
) -> [[S::F; V]; R] {
    let mut sums = [[s.splat(0.0); V]; R];
    for i in 0..k {
        let mut columns = [s.splat(0.0); V];
        for (v, column) in columns.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *column = unsafe { W::load(s, b.add(i * ldb + v * S::LANES)) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's.
            let value = s.splat(unsafe { *a.add(r * lda + i) });
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = s.fma(value, column, *sum);
            }
        }
    }
    sums
}

/// Runs `$body` with `$rows` as the constant that it is, 1 to [`TILE_ROWS`].
macro_rules! by_rows {
    ($rows:expr, $R:ident => $body:expr) => {
        match $rows {
            1 => {
                const $R: usize = 1;
                $body
            }
            2 => {
                const $R: usize = 2;
                $body
            }
            3 => {
                const $R: usize = 3;
                $body
            }
            4 => {
                const $R: usize = 4;
                $body
            }
            5 => {
                const $R: usize = 5;
                $body
            }
            _ => {
                const $R: usize = $crate::kernel::tile::TILE_ROWS;
                $body
            }
        }
    };
}
pub(crate) use by_rows;
