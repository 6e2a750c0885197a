//! Tables and queries as small integers, and how wrong that makes a score.
//!
//! A vector is written as `scale * codes + error`, with integer codes. The true inner product of a
//! row `y` and a query `x` is then off the one of the codes by at most
//! `|x| |error of y| + |error of x| |codes of y * scale|` (Cauchy and Schwarz, twice). Both norms are
//! computed in f64 and rounded up.
//!
//! Bounds are compared in f32. Its rounding, and that of the score itself, is covered by
//! [`ROUNDING`], a share of `|x| |y|` far above the dozen half-units that can arise; what f32 cannot
//! hold is covered by working in units: table and query are each scaled by a power of two to a
//! greatest number in 1/2 to 1, so that nothing overflows, and [`QueryBound::slack`] holds what may
//! underflow. A score that may leave f32's range gets an infinite slack: every row is a candidate.

use marquee_core::idle::in_idle_time;

use super::kernel::{CodeWidth, LINE_ROWS, Line, STEP, STEPS_AT_ONCE, Steps, TILE_LINES, TILE_ROWS};
use super::pages::vec_in_large_pages;
use crate::query::{ItemRow, Metric, ScorerQuery};
use crate::table::{ItemTable, inverse_norm};

/// The greatest code of a row; the least is its negative.
const ROW_CODE_MAX: f64 = 127.0;
/// Added to a row's code, so that it is stored as u8.
const ROW_CODE_BIAS: i32 = 128;
/// A step of zeros.
const EMPTY_STEP: [Line; TILE_LINES] = [Line::filled(ROW_CODE_BIAS as u8); TILE_LINES];
/// The share of `|x| |y|` that stands for all rounding of bounds and scores: 32 half-units of f32.
const ROUNDING: f64 = 1.0 / (1 << 19) as f64;

/// What turns the integer sums of a tile into bounds, for each of its rows, in the table's unit. Whole cache lines, so
/// that asking for its lines asks for all of it.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct TileBounds {
    /// What one code stands for.
    pub(crate) scale: [f32; TILE_ROWS],
    /// The norm of what the codes miss, rounded up.
    pub(crate) error: [f32; TILE_ROWS],
    /// The norm of what the codes say, rounded up.
    pub(crate) norm: [f32; TILE_ROWS],
    /// The greatest of `error`.
    pub(crate) greatest_error: f32,
    /// The greatest of `norm`.
    pub(crate) greatest_norm: f32,
}

impl TileBounds {
    pub(crate) fn new(scale: [f32; TILE_ROWS], error: [f32; TILE_ROWS], norm: [f32; TILE_ROWS]) -> Self {
        let (greatest_error, greatest_norm) = (greatest(&error), greatest(&norm));
        Self { scale, error, norm, greatest_error, greatest_norm }
    }

    /// The bounds of the same rows brought to length 1; `inverse_norms` are those of the rows, in the unit.
    ///
    /// A row so short that f32 has no such number gets an infinite error, and is always a candidate. The two roundings
    /// more, of the score and of the margin, take four half-units of what [`ROUNDING`] leaves.
    fn of_length_one(&self, inverse_norms: &[f32]) -> Self {
        let (mut scale, mut error, mut norm) = (self.scale, self.error, self.norm);
        for (lane, inverse) in inverse_norms.iter().enumerate() {
            let is_finite = inverse.is_finite();
            let times = |number: f32| if is_finite { number * inverse } else { 0.0 };
            scale[lane] = times(self.scale[lane]);
            error[lane] = if is_finite { self.error[lane] * inverse } else { f32::INFINITY };
            norm[lane] = times(self.norm[lane]);
        }
        Self::new(scale, error, norm)
    }
}

/// A table as codes, in the order in which kernels read it.
#[derive(Debug)]
pub(super) struct TableCodes {
    /// Tile by tile, and behind the last one what a kernel may read that takes many steps at once.
    lines: Vec<[Line; TILE_LINES]>,
    bounds: Vec<TileBounds>,
    steps: usize,
    /// The power of two that is the unit of `bounds`.
    unit_exponent: i32,
    /// The greatest norm of a row, in the unit.
    greatest_norm: f64,
}

