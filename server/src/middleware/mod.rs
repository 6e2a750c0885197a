//! What happens to every call before and after its handler: a request id, a deadline, a limit, a span, a
//! count, a line of the log, and an end with the server.
//!
//! The layers stand around all services, health and reflection included, in this order from the
//! outside: [`request_id`], [`observe`] (span, metrics and log), [`deadline`], [`message_limit`],
//! [`drain`], [`limit`]. They come over [`connection`]s, which end with the server too.

mod call_log;
mod caller;
mod connection;
mod deadline;
mod drain;
mod limit;
mod message_limit;
mod methods;
mod observe;
mod request_id;

pub use call_log::CallLog;
pub use connection::{Connection, ConnectionInfo};
pub use deadline::{Deadline, DeadlineLayer, parse_grpc_timeout};
pub use drain::{DrainLayer, Stream};
pub use limit::LimitLayer;
pub use message_limit::MessageLimitLayer;
pub use methods::Methods;
pub use observe::ObserveLayer;
pub use request_id::{RequestId, RequestIdLayer};
