//! The exact ranking at the price of an integer scan.
//!
//! A copy of the table in 8-bit codes is a quarter of its bytes and a fraction of its arithmetic. Every
//! row's score is known from the codes up to a proven margin (`codes`), so a scan leaves few rows in
//! question, and those are scored in full:
//!
//! 1. While scanning, the k-th greatest lower bound so far is the threshold. A row whose upper bound is
//!    below it is beaten by k rows and forgotten; any other is a candidate.
//! 2. After it, candidates are scored in full, in the order of their upper bounds, until the k-th best
//!    score is above the next one's bound.
//!
//! A cosine is the inner product with rows of length 1, whose codes are the same: only the bounds are scaled, by the
//! inverse norms of a tile's rows when a query wants it.
//!
//! So the answer is that of [`super::exact`], ties included, whatever the table: a bad one makes many
//! candidates, not a wrong answer. The table is read once for all queries of a call, and since each
//! query keeps its own threshold, its answer does not depend on the others.

mod codes;
mod kernel;
mod mask;
mod pages;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::slice;

use codes::{QueryBound, TableCodes, TileBounds};
use kernel::{Ahead, GROUP_MAX, Kernel, PackedQueries, Sums, TILE_ROWS};
use mask::RowMask;

use super::prefetch::ask_for;
use super::ranking::{Best, ordered_bits};
use super::table::ItemTable;
use crate::query::{BackendError, ItemRow, Method, Metric, Query, Scored, Scorer, ScorerQuery, TopK};

/// Scans the codes of a table.
#[derive(Debug)]
pub struct ScanScorer {
    table: ItemTable,
    codes: TableCodes,
    kernel: &'static Kernel,
}

impl ScanScorer {
    /// A scan over `table` with the best kernel that this processor can run.
    pub fn new(table: ItemTable) -> Self {
        Self::with_kernel(table, Kernel::available()[0])
    }

    fn with_kernel(table: ItemTable, kernel: &'static Kernel) -> Self {
        Self { codes: TableCodes::new(&table), table, kernel }
    }

    /// A scan over `table` with the named kernel: `avx512-vnni`, `avx2`, `neon` or `portable`. `None`
    /// when this processor has no such kernel.
    pub fn with_kernel_named(table: ItemTable, name: &str) -> Option<Self> {
        let kernel = Kernel::available().into_iter().find(|kernel| kernel.name == name)?;
        Some(Self::with_kernel(table, kernel))
    }

    /// The table that is scanned.
    pub fn table(&self) -> &ItemTable {
        &self.table
    }

    /// The instruction set in use.
    pub fn kernel_name(&self) -> &'static str {
        self.kernel.name
    }

    /// The exact ranking for each query, in order, in one pass over the codes.
    pub(super) fn rank(&self, queries: &[ScorerQuery<'_>]) -> Vec<Vec<Scored>> {
        let (codes, mut searches): (Vec<_>, Vec<_>) = queries
            .iter()
            .map(|query| {
                let (codes, bound) = self.codes.encode(query, self.kernel.width);
                (codes, Search::new(query.query, bound, self.table.items()))
            })
            .unzip();
        let groups = self.groups(&codes);
        let mut sums = [[0; TILE_ROWS]; GROUP_MAX];
        let mut next = self.next_tile(0, &searches);
        while let Some(tile) = next {
            next = self.next_tile(tile + 1, &searches);
            let mut ahead = self.ask_for_next(next, groups.len());
            let mut searches = searches.as_mut_slice();
            for group in &groups {
                let (group_searches, rest) = searches.split_at_mut(group.queries());
                self.scan_tile(tile, group, group_searches, &mut sums, &mut ahead);
                searches = rest;
            }
        }
        searches.into_iter().zip(queries).map(|(search, query)| search.finish(&self.table, query)).collect()
    }

    /// The first tile from `from` on with a row that a query may answer.
    fn next_tile(&self, from: usize, searches: &[Search]) -> Option<usize> {
        (from..self.codes.tiles()).find(|tile| searches.iter().any(|search| search.mask.tile(*tile) != 0))
    }

    /// The queries in groups of sizes that kernels take, the greatest first.
    fn groups(&self, codes: &[Vec<i32>]) -> Vec<PackedQueries> {
        let mut rest = codes;
        let mut groups = Vec::new();
        while !rest.is_empty() {
            let size = GROUP_MAX.min(1 << rest.len().ilog2());
            let (group, others) = rest.split_at(size);
            let slices: Vec<&[i32]> = group.iter().map(Vec::as_slice).collect();
            groups.push(PackedQueries::new(&slices, self.kernel.width));
            rest = others;
        }
        groups
    }

    /// Asks for the bounds of the next tile, and gives its codes to be asked for while this one's are multiplied.
    fn ask_for_next(&self, next: Option<usize>, groups: usize) -> Ahead<'_> {
        let Some(next) = next else { return Ahead::nothing() };
        ask_for(slice::from_ref(self.codes.bounds(next)));
        let lines = self.codes.lines(next);
        Ahead::new(lines, groups * lines.len())
    }

    fn scan_tile(
        &self,
        tile: usize,
        group: &PackedQueries,
        searches: &mut [Search],
        sums: &mut [Sums; GROUP_MAX],
        ahead: &mut Ahead<'_>,
    ) {
        let sums = &mut sums[..group.queries()];
        self.kernel.products(self.codes.lines(tile), group, sums, ahead);
        let of_length_one = searches
            .iter()
            .any(|search| search.metric == Metric::Cosine)
            .then(|| self.codes.bounds_of_length_one(tile, self.table.inverse_norms()));
        for (search, sums) in searches.iter_mut().zip(&*sums) {
            let rows = match (search.metric, &of_length_one) {
                (Metric::Cosine, Some(bounds)) => bounds,
                _ => self.codes.bounds(tile),
            };
            let in_reach = self.kernel.rows_in_reach(sums, rows, &search.bound, search.threshold);
            if in_reach != 0 {
                search.take_candidates(tile, in_reach, sums, rows);
            }
        }
    }
}

