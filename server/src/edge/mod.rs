//! The edge: what crosses the network and nothing else. [`layers`] stand around every call, [`services`] are one file a
//! gRPC service, `http` lets in who speaks no gRPC, `tls` encrypts, `server` puts them together, and [`ApiError`] is the
//! single map from what went wrong to a status.
//!
//! A handler validates, converts, calls one part of the server, and converts back. It decides nothing else.
//! Nothing outside of here knows protobuf.

mod arms;
mod bundles;
mod convert;
mod cookie;
#[cfg(test)]
mod field_tests;
mod health;
mod http;
mod key_numbers;
pub mod layers;
mod movies;
mod page;
mod places;
mod presets;
mod proxies;
mod rights;
mod server;
pub mod services;
mod shadows;
mod shorten;
mod slow_calls;
mod status;
mod stream;
pub(crate) mod tls;
mod token;

pub(crate) use bundles::Bundles;
pub use http::{AllowedHosts, CorsOrigins};
pub(crate) use http::{ConsoleFacts, HttpOptions};
pub(crate) use key_numbers::KeyNumbers;
pub use layers::Reflection;
pub use presets::Presets;
pub use proxies::{Proxies, ProxiesError};
pub use rights::OwnRoles;
pub(crate) use rights::PERSON;
pub use server::gateway;
pub(crate) use server::{AppState, ServeError, ServerOptions, serve, streams};
pub(crate) use slow_calls::SlowCalls;
pub use status::{ApiError, MAX_STATUS_BYTES};
pub(crate) use status::{MESSAGE_BYTES, MESSAGE_TOO_LARGE};

pub use tls::{ClientAuth, TlsError};

use std::sync::Arc;

use ::http::Extensions;
use marquee_proto::{Named, Names, Validate};
use tonic::Request;

use self::layers::{Known, Noted};
use crate::access::{Bounds, Identity, Permission};

/// The message of a call, once its caller may ask for that and its constraints hold.
fn valid<M: Validate + Names>(request: Request<M>) -> Result<M, ApiError> {
    Asker::of(request.extensions()).may(request.get_ref())?;
    checked(request.into_inner())
}

/// The message, once its constraints hold.
fn checked<M: Validate>(message: M) -> Result<M, ApiError> {
    message.validate().map_err(ApiError::Invalid)?;
    Ok(message)
}

/// Whoever made a call, as far as it matters to what it may ask for: for the messages of streams and of batches.
#[derive(Clone, Default)]
struct Asker {
    /// `None` where nobody is asked who calls.
    identity: Option<Arc<Identity>>,
    bounds: Option<Bounds>,
    noted: Option<Noted>,
}

impl Asker {
    /// Who made the call that has these extensions.
    fn of(extensions: &Extensions) -> Self {
        let identity = extensions.get().map(|Known(identity)| Arc::clone(identity));
        Self { identity, bounds: extensions.get().cloned(), noted: extensions.get().cloned() }
    }

    /// Whether the caller may call another method too, as `package.Service/Method`.
    fn may_call(&self, method: &str) -> bool {
        self.identity.as_ref().is_none_or(|identity| !matches!(identity.may(method), Permission::Denied))
    }

    /// Refuses a message that asks for more than its caller may.
    fn may(&self, message: &impl Names) -> Result<(), ApiError> {
        let is_refused = self.bounds.as_ref().is_some_and(|bounds| !rights::is_within(bounds, message));
        if let Some(noted) = self.noted.as_ref().filter(|noted| is_refused || noted.is_change()) {
            message.names(&mut |named| {
                if let Named::User(user_id) = named {
                    noted.set_user(user_id);
                }
            });
        }
        if is_refused { Err(ApiError::RequestNotPermitted) } else { Ok(()) }
    }
}
