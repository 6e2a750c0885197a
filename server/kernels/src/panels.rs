//! Matrices as the dense kernels of fp32 read them: columns in panels as wide as a tile of accumulators.

use crate::memory::Aligned;
use crate::shape::Heads;
use crate::simd::Stored;
use crate::weights::Norm;

/// A matrix of `inputs` x `columns`: panel by panel, input by input, `width` columns side by side.
pub(crate) struct Panels<W> {
    values: Aligned<W>,
    pub(crate) inputs: usize,
    /// A multiple of `width`.
    pub(crate) columns: usize,
    pub(crate) width: usize,
}

impl<W: Stored> Panels<W> {
    /// Packs `value(input, column)`.
    pub(crate) fn new(
        inputs: usize,
        columns: usize,
        width: usize,
        value: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let columns = columns.next_multiple_of(width);
        let mut values = Aligned::zeros(inputs * columns);
        for (panel, values) in values.chunks_exact_mut(inputs * width).enumerate() {
            for (input, row) in values.chunks_exact_mut(width).enumerate() {
                for (column, to) in row.iter_mut().enumerate() {
                    *to = W::of(value(input, panel * width + column));
                }
            }
        }
        Self { values, inputs, columns, width }
    }

    /// The first number of a column, for a tile that reads this column and those beside it in its panel.
    pub(crate) fn column(&self, column: usize) -> *const W {
        self.values[column / self.width * self.inputs * self.width + column % self.width..].as_ptr()
    }
}

/// What is added to each row: `row` numbers, zeros behind those of `values`.
pub(crate) fn padded(values: &[f32], row: usize) -> Aligned<f32> {
    let mut padded = Aligned::zeros(row);
    padded[..values.len()].copy_from_slice(values);
    padded
}

/// `values` in the places of the heads, times `scale`.
pub(crate) fn by_heads(values: &[f32], heads: &Heads, scale: f32) -> Aligned<f32> {
    let mut placed = Aligned::zeros(heads.row());
    for (index, value) in values.iter().enumerate() {
        placed[heads.place(index)] = value * scale;
    }
    placed
}

/// A norm's numbers, padded with zeros, so that padding stays zero.
pub(crate) struct PackedNorm {
    pub(crate) scale: Aligned<f32>,
    pub(crate) bias: Aligned<f32>,
}

impl PackedNorm {
    pub(crate) fn new(norm: &Norm, row: usize) -> Self {
        Self { scale: padded(&norm.scale, row), bias: padded(&norm.bias, row) }
    }
}
