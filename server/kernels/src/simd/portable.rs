//! Vectors without instructions for them: the reference that the others are held to, and what any processor runs.

use half::bf16;

use super::Simd;

const LANES: usize = 4;

/// Any processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// What every method does, a lane at a time.
fn each(make: impl FnMut(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(make)
}

impl Simd for Portable {
    const LANES: usize = LANES;
    const TILE_VECTORS: usize = 2;
    type F = [f32; LANES];

    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }

    unsafe fn load(self, from: *const f32) -> Self::F {
        // SAFETY: the caller's.
        unsafe { from.cast::<Self::F>().read_unaligned() }
    }

    unsafe fn store(self, to: *mut f32, value: Self::F) {
        // SAFETY: the caller's.
        unsafe { to.cast::<Self::F>().write_unaligned(value) };
    }

    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::F {
        // SAFETY: the caller's, for the first `count`.
        each(|lane| if lane < count { unsafe { *from.add(lane) } } else { 0.0 })
    }

    unsafe fn store_first(self, to: *mut f32, value: Self::F, count: usize) {
        for (lane, value) in value.into_iter().enumerate().take(count) {
            // SAFETY: the caller's, for the first `count`.
            unsafe { *to.add(lane) = value };
        }
    }

    fn first(self, value: Self::F, count: usize, rest: Self::F) -> Self::F {
        each(|lane| if lane < count { value[lane] } else { rest[lane] })
    }

    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each(|lane| a[lane] + b[lane])
    }

    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        each(|lane| a[lane] - b[lane])
    }

    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each(|lane| a[lane] * b[lane])
    }

    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        each(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    fn exp2(self, value: Self::F, polynomial: &[f32]) -> Self::F {
        each(|lane| {
            let whole = value[lane].floor();
            let fraction = value[lane] - whole;
            let power = polynomial
                .iter()
                .copied()
                .reduce(|sum, next| sum.mul_add(fraction, next))
                .unwrap_or_default();
            // NaN stays NaN; what is below the least normal number becomes 0.
            if whole < -126.0 { 0.0 } else { power * whole.exp2() }
        })
    }

    fn sum(self, value: Self::F) -> f32 {
        value.into_iter().sum()
    }

    fn largest(self, value: Self::F) -> f32 {
        value.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        for row in 0..LANES {
            for column in 0..LANES {
                // SAFETY: the caller's.
                unsafe { *to.add(column * to_stride + row) = *from.add(row * from_stride + column) };
            }
        }
    }

    unsafe fn store_bf16(self, to: *mut bf16, value: Self::F) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[bf16; LANES]>().write_unaligned(value.map(bf16::from_f32)) };
    }

    unsafe fn store_bf16_pairs(self, to: *mut bf16, a: Self::F, b: Self::F) {
        for lane in 0..LANES {
            let pair = [bf16::from_f32(a[lane]), bf16::from_f32(b[lane])];
            // SAFETY: the caller's.
            unsafe { to.add(2 * lane).cast::<[bf16; 2]>().write_unaligned(pair) };
        }
    }

    unsafe fn load_bf16(self, from: *const bf16) -> Self::F {
        // SAFETY: the caller's.
        unsafe { from.cast::<[bf16; LANES]>().read_unaligned() }.map(bf16::to_f32)
    }
}
