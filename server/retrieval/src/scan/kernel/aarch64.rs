//! The kernel for AArch64: NEON, which every such processor has.

use std::arch::aarch64::{
    int32x4_t, vdupq_n_s32, vdupq_n_u8, veorq_u8, vget_high_s8, vget_low_s8, vld1q_u8, vmull_s8, vpadalq_s16,
    vpaddq_s32, vreinterpretq_s8_s32, vreinterpretq_s8_u8, vst1q_s32,
};

use super::reach::rows_in_reach;
use super::{Ahead, CodeWidth, Kernel, LINE_ROWS, PackedQueries, Steps, Sums, TILE_LINES};

pub(super) static NEON: Kernel =
    Kernel { name: "neon", width: CodeWidth::Byte, products, tiles: None, reach: rows_in_reach };

/// Rows in a register of bytes, and sums in a register of them.
const ROWS: usize = 4;
/// Registers in a line.
const QUARTERS: usize = LINE_ROWS / ROWS;

fn products(tile: &Steps, queries: &PackedQueries, sums: &mut [Sums], _: &mut Ahead<'_>) {
    for line in 0..TILE_LINES {
        for quarter in 0..QUARTERS {
            match queries.queries {
                1 => rows::<1>(tile, queries, sums, line, quarter),
                2 => rows::<2>(tile, queries, sums, line, quarter),
                _ => rows::<4>(tile, queries, sums, line, quarter),
            }
        }
    }
}

/// The sums of `Q` queries with four rows of a line. A row's sum grows as two halves until the end;
/// products of bytes of magnitude 127 and 128 fit 16 bits.
fn rows<const Q: usize>(
    tile: &Steps,
    queries: &PackedQueries,
    sums: &mut [Sums],
    line: usize,
    quarter: usize,
) {
    // SAFETY: NEON is part of the architecture; 16 codes are 16 bytes, 4 sums are 16 bytes.
    unsafe {
        let bias = vdupq_n_u8(128);
        let mut lanes: [[int32x4_t; 2]; Q] = [[vdupq_n_s32(0); 2]; Q];
        for (lines, words) in tile.iter().zip(queries.words.as_chunks::<Q>().0) {
            let codes = vld1q_u8(lines[line].0[16 * quarter..16 * quarter + 16].as_ptr());
            let codes = vreinterpretq_s8_u8(veorq_u8(codes, bias));
            for (lanes, word) in lanes.iter_mut().zip(words) {
                let word = vget_low_s8(vreinterpretq_s8_s32(vdupq_n_s32(*word)));
                lanes[0] = vpadalq_s16(lanes[0], vmull_s8(vget_low_s8(codes), word));
                lanes[1] = vpadalq_s16(lanes[1], vmull_s8(vget_high_s8(codes), word));
            }
        }
        for (sums, lanes) in sums.iter_mut().zip(lanes) {
            let out = &mut sums.as_chunks_mut::<ROWS>().0[QUARTERS * line + quarter];
            vst1q_s32(out.as_mut_ptr(), vpaddq_s32(lanes[0], lanes[1]));
        }
    }
}
