//! Vectors of 8 floats.

#[allow(clippy::wildcard_imports, reason = "some fifty intrinsics")]
use std::arch::x86_64::*;

use half::bf16;

use super::Simd;

/// A processor with AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

/// All ones in the words before `count`.
#[inline(always)]
fn before(count: usize) -> __m256i {
    // SAFETY: called by methods of `Avx2` alone, whose value is the proof.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
    }
}

/// Rounded to the nearest bf16, ties to even, in the low halves of words.
#[inline(always)]
fn rounded(value: __m256) -> __m256i {
    // SAFETY: called by methods of `Avx2` alone, whose value is the proof.
    unsafe {
        let bits = _mm256_castps_si256(value);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        // A NaN stays one, whatever the rounding would make of its bits.
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(value, value));
        _mm256_srli_epi32::<16>(_mm256_blendv_epi8(up, quiet, nan))
    }
}

// SAFETY of all blocks: the value is the proof that the processor has the instructions; what pointers must hold
// is the caller's.
impl Simd for Avx2 {
    const LANES: usize = 8;
    const TILE_VECTORS: usize = 2;
    type F = __m256;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        unsafe { _mm256_storeu_ps(to, value) };
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(from, before(count)) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: __m256, count: usize) {
        unsafe { _mm256_maskstore_ps(to, before(count), value) };
    }

    #[inline(always)]
    fn first(self, value: __m256, count: usize, rest: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(rest, value, _mm256_castsi256_ps(before(count))) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn exp2(self, value: __m256, polynomial: &[f32]) -> __m256 {
        unsafe {
            let whole = _mm256_floor_ps(value);
            let fraction = _mm256_sub_ps(value, whole);
            let mut power = _mm256_set1_ps(polynomial[0]);
            for next in &polynomial[1..] {
                power = _mm256_fmadd_ps(power, fraction, _mm256_set1_ps(*next));
            }
            // The exponent's bits; below the least normal number there is nothing.
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
            let scale = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
            let normal = _mm256_cmp_ps::<_CMP_NLT_UQ>(whole, _mm256_set1_ps(-126.0));
            _mm256_and_ps(_mm256_mul_ps(power, scale), normal)
        }
    }

    #[inline(always)]
    fn sum(self, value: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn largest(self, value: __m256) -> f32 {
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (number, row) in rows.iter_mut().enumerate() {
                *row = _mm256_loadu_ps(from.add(number * from_stride));
            }
            let mut other = rows;
            for i in 0..4 {
                other[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                other[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
            }
            for i in 0..2 {
                rows[4 * i] = _mm256_shuffle_ps::<0x44>(other[4 * i], other[4 * i + 2]);
                rows[4 * i + 1] = _mm256_shuffle_ps::<0xee>(other[4 * i], other[4 * i + 2]);
                rows[4 * i + 2] = _mm256_shuffle_ps::<0x44>(other[4 * i + 1], other[4 * i + 3]);
                rows[4 * i + 3] = _mm256_shuffle_ps::<0xee>(other[4 * i + 1], other[4 * i + 3]);
            }
            for i in 0..4 {
                let low = _mm256_permute2f128_ps::<0x20>(rows[i], rows[i + 4]);
                let high = _mm256_permute2f128_ps::<0x31>(rows[i], rows[i + 4]);
                _mm256_storeu_ps(to.add(i * to_stride), low);
                _mm256_storeu_ps(to.add((i + 4) * to_stride), high);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut bf16, value: __m256) {
        unsafe {
            let words = rounded(value);
            let halves =
                _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.cast(), halves);
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> __m256 {
        unsafe {
            let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16_pairs(self, to: *mut bf16, a: __m256, b: __m256) {
        unsafe {
            let words = _mm256_or_si256(rounded(a), _mm256_slli_epi32::<16>(rounded(b)));
            _mm256_storeu_si256(to.cast(), words);
        }
    }
}
