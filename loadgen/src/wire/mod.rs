//! Connections that carry encoded requests and give back encoded replies.
//!
//! A generic client would decode every reply and cross two channels on the way; that work would be counted
//! as the server's time and would take the server's cores. Here a call is: headers, bytes, bytes, trailers.

mod grpc;
mod http1;
pub mod reply;

use std::time::Duration;

use bytes::Bytes;
pub use grpc::GrpcConnection;
pub use http1::{HttpConnection, get};

use crate::measure::Failure;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host and port.
    pub authority: String,
}

/// What is wrong with a target or a connection.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The text is no target.
    #[error("'{0}' is no target; write http://HOST:PORT (TLS is not spoken here)")]
    Target(String),
    /// Nobody answers.
    #[error("cannot connect to {authority}: {message}; is the server up?")]
    Connect {
        /// Host and port.
        authority: String,
        /// Why.
        message: String,
    },
    /// A request cannot be put into words of HTTP.
    #[error("the request cannot be sent: {0}")]
    Request(#[from] http::Error),
}

impl std::str::FromStr for Target {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let wrong = || WireError::Target(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let is_plain = uri.scheme().is_none_or(|scheme| *scheme == http::uri::Scheme::HTTP);
        let is_place_alone = uri.path_and_query().is_none_or(|path| path == "/");
        let authority = uri.authority().filter(|authority| authority.port_u16().is_some());
        let authority = authority.filter(|_| is_plain && is_place_alone).ok_or_else(wrong)?;
        Ok(Self { authority: authority.to_string() })
    }
}

/// A call that is ready to go out.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Which call of the mix it is.
    pub call: usize,
    /// The request's body; for gRPC one or more length-prefixed messages.
    pub body: Bytes,
    /// When the generator gives up on it on purpose.
    pub cancel_after: Option<Duration>,
}

/// A reply as it came.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The whole body; for gRPC length-prefixed messages.
    pub body: Bytes,
}

/// A failed call: why, and the server's or system's words.
#[derive(Clone, Debug)]
pub struct CallFailure {
    /// Why.
    pub failure: Failure,
    /// In words.
    pub message: String,
}

impl CallFailure {
    fn transport(error: impl std::fmt::Display) -> Self {
        Self { failure: Failure::Transport, message: error.to_string() }
    }
}

/// The fixed part of a request: where it goes and with which headers.
#[derive(Clone, Debug)]
pub struct Route {
    /// The HTTP method.
    pub method: http::Method,
    /// The path and query.
    pub path: String,
    /// Headers beyond those of the protocol.
    pub headers: http::HeaderMap,
}

impl Route {
    /// A gRPC method, such as `/marquee.v1.RecommendationService/Recommend`.
    pub fn grpc(path: impl Into<String>) -> Self {
        Self { method: http::Method::POST, path: path.into(), headers: http::HeaderMap::new() }
    }
}

/// Either protocol.
pub enum Connection {
    /// gRPC over HTTP/2, many calls at once.
    Grpc(GrpcConnection),
    /// HTTP/1.1, one call at a time.
    Http(HttpConnection),
}

impl Connection {
    /// Sends one request along route number `prepared.call` and waits for the whole reply.
    ///
    /// # Errors
    /// [`CallFailure`] when the reply is no success.
    pub async fn call(&self, prepared: &Prepared) -> Result<Reply, CallFailure> {
        match self {
            Self::Grpc(connection) => connection.call(prepared).await,
            Self::Http(connection) => connection.call(prepared).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_needs_a_port_and_no_tls() {
        assert_eq!("http://127.0.0.1:50051".parse::<Target>().unwrap().authority, "127.0.0.1:50051");
        assert_eq!("localhost:1".parse::<Target>().unwrap().authority, "localhost:1");
        assert!("https://example.org:443".parse::<Target>().is_err());
        assert!("http://example.org".parse::<Target>().is_err());
        assert!("http://example.org:1/path".parse::<Target>().is_err());
        assert_eq!("http://[::1]:1/".parse::<Target>().unwrap().authority, "[::1]:1");
    }
}
