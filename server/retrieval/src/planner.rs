//! Which way to the best items is the cheapest that is right.
//!
//! There are three. The *scan* reads every row's codes once for all queries of a batch. *Rows* scores
//! the allowed rows in full and nothing else: right when a filter leaves few. The *index* is usearch
//! with over-fetching: it may miss items. The first two give the same answer, bit for bit, so choosing
//! between them by what else is in the batch changes no answer; the choice of the index depends on the
//! query and the table alone.
//!
//! The crossover points are measured, not guessed: `cargo run --release -p marquee-benches --bin
//! planner` prints them.

use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use marquee_core::domain::MovieId;

use super::RetrievalError;
use super::ann::{AnnIndex, AnnOptions};
use super::exact::{self, rank_allowed};
use super::kept::IndexFile;
use super::scan::ScanScorer;
use super::table::{ItemTable, TableValues};
use crate::query::{BackendError, ItemRow, Method, Metric, Query, Scored, Scorer, ScorerQuery, TopK};

/// The share of rows up to which scoring the allowed ones costs less than a scan of one's own.
pub const ROWS_SHARE_ALONE: f64 = 0.05;
/// How many allowed rows cost as much as joining a scan that others in the batch need. A number and not
/// a share: in a great table each row is a miss of the processor's cache.
pub const ROWS_IN_COMPANY: u64 = 1_500;
/// The rows from which AUTO prefers the index to a scan unless the options say otherwise. At a million x 256 the index takes 8.5 ms and a scan
/// for one query 10.7 (for one of 32 queries 3.2); at 84,432 it is 3.3 and 0.6.
pub const INDEX_FROM_ITEMS: usize = 1_000_000;
/// The share of rows that must pass a filter for the index to be used by those who ask for it: recall@10
/// is 0.994 without a filter, 0.988 at 50% and 0.963 at 20% (84,432 x 256). AUTO, which promises 0.99,
/// never uses it under a filter.
const INDEX_FROM_SHARE: f64 = 0.5;
/// Up to this many rows an index takes seconds to build, and is built at once.
const INDEX_AT_ONCE_ITEMS: usize = 20_000;

/// When the index is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexPolicy {
    /// On a thread of its own: at once for a table that takes seconds or that AUTO would use it for, at
    /// the first request for [`Method::Ann`] otherwise.
    #[default]
    InBackground,
    /// Never: every answer is exact.
    Never,
}

/// How a planner works.
#[derive(Clone, Copy, Debug)]
pub struct PlannerOptions {
    /// How many threads search at a time; more of them are answered by a scan.
    pub search_threads: usize,
    /// When the index is built.
    pub index: IndexPolicy,
    /// How the index is built and searched.
    pub ann: AnnOptions,
    /// The rows from which [`Method::Auto`] uses the index.
    pub index_from_items: usize,
}

impl Default for PlannerOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            search_threads: 2 * cores,
            index: IndexPolicy::InBackground,
            ann: AnnOptions::DEFAULT,
            index_from_items: INDEX_FROM_ITEMS,
        }
    }
}

/// Finds the best items by the cheapest plan.
///
/// [`Method::Exact`] never uses the index, and neither does a query by [`Metric::Cosine`], of which there is none. [`Method::Ann`] uses it where it can; until it is built, and
/// for queries whose filter leaves too few candidates, the answer is exact and says so.
/// [`Method::Auto`] uses it for great tables without a filter, if its measured recall@10 is 0.99 or more.
#[derive(Debug)]
pub struct Planner {
    shared: Arc<Shared>,
    asked: Once,
}

#[derive(Debug)]
struct Shared {
    scan: ScanScorer,
    index: OnceLock<AnnIndex>,
    /// Held by whoever builds it: others wait for that.
    building: Mutex<()>,
    /// Where it is kept.
    file: Option<IndexFile>,
    options: PlannerOptions,
}

impl Shared {
    /// The index, opened or built if it is not there yet.
    fn make_index(&self) -> Result<&AnnIndex, RetrievalError> {
        let building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = match self.open()? {
            Some(index) => index,
            None => self.build()?,
        };
        let index = self.index.get_or_init(|| index);
        drop(building);
        Ok(index)
    }

