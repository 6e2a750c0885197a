//! The kernel that runs anywhere, and that the others are held to.

use super::{
    Ahead, CodeWidth, Kernel, LINE_ROWS, PackedQueries, STEP, Steps, Sums, TILE_ROWS, rows_in_reach,
};

pub(super) static PORTABLE: Kernel =
    Kernel { name: "portable", width: CodeWidth::Byte, products, reach: rows_in_reach };

fn products(tile: &Steps, queries: &PackedQueries, sums: &mut [Sums], _: &mut Ahead<'_>) {
    for (query, sums) in sums.iter_mut().enumerate() {
        *sums = [0; TILE_ROWS];
        for (step, lines) in tile.iter().enumerate() {
            let word = queries.words[step * queries.queries + query];
            let codes = word.to_le_bytes().map(|byte| i32::from(byte as i8));
            for (line, sums) in lines.iter().zip(sums.as_chunks_mut::<LINE_ROWS>().0) {
                for (row, sum) in line.0.as_chunks::<STEP>().0.iter().zip(sums) {
                    *sum += (0..STEP).map(|i| i32::from(row[i]) * codes[i]).sum::<i32>();
                }
            }
        }
        for sum in sums.iter_mut() {
            *sum -= queries.bias[query];
        }
    }
}
