//! A block over a strip: up to 32 rows, whose numbers stay in the nearest cache from the first norm to the last sum.
//!
//! Attention is causal, so that a strip needs keys and values of earlier strips only. A strip holds 32 positions of
//! one sequence, or the last positions of several: dense layers take its rows together, attention takes each
//! sequence's part by itself, at places that depend on nothing but the sequence. So a vector has the same bits in any
//! company.

use std::ops::Range;

use half::bf16;

use super::pack::TilePanels;
use crate::kernel::biases::Distances;
use crate::kernel::norm::EPSILON;
use crate::memory::Aligned;
use crate::packed::PackedBlock;
use crate::panels::PackedNorm;
use crate::shape::{HEAD_DIMENSION_MAX, Heads};
use crate::simd::{EXP2_SHORT, Simd};
use crate::tiles::{PANEL, STEP, TILE, TILE_NUMBERS, Tiles};

/// Rows of a strip.
pub(crate) const STRIP: usize = 2 * TILE;
/// Rows of a strip's own memory: a tile that begins within it ends within these.
const ROWS: usize = STRIP + TILE;

/// Part of a sequence in a strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Which sequence of the batch.
    pub(crate) sequence: usize,
    /// Where the sequence begins among all rows, a multiple of [`STRIP`].
    pub(crate) base: usize,
    /// The first position of the part, a multiple of [`STRIP`].
    pub(crate) position: usize,
    /// Positions in the part, 1 to [`STRIP`].
    pub(crate) length: usize,
    /// Where the part begins in the strip.
    pub(crate) row: usize,
}

impl Segment {
    /// Its positions in the sequence.
    pub(crate) fn positions(&self) -> Range<usize> {
        self.position..self.position + self.length
    }
}

/// The memory of all rows of a batch: each sequence begins at a multiple of [`STRIP`].
pub(crate) struct Batch {
    pub(crate) x: Aligned<f32>,
    /// For each head a tile for each 16 rows and step of the head.
    pub(crate) keys: Aligned<bf16>,
    /// For each head and 32 rows a tile for each 16 numbers of the head.
    pub(crate) values: Aligned<bf16>,
    pub(crate) rows: usize,
}

impl Batch {
    pub(crate) fn new(rows: usize, row: usize, heads: &Heads) -> Self {
        let by_head = || Aligned::zeros(heads.count * heads.step * rows);
        Self { x: Aligned::zeros(rows * row), keys: by_head(), values: by_head(), rows }
    }
}

/// The memory of one strip.
pub(crate) struct Scratch {
    /// The residual.
    y: Aligned<f32>,
    /// It, rounded.
    normed: Aligned<bf16>,
    /// The rows as they are, rounded.
    plain: Aligned<bf16>,
    queries: Aligned<bf16>,
    hidden: Aligned<bf16>,
    /// Sums of two pieces of a dense layer: one is worked on while the other is multiplied.
    sums: [Aligned<f32>; 2],
    /// By head, the same.
    logits: [Aligned<f32>; 2],
    weights: [Aligned<bf16>; 2],
    mixed: [Aligned<f32>; 2],
    inverses: [[f32; TILE]; 2],
    /// Numbers in a row of logits and weights.
    across: usize,
}

impl Scratch {
    pub(crate) fn new(longest: usize, row: usize, heads: &Heads) -> Self {
        // One tile more than the positions: rows a power of two apart would meet in the same places of the cache.
        let across = longest.next_multiple_of(STEP) + STEP;
        let pair = |count: usize| [Aligned::zeros(count), Aligned::zeros(count)];
        Self {
            y: Aligned::zeros(ROWS * row),
            normed: Aligned::zeros(ROWS * row),
            plain: Aligned::zeros(ROWS * row),
            queries: Aligned::zeros(ROWS * heads.row()),
            hidden: Aligned::zeros(ROWS * row),
            sums: pair((STRIP + TILE) * 2 * PANEL),
            logits: pair(TILE * across),
            weights: [Aligned::zeros(TILE * across), Aligned::zeros(TILE * across)],
            mixed: pair(TILE * HEAD_DIMENSION_MAX),
            inverses: [[0.0; TILE]; 2],
            across,
        }
    }
}

