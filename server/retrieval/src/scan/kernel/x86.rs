//! Kernels for x86-64: AVX-512 with VNNI, and AVX2.
//!
//! VNNI multiplies unsigned by signed bytes and adds four neighbours into a 32-bit lane without
//! saturating: just a line and a word. AVX2's byte instruction (`vpmaddubsw`) saturates at 16 bits, so
//! that kernel widens the rows' codes instead, and can then afford 16-bit codes for the queries.

use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512i, _CMP_GE_OQ, _MM_HINT_T1, _mm_prefetch, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_si256, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_movemask_ps, _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_srli_epi16, _mm256_storeu_si256, _mm512_add_ps, _mm512_cmp_ps_mask,
    _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_si512,
};

use super::{
    Ahead, CodeWidth, Kernel, LINE_ROWS, Line, PackedQueries, QueryBound, Steps, Sums, TILE_LINES, TILE_ROWS,
    TileBounds,
};

static VNNI: Kernel =
    Kernel { name: "avx512-vnni", width: CodeWidth::Byte, products: products_vnni, reach: reach_avx512 };

static AVX2: Kernel =
    Kernel { name: "avx2", width: CodeWidth::Short, products: products_avx2, reach: reach_avx2 };

/// The kernels of this file that the processor can run, best first.
pub(super) fn available() -> impl Iterator<Item = &'static Kernel> {
    let vnni = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    let avx2 = is_x86_feature_detected!("avx2");
    [vnni.then_some(&VNNI), avx2.then_some(&AVX2)].into_iter().flatten()
}

/// [`super::rows_in_reach`], 16 rows at a time; the same operations in the same order.
#[target_feature(enable = "avx512f")]
fn reach_avx512(sums: &Sums, rows: &TileBounds, query: &QueryBound, threshold: f32) -> u64 {
    const ROWS: usize = 16;
    // SAFETY: callers name the first of 16 numbers.
    let load = |from: &[f32; TILE_ROWS], first: usize| unsafe { _mm512_loadu_ps(from[first..].as_ptr()) };
    let [scale, norm, error, slack, threshold]: [__m512; 5] =
        [query.scale, query.norm, query.error, query.slack, threshold].map(|number| _mm512_set1_ps(number));
    let mut reached = 0;
    for first in (0..TILE_ROWS).step_by(ROWS) {
        // SAFETY: 16 sums are 64 bytes.
        let sums = unsafe { _mm512_loadu_si512(sums[first..].as_ptr().cast()) };
        let score = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), load(&rows.scale, first)), scale);
        let of_rows = _mm512_mul_ps(norm, load(&rows.error, first));
        let of_query = _mm512_mul_ps(error, load(&rows.norm, first));
        let margin = _mm512_add_ps(_mm512_add_ps(of_rows, of_query), slack);
        let reach = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_add_ps(score, margin), threshold);
        reached |= u64::from(reach) << first;
    }
    reached
}

/// [`super::rows_in_reach`], 8 rows at a time; the same operations in the same order.
#[target_feature(enable = "avx2")]
fn reach_avx2(sums: &Sums, rows: &TileBounds, query: &QueryBound, threshold: f32) -> u64 {
    const ROWS: usize = 8;
    // SAFETY: callers name the first of 8 numbers.
    let load = |from: &[f32; TILE_ROWS], first: usize| unsafe { _mm256_loadu_ps(from[first..].as_ptr()) };
    let [scale, norm, error, slack, threshold]: [__m256; 5] =
        [query.scale, query.norm, query.error, query.slack, threshold].map(|number| _mm256_set1_ps(number));
    let mut reached = 0;
    for first in (0..TILE_ROWS).step_by(ROWS) {
        // SAFETY: 8 sums are 32 bytes.
        let sums = unsafe { _mm256_loadu_si256(sums[first..].as_ptr().cast()) };
        let score = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), load(&rows.scale, first)), scale);
        let of_rows = _mm256_mul_ps(norm, load(&rows.error, first));
        let of_query = _mm256_mul_ps(error, load(&rows.norm, first));
        let margin = _mm256_add_ps(_mm256_add_ps(of_rows, of_query), slack);
        let reach = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(_mm256_add_ps(score, margin), threshold));
        reached |= (reach as u64) << first;
    }
    reached
}