    fn open(&self) -> Result<Option<AnnIndex>, RetrievalError> {
        let Some(file) = &self.file else { return Ok(None) };
        let index = AnnIndex::open(&self.scan, self.options.search_threads, self.options.ann, file)?;
        if let Some(index) = &index {
            tracing::info!(items = self.scan.table().items(), recall = index.recall(), "index opened");
        }
        Ok(index)
    }

    fn build(&self) -> Result<AnnIndex, RetrievalError> {
        let index = AnnIndex::build(&self.scan, self.options.search_threads, self.options.ann)?;
        tracing::info!(items = self.scan.table().items(), recall = index.recall(), "index built");
        if let Some(Err(error)) = self.file.as_ref().map(|file| index.write(file)) {
            tracing::warn!(%error, "the index is not kept for the next start");
        }
        Ok(index)
    }
}

/// A way to the best items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Scan,
    Rows,
    Index,
}

impl Planner {
    /// A planner over `values`, `movie_ids.len() x dimension` numbers, row-major.
    ///
    /// # Errors
    /// As [`ItemTable::new`].
    pub fn build(
        values: TableValues,
        dimension: usize,
        movie_ids: &[MovieId],
        options: PlannerOptions,
    ) -> Result<Self, RetrievalError> {
        Self::build_over(values, dimension, movie_ids, options, None)
    }

    /// As [`Planner::build`]; the index is opened from the file if it is there, and else kept in it once it is built.
    ///
    /// # Errors
    /// As [`ItemTable::new`].
    pub fn build_keeping(
        values: TableValues,
        dimension: usize,
        movie_ids: &[MovieId],
        options: PlannerOptions,
        file: IndexFile,
    ) -> Result<Self, RetrievalError> {
        Self::build_over(values, dimension, movie_ids, options, Some(file))
    }

    fn build_over(
        values: TableValues,
        dimension: usize,
        movie_ids: &[MovieId],
        options: PlannerOptions,
        file: Option<IndexFile>,
    ) -> Result<Self, RetrievalError> {
        let table = ItemTable::new(values, dimension, movie_ids)?;
        let items = table.items();
        let scan = ScanScorer::new(table);
        let (index, building) = (OnceLock::new(), Mutex::default());
        let planner =
            Self { shared: Arc::new(Shared { scan, index, building, file, options }), asked: Once::new() };
        if items <= INDEX_AT_ONCE_ITEMS || items >= options.index_from_items {
            planner.ask_for_index();
        }
        Ok(planner)
    }

    /// Has the index opened or built on the calling thread, unless there is one; its recall@10.
    ///
    /// # Errors
    /// [`RetrievalError::Index`] when usearch refuses.
    pub fn make_index(&self) -> Result<f64, RetrievalError> {
        self.shared.make_index().map(AnnIndex::recall)
    }