/// What a strip is run with.
pub(crate) struct Strip<'a> {
    pub(crate) block: &'a PackedBlock<TilePanels>,
    pub(crate) heads: &'a Heads,
    pub(crate) dimension: usize,
    pub(crate) row: usize,
    pub(crate) segments: &'a [Segment],
}

impl Strip<'_> {
    fn rows(&self) -> usize {
        self.segments.last().map_or(0, |segment| segment.row + segment.length)
    }
}

/// Runs a block over a strip.
///
/// # Safety
/// The thread was made ready for tiles; the batch has the rows of the segments, which earlier strips of the block have
/// been run for up to their positions; batch and scratch were made for the shape.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd, T: Tiles>(
    s: S,
    tiles: T,
    strip: &Strip<'_>,
    batch: &mut Batch,
    scratch: &mut Scratch,
) {
    let Strip { block, heads, row, segments, .. } = *strip;
    let rows = strip.rows();
    let across = heads.row();
    // SAFETY: the caller's.
    unsafe {
        first_norm(s, strip, batch, scratch);
        let (y, hidden, queries) =
            (scratch.y.as_mut_ptr(), scratch.hidden.as_mut_ptr(), scratch.queries.as_mut_ptr());
        let (normed, plain) = (scratch.normed.as_ptr(), scratch.plain.as_ptr());
        let sums = [scratch.sums[0].as_mut_ptr(), scratch.sums[1].as_mut_ptr()];
        let (keys, values) = (batch.keys.as_mut_ptr(), batch.values.as_mut_ptr());
        let by_head = heads.step * batch.rows;

        let to_queries = Rounded { bias: block.query_bias.as_ptr(), relu: false, to: queries, ld: across };
        product(s, tiles, (normed, row), rows, &block.query, sums, to_queries);
        let to_keys = Keys { segments, heads, to: keys, by_head };
        match &block.key {
            Some(key) => product(s, tiles, (plain, row), rows, key, sums, to_keys),
            None => rows_as_keys(s, plain, row, to_keys),
        }
        let to_values = Values { segments, heads, to: values, by_head };
        product(s, tiles, (plain, row), rows, &block.value, sums, to_values);
        for segment in segments {
            for first in (0..segment.length).step_by(TILE) {
                attend(s, tiles, strip, segment, first, batch, scratch);
            }
        }
        second_norm(s, strip, scratch);
        let normed = scratch.normed.as_ptr();
        let to_hidden = Rounded { bias: block.dense1_bias.as_ptr(), relu: true, to: hidden, ld: row };
        product(s, tiles, (normed, row), rows, &block.dense1, sums, to_hidden);
        let back = Residual { segments, y, to: batch.x.as_mut_ptr(), ld: row };
        product(s, tiles, (hidden, row), rows, &block.dense2, sums, back);
    }
}

/// Normalises the rows of the batch to the strip's, and rounds both.
#[inline(always)]
unsafe fn first_norm<S: Simd>(s: S, strip: &Strip<'_>, batch: &Batch, scratch: &mut Scratch) {
    let row = strip.row;
    for segment in strip.segments {
        for number in 0..segment.length {
            let to = (segment.row + number) * row;
            // SAFETY: the caller's.
            unsafe {
                let from = batch.x.as_ptr().add((segment.base + segment.position + number) * row);
                let plain = scratch.plain.as_mut_ptr().add(to);
                let (sum, squares) = sums(s, from, row, |at, value| s.store_bf16(plain.add(at), value));
                let to = (scratch.y.as_mut_ptr().add(to), scratch.normed.as_mut_ptr().add(to));
                norm(s, from, to, strip, (sum, squares), &strip.block.norm1);
            }
        }
    }
}

