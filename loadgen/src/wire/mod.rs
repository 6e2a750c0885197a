//! Connections that carry encoded requests and give back encoded replies.
//!
//! A generic client would decode every reply and cross two channels on the way; that work would be counted
//! as the server's time and would take the server's cores. Here a call is: headers, bytes, bytes, trailers.
//!
//! [`Dialect`] says how requests are written, `http1` and `http2` carry them, `status` says whether a reply is an
//! answer, [`reply`] reads it.

mod dialect;
mod http1;
mod http2;
pub mod reply;
mod status;

use std::time::Duration;

use bytes::Bytes;
pub use dialect::{Dialect, Encoding, HttpVersion, Protocol};
use http::{HeaderMap, Request, StatusCode};
use http1::Http1;
pub use http1::get;
use http2::Http2;
use tokio::net::TcpStream;

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
    /// gRPC needs HTTP/2.
    #[error("gRPC is over HTTP/2 alone; leave --http out, or give --protocol grpc-web")]
    GrpcOverHttp1,
}

impl WireError {
    fn connect(target: &Target, error: impl std::fmt::Display) -> Self {
        Self::Connect { authority: target.authority.clone(), message: error.to_string() }
    }
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
    /// The request's body, in the protocol's encoding.
    pub body: Bytes,
    /// When the generator gives up on it on purpose.
    pub cancel_after: Option<Duration>,
}

/// A reply as it came.
#[derive(Clone, Debug)]
pub struct Reply {
    /// All messages of the body, in the protocol's encoding.
    pub body: Bytes,
}

/// A reply of HTTP, read to its end.
#[derive(Debug)]
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
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

/// A socket on which nothing waits for acknowledgements.
async fn socket(target: &Target) -> Result<TcpStream, WireError> {
    let connected = async {
        let socket = TcpStream::connect(&target.authority).await?;
        socket.set_nodelay(true)?;
        Ok::<_, std::io::Error>(socket)
    };
    connected.await.map_err(|error| WireError::connect(target, error))
}

/// The fixed part of a request: where it goes and with which headers.
#[derive(Clone, Debug)]
pub struct Route {
    /// The HTTP method.
    pub method: http::Method,
    /// The path and query.
    pub path: String,
    /// Headers beyond those of the protocol.
    pub headers: HeaderMap,
}

impl Route {
    /// POST to a path, such as `/marquee.v1.RecommendationService/Recommend`.
    pub fn post(path: impl Into<String>) -> Self {
        Self { method: http::Method::POST, path: path.into(), headers: HeaderMap::new() }
    }
}

/// A way to the server, used by the tasks of one thread.
pub struct Connection {
    dialect: Dialect,
    requests: Vec<Request<()>>,
    carrier: Carrier,
}

enum Carrier {
    Http1(Http1),
    Http2(Http2),
}

impl Connection {
    /// Connects. Every request carries `deadline` in the protocol's header.
    ///
    /// # Errors
    /// [`WireError::Connect`] when nobody answers, [`WireError::Request`] when a route is no path.
    pub async fn open(
        target: &Target,
        routes: &[Route],
        dialect: Dialect,
        deadline: Option<Duration>,
    ) -> Result<Self, WireError> {
        let requests = routes
            .iter()
            .map(|route| dialect.request(target, route, deadline))
            .collect::<Result<Vec<_>, http::Error>>()?;
        let carrier = match dialect.http() {
            HttpVersion::One => Carrier::Http1(Http1::open(target).await?),
            HttpVersion::Two => Carrier::Http2(Http2::open(target).await?),
        };
        Ok(Self { dialect, requests, carrier })
    }

    /// Sends one request along route number `prepared.call` and waits for the whole reply.
    ///
    /// # Errors
    /// [`CallFailure`] when the connection fails or the reply is no answer.
    pub async fn call(&self, prepared: &Prepared) -> Result<Reply, CallFailure> {
        let request = self.requests[prepared.call].clone();
        let body = prepared.body.clone();
        let whole = match &self.carrier {
            Carrier::Http1(carrier) => carrier.send(request, body).await?,
            Carrier::Http2(carrier) => carrier.send(request, body).await?,
        };
        status::reply(self.dialect.protocol(), whole)
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
