//! The kernel for AArch64: NEON, which every such processor has.

use std::arch::aarch64::{
    int32x4_t, vdupq_n_s32, vdupq_n_u8, veorq_u8, vget_high_s8, vget_low_s8, vld1q_u8, vmull_s8, vpadalq_s16,
    vpaddq_s32, vreinterpretq_s8_s32, vreinterpretq_s8_u8, vst1q_s32,
};

use super::{CodeWidth, Kernel, LINE_ROWS, Line, PackedQueries, Sums, TILE_LINES, any_row_reaches};

pub(super) static NEON: Kernel =
    Kernel { name: "neon", width: CodeWidth::Byte, products, reach: any_row_reaches };

/// Rows in a register of bytes, and sums in a register of them.
const ROWS: usize = 4;
/// Registers in a line.
const QUARTERS: usize = LINE_ROWS / ROWS;

fn products(tile: &[[Line; TILE_LINES]], queries: &PackedQueries, sums: &mut [Sums]) {
    for line in 0..TILE_LINES {
        for quarter in 0..QUARTERS {
            match queries.queries {
                1 => rows::<1>(tile, queries, sums, line, quarter, 0),
                2 => rows::<2>(tile, queries, sums, line, quarter, 0),
                4 => rows::<4>(tile, queries, sums, line, quarter, 0),
                _ => {
                    rows::<4>(tile, queries, sums, line, quarter, 0);
                    rows::<4>(tile, queries, sums, line, quarter, 4);
                }
            }
        }
    }
}

/// The sums of `Q` queries from `first` on with four rows of a line. A row's sum grows as two halves
/// until the end; products of bytes of magnitude 127 and 128 fit 16 bits.
fn rows<const Q: usize>(
    tile: &[[Line; TILE_LINES]],
    queries: &PackedQueries,
    sums: &mut [Sums],
    line: usize,
    quarter: usize,
    first: usize,
) {
    // SAFETY: NEON is part of the architecture; 16 codes are 16 bytes, 4 sums are 16 bytes.
    unsafe {
        let bias = vdupq_n_u8(128);
        let mut lanes: [[int32x4_t; 2]; Q] = [[vdupq_n_s32(0); 2]; Q];
        for (lines, words) in tile.iter().zip(queries.words.chunks_exact(queries.queries)) {
            let codes = vld1q_u8(lines[line].0[16 * quarter..16 * quarter + 16].as_ptr());
            let codes = vreinterpretq_s8_u8(veorq_u8(codes, bias));
            for q in 0..Q {
                let word = vget_low_s8(vreinterpretq_s8_s32(vdupq_n_s32(words[first + q])));
                lanes[q][0] = vpadalq_s16(lanes[q][0], vmull_s8(vget_low_s8(codes), word));
                lanes[q][1] = vpadalq_s16(lanes[q][1], vmull_s8(vget_high_s8(codes), word));
            }
        }
        for q in 0..Q {
            let (out, _) = sums[first + q].as_chunks_mut::<ROWS>();
            vst1q_s32(out[QUARTERS * line + quarter].as_mut_ptr(), vpaddq_s32(lanes[q][0], lanes[q][1]));
        }
    }
}