/// Normalises the strip's rows in place, and rounds them.
#[inline(always)]
unsafe fn second_norm<S: Simd>(s: S, strip: &Strip<'_>, scratch: &mut Scratch) {
    let row = strip.row;
    for number in 0..strip.rows() {
        // SAFETY: the caller's.
        unsafe {
            let y = scratch.y.as_mut_ptr().add(number * row);
            let normed = scratch.normed.as_mut_ptr().add(number * row);
            let (sum, squares) = sums(s, y, row, |_, _| {});
            norm(s, y, (y, normed), strip, (sum, squares), &strip.block.norm2);
        }
    }
}

/// The sum of a row and of its squares, in one pass; padding is zeros. Each vector is shown to `also`.
#[inline(always)]
unsafe fn sums<S: Simd>(s: S, row: *const f32, length: usize, also: impl Fn(usize, S::F)) -> (f32, f32) {
    let (mut sums, mut squares) = ([s.splat(0.0); 2], [s.splat(0.0); 2]);
    for at in (0..length).step_by(S::LANES) {
        // SAFETY: the caller's.
        let value = unsafe { s.load(row.add(at)) };
        let half = at / S::LANES % 2;
        sums[half] = s.add(sums[half], value);
        squares[half] = s.fma(value, value, squares[half]);
        also(at, value);
    }
    (s.sum(s.add(sums[0], sums[1])), s.sum(s.add(squares[0], squares[1])))
}

/// Normalises a row by its sums. The variance is the mean square less the squared mean: what that loses is far below
/// what rounding to bf16 does.
#[inline(always)]
unsafe fn norm<S: Simd>(
    s: S,
    from: *const f32,
    (to, rounded): (*mut f32, *mut bf16),
    strip: &Strip<'_>,
    (sum, squares): (f32, f32),
    norm: &PackedNorm,
) {
    let over = 1.0 / strip.dimension as f32;
    let mean = sum * over;
    let variance = (squares * over - mean * mean).max(0.0);
    let scale = 1.0 / (variance + EPSILON).sqrt();
    let (scale, shift) = (s.splat(scale), s.splat(-mean * scale));
    for at in (0..strip.row).step_by(S::LANES) {
        // SAFETY: the caller's.
        unsafe {
            let value = s.fma(s.load(from.add(at)), scale, shift);
            let (gain, bias) = (s.load(norm.scale.as_ptr().add(at)), s.load(norm.bias.as_ptr().add(at)));
            let value = s.fma(value, gain, bias);
            s.store(to.add(at), value);
            s.store_bf16(rounded.add(at), value);
        }
    }
}

/// What becomes of the sums of a dense layer.
trait Take<S: Simd>: Copy {
    /// Takes the sums of a panel's columns for the strip's first `rows` rows.
    ///
    /// # Safety
    /// `sums` has the rows and a tile's more, `ld` apart; what it writes to must be there.
    unsafe fn take(self, s: S, sums: *const f32, ld: usize, rows: usize, column: usize);
}

/// `a` times `w`. A piece is taken after the next one was given to the tiles, so that both go on at once.
#[inline(always)]
unsafe fn product<S: Simd, T: Tiles, E: Take<S>>(
    s: S,
    tiles: T,
    (a, lda): (*const bf16, usize),
    rows: usize,
    w: &TilePanels,
    sums: [*mut f32; 2],
    then: E,
) {
    let lda = lda * size_of::<bf16>();
    // SAFETY: the caller's; `a` has the rows of a whole strip, whatever the last ones hold.
    unsafe {
        if rows > TILE {
            let pieces = w.columns / PANEL;
            for piece in 0..=pieces {
                if piece < pieces {
                    tiles.two_by_one(a, lda, w.panel(piece * PANEL), w.steps, sums[piece % 2]);
                }
                if piece > 0 {
                    then.take(s, sums[(piece - 1) % 2], PANEL, rows, (piece - 1) * PANEL);
                }
            }
        } else {
            let pieces = w.columns / (2 * PANEL);
            for piece in 0..=pieces {
                if piece < pieces {
                    tiles.one_by_two(a, lda, w.panel(piece * 2 * PANEL), w.steps, sums[piece % 2]);
                }
                if piece > 0 {
                    let (sums, column) = (sums[(piece - 1) % 2], (piece - 1) * 2 * PANEL);
                    then.take(s, sums, 2 * PANEL, rows, column);
                    then.take(s, sums.add(PANEL), 2 * PANEL, rows, column + PANEL);
                }
            }
        }
    }
}