impl Scorer for ScanScorer {
    fn top_k(&self, queries: &[ScorerQuery<'_>]) -> Result<Vec<TopK>, BackendError> {
        self.table.check(queries)?;
        let ranked = self.rank(queries).into_iter();
        Ok(ranked.map(|items| TopK { items, method: Method::Exact }).collect())
    }
}

/// What one query has found so far. Bounds are in the unit of the codes.
struct Search {
    k: usize,
    metric: Metric,
    bound: QueryBound,
    mask: RowMask,
    /// The k greatest lower bounds, as ordered bits, the least on top.
    lower_bounds: BinaryHeap<Reverse<i32>>,
    /// The k-th greatest lower bound; negative infinity before there are k.
    threshold: f32,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy)]
struct Candidate {
    upper_bound: f32,
    row: ItemRow,
}

impl Search {
    fn new(query: &Query, bound: QueryBound, items: usize) -> Self {
        let k = query.k.min(items);
        Self {
            k,
            metric: query.metric,
            bound,
            mask: RowMask::new(query, items),
            lower_bounds: BinaryHeap::with_capacity(k),
            threshold: if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY },
            candidates: Vec::new(),
        }
    }

    #[cold]
    fn take_candidates(&mut self, tile: usize, in_reach: u64, sums: &Sums, rows: &TileBounds) {
        let mut allowed = self.mask.tile(tile) & in_reach;
        while allowed != 0 {
            let lane = allowed.trailing_zeros() as usize;
            allowed &= allowed - 1;
            let (score, margin) = self.bound.score_and_margin(rows, lane, sums[lane]);
            if score + margin >= self.threshold {
                let row = (tile * TILE_ROWS + lane) as ItemRow;
                self.candidates.push(Candidate { upper_bound: score + margin, row });
                self.raise_threshold(score - margin);
            }
        }
    }

    fn raise_threshold(&mut self, lower_bound: f32) {
        let lower_bound = Reverse(ordered_bits(lower_bound.to_bits() as i32));
        if self.lower_bounds.len() < self.k {
            self.lower_bounds.push(lower_bound);
        } else if let Some(mut least) = self.lower_bounds.peek_mut()
            && lower_bound < *least
        {
            *least = lower_bound;
        }
        if self.lower_bounds.len() == self.k
            && let Some(Reverse(least)) = self.lower_bounds.peek()
        {
            self.threshold = f32::from_bits(ordered_bits(*least) as u32);
        }
    }

    fn finish(mut self, table: &ItemTable, query: &ScorerQuery<'_>) -> Vec<Scored> {
        self.candidates.retain(|candidate| candidate.upper_bound >= self.threshold);
        self.candidates.sort_unstable_by(|a, b| b.upper_bound.total_cmp(&a.upper_bound));
        let (mut best, scores) = (Best::new(table, self.k), table.scores(query));
        for candidate in &self.candidates {
            let highest_score = f64::from(candidate.upper_bound) * self.bound.unit;
            if best.worst_score().is_some_and(|worst| f64::from(worst) > highest_score) {
                break;
            }
            best.offer(candidate.row, scores.of(candidate.row));
        }
        best.into_items()
    }
}
