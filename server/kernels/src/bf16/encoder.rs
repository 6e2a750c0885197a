//! All blocks by tiles, strip by strip, and the last one by vectors.

use std::ops::Range;

use half::bf16;

use super::entries::RunStrip;
use super::pack::TilePanels;
use super::strip::{Batch, STRIP, Scratch, Segment, Strip};
use crate::fp32::newest::{self, Newest, Span};
use crate::packed::{PackedBlock, Packer};
use crate::shape::{Heads, Shape};
use crate::tables::{Sequences, Tables};
use crate::tiles::{STEP, Tiles as _};
use crate::weights::Weights;

/// Rows of a batch: more read the weights of a block less often, fewer stay in the nearer cache.
const ROWS: usize = 512;

/// A network, packed for tiles.
pub(crate) struct Model {
    shape: Shape,
    heads: Heads,
    blocks: Vec<PackedBlock<TilePanels>>,
    newest: Newest<bf16>,
}

/// What a worker needs to run a [`Model`].
pub(crate) struct Workspace {
    batch: Batch,
    scratch: Scratch,
    newest: newest::Scratch,
    spans: Vec<Span>,
    /// The segments of all strips, and which are each strip's.
    segments: Vec<Segment>,
    strips: Vec<Range<usize>>,
    rest: Vec<Segment>,
}

impl Model {
    /// Packs weights that were checked; the last block is for tiles of fp32 of `width` columns.
    pub(crate) fn new(weights: &Weights, width: usize) -> Self {
        let shape = weights.shape;
        let heads = Heads::new(&shape, STEP);
        let (last, full) = weights.blocks.split_last().expect("checked weights have a block");
        let pack =
            |_, columns, value: &dyn Fn(usize, usize) -> f32| TilePanels::new(shape.row(), columns, value);
        let packer = Packer::new(&shape, &heads, pack);
        let blocks = full.iter().map(|block| packer.block(block)).collect();
        Self { shape, heads, blocks, newest: Newest::new(last, &weights.final_norm, &shape, width) }
    }

    pub(crate) fn workspace(&self) -> Workspace {
        let Self { shape, heads, .. } = self;
        let rows = ROWS.max(shape.longest.next_multiple_of(STRIP));
        Workspace {
            batch: Batch::new(rows, shape.row(), heads),
            scratch: Scratch::new(shape.longest, shape.row(), heads),
            newest: newest::Scratch::new(shape, rows / STRIP),
            spans: Vec::new(),
            segments: Vec::new(),
            strips: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// Appends the user vector of each sequence to `out`.
    pub(crate) fn encode<P: RunStrip>(
        &self,
        pair: P,
        tables: &Tables<'_>,
        sequences: Sequences<'_>,
        workspace: &mut Workspace,
        out: &mut Vec<f32>,
    ) {
        let (set, unit) = pair.parts();
        let mut rest = sequences;
        while !rest.is_empty() {
            let count = workspace.take(rest);
            let (now, later) = rest.split_at(count);
            let session = unit.begin();
            self.blocks(pair, tables, now, workspace);
            drop(session);
            let Workspace { batch, newest, spans, .. } = workspace;
            // SAFETY: the workspace was made for the shape, and for a sequence in each strip.
            unsafe { self.newest.run(set, batch.x.as_ptr(), spans, newest, out) };
            rest = later;
        }
    }

    /// All blocks but the last. The first one begins with the embeddings of a strip, while memory looks for those of
    /// the next.
    fn blocks<P: RunStrip>(
        &self,
        pair: P,
        tables: &Tables<'_>,
        sequences: Sequences<'_>,
        workspace: &mut Workspace,
    ) {
        let Workspace { batch, scratch, segments, strips, .. } = workspace;
        let (row, (set, _)) = (self.shape.row(), pair.parts());
        let run = |block: &PackedBlock<TilePanels>,
                   segments: &[Segment],
                   batch: &mut Batch,
                   scratch: &mut Scratch| {
            let (heads, dimension) = (&self.heads, self.shape.dimension);
            let strip = Strip { block, heads, dimension, row, segments };
            // SAFETY: the thread was made ready, the workspace was made for the shape, and a sequence's strips follow
            // one another.
            unsafe { pair.run(&strip, batch, scratch) };
        };
        let prefetch = |strip: Option<&Range<usize>>| {
            for segment in strip.map_or(&[][..], |strip| &segments[strip.clone()]) {
                tables.prefetch(sequences[segment.sequence], segment.positions());
            }
        };
        prefetch(strips.first());
        for (number, strip) in strips.iter().enumerate() {
            let segments = &segments[strip.clone()];
            for segment in segments {
                let to = &mut batch.x[(segment.base + segment.position) * row..];
                tables.embed(set, sequences[segment.sequence], segment.positions(), to, row);
            }
            prefetch(strips.get(number + 1));
            if let Some(block) = self.blocks.first() {
                run(block, segments, batch, scratch);
            }
        }
        for block in self.blocks.iter().skip(1) {
            for strip in strips.iter() {
                run(block, &segments[strip.clone()], batch, scratch);
            }
        }
    }
}

impl Workspace {
    /// Gives as many of the first sequences rows as there are rows for, and at least one; how many.
    fn take(&mut self, sequences: Sequences<'_>) -> usize {
        self.spans.clear();
        let mut first = 0;
        for sequence in sequences {
            let rows = sequence.len().next_multiple_of(STRIP);
            if first + rows > self.batch.rows {
                break;
            }
            self.spans.push(Span { first, length: sequence.len() });
            first += rows;
        }
        self.lay_out();
        self.spans.len()
    }

    /// Makes strips: whole ones of one sequence first, then what is left of each, as many together as fit one.
    fn lay_out(&mut self) {
        let Self { spans, segments, strips, rest, .. } = self;
        segments.clear();
        strips.clear();
        rest.clear();
        for (sequence, span) in spans.iter().enumerate() {
            let whole = span.length / STRIP * STRIP;
            let segment = Segment { sequence, base: span.first, position: 0, length: STRIP, row: 0 };
            for position in (0..whole).step_by(STRIP) {
                strips.push(segments.len()..segments.len() + 1);
                segments.push(Segment { position, ..segment });
            }
            if whole < span.length {
                rest.push(Segment { position: whole, length: span.length - whole, ..segment });
            }
        }
        rest.sort_by_key(|segment| std::cmp::Reverse(segment.length));
        while !rest.is_empty() {
            let (begin, mut row) = (segments.len(), 0);
            rest.retain(|segment| {
                let fits = row + segment.length <= STRIP;
                if fits {
                    segments.push(Segment { row, ..*segment });
                    row += segment.length;
                }
                !fits
            });
            strips.push(begin..segments.len());
        }
    }
}
