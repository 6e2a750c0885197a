//! A block's weights as kernels want them, whatever their matrices are packed as.

use crate::kernel::biases::Distances;
use crate::memory::Aligned;
use crate::panels::{PackedNorm, by_heads, padded};
use crate::shape::{Heads, Shape};
use crate::weights::Block;

/// A block with matrices of one packing.
pub(crate) struct PackedBlock<M> {
    pub(crate) norm1: PackedNorm,
    /// To the places of the heads, scaled, so that logits are exponents of 2.
    pub(crate) query: M,
    pub(crate) query_bias: Aligned<f32>,
    /// Of rows to the places of the heads; in the last block of a head's numbers to what it looks for in rows. `None`
    /// where a row is its own key.
    pub(crate) key: Option<M>,
    /// To the places of the heads.
    pub(crate) value: M,
    pub(crate) norm2: PackedNorm,
    pub(crate) dense1: M,
    pub(crate) dense1_bias: Aligned<f32>,
    pub(crate) dense2: M,
    /// What attention adds to its logits, if the network does.
    pub(crate) distances: Option<Distances>,
}

/// Packs the matrices of a network: `pack(inputs, columns, value)` makes one of `value(input, column)`, which is zero
/// for every input and column that there is not.
pub(crate) struct Packer<'a, P> {
    shape: Shape,
    heads: &'a Heads,
    /// Which number of the unpadded row stands at each place of the heads.
    places: Vec<Option<usize>>,
    pack: P,
}

impl<'a, M, P: Fn(usize, usize, &dyn Fn(usize, usize) -> f32) -> M> Packer<'a, P> {
    pub(crate) fn new(shape: &Shape, heads: &'a Heads, pack: P) -> Self {
        Self { shape: *shape, heads, places: heads.places(), pack }
    }

    /// A block of which every position is computed.
    pub(crate) fn block(&self, block: &Block) -> PackedBlock<M> {
        self.with_key(block, block.key.as_ref().map(|key| self.to_heads(key, 1.0)))
    }

    /// The last block, of which only the newest position is.
    pub(crate) fn last_block(&self, block: &Block) -> PackedBlock<M> {
        self.with_key(block, block.key.as_ref().map(|key| self.out_of_heads(key)))
    }

    fn with_key(&self, block: &Block, key: Option<M>) -> PackedBlock<M> {
        let (row, scale) = (self.shape.row(), self.heads.logit_scale());
        PackedBlock {
            norm1: PackedNorm::new(&block.norm1, row),
            query: self.to_heads(&block.query, scale),
            query_bias: by_heads(&block.query_bias, self.heads, scale),
            key,
            value: self.to_heads(&block.value, 1.0),
            norm2: PackedNorm::new(&block.norm2, row),
            dense1: self.square(&block.dense1),
            dense1_bias: padded(&block.dense1_bias, row),
            dense2: self.square(&block.dense2),
            distances: block.distances.as_ref().map(|numbers| Distances::new(numbers, &self.shape)),
        }
    }

    /// From rows to rows.
    fn square(&self, matrix: &[f32]) -> M {
        let d = self.shape.dimension;
        (self.pack)(d, self.shape.row(), &|input, column| {
            if input < d && column < d { matrix[input * d + column] } else { 0.0 }
        })
    }

    /// From rows to the places of the heads, times `scale`.
    fn to_heads(&self, matrix: &[f32], scale: f32) -> M {
        let d = self.shape.dimension;
        (self.pack)(d, self.heads.row(), &|input, column| match self.places[column] {
            Some(number) if input < d => matrix[input * d + number] * scale,
            _ => 0.0,
        })
    }

    /// From the places of the heads to rows, by the matrix transposed.
    fn out_of_heads(&self, matrix: &[f32]) -> M {
        let d = self.shape.dimension;
        (self.pack)(self.heads.row(), self.shape.row(), &|input, column| match self.places[input] {
            Some(number) if column < d => matrix[column * d + number],
            _ => 0.0,
        })
    }
}
