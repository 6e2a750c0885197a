//! A usearch index over a table: approximate, and only that for as long as its candidates are found.
//!
//! The index is built once and never changed: usearch loses and invents entries when it is changed
//! while it is searched. Its candidates are scored in full precision, so what it answers may miss an
//! item but never has a wrong score. How much it misses is measured when it is built, against the
//! exact scan, on queries drawn around the table's own rows.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::RetrievalError;
use super::kept::IndexFile;
use super::ranking::Best;
use super::scan::ScanScorer;
use super::table::ItemTable;
use crate::query::{ItemRow, Metric, Query, Scored, ScorerQuery};

/// How many times [`AnnOptions::expansion_search`] a search looks at: the first of these that reaches [`RECALL_GOAL`] is
/// taken.
const EXPANSION_FACTORS: [usize; 4] = [1, 2, 4, 8];
/// The recall@10 that an index is tuned to, with room above the 0.99 that is promised.
const RECALL_GOAL: f64 = 0.995;
/// The recall@10 below which AUTO does not use an index.
const RECALL_PROMISED: f64 = 0.99;
/// How many queries recall is measured on.
const RECALL_QUERIES: usize = 200;
/// The `k` of recall@10.
const RECALL_K: usize = 10;
/// How many times more candidates are fetched than a filter would leave of them on average.
const OVERFETCH: f64 = 1.5;

/// How an index is built and searched: more of each is more recall for more time or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnOptions {
    /// Neighbours that a node keeps.
    pub connectivity: usize,
    /// Candidates that an insertion looks at.
    pub expansion_add: usize,
    /// Candidates that a search looks at, at the least: up to eight times as many where recall asks for it.
    pub expansion_search: usize,
    /// How the index keeps its vectors. Candidates are scored in full precision whatever it is.
    pub quantization: Quantization,
}

impl AnnOptions {
    /// What a table like those of trained models needs for a recall@10 of 0.99.
    pub const DEFAULT: Self = Self {
        connectivity: 32,
        expansion_add: 256,
        expansion_search: 128,
        quantization: Quantization::Bf16,
    };
}

impl AnnOptions {
    /// Where an index with these options is kept, in a folder, of the table that nothing but `seal` names.
    pub fn file(self, folder: &Path, seal: &str) -> IndexFile {
        let Self { connectivity, expansion_add, quantization, .. } = self;
        let quantization = format!("{quantization:?}").to_lowercase();
        IndexFile::new(folder, &format!("{seal}-{connectivity}-{expansion_add}-{quantization}"))
    }
}

impl Default for AnnOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The numbers of an index's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantization {
    /// 32-bit floats.
    F32,
    /// 16-bit floats with the range of 32-bit ones.
    Bf16,
    /// 16-bit floats.
    F16,
    /// 8-bit integers, each vector scaled to its length.
    I8,
}

impl From<Quantization> for ScalarKind {
    fn from(quantization: Quantization) -> Self {
        match quantization {
            Quantization::F32 => Self::F32,
            Quantization::Bf16 => Self::BF16,
            Quantization::F16 => Self::F16,
            Quantization::I8 => Self::I8,
        }
    }
}

/// An immutable index over a table.
pub struct AnnIndex {
    table: ItemTable,
    index: Index,
    expansion_search: usize,
    recall: f64,
}

impl AnnIndex {
    /// Builds an index over the rows of `scan`'s table, on the calling thread, for `threads` concurrent
    /// searches, and tunes it against `scan`. This takes about a millisecond a row at dimension 256.
    ///
    /// # Errors
    /// [`RetrievalError::Index`] when usearch refuses, for want of memory for example.
    pub fn build(scan: &ScanScorer, threads: usize, options: AnnOptions) -> Result<Self, RetrievalError> {
        let table = scan.table().clone();
        let index = empty(&table, options)?;
        index.reserve_capacity_and_threads(table.items(), threads.max(1)).map_err(RetrievalError::index)?;
        for row in 0..table.items() as ItemRow {
            index.add(u64::from(row), table.row(row)).map_err(RetrievalError::index)?;
        }
        let mut built = Self { table, index, expansion_search: options.expansion_search, recall: 0.0 };
        built.tune(scan)?;
        Ok(built)
    }