/// Adds a bias, rounds, and writes rows.
#[derive(Clone, Copy)]
struct Rounded {
    bias: *const f32,
    /// Whether what is below zero becomes zero.
    relu: bool,
    to: *mut bf16,
    ld: usize,
}

impl<S: Simd> Take<S> for Rounded {
    #[inline(always)]
    unsafe fn take(self, s: S, sums: *const f32, ld: usize, rows: usize, column: usize) {
        for at in (0..PANEL).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe {
                let bias = s.load(self.bias.add(column + at));
                for row in 0..rows {
                    let mut value = s.add(s.load(sums.add(row * ld + at)), bias);
                    if self.relu {
                        value = s.max(s.splat(0.0), value);
                    }
                    s.store_bf16(self.to.add(row * self.ld + column + at), value);
                }
            }
        }
    }
}

/// Adds the residual, and writes to the rows of the batch.
#[derive(Clone, Copy)]
struct Residual<'a> {
    segments: &'a [Segment],
    y: *const f32,
    to: *mut f32,
    ld: usize,
}

impl<S: Simd> Take<S> for Residual<'_> {
    #[inline(always)]
    unsafe fn take(self, s: S, sums: *const f32, ld: usize, _rows: usize, column: usize) {
        for segment in self.segments {
            for number in 0..segment.length {
                let row = segment.row + number;
                // SAFETY: the caller's.
                unsafe {
                    let to = self.to.add((segment.base + segment.position + number) * self.ld + column);
                    let y = self.y.add(row * self.ld + column);
                    for at in (0..PANEL).step_by(S::LANES) {
                        let sum = s.add(s.load(sums.add(row * ld + at)), s.load(y.add(at)));
                        s.store(to.add(at), sum);
                    }
                }
            }
        }
    }
}

/// Packs keys as tiles: columns are positions there.
#[derive(Clone, Copy)]
struct Keys<'a> {
    segments: &'a [Segment],
    heads: &'a Heads,
    to: *mut bf16,
    by_head: usize,
}

impl Keys<'_> {
    /// Where the tile of a head's step for the 16 rows from `row` on begins.
    #[inline(always)]
    unsafe fn tile(self, column: usize, row: usize) -> *mut bf16 {
        let (head, step) = (column / self.heads.step, column % self.heads.step / STEP);
        let at = (row / TILE * (self.heads.step / STEP) + step) * TILE_NUMBERS;
        // SAFETY: the caller's.
        unsafe { self.to.add(head * self.by_head + at) }
    }
}

impl<S: Simd> Take<S> for Keys<'_> {
    #[inline(always)]
    unsafe fn take(self, s: S, sums: *const f32, ld: usize, _rows: usize, column: usize) {
        if column >= self.heads.count * self.heads.step {
            return;
        }
        let mut rounded = Rows([bf16::ZERO; TILE_NUMBERS]);
        for segment in self.segments {
            for first in (0..segment.length).step_by(TILE) {
                // SAFETY: the caller's; of rows behind the segment what they hold is never seen.
                unsafe {
                    for row in 0..TILE {
                        let from = sums.add((segment.row + first + row) * ld);
                        for at in (0..STEP).step_by(S::LANES) {
                            s.store_bf16(rounded.0.as_mut_ptr().add(row * STEP + at), s.load(from.add(at)));
                        }
                    }
                    let to = self.tile(column, segment.base + segment.position + first);
                    across(s, rounded.0.as_ptr(), STEP, to);
                }
            }
        }
    }
}

/// Packs rows themselves as keys, which are rounded already.
#[inline(always)]
unsafe fn rows_as_keys<S: Simd>(s: S, rows: *const bf16, ld: usize, keys: Keys<'_>) {
    for segment in keys.segments {
        for first in (0..segment.length).step_by(TILE) {
            for column in (0..keys.heads.step).step_by(STEP) {
                // SAFETY: the caller's.
                unsafe {
                    let to = keys.tile(column, segment.base + segment.position + first);
                    across(s, rows.add((segment.row + first) * ld + column), ld, to);
                }
            }
        }
    }
}

