//! Matrices as tiles read them: columns in panels of two tiles, step by step of the inner dimension.

use half::bf16;

use crate::memory::Aligned;
use crate::tiles::{PANEL, STEP, TILE, TILE_NUMBERS, place_in_tile};

/// A matrix of `steps x 32` inputs and `columns` columns, an even number of panels.
pub(crate) struct TilePanels {
    values: Aligned<bf16>,
    pub(crate) steps: usize,
    pub(crate) columns: usize,
}

impl TilePanels {
    /// Packs `value(input, column)`, rounded to the nearest, ties to even.
    pub(crate) fn new(inputs: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        debug_assert!(inputs.is_multiple_of(STEP) && columns.is_multiple_of(2 * PANEL));
        let steps = inputs / STEP;
        let mut values = Aligned::<bf16>::zeros(inputs * columns);
        for input in 0..inputs {
            for column in 0..columns {
                let tile = (column / PANEL * steps + input / STEP) * 2 + column % PANEL / TILE;
                let place = place_in_tile(input % STEP, column % TILE);
                values[tile * TILE_NUMBERS + place] = bf16::from_f32(value(input, column));
            }
        }
        Self { values, steps, columns }
    }

    /// The panel that begins at a column.
    pub(crate) fn panel(&self, column: usize) -> *const bf16 {
        self.values[column / PANEL * self.steps * 2 * TILE_NUMBERS..].as_ptr()
    }
}
