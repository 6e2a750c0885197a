//! The last block, in which only the newest position attends; its arithmetic is fp32 always, for it decides the answer.
//! Its weights may be stored in bf16: of a single sequence they are most of what is read.
//!
//! `q . (Wk x) = (Wk^T q) . x`, so the key matrix is applied to the query and not to every position, and the value
//! matrix to the weighted sum of the positions. Of several sequences the newest rows go through the matrices
//! together; every row is as it would be alone.

use crate::entries::Entries;
use crate::kernel::Rows;
use crate::kernel::biases::Distances;
use crate::kernel::dense::{Bias, BiasRelu, Plus, Write};
use crate::memory::Aligned;
use crate::packed::{PackedBlock, Packer};
use crate::panels::{PackedNorm, Panels};
use crate::shape::{Heads, Shape};
use crate::simd::{LANES_MAX, Stored};
use crate::weights::{Block, Norm};

/// The last block and the final norm, packed.
pub(crate) struct Newest<W> {
    heads: Heads,
    dimension: usize,
    row: usize,
    block: PackedBlock<Panels<W>>,
    final_norm: PackedNorm,
}

/// Rows for the newest positions of up to so many sequences.
pub(crate) struct Scratch {
    newest: Aligned<f32>,
    residual: Aligned<f32>,
    queries: Aligned<f32>,
    /// What each head of each sequence looks for.
    sought: Aligned<f32>,
    /// Their weighted sums.
    mixed: Aligned<f32>,
    hidden: Aligned<f32>,
    /// A row of logits for each head.
    logits: Aligned<f32>,
    across: usize,
}

impl Scratch {
    pub(crate) fn new(shape: &Shape, sequences: usize) -> Self {
        let (row, heads) = (shape.row(), Heads::new(shape, LANES_MAX));
        let across = shape.longest + LANES_MAX;
        Self {
            newest: Aligned::zeros(sequences * row),
            residual: Aligned::zeros(sequences * row),
            queries: Aligned::zeros(sequences * heads.row()),
            sought: Aligned::zeros(sequences * heads.count * row),
            mixed: Aligned::zeros(sequences * heads.count * row),
            hidden: Aligned::zeros(sequences * row),
            logits: Aligned::zeros(heads.count * across),
            across,
        }
    }
}

/// The rows of a sequence: its oldest, and how many.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: usize,
    pub(crate) length: usize,
}

impl<W: Stored> Newest<W> {
    /// Packs the last block for tiles of `width` columns.
    pub(crate) fn new(block: &Block, final_norm: &Norm, shape: &Shape, width: usize) -> Self {
        let (dimension, row) = (shape.dimension, shape.row());
        let heads = Heads::new(shape, LANES_MAX);
        let pack =
            |inputs, columns, value: &dyn Fn(usize, usize) -> f32| Panels::new(inputs, columns, width, value);
        let packer = Packer::new(shape, &heads, pack);
        let block = packer.last_block(block);
        Self { heads, dimension, row, block, final_norm: PackedNorm::new(final_norm, row) }
    }

    /// The user vectors of sequences whose rows in `x` are `spans`, appended to `out`.
    ///
    /// # Safety
    /// `x` has the rows of all spans, each as long as [`Shape::row`], and `scratch` was made for as many sequences and
    /// the shape.
    pub(crate) unsafe fn run<S: Entries>(
        &self,
        s: S,
        x: *const f32,
        spans: &[Span],
        scratch: &mut Scratch,
        out: &mut Vec<f32>,
    ) {
        let (row, dimension, count) = (self.row, self.dimension, spans.len());
        let newest = scratch.newest.as_mut_ptr();
        let residual = scratch.residual.as_mut_ptr();
        let queries = (scratch.queries.as_mut_ptr(), self.heads.row());
        let sought = scratch.sought.as_mut_ptr();
        let sequence = self.heads.count * row;
        // SAFETY: the caller's; the scratch has the rows.
        unsafe {
            for (number, span) in spans.iter().enumerate() {
                let from = x.add((span.first + span.length - 1) * row);
                std::ptr::copy_nonoverlapping(from, newest.add(number * row), row);
            }
            s.norm_rows(newest, residual, (count, row, dimension), &self.block.norm1);
            let then = Write { to: queries.0, ld: queries.1 };
            let bias = Bias { bias: self.block.query_bias.as_ptr(), then };
            s.dense((residual, row), count, &self.block.query, (0, dimension), bias);
            match &self.block.key {
                Some(panels) => {
                    for head in 0..self.heads.count {
                        let (first, k) = (head * self.heads.step, self.heads.dimension);
                        let a = (queries.0.cast_const().add(first), queries.1);
                        let to = Write { to: sought.add(head * row), ld: sequence };
                        s.dense(a, count, panels, (first, k), to);
                    }
                }
                None => {
                    for number in 0..count {
                        let from = queries.0.add(number * queries.1);
                        std::ptr::copy_nonoverlapping(from, sought.add(number * sequence), row);
                    }
                }
            }
            for (number, span) in spans.iter().enumerate() {
                let from = Rows { at: x.add(span.first * row), ld: row };
                let sought = Rows { at: sought.cast_const().add(number * sequence), ld: row };
                let mixed = scratch.mixed.as_mut_ptr().add(number * sequence);
                let logits = Rows { at: scratch.logits.as_mut_ptr(), ld: scratch.across };
                s.attend_once(
                    sought,
                    from,
                    self.block.distances.as_ref().map(Distances::biases),
                    (self.heads.count, span.length),
                    logits,
                    Rows { at: mixed, ld: row },
                );
            }
            let mixed = Rows { at: scratch.mixed.as_ptr(), ld: sequence };
            s.value_once(
                &self.heads,
                (mixed, row),
                (count, dimension),
                &self.block.value,
                Rows { at: residual, ld: row },
            );
            s.norm_rows(residual, residual, (count, row, dimension), &self.block.norm2);
            let hidden = scratch.hidden.as_mut_ptr();
            let then = Write { to: hidden, ld: row };
            let relu = BiasRelu { bias: self.block.dense1_bias.as_ptr(), then };
            s.dense((residual, row), count, &self.block.dense1, (0, dimension), relu);
            let plus = Plus { residual, then: Write { to: newest, ld: row } };
            s.dense((hidden, row), count, &self.block.dense2, (0, dimension), plus);
            s.norm_rows(newest, newest, (count, row, dimension), &self.final_norm);
        }
        for number in 0..count {
            out.extend_from_slice(&scratch.newest[number * row..][..dimension]);
        }
    }
}
