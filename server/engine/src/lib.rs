//! The engine: one scheduler for all compute, so that nothing heavy escapes admission or blocks the
//! async runtime.
//!
//! A [`Job`] is a sequence of item rows, or a ready vector, that wants a vector or the best items under
//! a filter. Workers encode what needs encoding through an [`Encoder`] and score through the injected
//! [`Scorer`](marquee_retrieval::Scorer). Nothing here knows movie ids, users or gRPC.

mod affinity;
pub mod bundle;
mod cost;
pub mod job;
mod lifecycle;
mod metrics;
mod model;
mod pool;
pub mod runtime;
mod scheduler;
mod sequence;
mod session;
mod shortlist;
mod simulator;
#[cfg(test)]
mod tests;
mod work;
mod worker;

pub use bundle::{Bundle, BundleError};
pub use job::{
    Answer, Ask, AskInput, DeadlinePoint, EncodedBatch, Encoder, EngineError, Input, Job, JobTimings,
    Priority, Shortlists, Want,
};
pub use lifecycle::{Engine, EngineOptions, EngineStats, ModelState, ModelStatus};
pub use metrics::METRICS;
pub use model::Model;
pub use runtime::Device;
pub use sequence::Sequence;
pub use session::{Precision, bare_encoder};
pub use simulator::SchedulerSimulator;