    /// The instruction set of the scan.
    pub fn kernel_name(&self) -> &'static str {
        self.shared.scan.kernel_name()
    }

    fn ask_for_index(&self) {
        if self.shared.options.index == IndexPolicy::Never {
            return;
        }
        self.asked.call_once(|| {
            let shared = self.shared.clone();
            let build = move || {
                if let Err(error) = shared.make_index() {
                    tracing::warn!(%error, "index not built; every answer will be exact");
                }
            };
            if let Err(error) = std::thread::Builder::new().name("marquee-index".into()).spawn(build) {
                tracing::warn!(%error, "index not built for want of a thread; every answer will be exact");
            }
        });
    }

    fn table(&self) -> &ItemTable {
        self.shared.scan.table()
    }

    /// The share of rows that pass a query's filter, seen items aside.
    fn selectivity(&self, query: &Query) -> f64 {
        query.allowed.as_ref().map_or(1.0, |allowed| allowed.len() as f64 / self.table().items() as f64)
    }

    fn wants_index(&self, query: &Query) -> bool {
        if query.metric != Metric::InnerProduct {
            return false;
        }
        match query.method {
            Method::Exact => false,
            Method::Ann => self.selectivity(query) >= INDEX_FROM_SHARE,
            Method::Auto => {
                self.table().items() >= self.shared.options.index_from_items
                    && query.allowed.is_none()
                    && self.shared.index.get().is_some_and(AnnIndex::keeps_promise)
            }
        }
    }

    /// One plan for each query.
    fn plan(&self, queries: &[ScorerQuery<'_>]) -> Vec<Plan> {
        let first = |query: &ScorerQuery<'_>| {
            if self.wants_index(query.query) {
                Plan::Index
            } else if self.selectivity(query.query) <= ROWS_SHARE_ALONE {
                Plan::Rows
            } else {
                Plan::Scan
            }
        };
        let mut plans: Vec<Plan> = queries.iter().map(first).collect();
        if plans.contains(&Plan::Scan) {
            for (plan, query) in plans.iter_mut().zip(queries) {
                let rows = query.query.allowed.as_ref().map_or(u64::MAX, |allowed| allowed.len());
                if *plan == Plan::Rows && rows > ROWS_IN_COMPANY {
                    *plan = Plan::Scan;
                }
            }
        }
        plans
    }

    /// The answer of the index; `None` when it has none that is whole.
    fn rank_by_index(&self, query: &ScorerQuery<'_>) -> Option<Vec<Scored>> {
        let Some(index) = self.shared.index.get() else {
            self.ask_for_index();
            return None;
        };
        index
            .rank(query, self.selectivity(query.query))
            .inspect_err(|error| tracing::warn!(%error, "index search failed; scanning instead"))
            .ok()?
    }
}

