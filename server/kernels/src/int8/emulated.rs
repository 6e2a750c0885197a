//! Tiles by plain loops: the meaning of the layouts, for any processor.

use super::{COLUMNS, LINE_COLUMNS, LINES, Left, Line, ROWS, STEP, TILE_STEPS};

/// What [`super::Session::products`] says.
pub(super) fn products(
    left: &Left,
    right: &[[Line; LINES]],
    sums: &mut [[i32; COLUMNS]; ROWS],
    mut between: impl FnMut(),
) {
    for (sums, start) in sums.iter_mut().zip(&left.start.0) {
        for sums in sums.as_chunks_mut().0 {
            *sums = *start;
        }
    }
    for (block, steps) in left.blocks.iter().zip(right.as_chunks::<TILE_STEPS>().0) {
        for tile in 0..LINES {
            for (sums, row) in sums.iter_mut().zip(&block.0) {
                let sums = &mut sums[tile * LINE_COLUMNS..(tile + 1) * LINE_COLUMNS];
                for (numbers, lines) in row.as_chunks::<STEP>().0.iter().zip(steps) {
                    for (sum, column) in sums.iter_mut().zip(lines[tile].0.as_chunks::<STEP>().0) {
                        let products = numbers.iter().zip(column).map(|(x, y)| i32::from(*x) * i32::from(*y));
                        *sum = sum.wrapping_add(products.sum());
                    }
                }
            }
            between();
        }
    }
}
