//! All blocks in fp32: rows of several sequences lie one behind the other, dense layers take them together, and
//! attention takes each sequence by itself.

use super::newest::{self, Newest, Span};
use crate::entries::Entries;
use crate::kernel::Rows;
use crate::kernel::attention::{self, Attention, SPARE_ROWS};
use crate::kernel::biases::Distances;
use crate::kernel::dense::{Bias, BiasRelu, Plus, Write};
use crate::memory::Aligned;
use crate::packed::{PackedBlock, Packer};
use crate::panels::Panels;
use crate::shape::{Heads, Shape};
use crate::simd::LANES_MAX;
use crate::tables::{Sequences, Tables};
use crate::weights::Weights;

/// Rows that go through a block together: more read the weights less often, fewer stay in the nearer cache.
const ROWS: usize = 256;

/// A network, packed for tiles of one width.
pub(crate) struct Model {
    shape: Shape,
    heads: Heads,
    blocks: Vec<PackedBlock<Panels<f32>>>,
    newest: Newest<f32>,
}

/// What a worker needs to run a [`Model`].
pub(crate) struct Workspace {
    x: Aligned<f32>,
    y: Aligned<f32>,
    queries: Aligned<f32>,
    keys: Aligned<f32>,
    values: Aligned<f32>,
    hidden: Aligned<f32>,
    attention: attention::Scratch,
    newest: newest::Scratch,
    spans: Vec<Span>,
    rows: usize,
}

impl Model {
    /// Packs weights that were checked, for tiles of `width` columns.
    pub(crate) fn new(weights: &Weights, width: usize) -> Self {
        let shape = weights.shape;
        let heads = Heads::new(&shape, LANES_MAX);
        let (last, full) = weights.blocks.split_last().expect("checked weights have a block");
        let pack =
            |inputs, columns, value: &dyn Fn(usize, usize) -> f32| Panels::new(inputs, columns, width, value);
        let packer = Packer::new(&shape, &heads, pack);
        let blocks = full.iter().map(|block| packer.block(block)).collect();
        Self { shape, heads, blocks, newest: Newest::new(last, &weights.final_norm, &shape, width) }
    }

    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::new(&self.shape, &self.heads)
    }

    /// Appends the user vector of each sequence to `out`.
    pub(crate) fn encode<S: Entries>(
        &self,
        s: S,
        tables: &Tables<'_>,
        sequences: Sequences<'_>,
        workspace: &mut Workspace,
        out: &mut Vec<f32>,
    ) {
        let mut rest = sequences;
        while !rest.is_empty() {
            let count = workspace.take(rest);
            let (now, later) = rest.split_at(count);
            self.encode_together(s, tables, now, workspace, out);
            rest = later;
        }
    }

    fn encode_together<S: Entries>(
        &self,
        s: S,
        tables: &Tables<'_>,
        sequences: Sequences<'_>,
        workspace: &mut Workspace,
        out: &mut Vec<f32>,
    ) {
        let row = self.shape.row();
        for (span, sequence) in workspace.spans.iter().zip(sequences) {
            tables.embed(s, sequence, 0..sequence.len(), &mut workspace.x[span.first * row..], row);
        }
        for block in &self.blocks {
            // SAFETY: the workspace was made for the shape, and the spans lie in its rows.
            unsafe { self.block(s, block, workspace) };
        }
        let Workspace { x, newest, spans, .. } = workspace;
        // SAFETY: as above; there are at most as many spans as rows.
        unsafe { self.newest.run(s, x.as_ptr(), spans, newest, out) };
    }

    unsafe fn block<S: Entries>(&self, s: S, block: &PackedBlock<Panels<f32>>, workspace: &mut Workspace) {
        let (row, d) = (self.shape.row(), self.shape.dimension);
        let rows = workspace.spans.last().map_or(0, |span| span.first + span.length);
        let x = workspace.x.as_mut_ptr();
        let y = workspace.y.as_mut_ptr();
        let hidden = workspace.hidden.as_mut_ptr();
        let across = self.heads.row();
        let queries = workspace.queries.as_mut_ptr();
        let keys = workspace.keys.as_mut_ptr();
        let values = workspace.values.as_mut_ptr();
        // SAFETY: the caller's.
        unsafe {
            s.norm_rows(x, y, (rows, row, d), &block.norm1);
            let then = Write { to: queries, ld: across };
            s.dense((y, row), rows, &block.query, (0, d), Bias { bias: block.query_bias.as_ptr(), then });
            let keys = match &block.key {
                Some(key) => {
                    s.dense((x, row), rows, key, (0, d), Write { to: keys, ld: across });
                    keys
                }
                None => x,
            };
            s.dense((x, row), rows, &block.value, (0, d), Write { to: values, ld: across });
            for span in &workspace.spans {
                let at = |rows: *mut f32, ld: usize| Rows { at: rows.cast_const().add(span.first * ld), ld };
                let attention = Attention {
                    queries: at(queries, across),
                    keys: at(keys, across),
                    values: at(values, across),
                    biases: block.distances.as_ref().map(Distances::biases),
                    length: span.length,
                    to: Rows { at: y.add(span.first * row), ld: row },
                };
                s.causal(&attention, &self.heads, &mut workspace.attention);
            }
            s.norm_rows(y, y, (rows, row, d), &block.norm2);
            let then = Write { to: hidden, ld: row };
            let relu = BiasRelu { bias: block.dense1_bias.as_ptr(), then };
            s.dense((y, row), rows, &block.dense1, (0, d), relu);
            let plus = Plus { residual: y, then: Write { to: x, ld: row } };
            s.dense((hidden, row), rows, &block.dense2, (0, d), plus);
        }
    }
}

impl Workspace {
    fn new(shape: &Shape, heads: &Heads) -> Self {
        let rows = ROWS.max(shape.longest);
        let with_spare = |row: usize| Aligned::zeros((rows + SPARE_ROWS) * row);
        Self {
            x: with_spare(shape.row()),
            y: with_spare(shape.row()),
            queries: with_spare(heads.row()),
            keys: with_spare(heads.row()),
            values: with_spare(heads.row()),
            hidden: with_spare(shape.row()),
            attention: attention::Scratch::new(shape.longest, heads),
            newest: newest::Scratch::new(shape, rows),
            spans: Vec::new(),
            rows,
        }
    }

    /// Gives as many of the first sequences rows as there are rows for, and at least one; how many.
    fn take(&mut self, sequences: Sequences<'_>) -> usize {
        self.spans.clear();
        let mut first = 0;
        for sequence in sequences {
            let length = sequence.len();
            if first + length > self.rows {
                break;
            }
            self.spans.push(Span { first, length });
            first += length;
        }
        self.spans.len()
    }
}
