//! What happens to every call before its handler: a request id, a deadline, a limit, a span and a count.
//!
//! The layers stand around all services, health and reflection included, in this order from the
//! outside: [`request_id`], [`observe`] (span and metrics), [`deadline`], [`limit`].

mod deadline;
mod limit;
mod methods;
mod observe;
mod request_id;

pub use deadline::{Deadline, DeadlineLayer, parse_grpc_timeout};
pub use limit::LimitLayer;
pub use methods::Methods;
pub use observe::ObserveLayer;
pub use request_id::{RequestId, RequestIdLayer};