    /// The index that a file keeps of the rows of `scan`'s table, mapped and tuned anew; `None` where there is none that
    /// is whole.
    ///
    /// # Errors
    /// [`RetrievalError::Index`] when usearch refuses it.
    pub fn open(
        scan: &ScanScorer,
        threads: usize,
        options: AnnOptions,
        file: &IndexFile,
    ) -> Result<Option<Self>, RetrievalError> {
        let table = scan.table().clone();
        let index = empty(&table, options)?;
        if !file.map(&index) || index.size() != table.items() || index.dimensions() != table.dimension() {
            return Ok(None);
        }
        index.reserve_capacity_and_threads(table.items(), threads.max(1)).map_err(RetrievalError::index)?;
        let mut opened = Self { table, index, expansion_search: options.expansion_search, recall: 0.0 };
        opened.tune(scan)?;
        Ok(Some(opened))
    }

    /// Keeps it in a file.
    ///
    /// # Errors
    /// [`RetrievalError::Index`] when it cannot be written.
    pub fn write(&self, file: &IndexFile) -> Result<(), RetrievalError> {
        file.write(&self.index)
    }

    /// Its recall@10 when it was built or opened.
    pub fn recall(&self) -> f64 {
        self.recall
    }

    /// Whether it is good enough for those who did not ask for it.
    pub(crate) fn keeps_promise(&self) -> bool {
        self.recall >= RECALL_PROMISED
    }

    /// The best items among the candidates for a query of which a share `selectivity` of the rows passes
    /// the filter. `None` when too few candidates pass, so that another plan must answer, and for any metric but
    /// the inner product, which the index is of.
    ///
    /// # Errors
    /// [`RetrievalError::Index`] when more threads search than it was built for.
    pub fn rank(
        &self,
        query: &ScorerQuery<'_>,
        selectivity: f64,
    ) -> Result<Option<Vec<Scored>>, RetrievalError> {
        let Query { k, allowed, excluded, metric, .. } = query.query;
        if *metric != Metric::InnerProduct {
            return Ok(None);
        }
        let wanted = (*k + excluded.len() as usize) as f64;
        let candidates = ((wanted / selectivity * OVERFETCH).ceil() as usize).min(self.table.items());
        let matches =
            self.index.search(&of_usual_size(query.vector), candidates).map_err(RetrievalError::index)?;
        let (mut best, scores) = (Best::new(&self.table, *k), self.table.scores(query));
        let mut passed = 0;
        for key in matches.keys {
            let Some(row) = ItemRow::try_from(key).ok().filter(|row| (*row as usize) < self.table.items())
            else {
                continue;
            };
            if !excluded.contains(row) && allowed.as_ref().is_none_or(|allowed| allowed.contains(row)) {
                best.offer(row, scores.of(row));
                passed += 1;
            }
        }
        Ok((passed >= *k).then(|| best.into_items()))
    }

    fn tune(&mut self, scan: &ScanScorer) -> Result<(), RetrievalError> {
        let vectors = probes(&self.table);
        let query = Query::exact(RECALL_K.min(self.table.items()));
        let probes: Vec<ScorerQuery<'_>> =
            vectors.iter().map(|vector| ScorerQuery { vector, query: &query }).collect();
        let expected = scan.rank(&probes);
        for factor in EXPANSION_FACTORS {
            self.index.change_expansion_search(factor * self.expansion_search);
            self.recall = self.recall_of(&probes, &expected)?;
            if self.recall >= RECALL_GOAL {
                break;
            }
        }
        Ok(())
    }