impl Scorer for Planner {
    fn top_k(&self, queries: &[ScorerQuery<'_>]) -> Result<Vec<TopK>, BackendError> {
        self.table().check(queries)?;
        let by_plan = |(plan, query): (Plan, &ScorerQuery<'_>)| match plan {
            Plan::Scan => None,
            Plan::Rows => Some(TopK { items: rank_allowed(self.table(), query), method: Method::Exact }),
            Plan::Index => self.rank_by_index(query).map(|items| TopK { items, method: Method::Ann }),
        };
        let mut answers: Vec<Option<TopK>> =
            self.plan(queries).into_iter().zip(queries).map(by_plan).collect();
        let rest = answers.iter().zip(queries).filter(|(answer, _)| answer.is_none());
        let rest: Vec<ScorerQuery<'_>> = rest.map(|(_, query)| *query).collect();
        let mut scanned = self.shared.scan.rank(&rest).into_iter();
        for answer in answers.iter_mut().filter(|answer| answer.is_none()) {
            *answer = scanned.next().map(|items| TopK { items, method: Method::Exact });
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn rank_shortlist(&self, query: &ScorerQuery<'_>, shortlist: &[ItemRow]) -> Option<TopK> {
        exact::rank_shortlist(self.table(), query, shortlist)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use roaring::RoaringBitmap;

    use super::*;
    use crate::ExactScorer;

    const ITEMS: usize = 40_000;
    const DIMENSION: usize = 8;

    fn planner() -> (Planner, ExactScorer) {
        let mut random = StdRng::seed_from_u64(5);
        let values: Vec<f32> =
            std::iter::repeat_with(|| random.random_range(-1.0..1.0)).take(ITEMS * DIMENSION).collect();
        let movie_ids: Vec<u32> = (1..=ITEMS as u32).rev().collect();
        let options = PlannerOptions { index: IndexPolicy::Never, ..PlannerOptions::default() };
        let exact = ExactScorer::build(&values, DIMENSION, &movie_ids).unwrap();
        (Planner::build(values.into(), DIMENSION, &movie_ids, options).unwrap(), exact)
    }

    fn planner_of_300() -> Planner {
        planner_of_300_with(PlannerOptions { index: IndexPolicy::Never, ..PlannerOptions::default() })
    }

    fn planner_of_300_with(options: PlannerOptions) -> Planner {
        let values: Vec<f32> = (0..300 * DIMENSION).map(|i| (i as f32).sin()).collect();
        let movie_ids: Vec<u32> = (1..=300).collect();
        Planner::build(values.into(), DIMENSION, &movie_ids, options).unwrap()
    }

    fn filtered(share: f64) -> Query {
        let allowed: RoaringBitmap = (0..(ITEMS as f64 * share) as u32).collect();
        Query { allowed: Some(Arc::new(allowed)), ..Query::exact(10) }
    }

    fn plans(planner: &Planner, queries: &[Query]) -> Vec<Plan> {
        let vector = [1.0; DIMENSION];
        let queries: Vec<ScorerQuery<'_>> =
            queries.iter().map(|query| ScorerQuery { vector: &vector, query }).collect();
        planner.plan(&queries)
    }

    #[test]
    fn a_selective_filter_is_answered_by_its_rows_alone() {
        let (planner, _) = planner();
        assert_eq!(plans(&planner, &[filtered(0.01)]), [Plan::Rows]);
        assert_eq!(plans(&planner, &[filtered(0.5)]), [Plan::Scan]);
    }

    #[test]
    fn a_fairly_selective_filter_joins_a_scan_that_another_query_needs() {
        let (planner, _) = planner();
        assert_eq!(plans(&planner, &[filtered(0.045)]), [Plan::Rows]);
        assert_eq!(plans(&planner, &[filtered(0.045), Query::exact(10)]), [Plan::Scan, Plan::Scan]);
    }

    #[test]
    fn every_selectivity_is_answered_as_by_the_reference_and_in_order() {
        let (planner, exact) = planner();
        let mut queries: Vec<Query> = [0.0, 0.001, 0.01, 0.045, 0.1, 0.5, 1.0].map(filtered).into();
        queries.extend([0.01, 0.5].map(|share| Query { metric: Metric::Cosine, ..filtered(share) }));
        let vectors: Vec<[f32; DIMENSION]> =
            (0..queries.len()).map(|i| [1.0 - i as f32 / 3.0; DIMENSION]).collect();
        let batch: Vec<ScorerQuery<'_>> =
            vectors.iter().zip(&queries).map(|(vector, query)| ScorerQuery { vector, query }).collect();
        assert_eq!(planner.top_k(&batch).unwrap(), exact.top_k(&batch).unwrap());
    }

    #[test]
    fn the_method_says_how_the_items_were_found() {
        let planner = planner_of_300();
        let query = Query { method: Method::Ann, ..Query::exact(10) };
        let batch = [ScorerQuery { vector: &[0.5; DIMENSION], query: &query }];
        assert_eq!(planner.top_k(&batch).unwrap()[0].method, Method::Exact);
        planner.make_index().unwrap();
        assert_eq!(planner.top_k(&batch).unwrap()[0].method, Method::Ann);
    }

    #[test]
    fn a_cosine_is_answered_exactly_whatever_method_is_asked_for() {
        let planner = planner_of_300();
        planner.make_index().unwrap();
        let query = Query { method: Method::Ann, metric: Metric::Cosine, ..Query::exact(10) };
        let batch = [ScorerQuery { vector: &[0.5; DIMENSION], query: &query }];
        assert_eq!(planner.top_k(&batch).unwrap()[0].method, Method::Exact);
    }

    #[test]
    fn a_small_table_is_never_left_to_the_index_unasked() {
        let planner = planner_of_300();
        planner.make_index().unwrap();
        let query = Query { method: Method::Auto, ..Query::exact(10) };
        assert_eq!(plans(&planner, &[query]), [Plan::Scan]);
    }

    #[test]
    fn auto_takes_the_index_from_the_rows_that_the_options_say() {
        let options = |index_from_items| PlannerOptions {
            index: IndexPolicy::Never,
            index_from_items,
            ..PlannerOptions::default()
        };
        for (from, plan) in [(300, Plan::Index), (301, Plan::Scan)] {
            let planner = planner_of_300_with(options(from));
            planner.make_index().unwrap();
            let query = Query { method: Method::Auto, ..Query::exact(10) };
            assert_eq!(plans(&planner, &[query]), [plan], "from {from}");
        }
    }
}