impl TableCodes {
    pub(super) fn new(table: &ItemTable) -> Self {
        let tiles = table.items().div_ceil(TILE_ROWS);
        let steps = table.dimension().div_ceil(STEP);
        let rows = |tile: usize| tile * TILE_ROWS..table.items().min((tile + 1) * TILE_ROWS);
        let mut greatest = 0.0_f32;
        in_idle_time(tiles, |tile| {
            for row in rows(tile) {
                greatest = greatest.max(greatest_magnitude(table.row(row as ItemRow)));
            }
        });
        let unit_exponent = exponent_above(greatest);
        let mut codes = Self {
            lines: vec_in_large_pages(tiles * steps + STEPS_AT_ONCE),
            bounds: Vec::with_capacity(tiles),
            steps,
            unit_exponent,
            greatest_norm: 0.0,
        };
        in_idle_time(tiles, |tile| codes.push_tile(rows(tile).map(|row| table.row(row as ItemRow))));
        codes.lines.resize(codes.lines.len() + STEPS_AT_ONCE, EMPTY_STEP);
        codes
    }

    /// Appends a tile of up to 64 rows.
    fn push_tile<'a>(&mut self, rows: impl Iterator<Item = &'a [f32]>) {
        let first = self.lines.len();
        self.lines.resize(first + self.steps, EMPTY_STEP);
        let [mut scale, mut error, mut norm] = [[0.0; TILE_ROWS]; 3];
        for (lane, values) in rows.enumerate() {
            let written = Quantised::new(values, self.unit_exponent, ROW_CODE_MAX);
            for (column, code) in written.codes.iter().enumerate() {
                let line = &mut self.lines[first + column / STEP][lane / LINE_ROWS];
                line.0[lane % LINE_ROWS * STEP + column % STEP] = (code + ROW_CODE_BIAS) as u8;
            }
            scale[lane] = written.scale;
            error[lane] = round_up(written.error);
            norm[lane] = round_up(written.norm);
            self.greatest_norm = self.greatest_norm.max(written.norm + written.error);
        }
        self.bounds.push(TileBounds::new(scale, error, norm));
    }

    pub(super) fn tiles(&self) -> usize {
        self.bounds.len()
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    pub(super) fn lines(&self, tile: usize) -> &Steps {
        &self.lines_on(tile)[..self.steps]
    }

    /// The lines of a tile, and on up to a multiple of [`STEPS_AT_ONCE`].
    pub(super) fn lines_on(&self, tile: usize) -> &Steps {
        &self.lines[tile * self.steps..][..self.steps.next_multiple_of(STEPS_AT_ONCE)]
    }

    pub(super) fn bounds(&self, tile: usize) -> &TileBounds {
        &self.bounds[tile]
    }

    /// The bounds of the tile's rows brought to length 1; `inverse_norms` are those of the table.
    pub(super) fn bounds_of_length_one(&self, tile: usize, inverse_norms: &[f64]) -> TileBounds {
        let unit = power_of_two(self.unit_exponent);
        let mut in_unit = [0.0; TILE_ROWS];
        for (inverse, of_row) in in_unit.iter_mut().zip(&inverse_norms[tile * TILE_ROWS..]) {
            *inverse = (of_row * unit) as f32;
        }
        self.bounds[tile].of_length_one(&in_unit)
    }

    /// A query for kernels that read `width`.
    pub(super) fn encode(&self, query: &ScorerQuery<'_>, width: CodeWidth) -> QueryCodes {
        let (vector, metric) = (query.vector, query.query.metric);
        let exponent = exponent_above(greatest_magnitude(vector));
        let mut query = Quantised::new(vector, exponent, f64::from(width.greatest_code(self.steps)));
        query.codes.resize(self.steps * STEP, 0);
        let vector_norm = query.norm + query.error;
        let (unit, greatest_norm) = match metric {
            Metric::InnerProduct => (power_of_two(self.unit_exponent + exponent), self.greatest_norm),
            // The rows are brought to length 1, and so is the vector by its share of the unit.
            Metric::Cosine => (power_of_two(exponent) * inverse_norm(vector), 1.0),
        };
        let may_overflow = vector_norm * greatest_norm * unit >= f64::from(f32::MAX) / 2.0;
        let slack = if may_overflow {
            f32::INFINITY
        } else {
            round_up(power_of_two(-90) + f64::from(f32::MIN_POSITIVE) / unit)
        };
        let bound = QueryBound {
            scale: query.scale,
            norm: round_up(vector_norm * (1.0 + ROUNDING)),
            error: round_up(query.error + vector_norm * ROUNDING),
            slack,
        };
        QueryCodes { codes: query.codes, bound, unit }
    }
}

