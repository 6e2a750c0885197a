//! The reference ranking: every allowed row is scored in full precision.
//!
//! This is the definition of an exact answer and the measure of all other plans. It reads the whole
//! f32 table for every query, so it serves tests, tools and small tables.

use super::RetrievalError;
use super::ranking::Best;
use super::table::ItemTable;
use crate::query::{BackendError, ItemRow, Method, Metric, Query, Scored, Scorer, ScorerQuery, TopK};

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
/// of it, or the vector is one that no ranking is defined for. A shortlist holds the best rows by the inner product,
/// so it answers no other metric.
pub fn rank_shortlist(table: &ItemTable, query: &ScorerQuery<'_>, shortlist: &[ItemRow]) -> Option<TopK> {
    if query.query.metric != Metric::InnerProduct {
        return None;
    }
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
    let (mut best, scores) = (Best::new(table, *k), table.scores(query));
    for row in rows.take_while(|row| (*row as usize) < table.items()) {
        if !excluded.contains(row) {
            best.offer(row, scores.of(row));
        }
    }
    best.into_items()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use roaring::RoaringBitmap;

    use super::*;

    fn scorer() -> ExactScorer {
        ExactScorer::build(&[1.0, 0.0, 3.0, 0.0, 2.0, 0.0, 3.0, 0.0], 2, &[1, 9, 3, 4]).unwrap()
    }

    fn rows(query: &Query) -> Vec<ItemRow> {
        let answers = scorer().top_k(&[ScorerQuery { vector: &[1.0, 0.0], query }]).unwrap();
        answers[0].items.iter().map(|item| item.row).collect()
    }

    #[test]
    fn the_best_come_first_and_ties_by_movie_id() {
        assert_eq!(rows(&Query::exact(3)), [3, 1, 2]);
    }

    #[test]
    fn only_allowed_rows_that_are_not_excluded_are_answered() {
        let allowed = Arc::new(RoaringBitmap::from([0, 1, 2, 1000]));
        let excluded = Arc::new(RoaringBitmap::from([1]));
        assert_eq!(rows(&Query { allowed: Some(allowed), excluded, ..Query::exact(10) }), [2, 0]);
    }

    #[test]
    fn a_shortlist_is_ranked_as_the_whole_table_or_not_at_all() {
        let ranked = |query: &Query, shortlist: &[ItemRow]| {
            let found = scorer().rank_shortlist(&ScorerQuery { vector: &[1.0, 0.0], query }, shortlist)?;
            Some(found.items.iter().map(|item| item.row).collect::<Vec<_>>())
        };
        assert_eq!(ranked(&Query::exact(3), &[1, 2, 3]), Some(rows(&Query::exact(3))));
        let excluding = Query { excluded: Arc::new(RoaringBitmap::from([1])), ..Query::exact(2) };
        assert_eq!(ranked(&excluding, &[1, 2, 3]), Some(rows(&excluding)));
        assert_eq!(ranked(&excluding, &[1, 2]), None);
        let allowing = Query { allowed: Some(Arc::new(RoaringBitmap::from([0, 3]))), ..Query::exact(2) };
        assert_eq!(ranked(&allowing, &[3, 1, 2]), None);
        assert_eq!(ranked(&allowing, &[3, 1, 2, 0]), Some(rows(&allowing)));
    }

    #[test]
    fn by_cosine_the_direction_decides_and_not_the_length() {
        let scorer =
            ExactScorer::build(&[9.0, 9.0, 0.1, 0.0, -1.0, 0.0, 0.0, 0.0], 2, &[1, 2, 3, 4]).unwrap();
        let query = Query { metric: Metric::Cosine, ..Query::exact(4) };
        let answers = scorer.top_k(&[ScorerQuery { vector: &[2.0, 0.0], query: &query }]).unwrap();
        let found: Vec<(ItemRow, f32)> = answers[0].items.iter().map(|item| (item.row, item.score)).collect();
        assert_eq!(found, [(1, 1.0), (0, 0.5_f32.sqrt()), (3, 0.0), (2, -1.0)]);
    }

    #[test]
    fn a_vector_without_length_is_as_far_from_every_row() {
        let query = Query { metric: Metric::Cosine, ..Query::exact(4) };
        let answers = scorer().top_k(&[ScorerQuery { vector: &[0.0, 0.0], query: &query }]).unwrap();
        let found: Vec<(ItemRow, f32)> = answers[0].items.iter().map(|item| (item.row, item.score)).collect();
        assert_eq!(found, [(0, 0.0), (2, 0.0), (3, 0.0), (1, 0.0)], "ties by movie id");
    }

    #[test]
    fn a_shortlist_by_the_inner_product_answers_no_cosine() {
        let query = Query { metric: Metric::Cosine, ..Query::exact(1) };
        let asked = ScorerQuery { vector: &[1.0, 0.0], query: &query };
        assert_eq!(scorer().rank_shortlist(&asked, &[0, 1, 2, 3]), None);
    }

    /// The cosine in the plainest f64 there is; 0 where there is none.
    fn plain_cosine(x: &[f32], y: &[f32]) -> f64 {
        let dot = |x: &[f32], y: &[f32]| -> f64 {
            x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let norms = dot(x, x).sqrt() * dot(y, y).sqrt();
        if norms > 0.0 { dot(x, y) / norms } else { 0.0 }
    }

    proptest! {
        /// Of few distinct numbers, so that there are ties, rows without length and rows that point the same way.
        #[test]
        fn the_ranking_by_cosine_is_that_of_plain_arithmetic(
            table in prop::collection::vec(prop::array::uniform3(-2i8..=2), 1..60),
            vector in prop::array::uniform3(-2i8..=2),
            allowed in prop::option::of(prop::collection::btree_set(0u32..70, 0..40)),
            excluded in prop::collection::btree_set(0u32..70, 0..20),
            k in 0usize..70,
        ) {
            let values: Vec<f32> = table.iter().flatten().map(|number| f32::from(*number)).collect();
            let vector = vector.map(f32::from);
            let movie_ids: Vec<u32> = (0..table.len() as u32).map(|row| 1000 - row * 7 % 61).collect();
            let scorer = ExactScorer::build(&values, 3, &movie_ids).unwrap();
            let may_be_answered = |row: u32| {
                allowed.as_ref().is_none_or(|allowed| allowed.contains(&row)) && !excluded.contains(&row)
            };
            let mut expected: Vec<(f64, u32)> = (0..table.len() as u32)
                .filter(|row| may_be_answered(*row))
                .map(|row| (plain_cosine(&values[row as usize * 3..][..3], &vector), movie_ids[row as usize]))
                .collect();
            // What differs by rounding alone is a tie.
            let rounded = |cosine: f64| (cosine * 1e6).round() as i64;
            expected.sort_by_key(|(cosine, movie_id)| (-rounded(*cosine), *movie_id));
            let query = Query {
                allowed: allowed.as_ref().map(|rows| Arc::new(rows.iter().copied().collect())),
                excluded: Arc::new(excluded.iter().copied().collect()),
                metric: Metric::Cosine,
                ..Query::exact(k)
            };
            let answers = scorer.top_k(&[ScorerQuery { vector: &vector, query: &query }]).unwrap();
            prop_assert_eq!(answers[0].items.len(), k.min(expected.len()));
            for (item, (cosine, movie_id)) in answers[0].items.iter().zip(&expected) {
                prop_assert_eq!(movie_ids[item.row as usize], *movie_id);
                prop_assert!((f64::from(item.score) - cosine).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_vector_of_another_dimension_or_with_nan_is_refused() {
        let scorer = scorer();
        let query = Query::exact(1);
        assert!(scorer.top_k(&[ScorerQuery { vector: &[1.0], query: &query }]).is_err());
        assert!(scorer.top_k(&[ScorerQuery { vector: &[f32::NAN, 0.0], query: &query }]).is_err());
    }
}
