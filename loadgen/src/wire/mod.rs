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
mod socket;
mod status;

use std::time::Duration;

use bytes::Bytes;
pub use dialect::{Dialect, Encoding, HttpVersion, Protocol};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http1::Http1;
pub use http1::get;
use http2::Http2;
use marquee_core::tls::TlsError;
use socket::socket;
pub use socket::{Tls, TlsOptions};

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

use crate::measure::Failure;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host and port.
    pub authority: String,
    /// How it is connected to where it speaks TLS.
    pub tls: Option<Tls>,
    /// What it is shown as `x-api-key`, if it asks who calls. Printed by nobody: it is marked as sensitive.
    pub api_key: Option<HeaderValue>,
}

/// What is wrong with a target or a connection.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The text is no target.
    #[error("'{0}' is no target; write http://HOST:PORT or https://HOST:PORT")]
    Target(String),
    /// Files for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
        let scheme = uri.scheme_str().unwrap_or("http");
        let is_place_alone = uri.path_and_query().is_none_or(|path| path == "/");
        let authority = uri.authority().filter(|authority| authority.port_u16().is_some());
        let authority = authority.filter(|_| is_place_alone).ok_or_else(wrong)?.to_string();
        let tls = match scheme {
            "http" => None,
            "https" => Some(Tls::new(&TlsOptions::default())?),
            _ => return Err(wrong()),
        };
        Ok(Self { authority, tls, api_key: None })
    }
}

impl Target {
    /// One that speaks no TLS.
    pub fn plain(authority: impl Into<String>) -> Self {
        Self { authority: authority.into(), tls: None, api_key: None }
    }

    /// The same, with these files where it speaks TLS.
    ///
    /// # Errors
    /// [`WireError::Tls`] when one cannot be used.
    pub fn with_tls(self, options: &TlsOptions) -> Result<Self, WireError> {
        let tls = self.tls.as_ref().map(|_| Tls::new(options)).transpose()?;
        Ok(Self { tls, ..self })
    }

    /// The same, which is shown this key.
    #[must_use]
    pub fn with_api_key(self, api_key: Option<HeaderValue>) -> Self {
        Self { api_key, ..self }
    }

    /// The headers that say who calls.
    pub(crate) fn credentials(&self) -> HeaderMap {
        self.api_key.iter().map(|key| (API_KEY, key.clone())).collect()
    }

    /// The scheme of its URLs.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// A channel of gRPC to it, outside any measurement.
    pub(crate) async fn channel(&self) -> Result<Channel, WireError> {
        let target = self.clone();
        let connect = tower::service_fn(move |_: http::Uri| {
            let target = target.clone();
            async move { socket(&target, HttpVersion::Two).await.map(TokioIo::new) }
        });
        // tonic asks for TLS of its own where the scheme is https.
        let endpoint = Endpoint::from_shared(format!("http://{}", self.authority));
        let endpoint = endpoint.map_err(|error| WireError::connect(self, error))?;
        endpoint.connect_with_connector(connect).await.map_err(|error| WireError::connect(self, error))
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
    fn files_of_tls_count_where_a_target_speaks_it() {
        let missing = TlsOptions { authorities: Some("missing.pem".into()), certificate: None };
        let plain: Target = "http://localhost:1".parse().unwrap();
        assert_eq!(plain.clone().with_tls(&missing).unwrap(), plain);
        let encrypted: Target = "https://localhost:1".parse().unwrap();
        assert!(encrypted.with_tls(&missing).unwrap_err().to_string().contains("missing.pem"));
    }

    #[test]
    fn a_target_is_a_host_with_a_port() {
        assert_eq!("http://127.0.0.1:50051".parse::<Target>().unwrap().authority, "127.0.0.1:50051");
        assert_eq!("localhost:1".parse::<Target>().unwrap().authority, "localhost:1");
        assert_eq!("http://localhost:1".parse::<Target>().unwrap(), Target::plain("localhost:1"));
        assert_eq!("https://example.org:443".parse::<Target>().unwrap().scheme(), "https");
        assert!("ftp://example.org:1".parse::<Target>().is_err());
        assert!("http://example.org".parse::<Target>().is_err());
        assert!("http://example.org:1/path".parse::<Target>().is_err());
        assert_eq!("http://[::1]:1/".parse::<Target>().unwrap().authority, "[::1]:1");
    }
}
