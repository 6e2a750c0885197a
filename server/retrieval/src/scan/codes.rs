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

use super::kernel::{CodeWidth, LINE_ROWS, Line, STEP, TILE_LINES, TILE_ROWS};
use super::pages::vec_in_large_pages;
use crate::query::{ItemRow, Metric, ScorerQuery};
use crate::table::{ItemTable, inverse_norm};

/// The greatest code of a row; the least is its negative.
const ROW_CODE_MAX: f64 = 127.0;
/// Added to a row's code, so that it is stored as u8.
const ROW_CODE_BIAS: i32 = 128;
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
}

impl TileBounds {
    /// The bounds of the same rows brought to length 1; `inverse_norms` are those of the rows, in the unit.
    ///
    /// A row so short that f32 has no such number gets an infinite error, and is always a candidate. The two roundings
    /// more, of the score and of the margin, take four half-units of what [`ROUNDING`] leaves.
    fn of_length_one(&self, inverse_norms: &[f32]) -> Self {
        let mut bounds = self.clone();
        for (lane, inverse) in inverse_norms.iter().enumerate() {
            let is_finite = inverse.is_finite();
            let times = |number: f32| if is_finite { number * inverse } else { 0.0 };
            bounds.scale[lane] = times(self.scale[lane]);
            bounds.error[lane] = if is_finite { self.error[lane] * inverse } else { f32::INFINITY };
            bounds.norm[lane] = times(self.norm[lane]);
        }
        bounds
    }
}

/// A table as codes, in the order in which kernels read it.
#[derive(Debug)]
pub(super) struct TableCodes {
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
            lines: vec_in_large_pages(tiles * steps),
            bounds: vec![
                TileBounds {
                    scale: [0.0; TILE_ROWS],
                    error: [0.0; TILE_ROWS],
                    norm: [0.0; TILE_ROWS]
                };
                tiles
            ],
            steps,
            unit_exponent,
            greatest_norm: 0.0,
        };
        in_idle_time(tiles, |tile| {
            codes.lines.resize((tile + 1) * steps, [Line::filled(ROW_CODE_BIAS as u8); TILE_LINES]);
            for row in rows(tile) {
                codes.write_row(row, table.row(row as ItemRow));
            }
        });
        codes
    }

    fn write_row(&mut self, row: usize, values: &[f32]) {
        let (tile, lane) = (row / TILE_ROWS, row % TILE_ROWS);
        let written = Quantised::new(values, self.unit_exponent, ROW_CODE_MAX);
        for (column, code) in written.codes.iter().enumerate() {
            let line = &mut self.lines[tile * self.steps + column / STEP][lane / LINE_ROWS];
            line.0[lane % LINE_ROWS * STEP + column % STEP] = (code + ROW_CODE_BIAS) as u8;
        }
        let bounds = &mut self.bounds[tile];
        bounds.scale[lane] = written.scale;
        bounds.error[lane] = round_up(written.error);
        bounds.norm[lane] = round_up(written.norm);
        self.greatest_norm = self.greatest_norm.max(written.norm + written.error);
    }

    pub(super) fn tiles(&self) -> usize {
        self.bounds.len()
    }

    pub(super) fn lines(&self, tile: usize) -> &[[Line; TILE_LINES]] {
        &self.lines[tile * self.steps..(tile + 1) * self.steps]
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

    /// The codes of a query for kernels that read `width`, and what they are worth.
    pub(super) fn encode(&self, query: &ScorerQuery<'_>, width: CodeWidth) -> (Vec<i32>, QueryBound) {
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
            unit,
        };
        (query.codes, bound)
    }
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
    /// What a bound is multiplied by to become a score.
    pub(super) unit: f64,
}

impl QueryBound {
    /// The score that the codes give, and how far off it may be, in the unit.
    #[inline]
    pub(crate) fn score_and_margin(&self, rows: &TileBounds, lane: usize, sum: i32) -> (f32, f32) {
        let score = sum as f32 * rows.scale[lane] * self.scale;
        let margin = self.norm * rows.error[lane] + self.error * rows.norm[lane] + self.slack;
        (score, margin)
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
