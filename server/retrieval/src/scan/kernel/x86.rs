//! Kernels for x86-64: AVX-512 with VNNI, with AMX for many queries where there is that, and AVX2.
//!
//! VNNI multiplies unsigned by signed bytes and adds four neighbours into a 32-bit lane without
//! saturating: just a line and a word. AVX2's byte instruction (`vpmaddubsw`) saturates at 16 bits, so
//! that kernel widens the rows' codes instead, and can then afford 16-bit codes for the queries.

use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512i, _CMP_GE_OQ, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256,
    _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_movemask_ps, _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_srli_epi16, _mm256_storeu_si256, _mm512_add_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps,
    _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_si512,
};
use std::sync::LazyLock;

use super::ahead::ask_for;
use super::group::STEPS_A_QUERY;
use super::{
    Ahead, CodeWidth, GroupSums, InReach, Kernel, LINE_ROWS, Limits, PackedQueries, Steps, Sums, TILE_LINES,
    TILE_ROWS, TileBounds, Unit,
};

static VNNI: Kernel = Kernel {
    name: "avx512-vnni",
    width: CodeWidth::Byte,
    products: products_vnni,
    tiles: None,
    reach: reach_avx512,
};

static AVX2: Kernel =
    Kernel { name: "avx2", width: CodeWidth::Short, products: products_avx2, tiles: None, reach: reach_avx2 };

/// The kernels of this file that the processor can run, best first.
pub(super) fn available() -> impl Iterator<Item = &'static Kernel> {
    let vnni = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    let avx2 = is_x86_feature_detected!("avx2");
    [vnni.then(amx).flatten(), vnni.then_some(&VNNI), avx2.then_some(&AVX2)].into_iter().flatten()
}

/// AMX for many queries and VNNI for few.
fn amx() -> Option<&'static Kernel> {
    static AMX: LazyLock<Option<Kernel>> = LazyLock::new(|| {
        let unit = Unit::detect().inspect_err(|why| tracing::debug!(why, "no tiles for the scan")).ok()?;
        Some(Kernel {
            name: "amx-int8",
            width: VNNI.width,
            products: VNNI.products,
            tiles: Some(unit),
            reach: VNNI.reach,
        })
    });
    AMX.as_ref()
}

/// [`super::reach::rows_in_reach`], 16 rows at a time; the same operations in the same order. In most tiles not even the
/// greatest score with the greatest margin is in reach, which is soon said: rounding keeps an order.
#[target_feature(enable = "avx512f")]
fn reach_avx512(
    sums: &GroupSums,
    rows: &TileBounds,
    limits: &Limits,
    in_reach: &mut InReach,
    ahead: &mut Ahead<'_>,
) -> u32 {
    let of_rows = |numbers: &[f32; TILE_ROWS]| -> [__m512; TILE_LINES] {
        // SAFETY: 16 numbers are 64 bytes.
        std::array::from_fn(|line| unsafe { _mm512_loadu_ps(numbers[line * LINE_ROWS..].as_ptr()) })
    };
    let row_scale = of_rows(&rows.scale);
    let margins = limits.greatest_margins(rows);
    let mut asks = *ahead;
    let mut queries = 0;
    for (query, sums) in sums.0[..limits.queries].iter().enumerate() {
        asks.steps(STEPS_A_QUERY, ask_for);
        let scaled: [__m512; TILE_LINES] = std::array::from_fn(|line| {
            // SAFETY: 16 sums are 64 bytes.
            let sums = unsafe { _mm512_loadu_si512(sums[line * LINE_ROWS..].as_ptr().cast()) };
            _mm512_mul_ps(_mm512_cvtepi32_ps(sums), row_scale[line])
        });
        let (scale, threshold) =
            (_mm512_set1_ps(limits.scale[query]), _mm512_set1_ps(limits.threshold[query]));
        let reach = |scaled: __m512, margin: __m512| {
            let bound = _mm512_add_ps(_mm512_mul_ps(scaled, scale), margin);
            _mm512_cmp_ps_mask::<_CMP_GE_OQ>(bound, threshold)
        };
        let [a, b, c, d] = scaled;
        let greatest = _mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d));
        if reach(greatest, _mm512_set1_ps(margins[query])) == 0 {
            continue;
        }
        let [norm, error, slack] =
            [limits.norm, limits.error, limits.slack].map(|lanes| _mm512_set1_ps(lanes[query]));
        let (row_error, row_norm) = (of_rows(&rows.error), of_rows(&rows.norm));
        let mut reached = 0;
        for (line, scaled) in scaled.into_iter().enumerate() {
            let of_rows = _mm512_mul_ps(norm, row_error[line]);
            let of_query = _mm512_mul_ps(error, row_norm[line]);
            let margin = _mm512_add_ps(_mm512_add_ps(of_rows, of_query), slack);
            reached |= u64::from(reach(scaled, margin)) << (line * LINE_ROWS);
        }
        in_reach[query] = reached;
        queries |= u32::from(reached != 0) << query;
    }
    *ahead = asks;
    queries
}

/// [`super::reach::rows_in_reach`], 8 rows at a time; the same operations in the same order.
#[target_feature(enable = "avx2")]
fn reach_avx2(
    sums: &GroupSums,
    rows: &TileBounds,
    limits: &Limits,
    in_reach: &mut InReach,
    ahead: &mut Ahead<'_>,
) -> u32 {
    const ROWS: usize = 8;
    // SAFETY: callers name the first of 8 numbers.
    let load = |from: &[f32; TILE_ROWS], first: usize| unsafe { _mm256_loadu_ps(from[first..].as_ptr()) };
    let mut queries = 0;
    for (query, sums) in sums.0[..limits.queries].iter().enumerate() {
        ahead.steps(STEPS_A_QUERY, ask_for);
        let [scale, norm, error, slack, threshold]: [__m256; 5] =
            [limits.scale, limits.norm, limits.error, limits.slack, limits.threshold]
                .map(|lanes| _mm256_set1_ps(lanes[query]));
        let mut reached = 0;
        for first in (0..TILE_ROWS).step_by(ROWS) {
            // SAFETY: 8 sums are 32 bytes.
            let sums = unsafe { _mm256_loadu_si256(sums[first..].as_ptr().cast()) };
            let score =
                _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), load(&rows.scale, first)), scale);
            let of_rows = _mm256_mul_ps(norm, load(&rows.error, first));
            let of_query = _mm256_mul_ps(error, load(&rows.norm, first));
            let margin = _mm256_add_ps(_mm256_add_ps(of_rows, of_query), slack);
            let bound = _mm256_add_ps(score, margin);
            let reach = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(bound, threshold));
            reached |= (reach as u64) << first;
        }
        in_reach[query] = reached;
        queries |= u32::from(reached != 0) << query;
    }
    queries
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
        asks.steps(1, ask_for);
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
        asks.steps(1, ask_for);
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