/// A query as codes.
pub(super) struct QueryCodes {
    /// Whole steps of them.
    pub(super) codes: Vec<i32>,
    /// What they are worth.
    pub(super) bound: QueryBound,
    /// What a bound is multiplied by to become a score.
    pub(super) unit: f64,
}

/// What turns integer sums into bounds, on the side of the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryBound {
    /// What one code stands for.
    pub(crate) scale: f32,
    /// The norm of the query, rounded up, and its share of the rounding.
    pub(crate) norm: f32,
    /// The norm of what the codes miss, rounded up, and its share of the rounding.
    pub(crate) error: f32,
    /// What is added for numbers too small for f32; infinite when a score may be too great for it, and for the
    /// cosine of a vector without length.
    pub(crate) slack: f32,
}

impl QueryBound {
    /// The score that the codes give, and how far off it may be, in the unit.
    #[inline]
    pub(crate) fn score_and_margin(&self, rows: &TileBounds, lane: usize, sum: i32) -> (f32, f32) {
        let score = sum as f32 * rows.scale[lane] * self.scale;
        (score, self.margin(rows.error[lane], rows.norm[lane]))
    }

    /// How far off the score of a row may be. It is no less for greater numbers, rounding or not.
    #[inline]
    pub(crate) fn margin(&self, error: f32, norm: f32) -> f32 {
        self.norm * error + self.error * norm + self.slack
    }
}

/// A vector as `scale * codes` and what that misses, in units of a power of two.
struct Quantised {
    codes: Vec<i32>,
    scale: f32,
    error: f64,
    norm: f64,
}

impl Quantised {
    /// Codes of at most `greatest_code`. The error is that of the scale as it is stored, whatever f32
    /// made of it.
    fn new(values: &[f32], unit_exponent: i32, greatest_code: f64) -> Self {
        let unit = power_of_two(-unit_exponent);
        let scale = (f64::from(greatest_magnitude(values)) * unit / greatest_code) as f32;
        let wide_scale = f64::from(scale);
        let to_code = if scale > 0.0 { unit / wide_scale } else { 0.0 };
        let (mut error, mut norm) = (0.0, 0.0);
        let codes = values
            .iter()
            .map(|value| {
                let code = nearest(f64::from(*value) * to_code).clamp(-greatest_code, greatest_code);
                let missed = f64::from(*value) * unit - code * wide_scale;
                error += missed * missed;
                norm += code * code;
                code as i32
            })
            .collect();
        Self { codes, scale, error: error.sqrt(), norm: norm.sqrt() * wide_scale }
    }
}

/// A whole number near `value`; which of two equally near ones does not matter here.
fn nearest(value: f64) -> f64 {
    f64::from((value + f64::copysign(0.5, value)) as i32)
}

fn greatest_magnitude(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |greatest, value| value.abs().max(greatest))
}

/// The greatest of numbers that are not negative, in lanes that a processor compares at once.
fn greatest(numbers: &[f32; TILE_ROWS]) -> f32 {
    let mut lanes = [0.0; LINE_ROWS];
    for line in numbers.as_chunks::<LINE_ROWS>().0 {
        for (lane, number) in lanes.iter_mut().zip(line) {
            *lane = if *number > *lane { *number } else { *lane };
        }
    }
    greatest_magnitude(&lanes)
}

/// The least `e` with `value < 2^e`; 0 for 0.
fn exponent_above(value: f32) -> i32 {
    if value == 0.0 { 0 } else { (f64::from(value).to_bits() >> 52) as i32 - 1022 }
}

/// `2^exponent`, for exponents of normal f64.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// An f32 that is no less than `value`, with room for the rounding of the f64 sums behind it.
fn round_up(value: f64) -> f32 {
    ((value * (1.0 + 1e-9)) as f32).next_up()
}