/// A tile's rows, aligned.
#[repr(align(64))]
struct Rows([bf16; TILE_NUMBERS]);

/// 16 rows of 32 numbers as a tile whose columns they are: a transposition of pairs.
#[inline(always)]
unsafe fn across<S: Simd>(s: S, from: *const bf16, ld: usize, to: *mut bf16) {
    #[allow(clippy::cast_ptr_alignment, reason = "vectors ask for no alignment")]
    let (from, to) = (from.cast::<f32>(), to.cast::<f32>());
    for row in (0..TILE).step_by(S::LANES) {
        for pair in (0..TILE).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe { s.transpose(from.add(row * ld / 2 + pair), ld / 2, to.add(pair * TILE + row), TILE) };
        }
    }
}

/// Packs values as tiles: pairs of positions, zeros behind the last one.
#[derive(Clone, Copy)]
struct Values<'a> {
    segments: &'a [Segment],
    heads: &'a Heads,
    to: *mut bf16,
    by_head: usize,
}

impl<S: Simd> Take<S> for Values<'_> {
    #[inline(always)]
    unsafe fn take(self, s: S, sums: *const f32, ld: usize, _rows: usize, column: usize) {
        if column >= self.heads.count * self.heads.step {
            return;
        }
        let (head, number) = (column / self.heads.step, column % self.heads.step);
        let zero = s.splat(0.0);
        for segment in self.segments {
            let position = segment.base + segment.position;
            let tile = position / STRIP * (self.heads.step / TILE) + number / TILE;
            // SAFETY: the caller's.
            unsafe {
                let to = self.to.add(head * self.by_head + tile * TILE_NUMBERS);
                let from = sums.add(segment.row * ld);
                for half in 0..PANEL / TILE {
                    for at in (0..TILE).step_by(S::LANES) {
                        let (from, to) = (from.add(half * TILE + at), to.add(half * TILE_NUMBERS + 2 * at));
                        for pair in 0..STEP / 2 {
                            let row = 2 * pair;
                            let of = |row: usize| {
                                if row < segment.length { s.load(from.add(row * ld)) } else { zero }
                            };
                            s.store_bf16_pairs(to.add(pair * 2 * TILE), of(row), of(row + 1));
                        }
                    }
                }
            }
        }
    }
}

/// Adds to up to 16 rows of a segment what they attend to. The tiles have the logits of the next head while this one's
/// weights are made.
#[inline(always)]
unsafe fn attend<S: Simd, T: Tiles>(
    s: S,
    tiles: T,
    strip: &Strip<'_>,
    segment: &Segment,
    first: usize,
    batch: &Batch,
    scratch: &mut Scratch,
) {
    let Strip { heads, row, .. } = *strip;
    let Scratch { y, queries, logits, weights, mixed, inverses, across, .. } = scratch;
    let across = *across;
    let biases = strip.block.distances.as_ref().map(Distances::biases);
    let (by_head, steps, columns) = (heads.step * batch.rows, heads.step / STEP, heads.step / TILE);
    let rows = (segment.length - first).min(TILE);
    let position = segment.position + first;
    let (key_tiles, value_pairs) = (position / TILE + 1, position / STEP + 1);
    // SAFETY: the caller's; queries have a tile's rows behind the strip.
    unsafe {
        let queries = queries.as_ptr().add((segment.row + first) * heads.row());
        let keys = batch.keys.as_ptr().add(segment.base * heads.step);
        let values = batch.values.as_ptr().add(segment.base * heads.step);
        for stage in 0..heads.count + 2 {
            if stage < heads.count {
                let q = (queries.add(stage * heads.step), heads.row() * size_of::<bf16>());
                let s = (logits[stage % 2].as_mut_ptr(), across * size_of::<f32>());
                tiles.scores(q, keys.add(stage * by_head), steps, key_tiles, s);
            }
            if (1..=heads.count).contains(&stage) {
                let (head, half) = (stage - 1, (stage - 1) % 2);
                let (s_at, p_at) = (logits[half].as_mut_ptr(), weights[half].as_mut_ptr());
                for (row, inverse) in inverses[half].iter_mut().enumerate().take(rows) {
                    let (from, to) = (s_at.add(row * across), p_at.add(row * across));
                    if let Some(biases) = biases {
                        biases.add(s, head, position + row, from);
                    }
                    *inverse = weigh(s, from, to, position + row + 1, value_pairs * STEP);
                }
                let p = (p_at.cast_const(), across * size_of::<bf16>());
                let v = values.add(head * by_head);
                tiles.weighted(p, v, value_pairs, columns, mixed[half].as_mut_ptr());
            }
            if stage >= 2 {
                let (head, half) = (stage - 2, (stage - 2) % 2);
                let to = y.as_mut_ptr().add((segment.row + first) * row + head * heads.dimension);
                for (number, inverse) in inverses[half].iter().enumerate().take(rows) {
                    let inverse = s.splat(*inverse);
                    let (to, from) = (to.add(number * row), mixed[half].as_ptr().add(number * heads.step));
                    add_scaled(s, from, inverse, to, heads.dimension);
                }
            }
        }
    }
}

