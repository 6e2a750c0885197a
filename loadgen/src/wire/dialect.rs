//! The ways in which a Marquee server is spoken to, and how a request is written in each.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Request, Uri, Version};

use super::{Route, Target, WireError};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");

/// What a call is over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// gRPC-web, binary: gRPC's messages, with the trailers at the end of the body.
    GrpcWeb,
    /// Connect, one message in JSON each way.
    Connect,
    /// Connect, one message in Protobuf each way.
    ConnectProto,
    /// The paths of `google.api.http`, with JSON.
    Rest,
    /// A template's HTTP: any body is an answer.
    #[value(skip)]
    Http,
}

/// The version of HTTP, without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[value(name = "1")]
    One,
    /// HTTP/2 with prior knowledge.
    #[value(name = "2")]
    Two,
}

/// How the messages of a body are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Any number of messages in Protobuf, each behind five bytes with its length.
    Prefixed,
    /// One message in Protobuf.
    Bare,
    /// One message in JSON.
    Json,
}

/// A protocol over a version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    protocol: Protocol,
    http: HttpVersion,
}

impl Dialect {
    /// gRPC, which is over HTTP/2.
    pub const GRPC: Self = Self { protocol: Protocol::Grpc, http: HttpVersion::Two };

    /// A template's HTTP over HTTP/1.1.
    pub const HTTP: Self = Self { protocol: Protocol::Http, http: HttpVersion::One };

    /// The protocol over this version; without one over HTTP/1.1, but for gRPC.
    ///
    /// # Errors
    /// [`WireError::GrpcOverHttp1`].
    pub fn new(protocol: Protocol, http: Option<HttpVersion>) -> Result<Self, WireError> {
        match (protocol, http) {
            (Protocol::Grpc, Some(HttpVersion::One)) => Err(WireError::GrpcOverHttp1),
            (Protocol::Grpc, _) => Ok(Self::GRPC),
            (protocol, http) => Ok(Self { protocol, http: http.unwrap_or(HttpVersion::One) }),
        }
    }

    /// What a call is.
    pub fn protocol(self) -> Protocol {
        self.protocol
    }

    /// The version of HTTP.
    pub fn http(self) -> HttpVersion {
        self.http
    }

    /// The fixed part of the requests along `route`, each with `deadline` in the protocol's header.
    pub(super) fn request(
        self,
        target: &Target,
        route: &Route,
        deadline: Option<Duration>,
    ) -> Result<Request<()>, http::Error> {
        let mut request = Request::builder().method(route.method.clone()).body(())?;
        let path: PathAndQuery = route.path.parse()?;
        match self.http {
            HttpVersion::One => {
                *request.uri_mut() = Uri::from(path);
                request.headers_mut().insert(HOST, HeaderValue::from_str(&target.authority)?);
            }
            HttpVersion::Two => {
                let uri = Uri::builder().scheme(target.scheme()).authority(target.authority.as_str());
                *request.uri_mut() = uri.path_and_query(path).build()?;
                *request.version_mut() = Version::HTTP_2;
            }
        }
        let headers = request.headers_mut();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("marquee-loadgen/", env!("CARGO_PKG_VERSION"))),
        );
        self.protocol.write_headers(headers, deadline)?;
        headers.extend(target.credentials());
        headers.extend(route.headers.clone());
        Ok(request)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Grpc => "gRPC",
            Protocol::GrpcWeb => "gRPC-web",
            Protocol::Connect => "Connect in JSON",
            Protocol::ConnectProto => "Connect in Protobuf",
            Protocol::Rest => "REST",
            Protocol::Http => "HTTP",
        };
        let version = match self.http {
            HttpVersion::One => "HTTP/1.1",
            HttpVersion::Two => "HTTP/2",
        };
        write!(f, "{protocol} over {version}")
    }
}

