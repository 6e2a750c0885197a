//! Vectors of 16 floats.

#[allow(clippy::wildcard_imports, reason = "some fifty intrinsics")]
use std::arch::x86_64::*;

use half::bf16;

use super::Simd;

/// A processor with AVX-512 F, BW, DQ and VL.
pub(crate) type Avx512 = Set<false>;
/// A processor with these and AVX-512 BF16, which rounds to bf16 in one instruction.
pub(crate) type Avx512Bf16 = Set<true>;

/// The proof that the processor has them; `BF16`: with the instructions for bf16.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<const BF16: bool>(());

impl<const BF16: bool> Set<BF16> {
    pub(crate) fn detect() -> Option<Self> {
        let wide = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("fma");
        (wide && (!BF16 || is_x86_feature_detected!("avx512bf16"))).then_some(Self(()))
    }
}

/// The lanes before `count`.
#[inline(always)]
fn before(count: usize) -> __mmask16 {
    ((1_u32 << count.min(16)) - 1) as __mmask16
}

/// Rounded as `vcvtneps2bf16` does, in the low halves of words.
#[inline(always)]
fn rounded(value: __m512) -> __m512i {
    // SAFETY: called by methods of `Set` alone, whose value is the proof.
    unsafe {
        let bits = _mm512_castps_si512(value);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        // A NaN stays one, whatever the rounding would make of its bits.
        let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value);
        _mm512_srli_epi32::<16>(_mm512_mask_mov_epi32(up, nan, quiet))
    }
}

// SAFETY of all blocks: the value is the proof that the processor has the instructions; what pointers must hold
// is the caller's.
impl<const BF16: bool> Simd for Set<BF16> {
    const LANES: usize = 16;
    const TILE_VECTORS: usize = 4;
    type F = __m512;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        unsafe { _mm512_storeu_ps(to, value) };
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(before(count), from) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: __m512, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, before(count), value) };
    }

    #[inline(always)]
    fn first(self, value: __m512, count: usize, rest: __m512) -> __m512 {
        unsafe { _mm512_mask_mov_ps(rest, before(count), value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn exp2(self, value: __m512, polynomial: &[f32]) -> __m512 {
        unsafe {
            // Imm 1: what is over the floor; `scalef` takes the floor itself.
            let fraction = _mm512_reduce_ps::<1>(value);
            let mut power = _mm512_set1_ps(polynomial[0]);
            for next in &polynomial[1..] {
                power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(*next));
            }
            _mm512_scalef_ps(power, value)
        }
    }

    #[inline(always)]
    fn sum(self, value: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(value) }
    }

    #[inline(always)]
    fn largest(self, value: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(value) }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        unsafe {
            let mut rows = [_mm512_setzero_si512(); 16];
            for (number, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_si512(from.add(number * from_stride).cast());
            }
            let rows = transposed(rows);
            for (number, row) in rows.into_iter().enumerate() {
                _mm512_storeu_si512(to.add(number * to_stride).cast(), row);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut bf16, value: __m512) {
        unsafe {
            let halves = if BF16 {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value))
            } else {
                _mm512_cvtepi32_epi16(rounded(value))
            };
            _mm256_storeu_si256(to.cast(), halves);
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> __m512 {
        unsafe {
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16_pairs(self, to: *mut bf16, a: __m512, b: __m512) {
        unsafe {
            let words = if BF16 {
                let (a, b) = (_mm512_cvtneps_pbh(a), _mm512_cvtneps_pbh(b));
                let low = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(a));
                let high = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(b));
                _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
            } else {
                _mm512_or_si512(rounded(a), _mm512_slli_epi32::<16>(rounded(b)))
            };
            _mm512_storeu_si512(to.cast(), words);
        }
    }
}

/// 16 x 16 words: pairs of rows, fours, then quarters of registers change places.
#[inline(always)]
fn transposed(mut rows: [__m512i; 16]) -> [__m512i; 16] {
    // SAFETY: called by `Set::transpose` alone.
    unsafe {
        let mut other = rows;
        for i in 0..8 {
            other[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            other[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        for i in 0..4 {
            rows[4 * i] = _mm512_unpacklo_epi64(other[4 * i], other[4 * i + 2]);
            rows[4 * i + 1] = _mm512_unpackhi_epi64(other[4 * i], other[4 * i + 2]);
            rows[4 * i + 2] = _mm512_unpacklo_epi64(other[4 * i + 1], other[4 * i + 3]);
            rows[4 * i + 3] = _mm512_unpackhi_epi64(other[4 * i + 1], other[4 * i + 3]);
        }
        for i in 0..4 {
            other[i] = _mm512_shuffle_i32x4::<0x88>(rows[i], rows[i + 4]);
            other[i + 4] = _mm512_shuffle_i32x4::<0xdd>(rows[i], rows[i + 4]);
            other[i + 8] = _mm512_shuffle_i32x4::<0x88>(rows[i + 8], rows[i + 12]);
            other[i + 12] = _mm512_shuffle_i32x4::<0xdd>(rows[i + 8], rows[i + 12]);
        }
        for i in 0..4 {
            rows[i] = _mm512_shuffle_i32x4::<0x88>(other[i], other[i + 8]);
            rows[i + 8] = _mm512_shuffle_i32x4::<0xdd>(other[i], other[i + 8]);
            rows[i + 4] = _mm512_shuffle_i32x4::<0x88>(other[i + 4], other[i + 12]);
            rows[i + 12] = _mm512_shuffle_i32x4::<0xdd>(other[i + 4], other[i + 12]);
        }
        rows
    }
}
