//! The embeddings that sequences begin with: tables that stay where they are, mapped from a bundle.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::entries::Entries;
use crate::prefetch::ask_for;
use crate::shape::DIMENSION_MAX;

/// Sequences of item rows, oldest first, none of them empty.
pub(crate) type Sequences<'a> = &'a [&'a [u32]];

/// Numbers of a table as a bundle stores them.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// 32 bits each.
    F32(&'a [f32]),
    /// 16 bits each.
    F16(&'a [f16]),
}

/// The tables of items and positions, if there are any, of one dimension.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// A row for each item.
    pub items: Numbers<'a>,
    /// A row for each position, oldest first; a sequence of n items takes the last n. `None` where the network knows the
    /// order of the items by its biases.
    pub positions: Option<Numbers<'a>>,
    /// Numbers in a row.
    pub dimension: usize,
}

/// How many items ahead a row is asked for: memory takes as long as some rows do.
const AHEAD: usize = 8;

impl Numbers<'_> {
    /// Numbers in the table.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row, in `wide` where it is stored in other numbers.
    fn row<'a>(&'a self, row: usize, wide: &'a mut [f32]) -> &'a [f32] {
        let range = row * wide.len()..(row + 1) * wide.len();
        match self {
            Self::F32(values) => &values[range],
            Self::F16(values) => {
                values[range].convert_to_f32_slice(wide);
                wide
            }
        }
    }

    fn prefetch(&self, row: usize, dimension: usize) {
        let range = row * dimension..(row + 1) * dimension;
        match self {
            Self::F32(values) => ask_for(&values[range]),
            Self::F16(values) => ask_for(&values[range]),
        }
    }
}

impl Tables<'_> {
    /// Writes a row of `row` numbers for each item of a part of a sequence: item and position, if there are any, added;
    /// zeros behind the dimension.
    pub(crate) fn embed<S: Entries>(
        &self,
        s: S,
        sequence: &[u32],
        part: Range<usize>,
        to: &mut [f32],
        row: usize,
    ) {
        let first = self.positions.map_or(0, |positions| positions.len() / self.dimension - sequence.len());
        let (mut item, mut position) = ([0.0; DIMENSION_MAX], [0.0; DIMENSION_MAX]);
        for (number, to) in part.zip(to.chunks_exact_mut(row)) {
            if let Some(soon) = sequence.get(number + AHEAD) {
                self.items.prefetch(*soon as usize, self.dimension);
            }
            let item = self.items.row(sequence[number] as usize, &mut item[..self.dimension]);
            let (to, padding) = to.split_at_mut(self.dimension);
            match &self.positions {
                Some(positions) => {
                    let position = positions.row(first + number, &mut position[..self.dimension]);
                    s.add_rows(item, position, to);
                }
                None => to.copy_from_slice(item),
            }
            padding.fill(0.0);
        }
    }

    /// Asks for the rows of a part of a sequence, which are embedded soon.
    pub(crate) fn prefetch(&self, sequence: &[u32], part: Range<usize>) {
        for item in &sequence[part] {
            self.items.prefetch(*item as usize, self.dimension);
        }
    }
}
