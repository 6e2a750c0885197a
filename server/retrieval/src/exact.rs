//! The reference ranking: every allowed row is scored in full precision.
//!
//! This is the definition of an exact answer and the measure of all other plans. It reads the whole
//! f32 table for every query, so it serves tests, tools and small tables.

use super::RetrievalError;
use super::ranking::Best;
use super::table::ItemTable;
use crate::query::{BackendError, ItemRow, Method, Query, Scored, Scorer, ScorerQuery, TopK};

/// Scores every allowed row in full precision.
#[derive(Clone, Debug)]
pub struct ExactScorer {
    table: ItemTable,
}

impl ExactScorer {
    /// A scorer over `table`.
    pub fn new(table: ItemTable) -> Self {
        Self { table }
    }

    /// A scorer over `values`, `movie_ids.len() x dimension` numbers, row-major.
    ///
    /// # Errors
    /// As [`ItemTable::new`].
    pub fn build(values: &[f32], dimension: usize, movie_ids: &[u32]) -> Result<Self, RetrievalError> {
        ItemTable::new(values.into(), dimension, movie_ids).map(Self::new)
    }
}

impl Scorer for ExactScorer {
    fn top_k(&self, queries: &[ScorerQuery<'_>]) -> Result<Vec<TopK>, BackendError> {
        self.table.check(queries)?;
        let answer = |query| TopK { items: rank_allowed(&self.table, query), method: Method::Exact };
        Ok(queries.iter().map(answer).collect())
    }

    fn rank_shortlist(&self, query: &ScorerQuery<'_>, shortlist: &[ItemRow]) -> Option<TopK> {
        rank_shortlist(&self.table, query, shortlist)
    }
}

/// The exact ranking of a shortlist, under the query's whole filter; `None` when fewer than `k` rows are left
/// of it, or the vector is one that no ranking is defined for.
pub fn rank_shortlist(table: &ItemTable, query: &ScorerQuery<'_>, shortlist: &[ItemRow]) -> Option<TopK> {
    table.check(&[*query]).ok()?;
    // They lie anywhere in the table, and would be waited for one after another.
    for row in shortlist {
        table.ask_for(*row);
    }
    let is_allowed =
        |row: &ItemRow| query.query.allowed.as_ref().is_none_or(|allowed| allowed.contains(*row));
    let items = rank_rows(table, query, shortlist.iter().copied().filter(is_allowed));
    (items.len() == query.query.k).then_some(TopK { items, method: Method::Exact })
}

/// The exact ranking for a query, from its allowed rows alone. Rows outside the table are passed over:
/// a filter may name movies that the model does not know.
///
/// # Panics
/// For a vector of another dimension than the table's.
pub fn rank_allowed(table: &ItemTable, query: &ScorerQuery<'_>) -> Vec<Scored> {
    match &query.query.allowed {
        Some(allowed) => rank_rows(table, query, allowed.iter()),
        None => rank_rows(table, query, 0..table.items() as ItemRow),
    }
}

fn rank_rows(table: &ItemTable, query: &ScorerQuery<'_>, rows: impl Iterator<Item = ItemRow>) -> Vec<Scored> {
    let Query { k, excluded, .. } = query.query;
    let mut best = Best::new(table, *k);
    for row in rows.take_while(|row| (*row as usize) < table.items()) {
        if !excluded.contains(row) {
            best.offer(row, table.score(row, query.vector));
        }
    }
    best.into_items()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roaring::RoaringBitmap;

    use super::*;

    fn scorer() -> ExactScorer {
        ExactScorer::build(&[1.0, 0.0, 3.0, 0.0, 2.0, 0.0, 3.0, 0.0], 2, &[1, 9, 3, 4]).unwrap()
    }

    fn rows(query: &Query) -> Vec<ItemRow> {
        let answers = scorer().top_k(&[ScorerQuery { vector: &[1.0, 0.0], query }]).unwrap();
        answers[0].items.iter().map(|item| item.row).collect()
    }

    fn query(k: usize) -> Query {
        Query { k, allowed: None, excluded: Arc::default(), method: Method::Exact }
    }

    #[test]
    fn the_best_come_first_and_ties_by_movie_id() {
        assert_eq!(rows(&query(3)), [3, 1, 2]);
    }

    #[test]
    fn only_allowed_rows_that_are_not_excluded_are_answered() {
        let allowed = Arc::new(RoaringBitmap::from([0, 1, 2, 1000]));
        let excluded = Arc::new(RoaringBitmap::from([1]));
        assert_eq!(rows(&Query { allowed: Some(allowed), excluded, ..query(10) }), [2, 0]);
    }

    #[test]
    fn a_shortlist_is_ranked_as_the_whole_table_or_not_at_all() {
        let ranked = |query: &Query, shortlist: &[ItemRow]| {
            let found = scorer().rank_shortlist(&ScorerQuery { vector: &[1.0, 0.0], query }, shortlist)?;
            Some(found.items.iter().map(|item| item.row).collect::<Vec<_>>())
        };
        assert_eq!(ranked(&query(3), &[1, 2, 3]), Some(rows(&query(3))));
        let excluding = Query { excluded: Arc::new(RoaringBitmap::from([1])), ..query(2) };
        assert_eq!(ranked(&excluding, &[1, 2, 3]), Some(rows(&excluding)));
        assert_eq!(ranked(&excluding, &[1, 2]), None);
        let allowing = Query { allowed: Some(Arc::new(RoaringBitmap::from([0, 3]))), ..query(2) };
        assert_eq!(ranked(&allowing, &[3, 1, 2]), None);
        assert_eq!(ranked(&allowing, &[3, 1, 2, 0]), Some(rows(&allowing)));
    }

    #[test]
    fn a_vector_of_another_dimension_or_with_nan_is_refused() {
        let scorer = scorer();
        let query = query(1);
        assert!(scorer.top_k(&[ScorerQuery { vector: &[1.0], query: &query }]).is_err());
        assert!(scorer.top_k(&[ScorerQuery { vector: &[f32::NAN, 0.0], query: &query }]).is_err());
    }
}