    fn recall_of(&self, probes: &[ScorerQuery<'_>], expected: &[Vec<Scored>]) -> Result<f64, RetrievalError> {
        let (mut found, mut wanted) = (0, 0);
        for (probe, expected) in probes.iter().zip(expected) {
            let answer = self.rank(probe, 1.0)?.unwrap_or_default();
            wanted += expected.len();
            found += expected.iter().filter(|item| answer.contains(item)).count();
        }
        Ok(found as f64 / wanted as f64)
    }
}

/// An index of no rows yet.
fn empty(table: &ItemTable, options: AnnOptions) -> Result<Index, RetrievalError> {
    let options = IndexOptions {
        dimensions: table.dimension(),
        metric: MetricKind::IP,
        quantization: options.quantization.into(),
        connectivity: options.connectivity,
        expansion_add: options.expansion_add,
        expansion_search: options.expansion_search,
        multi: false,
    };
    Index::new(&options).map_err(RetrievalError::index)
}

impl std::fmt::Debug for AnnIndex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AnnIndex").field("recall", &self.recall).finish_non_exhaustive()
    }
}

/// The vector in a size that usearch tells apart: it takes inner products off 1, beside which small ones vanish, and
/// large ones have no end. A power of two changes no digit, and no order.
fn of_usual_size(vector: &[f32]) -> Cow<'_, [f32]> {
    const USUAL: Range<f32> = 1.0 / 64.0..64.0;
    let largest = vector.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    if USUAL.contains(&largest) || largest == 0.0 {
        return Cow::Borrowed(vector);
    }
    let factor = f64::from(largest).log2().floor().exp2().recip();
    vector.iter().map(|number| (f64::from(*number) * factor) as f32).collect()
}

