//! Retrieval: the best items for a vector, by the cheapest plan that is right.
//!
//! What "best" means is written once, in [`exact`]: inner products or cosines accumulated in f64 and
//! rounded to f32, ties by ascending movie id. Whatever else stands here is a faster way to that ranking,
//! and is held to it by tests.

pub mod ann;
pub mod exact;
pub mod planner;
mod prefetch;
pub mod query;
mod ranking;
pub mod scan;
pub mod table;

pub use ann::AnnIndex;
pub use exact::ExactScorer;
pub use planner::{IndexPolicy, Planner, PlannerOptions};
pub use query::{BackendError, ItemRow, Method, Metric, Query, Scored, Scorer, ScorerQuery, TopK};
pub use scan::ScanScorer;
pub use table::{ItemTable, TableValues};

/// Why a table cannot be searched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetrievalError {
    /// The numbers do not make whole rows.
    #[error(
        "{values} numbers are not {items} rows of dimension {dimension}; check the table against bundle.json"
    )]
    Shape {
        /// How many numbers came.
        values: usize,
        /// How many movie ids came.
        items: usize,
        /// The dimension asked for.
        dimension: usize,
    },
    /// There is nothing to search, or more than the scan's integers can hold.
    #[error("a table has 1 to 2^32 - 1 rows and 1 to 65,536 columns, this one has {items} x {dimension}")]
    Size {
        /// Rows.
        items: usize,
        /// Columns.
        dimension: usize,
    },
    /// A number is NaN or infinite.
    #[error("row {row}, column {column} of the output embeddings is not finite; export the model again")]
    NotFinite {
        /// The row, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
    },
    /// usearch refused.
    #[error("usearch: {0}; answers stay exact without the index")]
    Index(String),
}

impl RetrievalError {
    fn index(error: impl std::fmt::Display) -> Self {
        Self::Index(error.to_string())
    }
}
