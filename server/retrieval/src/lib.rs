//! Retrieval: the best items for a vector, by the cheapest plan that is right.
//!
//! [`query`] is the contract: a [`Query`] says how many items are wanted and which may be answered, and a [`Scorer`]
//! answers. [`Planner`] is the scorer of production; it chooses between the scan of all rows ([`ScanScorer`]), the rows
//! that pass a selective filter, and the approximate index ([`AnnIndex`]). The engine holds one for each model and
//! knows no more of it than the trait.
//!
//! What "best" means is written once, in [`exact`]: inner products or cosines accumulated in f64 and
//! rounded to f32, ties by ascending movie id. Whatever else stands here is a faster way to that ranking,
//! and is held to it by tests.
//!
//! ```
//! use std::sync::Arc;
//!
//! use marquee_retrieval::{Planner, PlannerOptions, Query, Scorer, ScorerQuery, TableValues};
//!
//! // Three movies in two dimensions.
//! let values = TableValues::from(vec![1.0, 0.0, 0.6, 0.8, 0.0, 1.0]);
//! let planner = Planner::build(values, 2, &[10, 20, 30], PlannerOptions::default())?;
//!
//! let excluded = Arc::new([0].into_iter().collect());
//! let query = Query { excluded, ..Query::exact(2) };
//! let best = planner.top_k(&[ScorerQuery { vector: &[1.0, 0.0], query: &query }])?;
//! assert_eq!(best[0].items[0].row, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ann;
pub mod exact;
mod kept;
pub mod live;
pub mod planner;
pub mod query;
mod ranking;
pub mod scan;
pub mod table;

pub use ann::{AnnIndex, AnnOptions, Quantization};
pub use exact::ExactScorer;
pub use kept::IndexFile;
pub use live::{LiveIndex, Nearest};
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