/// Asks the memory for a line. It comes into the second level: there is more room on the way to it than to the first.
#[inline]
fn ask_for(line: &Line) {
    // SAFETY: every x86-64 processor has the instruction, which reads nothing.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(line.0.as_ptr().cast()) };
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn products_vnni(tile: &Steps, queries: &PackedQueries, sums: &mut [Sums], ahead: &mut Ahead<'_>) {
    match queries.queries {
        1 => group_vnni::<1>(tile, queries, sums, ahead),
        2 => group_vnni::<2>(tile, queries, sums, ahead),
        _ => group_vnni::<4>(tile, queries, sums, ahead),
    }
}

/// The sums of `Q` queries with a tile, in `4 x Q` registers.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn group_vnni<const Q: usize>(
    tile: &Steps,
    queries: &PackedQueries,
    sums: &mut [Sums],
    ahead: &mut Ahead<'_>,
) {
    let mut lanes: [[__m512i; TILE_LINES]; Q] =
        std::array::from_fn(|q| [_mm512_set1_epi32(-queries.bias[q]); TILE_LINES]);
    let mut asks = *ahead;
    for (lines, words) in tile.iter().zip(queries.words.as_chunks::<Q>().0) {
        asks.step(ask_for);
        let rows: [__m512i; TILE_LINES] = std::array::from_fn(|l| {
            // SAFETY: a line is 64 bytes.
            unsafe { _mm512_loadu_si512(lines[l].0.as_ptr().cast()) }
        });
        for (lanes, word) in lanes.iter_mut().zip(words) {
            let word = _mm512_set1_epi32(*word);
            for (lanes, rows) in lanes.iter_mut().zip(rows) {
                *lanes = _mm512_dpbusd_epi32(*lanes, rows, word);
            }
        }
    }
    *ahead = asks;
    for (sums, lanes) in sums.iter_mut().zip(lanes) {
        for (sums, lanes) in sums.as_chunks_mut::<LINE_ROWS>().0.iter_mut().zip(lanes) {
            // SAFETY: 16 sums of 32 bits are 64 bytes.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), lanes) };
        }
    }
}

#[target_feature(enable = "avx2")]
fn products_avx2(tile: &Steps, queries: &PackedQueries, sums: &mut [Sums], ahead: &mut Ahead<'_>) {
    let nothing = &mut Ahead::nothing();
    match queries.queries {
        1 => lines_avx2::<1, 4>(tile, queries, sums, 0, ahead),
        2 => {
            lines_avx2::<2, 2>(tile, queries, sums, 0, ahead);
            lines_avx2::<2, 2>(tile, queries, sums, 2, nothing);
        }
        _ => {
            lines_avx2::<4, 1>(tile, queries, sums, 0, ahead);
            for first in 1..TILE_LINES {
                lines_avx2::<4, 1>(tile, queries, sums, first, nothing);
            }
        }
    }
}

/// The sums of `Q` queries with `L` lines of a tile from `first` on, in `Q x L x 2` registers.
#[inline]
#[target_feature(enable = "avx2")]
fn lines_avx2<const Q: usize, const L: usize>(
    tile: &Steps,
    queries: &PackedQueries,
    sums: &mut [Sums],
    first: usize,
    ahead: &mut Ahead<'_>,
) {
    let low_bytes = _mm256_set1_epi16(0xff);
    let mut lanes: [[[__m256i; 2]; L]; Q] =
        std::array::from_fn(|q| [[_mm256_set1_epi32(-queries.bias[q]); 2]; L]);
    let words = queries.words.as_chunks::<2>().0.as_chunks::<Q>().0;
    let mut asks = *ahead;
    for (lines, words) in tile.iter().zip(words) {
        asks.step(ask_for);
        for l in 0..L {
            for half in 0..2 {
                // SAFETY: half a line is 32 bytes.
                let rows = unsafe { _mm256_loadu_si256(lines[first + l].0[32 * half..].as_ptr().cast()) };
                let even = _mm256_and_si256(rows, low_bytes);
                let odd = _mm256_srli_epi16::<8>(rows);
                for (lanes, words) in lanes.iter_mut().zip(words) {
                    let even = _mm256_madd_epi16(even, _mm256_set1_epi32(words[0]));
                    let odd = _mm256_madd_epi16(odd, _mm256_set1_epi32(words[1]));
                    let lanes = &mut lanes[l][half];
                    *lanes = _mm256_add_epi32(*lanes, _mm256_add_epi32(even, odd));
                }
            }
        }
    }
    *ahead = asks;
    for (sums, lanes) in sums.iter_mut().zip(lanes) {
        let sums = &mut sums[first * LINE_ROWS..(first + L) * LINE_ROWS];
        for (sums, lanes) in sums.as_chunks_mut::<8>().0.iter_mut().zip(lanes.as_flattened()) {
            // SAFETY: 8 sums of 32 bits are 32 bytes.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *lanes) };
        }
    }
}
