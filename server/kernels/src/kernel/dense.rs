//! Dense layers of fp32: rows times packed panels, and what is done with each sum.

use super::tile::{TILE_ROWS, by_rows, tile};
use crate::panels::Panels;
use crate::simd::{Simd, Stored};

/// What becomes of the sums of a dense layer.
pub(crate) trait Epilogue<S: Simd>: Copy {
    /// Takes a vector of sums at a row and column.
    ///
    /// # Safety
    /// What it reads and writes must be there for the row and the vector of columns.
    unsafe fn take(self, s: S, sums: S::F, row: usize, column: usize);
}

/// Writes the sums.
#[derive(Clone, Copy)]
pub(crate) struct Write {
    pub(crate) to: *mut f32,
    pub(crate) ld: usize,
}

/// Adds a bias first.
#[derive(Clone, Copy)]
pub(crate) struct Bias {
    pub(crate) bias: *const f32,
    pub(crate) then: Write,
}

/// Adds a bias first, and writes nothing below zero.
#[derive(Clone, Copy)]
pub(crate) struct BiasRelu {
    pub(crate) bias: *const f32,
    pub(crate) then: Write,
}

/// Adds a matrix of the same stride first.
#[derive(Clone, Copy)]
pub(crate) struct Plus {
    pub(crate) residual: *const f32,
    pub(crate) then: Write,
}

// SAFETY of all blocks: the caller's.
impl<S: Simd> Epilogue<S> for Write {
    #[inline(always)]
    unsafe fn take(self, s: S, sums: S::F, row: usize, column: usize) {
        unsafe { s.store(self.to.add(row * self.ld + column), sums) };
    }
}

impl<S: Simd> Epilogue<S> for Bias {
    #[inline(always)]
    unsafe fn take(self, s: S, sums: S::F, row: usize, column: usize) {
        unsafe { self.then.take(s, s.add(sums, s.load(self.bias.add(column))), row, column) };
    }
}

impl<S: Simd> Epilogue<S> for BiasRelu {
    #[inline(always)]
    unsafe fn take(self, s: S, sums: S::F, row: usize, column: usize) {
        unsafe {
            let value = s.add(sums, s.load(self.bias.add(column)));
            // In this order a NaN stays one.
            self.then.take(s, s.max(s.splat(0.0), value), row, column);
        }
    }
}

impl<S: Simd> Epilogue<S> for Plus {
    #[inline(always)]
    unsafe fn take(self, s: S, sums: S::F, row: usize, column: usize) {
        unsafe {
            let residual = s.load(self.residual.add(row * self.then.ld + column));
            self.then.take(s, s.add(sums, residual), row, column);
        }
    }
}

/// `rows` rows of `a` times inputs `from..from + k` of `w`; `V` is the set's [`Simd::TILE_VECTORS`].
///
/// # Safety
/// `a` has `rows` rows of `k` numbers, `lda` apart, `w` has the inputs, and the epilogue what it needs for all rows
/// and columns.
#[inline(always)]
pub(crate) unsafe fn dense<S: Simd, W: Stored, const V: usize, E: Epilogue<S>>(
    s: S,
    (a, lda): (*const f32, usize),
    rows: usize,
    w: &Panels<W>,
    (from, k): (usize, usize),
    epilogue: E,
) {
    debug_assert!(w.width == V * S::LANES && from + k <= w.inputs);
    for column in (0..w.columns).step_by(w.width) {
        let panel = w.column(column).wrapping_add(from * w.width);
        for row in (0..rows).step_by(TILE_ROWS) {
            by_rows!(rows - row, R => {
                // SAFETY: the caller's; a tile has as many rows as are left, at most.
                unsafe {
                    let sums = tile::<S, _, R, V>(s, (a.add(row * lda), lda), (panel, w.width), k);
                    for (r, sums) in sums.into_iter().enumerate() {
                        for (v, sums) in sums.into_iter().enumerate() {
                            epilogue.take(s, sums, row + r, column + v * S::LANES);
                        }
                    }
                }
            });
        }
    }
}
