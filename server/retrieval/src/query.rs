//! What is asked of retrieval, what it answers, and the trait between it and whoever asks.

use std::sync::Arc;

use roaring::RoaringBitmap;

/// The row of an item in the model's tables, from 0; the model's item number less 1.
pub type ItemRow = u32;

/// Which items are wanted for a vector.
#[derive(Clone, Debug)]
pub struct Query {
    /// How many.
    pub k: usize,
    /// The only rows that may be answered; all when `None`.
    pub allowed: Option<Arc<RoaringBitmap>>,
    /// Rows that must not be answered: the seen ones.
    pub excluded: Arc<RoaringBitmap>,
    /// How they are found.
    pub method: Method,
    /// What makes one better than another.
    pub metric: Metric,
}

impl Query {
    /// The best `k` of all rows by the inner product, found exactly.
    ///
    /// ```
    /// # use marquee_retrieval::{Metric, Query};
    /// let nearest = Query { metric: Metric::Cosine, ..Query::exact(10) };
    /// assert!(nearest.allowed.is_none() && nearest.excluded.is_empty());
    /// ```
    pub fn exact(k: usize) -> Self {
        Self {
            k,
            allowed: None,
            excluded: Arc::default(),
            method: Method::Exact,
            metric: Metric::InnerProduct,
        }
    }
}

/// What makes one item better than another for a vector; the greater, the better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The inner product, which prefers items with long embeddings.
    #[default]
    InnerProduct,
    /// The cosine of the angle between the two, which only the direction matters to; 0 where one of them has no
    /// length.
    Cosine,
}

/// How candidates are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// The planner picks.
    #[default]
    Auto,
    /// The ranking by the full scores.
    Exact,
    /// The approximate index.
    Ann,
}

/// An item and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The row.
    pub row: ItemRow,
    /// The query's metric between its vector and the output embedding, accumulated in f64, rounded to f32.
    pub score: f32,
}

/// Why a backend failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);

/// One query of a scored batch.
#[derive(Clone, Copy, Debug)]
pub struct ScorerQuery<'a> {
    /// The user vector.
    pub vector: &'a [f32],
    /// Which items it wants.
    pub query: &'a Query,
}

/// The best items of one query.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// Best first, ties by ascending movie id.
    pub items: Vec<Scored>,
    /// How they were found.
    pub method: Method,
}

/// Finds the best items for vectors. Shared by all workers of a model.
pub trait Scorer: Send + Sync {
    /// One result for each query, in order; a query's result does not depend on its companions.
    ///
    /// # Errors
    /// [`BackendError`] when an index fails.
    fn top_k(&self, queries: &[ScorerQuery<'_>]) -> Result<Vec<TopK>, BackendError>;

    /// The answer of a query from a shortlist of the device: its rows, ranked as `top_k` would. `None` when
    /// fewer than `k` of them may be answered, or the scorer ranks no shortlists.
    fn rank_shortlist(&self, _query: &ScorerQuery<'_>, _shortlist: &[ItemRow]) -> Option<TopK> {
        None
    }
}