impl Protocol {
    /// How its messages are written.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Grpc | Self::GrpcWeb => Encoding::Prefixed,
            Self::ConnectProto => Encoding::Bare,
            Self::Connect | Self::Rest | Self::Http => Encoding::Json,
        }
    }

    fn write_headers(self, headers: &mut HeaderMap, deadline: Option<Duration>) -> Result<(), http::Error> {
        let content_type = match self {
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
            Self::ConnectProto => "application/proto",
            Self::Connect | Self::Rest | Self::Http => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self == Self::Grpc {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        if matches!(self, Self::Connect | Self::ConnectProto) {
            headers.insert(CONNECT_VERSION, HeaderValue::from_static("1"));
        }
        match (self, deadline) {
            (Self::Http, _) | (_, None) => {}
            (Self::Grpc | Self::GrpcWeb, Some(deadline)) => {
                headers.insert(GRPC_TIMEOUT, grpc_timeout(deadline)?);
            }
            (Self::Connect | Self::ConnectProto | Self::Rest, Some(deadline)) => {
                headers.insert(CONNECT_TIMEOUT, connect_timeout(deadline)?);
            }
        }
        Ok(())
    }
}

/// At most eight digits and a unit.
fn grpc_timeout(deadline: Duration) -> Result<HeaderValue, http::Error> {
    let micros = deadline.as_micros();
    let text = if micros < 100_000_000 { format!("{micros}u") } else { format!("{}m", deadline.as_millis()) };
    Ok(HeaderValue::from_str(&text)?)
}

/// Whole milliseconds, one at least: the server shall not give up before the caller does.
fn connect_timeout(deadline: Duration) -> Result<HeaderValue, http::Error> {
    let millis = deadline.as_nanos().div_ceil(1_000_000).max(1);
    Ok(HeaderValue::from_str(&millis.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(protocol: Protocol, http: Option<HttpVersion>) -> Request<()> {
        let target = Target::plain("127.0.0.1:50051");
        let dialect = Dialect::new(protocol, http).unwrap();
        dialect.request(&target, &Route::post("/a/B"), Some(Duration::from_micros(20_500))).unwrap()
    }

    #[test]
    fn a_timeout_of_grpc_has_at_most_eight_digits() {
        assert_eq!(grpc_timeout(Duration::from_millis(50)).unwrap(), "50000u");
        assert_eq!(grpc_timeout(Duration::from_mins(10)).unwrap(), "600000m");
    }

    #[test]
    fn grpc_is_over_http_2_alone() {
        assert_eq!(Dialect::new(Protocol::Grpc, None).unwrap(), Dialect::GRPC);
        assert!(matches!(
            Dialect::new(Protocol::Grpc, Some(HttpVersion::One)),
            Err(WireError::GrpcOverHttp1)
        ));
        assert_eq!(Dialect::new(Protocol::Rest, None).unwrap().to_string(), "REST over HTTP/1.1");
    }

    #[test]
    fn a_key_is_in_each_request_and_is_not_printed() {
        let mut key = HeaderValue::from_static("secret-123");
        key.set_sensitive(true);
        let target = Target::plain("127.0.0.1:50051").with_api_key(Some(key));
        for dialect in [Dialect::GRPC, Dialect::new(Protocol::Rest, None).unwrap()] {
            let request = dialect.request(&target, &Route::post("/a/B"), None).unwrap();
            assert_eq!(request.headers()["x-api-key"], "secret-123");
        }
        assert!(!format!("{target:?}").contains("secret-123"));
    }

    #[test]
    fn over_http_1_a_request_says_its_host_and_over_http_2_its_whole_address() {
        let one = request(Protocol::Connect, None);
        assert_eq!(
            (one.uri().to_string().as_str(), &one.headers()[HOST]),
            ("/a/B", &"127.0.0.1:50051".parse().unwrap())
        );
        let two = request(Protocol::Connect, Some(HttpVersion::Two));
        assert_eq!(two.uri(), "http://127.0.0.1:50051/a/B");
        assert!(!two.headers().contains_key(HOST));
    }

    #[test]
    fn each_protocol_has_its_content_type_and_its_header_for_the_deadline() {
        let headers = |protocol| request(protocol, None).into_parts().0.headers;
        for (protocol, content_type, timeout, value) in [
            (Protocol::Grpc, "application/grpc", GRPC_TIMEOUT, "20500u"),
            (Protocol::GrpcWeb, "application/grpc-web+proto", GRPC_TIMEOUT, "20500u"),
            (Protocol::Connect, "application/json", CONNECT_TIMEOUT, "21"),
            (Protocol::ConnectProto, "application/proto", CONNECT_TIMEOUT, "21"),
            (Protocol::Rest, "application/json", CONNECT_TIMEOUT, "21"),
        ] {
            let headers = headers(protocol);
            assert_eq!(
                (&headers[CONTENT_TYPE], &headers[timeout]),
                (&content_type.parse().unwrap(), &value.parse().unwrap())
            );
        }
    }
}
