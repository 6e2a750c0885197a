//! Vectors of floats, for the instruction sets that there are.
//!
//! A kernel is written once, generic over [`Simd`], as a function that is always inlined; [`entries`] makes of
//! it a function for each instruction set, in which the compiler may use what the set has. A value of a set's
//! type is the proof that the processor has it: only `detect` makes one.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, Avx512Bf16};
pub(crate) use portable::Portable;

use half::bf16;

/// The most floats of a vector: what `transpose` and tails are dimensioned by.
pub(crate) const LANES_MAX: usize = 16;

/// An instruction set.
///
/// Methods that take pointers are unsafe: what they read and write must be there. No alignment is asked.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Floats in a vector; a power of two up to [`LANES_MAX`].
    const LANES: usize;
    /// Vectors of a row in a tile of accumulators, such that 6 rows fit the registers.
    const TILE_VECTORS: usize;
    /// A vector.
    type F: Copy;

    fn splat(self, value: f32) -> Self::F;
    unsafe fn load(self, from: *const f32) -> Self::F;
    unsafe fn store(self, to: *mut f32, value: Self::F);
    /// The first `count` floats, zeros behind them.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::F;
    /// Writes the first `count` floats.
    unsafe fn store_first(self, to: *mut f32, value: Self::F, count: usize);
    /// The first `count` floats of `value`, those of `rest` in the place of the others, whatever these are.
    fn first(self, value: Self::F, count: usize, rest: Self::F) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// 2 to the power of each by a polynomial of [`EXP2`] or [`EXP2_SHORT`]; 0 from -127 downwards.
    fn exp2(self, value: Self::F, polynomial: &[f32]) -> Self::F;
    fn sum(self, value: Self::F) -> f32;
    fn largest(self, value: Self::F) -> f32;
    /// Transposes `LANES` x `LANES` words, whatever they stand for; strides are in words.
    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize);
    /// Rounds to the nearest bf16, ties to even.
    unsafe fn store_bf16(self, to: *mut bf16, value: Self::F);
    /// `LANES` numbers, widened.
    unsafe fn load_bf16(self, from: *const bf16) -> Self::F;
    /// `LANES` pairs of one of `a` and one of `b`, rounded: `2 x LANES` numbers.
    unsafe fn store_bf16_pairs(self, to: *mut bf16, a: Self::F, b: Self::F);
}

/// Numbers that are stored in some width and multiplied as floats.
pub(crate) trait Stored: bytemuck::Pod + Send + Sync {
    /// Rounded to the nearest, ties to even.
    fn of(value: f32) -> Self;

    /// A vector of them.
    ///
    /// # Safety
    /// As many are there as a vector has lanes.
    unsafe fn load<S: Simd>(s: S, from: *const Self) -> S::F;
}

// SAFETY of both: the caller's.
impl Stored for f32 {
    fn of(value: f32) -> Self {
        value
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, from: *const Self) -> S::F {
        unsafe { s.load(from) }
    }
}

impl Stored for bf16 {
    fn of(value: f32) -> Self {
        Self::from_f32(value)
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, from: *const Self) -> S::F {
        unsafe { s.load_bf16(from) }
    }
}

/// The coefficients of 2^f for f in 0..1, highest first: relative error 7.5e-8.
pub(crate) const EXP2: [f32; 6] =
    [0.001_877_572_3, 0.008_989_351, 0.055_826_31, 0.240_153_63, 0.693_153_1, 0.999_999_94];
/// Those of a shorter polynomial: relative error 7.5e-5, a thirtieth of what rounding to bf16 does.
pub(crate) const EXP2_SHORT: [f32; 4] = [0.078_024_134, 0.226_067_7, 0.695_833_3, 0.999_925_26];
