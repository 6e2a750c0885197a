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
//! Many queries are multiplied with a tile at once where the processor has tiles of its own (`kernel`).
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

use marquee_kernels::ask_for;

use codes::{QueryBound, QueryCodes, TableCodes, TileBounds};
use kernel::{Ahead, GROUP_MAX, Group, GroupSums, Kernel, Limits, Steps, Sums, TILE_ROWS};
use mask::RowMask;

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

    /// A scan over `table` with the named kernel: `amx-int8`, `avx512-vnni`, `avx2`, `neon` or `portable`.
    /// `None` when this processor has no such kernel.
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
                let QueryCodes { codes, bound, unit } = self.codes.encode(query, self.kernel.width);
                (codes, Search::new(query.query, bound, unit, self.table.items()))
            })
            .unzip();
        self.scan(&codes, &mut searches);
        searches.into_iter().zip(queries).map(|(search, query)| search.finish(&self.table, query)).collect()
    }

    /// Shows every tile that a query may answer from to the searches, each with its codes.
    fn scan(&self, codes: &[Vec<i32>], searches: &mut [Search]) {
        let mut rest = searches;
        let mut groups: Vec<GroupSearch<'_>> = Vec::new();
        for group in self.kernel.groups(codes) {
            let (searches, others) = rest.split_at_mut(group.queries());
            groups.push(GroupSearch::new(group, searches));
            rest = others;
        }
        let steps = groups.iter().map(|group| group.group.steps_ahead(self.codes.steps())).sum();
        let by_cosine = groups.iter().any(|group| group.by(Metric::Cosine) != 0);
        let mut sums = GroupSums([[0; TILE_ROWS]; GROUP_MAX]);
        let mut next = self.next_tile(0, &groups);
        while let Some(number) = next {
            next = self.next_tile(number + 1, &groups);
            let mut ahead = self.ask_for_next(next, steps);
            let tile = self.tile(number, by_cosine);
            for group in &mut groups {
                self.kernel.products(tile.lines, &group.group, &mut sums, &mut ahead);
                group.take_candidates(self.kernel, &tile, &sums, &mut ahead);
            }
        }
    }

    /// The first tile from `from` on with a row that a query may answer.
    fn next_tile(&self, from: usize, groups: &[GroupSearch<'_>]) -> Option<usize> {
        let is_wanted = |tile: usize| groups.iter().any(|group| group.wants(tile));
        (from..self.codes.tiles()).find(|tile| is_wanted(*tile))
    }

    /// Asks for the bounds of the next tile, and gives its codes to be asked for while this one is worked on.
    fn ask_for_next(&self, next: Option<usize>, steps: usize) -> Ahead<'_> {
        let Some(next) = next else { return Ahead::nothing() };
        ask_for(slice::from_ref(self.codes.bounds(next)));
        Ahead::new(self.codes.lines(next), steps)
    }

    fn tile(&self, number: usize, by_cosine: bool) -> Tile<'_> {
        let of_length_one = || self.codes.bounds_of_length_one(number, self.table.inverse_norms());
        Tile {
            number,
            lines: self.codes.lines_on(number),
            bounds: self.codes.bounds(number),
            bounds_of_length_one: by_cosine.then(of_length_one),
        }
    }
}

/// A tile as all queries see it.
struct Tile<'a> {
    number: usize,
    lines: &'a Steps,
    bounds: &'a TileBounds,
    /// Where a query goes by cosine.
    bounds_of_length_one: Option<TileBounds>,
}

impl Tile<'_> {
    fn bounds_by(&self, metric: Metric) -> &TileBounds {
        match (metric, &self.bounds_of_length_one) {
            (Metric::Cosine, Some(bounds)) => bounds,
            _ => self.bounds,
        }
    }
}

/// The searches of a group's queries.
struct GroupSearch<'a> {
    group: Group,
    searches: &'a mut [Search],
    limits: Limits,
    /// The metrics that queries go by, and which ones, the first in the lowest bit.
    metrics: [(Metric, u32); 2],
}

impl<'a> GroupSearch<'a> {
    fn new(group: Group, searches: &'a mut [Search]) -> Self {
        let limits = Limits::new(searches.iter().map(|search| (&search.bound, search.threshold)));
        let metrics = [Metric::InnerProduct, Metric::Cosine].map(|metric| {
            let bits = searches.iter().enumerate();
            (metric, bits.map(|(query, search)| u32::from(search.metric == metric) << query).sum())
        });
        Self { group, searches, limits, metrics }
    }

    /// The queries that go by a metric, the first in the lowest bit.
    fn by(&self, metric: Metric) -> u32 {
        self.metrics.iter().filter(|(by, _)| *by == metric).map(|(_, queries)| queries).sum()
    }

    fn wants(&self, tile: usize) -> bool {
        self.searches.iter().any(|search| search.mask.tile(tile) != 0)
    }

    fn take_candidates(&mut self, kernel: &Kernel, tile: &Tile<'_>, sums: &GroupSums, ahead: &mut Ahead<'_>) {
        let mut in_reach = [0; GROUP_MAX];
        for (metric, of_metric) in self.metrics.into_iter().filter(|(_, queries)| *queries != 0) {
            let rows = tile.bounds_by(metric);
            let mut reaching =
                kernel.rows_in_reach(sums, rows, &self.limits, &mut in_reach, ahead) & of_metric;
            while reaching != 0 {
                let query = reaching.trailing_zeros() as usize;
                reaching &= reaching - 1;
                let search = &mut self.searches[query];
                search.take_candidates(tile.number, in_reach[query], &sums.0[query], rows);
                self.limits.threshold[query] = search.threshold;
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
    /// What a bound is multiplied by to become a score.
    unit: f64,
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
    fn new(query: &Query, bound: QueryBound, unit: f64, items: usize) -> Self {
        let k = query.k.min(items);
        Self {
            k,
            metric: query.metric,
            bound,
            unit,
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
            let highest_score = f64::from(candidate.upper_bound) * self.unit;
            if best.worst_score().is_some_and(|worst| f64::from(worst) > highest_score) {
                break;
            }
            best.offer(candidate.row, scores.of(candidate.row));
        }
        best.into_items()
    }
}
