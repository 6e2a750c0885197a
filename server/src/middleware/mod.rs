//! What happens to every call before its handler: a request id, a deadline, a span and a count.
//!
//! The layers stand around all services, health and reflection included, in this order from the
//! outside: [`observe`] (span and metrics), [`request_id`], [`deadline`].

mod deadline;
mod observe;
mod request_id;

pub use deadline::{Deadline, DeadlineLayer, parse_grpc_timeout};
pub use observe::ObserveLayer;
pub use request_id::{RequestId, RequestIdLayer};
