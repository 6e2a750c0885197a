//! The output embeddings as retrieval holds them, and the one definition of a score.

use std::ops::Deref;
use std::sync::Arc;

use marquee_core::domain::MovieId;
use marquee_core::idle::{all_finite, in_idle_time};
use marquee_kernels::ask_for;

use super::RetrievalError;
use crate::query::{BackendError, ItemRow, Metric, ScorerQuery};

/// The most columns of a table: with more, the scan's integer sums would not fit.
const MAX_DIMENSION: usize = 1 << 16;
/// Rows whose norms are computed in one step of idle time.
const NORMS_AT_ONCE: usize = 64;

/// The numbers of a table, which others may hold too: a model's are mapped from its file once.
#[derive(Clone)]
pub struct TableValues(Arc<dyn AsRef<[f32]> + Send + Sync>);

impl TableValues {
    /// The numbers that `owner` gives out, the same ones every time.
    pub fn shared(owner: impl AsRef<[f32]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(owner))
    }
}

impl Deref for TableValues {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        (*self.0).as_ref()
    }
}

impl std::fmt::Debug for TableValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} numbers", self.len())
    }
}

impl From<Vec<f32>> for TableValues {
    fn from(values: Vec<f32>) -> Self {
        Self::shared(values)
    }
}

impl From<&[f32]> for TableValues {
    fn from(values: &[f32]) -> Self {
        values.to_vec().into()
    }
}

/// `items x dimension` finite numbers, and the movie that each row stands for.
#[derive(Clone, Debug)]
pub struct ItemTable {
    values: TableValues,
    dimension: usize,
    movie_ids: Arc<[MovieId]>,
    /// What [`inverse_norm`] says of each row.
    inverse_norms: Arc<[f64]>,
}

impl ItemTable {
    /// A table of the rows in `values`, row-major; row `i` stands for movie `movie_ids[i]`, which
    /// decides between equal scores. The ids need not ascend.
    ///
    /// # Errors
    /// [`RetrievalError`] when the shapes do not fit, nothing is there, or a number is not finite.
    pub fn new(values: TableValues, dimension: usize, movie_ids: &[MovieId]) -> Result<Self, RetrievalError> {
        let items = movie_ids.len();
        if items == 0 || u32::try_from(items).is_err() || !(1..=MAX_DIMENSION).contains(&dimension) {
            return Err(RetrievalError::Size { items, dimension });
        }
        if items.checked_mul(dimension) != Some(values.len()) {
            return Err(RetrievalError::Shape { values: values.len(), items, dimension });
        }
        if !all_finite(&values)
            && let Some(at) = values.iter().position(|value| !value.is_finite())
        {
            return Err(RetrievalError::NotFinite { row: at / dimension, column: at % dimension });
        }
        let inverse_norms = inverse_norms(&values, dimension).into();
        Ok(Self { values, dimension, movie_ids: movie_ids.into(), inverse_norms })
    }

    /// How many rows there are.
    pub fn items(&self) -> usize {
        self.movie_ids.len()
    }

    /// How many numbers a row has.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The movie of a row.
    ///
    /// # Panics
    /// For a row outside the table.
    pub fn movie_id(&self, row: ItemRow) -> MovieId {
        self.movie_ids[row as usize]
    }

    /// The embedding of a row.
    ///
    /// # Panics
    /// For a row outside the table.
    pub fn row(&self, row: ItemRow) -> &[f32] {
        let start = row as usize * self.dimension;
        &self.values[start..start + self.dimension]
    }

    /// Asks for a row, so that it is there when it is scored; one outside the table is passed over.
    pub(super) fn ask_for(&self, row: ItemRow) {
        let start = row as usize * self.dimension;
        if let Some(row) = self.values.get(start..start + self.dimension) {
            ask_for(row);
        }
    }

    /// What 1 divided by its norm is, for each row; 0 for a row without length.
    pub(super) fn inverse_norms(&self) -> &[f64] {
        &self.inverse_norms
    }

    /// What scores rows for a query.
    pub(super) fn scores<'a>(&'a self, query: &ScorerQuery<'a>) -> Scores<'a> {
        let inverse_norm = match query.query.metric {
            Metric::InnerProduct => None,
            Metric::Cosine => Some(inverse_norm(query.vector)),
        };
        Scores { table: self, vector: query.vector, inverse_norm }
    }

    /// Refuses vectors that no ranking is defined for.
    pub(super) fn check(&self, queries: &[ScorerQuery<'_>]) -> Result<(), BackendError> {
        for ScorerQuery { vector, .. } in queries {
            if vector.len() != self.dimension {
                return Err(BackendError(format!(
                    "a query of {} numbers does not fit a table of dimension {}",
                    vector.len(),
                    self.dimension
                )));
            }
            if !vector.iter().all(|value| value.is_finite()) {
                return Err(BackendError("a query vector is not finite; the encoder is broken".into()));
            }
        }
        Ok(())
    }
}

/// The scores of rows for one query.
pub(super) struct Scores<'a> {
    table: &'a ItemTable,
    vector: &'a [f32],
    /// That of the vector, where the metric is the cosine.
    inverse_norm: Option<f64>,
}

