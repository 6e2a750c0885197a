//! The kernel that runs anywhere, and that the others are held to.

#[cfg(test)]
use super::Unit;
use super::reach::rows_in_reach;
use super::{Ahead, CodeWidth, Kernel, LINE_ROWS, PackedQueries, STEP, Steps, Sums, TILE_ROWS};

pub(super) static PORTABLE: Kernel =
    Kernel { name: "portable", width: CodeWidth::Byte, products, tiles: None, reach: rows_in_reach };

/// With tiles by plain loops, for what is packed for tiles and what is behind the last step.
#[cfg(test)]
pub(super) static TILED: Kernel = Kernel {
    name: "portable tiles",
    width: CodeWidth::Byte,
    products,
    tiles: Some(Unit::EMULATED),
    reach: rows_in_reach,
};

fn products(tile: &Steps, queries: &PackedQueries, sums: &mut [Sums], _: &mut Ahead<'_>) {
    for (query, sums) in sums.iter_mut().enumerate() {
        *sums = [0; TILE_ROWS];
        for (lines, words) in tile.iter().zip(queries.words.chunks_exact(queries.queries)) {
            let word = words[query];
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