/// Vectors like those of users: the mean of three rows and some noise.
fn probes(table: &ItemTable) -> Vec<Vec<f32>> {
    let mut random = StdRng::seed_from_u64(0);
    let items = table.items() as ItemRow;
    std::iter::repeat_with(|| {
        let rows: [&[f32]; 3] = std::array::from_fn(|_| table.row(random.random_range(0..items)));
        (0..table.dimension())
            .map(|i| (rows[0][i] + rows[1][i] + rows[2][i]) / 3.0 * random.random_range(0.5..1.5))
            .collect()
    })
    .take(RECALL_QUERIES)
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roaring::RoaringBitmap;

    use super::*;

    fn scan(items: usize) -> ScanScorer {
        let mut random = StdRng::seed_from_u64(3);
        let values: Vec<f32> =
            std::iter::repeat_with(|| random.random_range(-1.0..1.0)).take(items * 16).collect();
        let movie_ids: Vec<u32> = (1..=items as u32).collect();
        ScanScorer::new(ItemTable::new(values.into(), 16, &movie_ids).unwrap())
    }

    #[test]
    fn an_index_finds_nearly_what_the_scan_finds_with_the_same_scores() {
        let index = AnnIndex::build(&scan(2_000), 1, AnnOptions::DEFAULT).unwrap();
        assert!(index.keeps_promise(), "recall {}", index.recall());
    }

    #[test]
    fn what_a_file_keeps_answers_as_what_was_built_and_what_is_damaged_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let (scan, options) = (scan(2_000), AnnOptions::DEFAULT);
        let file = options.file(folder.path(), "seal");
        assert!(AnnIndex::open(&scan, 2, options, &file).unwrap().is_none());
        let built = AnnIndex::build(&scan, 2, options).unwrap();
        built.write(&file).unwrap();
        let opened = AnnIndex::open(&scan, 2, options, &file).unwrap().unwrap();
        assert!((opened.recall() - built.recall()).abs() < 1e-12);
        let query = Query::exact(10);
        for vector in probes(&built.table) {
            let query = ScorerQuery { vector: &vector, query: &query };
            assert_eq!(opened.rank(&query, 1.0).unwrap(), built.rank(&query, 1.0).unwrap());
        }
        drop(opened);
        let whole = std::fs::read(file.path()).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], b""] {
            std::fs::write(file.path(), damaged).unwrap();
            assert!(AnnIndex::open(&scan, 2, options, &file).unwrap().is_none());
        }
        let other = options.file(folder.path(), "another");
        assert!(AnnIndex::open(&scan, 2, options, &other).unwrap().is_none());
    }

    #[test]
    fn every_quantization_finds_items_with_the_same_scores() {
        let scan = scan(500);
        for (quantization, recall) in [
            (Quantization::F32, 0.99),
            (Quantization::Bf16, 0.99),
            (Quantization::F16, 0.99),
            (Quantization::I8, 0.8),
        ] {
            let index =
                AnnIndex::build(&scan, 1, AnnOptions { quantization, ..AnnOptions::DEFAULT }).unwrap();
            assert!(index.recall() > recall, "{quantization:?}: recall {}", index.recall());
        }
    }

    #[test]
    fn fewer_neighbours_and_candidates_find_less() {
        let (scan, few) = (
            scan(2_000),
            AnnOptions { connectivity: 2, expansion_add: 2, expansion_search: 2, ..AnnOptions::DEFAULT },
        );
        let index = AnnIndex::build(&scan, 1, few).unwrap();
        assert!(!index.keeps_promise(), "recall {}", index.recall());
    }

    #[test]
    fn what_a_filter_forbids_is_not_answered() {
        let scan = scan(500);
        let index = AnnIndex::build(&scan, 1, AnnOptions::DEFAULT).unwrap();
        let allowed: RoaringBitmap = (0..500).filter(|row| row % 2 == 0).collect();
        let excluded = RoaringBitmap::from([0, 2, 4]);
        let query =
            Query { allowed: Some(Arc::new(allowed)), excluded: Arc::new(excluded), ..Query::exact(20) };
        let vector = scan.table().row(2).to_vec();
        let items = index.rank(&ScorerQuery { vector: &vector, query: &query }, 0.5).unwrap().unwrap();
        assert_eq!(items.len(), 20);
        assert!(items.iter().all(|item| item.row % 2 == 0 && item.row > 4));
    }

    #[test]
    fn an_index_of_inner_products_answers_no_cosine() {
        let scan = scan(100);
        let index = AnnIndex::build(&scan, 1, AnnOptions::DEFAULT).unwrap();
        let query = Query { metric: Metric::Cosine, ..Query::exact(2) };
        let vector = vec![1.0; 16];
        assert_eq!(index.rank(&ScorerQuery { vector: &vector, query: &query }, 1.0).unwrap(), None);
    }

    #[test]
    fn a_vector_of_any_size_finds_what_it_points_at() {
        let scan = scan(2_000);
        let index = AnnIndex::build(&scan, 1, AnnOptions::DEFAULT).unwrap();
        let query = Query::exact(10);
        let vector = scan.table().row(7).to_vec();
        let rows = |vector: &[f32]| {
            let items = index.rank(&ScorerQuery { vector, query: &query }, 1.0).unwrap().unwrap();
            items.iter().map(|item| item.row).collect::<Vec<_>>()
        };
        let expected = rows(&vector);
        for size in [1e-17, 1e-8, 1e8, 1e17] {
            let sized: Vec<f32> = vector.iter().map(|number| number * size).collect();
            assert_eq!(rows(&sized), expected, "{size}");
        }
        assert_eq!(*of_usual_size(&[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(
            *of_usual_size(&[3.0e30, -1.5e30]),
            [3.0e30_f32 / 2.0_f32.powi(101), -1.5e30 / 2.0_f32.powi(101)]
        );
    }

    #[test]
    fn too_few_candidates_are_said_and_not_answered() {
        let scan = scan(100);
        let index = AnnIndex::build(&scan, 1, AnnOptions::DEFAULT).unwrap();
        let query = Query { allowed: Some(Arc::new(RoaringBitmap::from([1]))), ..Query::exact(2) };
        let vector = vec![1.0; 16];
        assert_eq!(index.rank(&ScorerQuery { vector: &vector, query: &query }, 1.0).unwrap(), None);
    }
}
