//! Layer normalisation of rows.

use crate::panels::PackedNorm;
use crate::simd::Simd;

/// What ONNX's LayerNormalization adds to the variance in every graph of a bundle.
pub(crate) const EPSILON: f32 = 1e-5;

/// The mean of a row's first `d` numbers, and what a number's distance from it is multiplied by.
///
/// # Safety
/// `row` has `d` numbers.
#[inline(always)]
pub(crate) unsafe fn moments<S: Simd>(s: S, row: *const f32, d: usize) -> (f32, f32) {
    let whole = d / S::LANES * S::LANES;
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [s.splat(0.0); 2];
        for at in (0..whole).step_by(S::LANES) {
            let sum = &mut sums[at / S::LANES % 2];
            *sum = s.add(*sum, s.load(row.add(at)));
        }
        let rest = s.load_first(row.add(whole), d - whole);
        let mean = s.sum(s.add(s.add(sums[0], sums[1]), rest)) / d as f32;
        let means = s.splat(mean);
        let mut squares = [s.splat(0.0); 2];
        for at in (0..whole).step_by(S::LANES) {
            let square = &mut squares[at / S::LANES % 2];
            let apart = s.sub(s.load(row.add(at)), means);
            *square = s.fma(apart, apart, *square);
        }
        let apart = s.first(s.sub(rest, means), d - whole, s.splat(0.0));
        let variance = s.sum(s.fma(apart, apart, s.add(squares[0], squares[1]))) / d as f32;
        (mean, 1.0 / (variance + EPSILON).sqrt())
    }
}

/// Normalises `rows` rows over their first `d` numbers, all of one stride; `to` may be `from`. Padding becomes zero.
///
/// # Safety
/// `from` and `to` have `rows` rows of `row` numbers, and `norm` has `row`.
#[inline(always)]
pub(crate) unsafe fn norm_rows<S: Simd>(
    s: S,
    from: *const f32,
    to: *mut f32,
    (rows, row, d): (usize, usize, usize),
    norm: &PackedNorm,
) {
    for number in 0..rows {
        // SAFETY: the caller's.
        unsafe {
            let (from, to) = (from.add(number * row), to.add(number * row));
            let (mean, scale) = moments(s, from, d);
            let (mean, scale) = (s.splat(mean), s.splat(scale));
            for at in (0..row).step_by(S::LANES) {
                let value = s.mul(s.sub(s.load(from.add(at)), mean), scale);
                let (gain, bias) = (s.load(norm.scale.as_ptr().add(at)), s.load(norm.bias.as_ptr().add(at)));
                s.store(to.add(at), s.fma(value, gain, bias));
            }
        }
    }
}
