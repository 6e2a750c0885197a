//! The engine: one scheduler for all compute, so that nothing heavy escapes admission or blocks the
//! async runtime.
//!
//! A [`Job`] is a sequence of item rows, or a ready vector, that wants a vector or the best items under
//! a filter. Workers encode what needs encoding through an [`Encoder`] and score through the injected
//! [`Scorer`](marquee_retrieval::Scorer). Nothing here knows movie ids, users or gRPC.
//!
//! Begin with [`Engine`], which loads a [`Bundle`] as a [`Model`] and says which one is active, and with
//! [`Model::submit`], which takes a [`Job`] and gives an [`Answer`] or an [`EngineError`].
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use marquee_engine::{Device, Engine, EngineOptions, Input, Job, Precision, Priority, Sequence, Want, runtime};
//! use marquee_retrieval::{Planner, PlannerOptions, Query, RetrievalError, Scorer};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! runtime::init()?;
//! let engine = Engine::start(EngineOptions::default());
//! let model = engine
//!     .load(Path::new("bundles/movielens-small"), Device::Auto, Precision::Fp32, |bundle| {
//!         let values = bundle.output_embeddings().into();
//!         let planner =
//!             Planner::build(values, bundle.dimension(), &bundle.vocabulary, PlannerOptions::default())?;
//!         Ok::<_, RetrievalError>(Arc::new(planner) as Arc<dyn Scorer>)
//!     })
//!     .await?;
//! let history = Sequence::from(&[3, 1, 4][..]);
//! let query = Query { excluded: Arc::new(history.iter().copied().collect()), ..Query::exact(10) };
//! let job = Job {
//!     input: Input::Sequence(history),
//!     want: Want::TopK(query),
//!     deadline: None,
//!     priority: Priority::Interactive,
//! };
//! for item in model.submit(job).await?.items {
//!     println!("row {} with score {}", item.row, item.score);
//! }
//! # Ok(())
//! # }
//! ```

mod affinity;
pub mod bundle;
mod cost;
pub mod job;
mod metrics;
pub mod runtime;
mod scheduler;
mod sequence;
mod serving;
mod session;
mod shortlist;
mod simulator;
#[cfg(test)]
mod tests;

pub use bundle::{Bundle, BundleError, BundleSummary};
pub use job::{
    Answer, Ask, AskInput, DeadlinePoint, EncodedBatch, Encoder, EngineError, Input, Job, JobTimings,
    Priority, Shortlists, Want,
};
pub use metrics::METRICS;
pub use runtime::Device;
pub use sequence::Sequence;
pub use serving::{Before, Engine, EngineOptions, EngineStats, Model, ModelSetError, ModelState};
pub use session::{EncoderBackend, Precision, bare_encoder};
pub use simulator::SchedulerSimulator;
