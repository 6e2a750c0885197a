//! The edge: what crosses the network and nothing else. [`layers`] stand around every call, [`services`] are one file a
//! gRPC service, `http` lets in who speaks no gRPC, `server` puts them together, and [`ApiError`] is the single map from what went wrong to a status.
//!
//! A handler validates, converts, calls one part of the server, and converts back. It decides nothing else.
//! Nothing outside of here knows protobuf.

mod convert;
#[cfg(test)]
mod field_tests;
mod health;
mod http;
pub mod layers;
mod page;
mod places;
mod presets;
mod server;
pub mod services;
mod shorten;
mod status;
mod stream;
mod token;

pub(crate) use http::HttpOptions;
pub use http::{AllowedHosts, CorsOrigins};
pub use presets::Presets;
pub use server::gateway;
pub(crate) use server::{AppState, ServeError, ServerOptions, serve};
pub use status::{ApiError, MAX_STATUS_BYTES};
pub(crate) use status::{MESSAGE_BYTES, MESSAGE_TOO_LARGE};

use marquee_proto::Validate;

/// The message, once its constraints hold.
fn valid<M: Validate>(message: M) -> Result<M, ApiError> {
    message.validate().map_err(ApiError::Invalid)?;
    Ok(message)
}