impl Scores<'_> {
    /// The score of a row, rounded to f32; never -0.
    ///
    /// # Panics
    /// For a row outside the table or a vector of another dimension.
    pub(super) fn of(&self, row: ItemRow) -> f32 {
        let product = wide_inner_product(self.table.row(row), self.vector);
        match self.inverse_norm {
            None => narrow(product),
            Some(inverse_norm) => narrow(product * (self.table.inverse_norms[row as usize] * inverse_norm)),
        }
    }
}

/// [`inverse_norm`] of each row of `values`.
fn inverse_norms(values: &[f32], dimension: usize) -> Vec<f64> {
    let mut inverse_norms = Vec::with_capacity(values.len() / dimension);
    let mut parts = values.chunks(dimension * NORMS_AT_ONCE);
    in_idle_time(parts.len(), |_| {
        let rows = parts.next().unwrap_or_default().chunks_exact(dimension);
        inverse_norms.extend(rows.map(inverse_norm));
    });
    inverse_norms
}

/// 1 divided by the norm of a vector; 0 for one without length. Finite for every finite vector: the square of the
/// least f32 is far from the least f64, and that of the greatest far from the greatest.
pub(super) fn inverse_norm(vector: &[f32]) -> f64 {
    let squared = wide_inner_product(vector, vector);
    if squared > 0.0 { squared.sqrt().recip() } else { 0.0 }
}

/// The cosine of two vectors of one length, rounded as a score is; 0 where one of them has no length.
pub(super) fn cosine(x: &[f32], y: &[f32]) -> f32 {
    narrow(wide_inner_product(x, y) * (inverse_norm(x) * inverse_norm(y)))
}

/// How many sums an inner product is accumulated in. Part of the definition of a score: addition of
/// f64 is not associative.
const LANES: usize = 16;

/// Rounds a score. Adding +0 turns -0 into +0, so that equal scores are equal bitwise.
fn narrow(score: f64) -> f32 {
    score as f32 + 0.0
}

/// The inner product of two vectors of one length, accumulated in f64.
///
/// Products of two f32 are exact in f64, so only the order of the additions matters, and that is
/// fixed: the result is bitwise the same on every machine, with fused multiply-add or without.
fn wide_inner_product(x: &[f32], y: &[f32]) -> f64 {
    assert_eq!(x.len(), y.len(), "an inner product needs vectors of one length");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, as was just asked.
            return unsafe { inner_product_avx512(x, y) };
        }
        if is_x86_feature_detected!("avx") {
            // SAFETY: the processor has AVX, as was just asked.
            return unsafe { inner_product_avx(x, y) };
        }
    }
    inner_product_in_lanes(x, y)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn inner_product_avx512(x: &[f32], y: &[f32]) -> f64 {
    inner_product_in_lanes(x, y)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn inner_product_avx(x: &[f32], y: &[f32]) -> f64 {
    inner_product_in_lanes(x, y)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "so that it is compiled for the caller's instruction set")]
fn inner_product_in_lanes(x: &[f32], y: &[f32]) -> f64 {
    let mut sums = [0f64; LANES];
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let (y_chunks, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for lane in 0..LANES {
            sums[lane] += f64::from(x[lane]) * f64::from(y[lane]);
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(x_rest).zip(y_rest) {
        *sum += f64::from(*x) * f64::from(*y);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for length in [1, 15, 16, 17, 100, 256] {
            let x: Vec<f32> = (0..length).map(|i| (i as f32 * 0.37).sin() * 1e3).collect();
            let y: Vec<f32> = (0..length).map(|i| (i as f32 * 0.71).cos() / 7.0).collect();
            assert_eq!(wide_inner_product(&x, &y).to_bits(), inner_product_in_lanes(&x, &y).to_bits());
        }
    }

    #[test]
    fn cancellation_beyond_f32_is_not_lost() {
        let product = narrow(wide_inner_product(&[1e8, 1.0, -1e8], &[1e8, 1.0, 1e8]));
        assert_eq!(product.to_bits(), 1f32.to_bits());
    }

    #[test]
    fn a_negative_zero_is_never_answered() {
        assert_eq!(narrow(wide_inner_product(&[-1e-30], &[1e-30])).to_bits(), 0);
    }

    #[test]
    fn a_table_with_a_number_that_is_not_finite_is_refused() {
        let refusal = ItemTable::new(vec![0.0, 1.0, f32::NAN, 0.0].into(), 2, &[10, 20]).unwrap_err();
        assert_eq!(refusal, RetrievalError::NotFinite { row: 1, column: 0 });
    }

    #[test]
    fn a_table_that_is_not_whole_is_refused() {
        let refusal = ItemTable::new(vec![0.0; 5].into(), 2, &[10, 20]).unwrap_err();
        assert_eq!(refusal, RetrievalError::Shape { values: 5, items: 2, dimension: 2 });
    }

    #[test]
    fn an_empty_table_is_refused() {
        let refusal = ItemTable::new(Vec::new().into(), 2, &[]).unwrap_err();
        assert_eq!(refusal, RetrievalError::Size { items: 0, dimension: 2 });
    }
}