/// `to[..count] += from[..count] * scale`; `from` has whole vectors.
#[inline(always)]
unsafe fn add_scaled<S: Simd>(s: S, from: *const f32, scale: S::F, to: *mut f32, count: usize) {
    let whole = count / S::LANES * S::LANES;
    // SAFETY: the caller's.
    unsafe {
        for at in (0..whole).step_by(S::LANES) {
            s.store(to.add(at), s.fma(s.load(from.add(at)), scale, s.load(to.add(at))));
        }
        if whole < count {
            let rest = count - whole;
            let sum = s.fma(s.load(from.add(whole)), scale, s.load_first(to.add(whole), rest));
            s.store_first(to.add(whole), sum, rest);
        }
    }
}

/// Sums of weights between which nothing was lost for want of range.
const SUMS: Range<f32> = 1e-18..1e18;

/// A row of weights from its logits, not divided by their sum yet, zeros from `seen` to `read`; one over the sum.
///
/// The largest logit is not taken away first, which costs a pass, unless the sum shows that it must be.
#[inline(always)]
unsafe fn weigh<S: Simd>(s: S, from: *const f32, to: *mut bf16, seen: usize, read: usize) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let sum = weigh_less(s, from, to, seen, read, 0.0);
        if SUMS.contains(&sum) {
            return 1.0 / sum;
        }
        let whole = seen / S::LANES * S::LANES;
        let mut most = s.splat(f32::NEG_INFINITY);
        for at in (0..whole).step_by(S::LANES) {
            most = s.max(most, s.load(from.add(at)));
        }
        most = s.max(most, s.first(s.load(from.add(whole)), seen - whole, most));
        1.0 / weigh_less(s, from, to, seen, read, s.largest(most))
    }
}

/// As [`weigh`], with so much taken away from every logit; the sum.
#[inline(always)]
unsafe fn weigh_less<S: Simd>(
    s: S,
    from: *const f32,
    to: *mut bf16,
    seen: usize,
    read: usize,
    less: f32,
) -> f32 {
    let (less, zero) = (s.splat(less), s.splat(0.0));
    let mut sum = zero;
    // SAFETY: the caller's.
    unsafe {
        let mut at = 0;
        while at + S::LANES <= seen {
            let weight = s.exp2(s.sub(s.load(from.add(at)), less), &EXP2_SHORT);
            sum = s.add(sum, weight);
            s.store_bf16(to.add(at), weight);
            at += S::LANES;
        }
        if at < seen {
            let weight = s.exp2(s.sub(s.load(from.add(at)), less), &EXP2_SHORT);
            let weight = s.first(weight, seen - at, zero);
            sum = s.add(sum, weight);
            s.store_bf16(to.add(at), weight);
            at += S::LANES;
        }
        while at < read {
            s.store_bf16(to.add(at), zero);
            at += S::LANES;
        }
    }
    s.sum(sum)
}
