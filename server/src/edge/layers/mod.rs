//! What happens to every call before and after its handler: a request id, a deadline, a limit, a span, a
//! count, a line of the log, and an end.
//!
//! The layers stand around all services, health and reflection included, in this order from the
//! outside: `admission` (is there time for it), `request_id`, `observe` (span, metrics and log), `status`,
//! `content_type`, `unknown_method`, `audit` (what is recorded of it), `identity` (who calls, and may they),
//! `share` (of the calls in flight), `compressed`, `deadline`, `receive` (what is not whole), `limit`, `refused`,
//! `streams`. Outside of them stands `edge/http`, which makes such calls of what is no gRPC, and outside of all
//! `forwarded` (for whom a proxy calls). They come over `connection`s that `listener` accepts, as many as `connections`
//! allows; these end with the server too.

mod admission;
mod audit;
mod call_log;
mod caller;
mod compressed;
mod connection;
mod connections;
mod content_type;
mod deadline;
mod delivery;
mod forwarded;
mod framing;
mod identity;
mod limit;
mod listener;
mod message_count;
mod methods;
mod noted;
mod observe;
mod receive;
mod refused;
mod remainder;
mod request_id;
mod share;
mod status;
mod streams;
mod timeout;
mod unknown_method;
mod unread;

use marquee_core::meters::Metric;

pub(crate) use admission::{AdmissionLayer, Admitted};
pub(crate) use audit::AuditLayer;
pub(crate) use call_log::CallLog;
pub(crate) use caller::Origin;
pub(crate) use compressed::CompressedLayer;
pub use compressed::max_compressed_bytes;
pub(crate) use connection::{ConnectionInfo, ConnectionTimes};
pub(crate) use connections::{ConnectionLimits, Connections};
pub(crate) use content_type::{ContentTypeLayer, is_grpc, is_grpc_web};
pub(crate) use deadline::Deadline;
pub use deadline::DeadlineLayer;
pub(crate) use forwarded::ForwardedLayer;
pub use identity::Reflection;
pub(crate) use identity::{IdentityLayer, Known, caller_of, session_of};
pub(crate) use limit::{LIMIT, LimitLayer, REMAINING};
pub(crate) use listener::accept;
pub(crate) use methods::Methods;
pub(crate) use noted::Noted;
pub(crate) use observe::ObserveLayer;
pub(crate) use receive::{Bodies, BodyError, ReceiveLayer, ReceiveLimits, WholeBody};
pub(crate) use refused::{Refused, RefusedLayer};
pub(crate) use remainder::read_remainder;
pub(crate) use request_id::{RequestId, request_id};
pub(crate) use share::ShareLayer;
pub(crate) use status::StatusLayer;
pub use streams::{Stream, StreamLayer};
pub(crate) use timeout::timeout_of;
pub(crate) use unknown_method::UnknownMethodLayer;
pub(crate) use unread::Reply;

pub(crate) use crate::telemetry::Protocol;

/// The metrics of the layers.
pub(crate) fn metrics() -> impl Iterator<Item = &'static Metric> {
    admission::METRICS.iter().chain(connections::METRICS).chain(receive::METRICS)
}
