//! Origins of web pages, and which of them may call.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::host::{Authority, ListError, parse_list, write_list};
use crate::edge::layers::{LIMIT, REMAINING};

/// For how long a browser may remember what a page may ask.
const REMEMBERED: std::time::Duration = std::time::Duration::from_hours(2);

/// What a request is for.
pub(super) struct Called {
    pub(super) host: Authority,
    /// Whether it is known to come over TLS.
    pub(super) is_encrypted: bool,
}

/// Whose page makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    /// Without the port that the scheme stands for.
    authority: Authority,
}

impl Origin {
    /// `SCHEME://HOST[:PORT]` and no more, so not `null` either.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let authority = without_port_of(&scheme, Authority::parse(authority)?);
        Some(Self { scheme, authority })
    }

    /// Whether the header of a request names the host that the request is for.
    pub(super) fn is_own(origin: &str, called: &Called) -> bool {
        Self::parse(origin).is_some_and(|origin| origin.is_of(called))
    }

    /// Whether its pages come from the host that the request is for. One that is called over TLS has no pages without:
    /// they could be anybody's who stands on the way. Of another a proxy may know that it is.
    pub(super) fn is_of(&self, called: &Called) -> bool {
        let may_be_called_so = !called.is_encrypted || self.scheme == "https";
        may_be_called_so && self.authority == without_port_of(&self.scheme, called.host.clone())
    }
}

fn without_port_of(scheme: &str, authority: Authority) -> Authority {
    let default = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    Authority { port: authority.port.filter(|port| Some(*port) != default), ..authority }
}

impl fmt::Display for Origin {
    /// As browsers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority.host)?;
        self.authority.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The origins whose pages may call beside those of the server's own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigins(Of);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Anybody,
    These(Vec<Origin>),
}

impl CorsOrigins {
    /// Whether pages of this origin may call, by the header of a request.
    pub(super) fn allow(&self, origin: &str, called: &Called) -> bool {
        match &self.0 {
            Of::Anybody => true,
            Of::These(origins) => {
                Origin::parse(origin).is_some_and(|origin| origin.is_of(called) || origins.contains(&origin))
            }
        }
    }

    /// What tells browsers of it; `None` where there is nothing to tell.
    ///
    /// Never `Access-Control-Allow-Credentials`: a cookie counts for pages of the server's own host alone.
    pub(super) fn layer(&self) -> Option<CorsLayer> {
        let origins = match &self.0 {
            Of::Anybody => AllowOrigin::any(),
            Of::These(origins) if origins.is_empty() => return None,
            Of::These(origins) => {
                let written = origins.iter().map(|origin| HeaderValue::try_from(origin.to_string()));
                AllowOrigin::list(written.filter_map(Result::ok))
            }
        };
        let methods =
            [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
        let name = HeaderName::from_static;
        let asked = [
            CONTENT_TYPE,
            AUTHORIZATION,
            name("x-grpc-web"),
            name("x-user-agent"),
            name("grpc-timeout"),
            name("connect-protocol-version"),
            name("connect-timeout-ms"),
            name("last-event-id"),
            name("x-api-key"),
            name("x-request-id"),
            name("traceparent"),
            name("tracestate"),
        ];
        let told = [
            name("grpc-status"),
            name("grpc-message"),
            name("grpc-status-details-bin"),
            name("x-request-id"),
            RETRY_AFTER,
            LIMIT,
            REMAINING,
        ];
        let layer = CorsLayer::new().allow_origin(origins).allow_methods(methods);
        Some(layer.allow_headers(asked).expose_headers(told).max_age(REMEMBERED))
    }
}

impl Default for CorsOrigins {
    /// Nobody else's.
    fn default() -> Self {
        Self(Of::These(Vec::new()))
    }
}

impl FromStr for CorsOrigins {
    type Err = ListError;

    fn from_str(text: &str) -> Result<Self, ListError> {
        Ok(Self(parse_list(text, Origin::parse)?.map_or(Of::Anybody, Of::These)))
    }
}

impl fmt::Display for CorsOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Of::Anybody => f.write_str("*"),
            Of::These(origins) => write_list(origins, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(setting: &str, origin: &str, host: &str) -> bool {
        let called = Called { host: Authority::parse(host).unwrap(), is_encrypted: false };
        setting.parse::<CorsOrigins>().unwrap().allow(origin, &called)
    }

    #[test]
    fn a_page_without_tls_is_none_of_a_host_with_it() {
        let allows = |setting: &str, origin| {
            let called = Called { host: Authority::parse("localhost:50051").unwrap(), is_encrypted: true };
            setting.parse::<CorsOrigins>().unwrap().allow(origin, &called)
        };
        assert!(allows("none", "https://localhost:50051"));
        assert!(!allows("none", "http://localhost:50051"));
        assert!(allows("http://localhost:5173", "http://localhost:5173"));
    }

    #[test]
    fn pages_of_the_same_host_may_call() {
        for (origin, host) in [
            ("http://127.0.0.1:50051", "127.0.0.1:50051"),
            ("http://localhost", "LOCALHOST"),
            ("http://localhost:80", "localhost"),
            ("https://api.example.org", "api.example.org"),
            ("https://api.example.org", "api.example.org:443"),
            ("http://[::1]:8080", "[0::1]:8080"),
        ] {
            assert!(allows("none", origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn pages_of_others_may_call_if_they_are_listed() {
        let host = "127.0.0.1:50051";
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:5005",
            "http://localhost:50051",
            "http://127.0.0.1:50051/",
            "http://127.0.0.1:50051.evil.example",
            "http://user@127.0.0.1:50051",
            "127.0.0.1:50051",
            "https://app.example.org.evil.example",
            "http://app.example.org",
        ] {
            assert!(!allows("none", origin, host), "{origin}");
            assert!(!allows("https://app.example.org", origin, host), "{origin}");
            assert!(allows("*", origin, host), "{origin}");
        }
        assert!(allows("http://localhost:5173,https://app.example.org:443", "https://app.example.org", host));
        assert!(allows("http://localhost:5173", "http://localhost:5173", host));
    }

    #[test]
    fn the_setting_is_none_any_or_origins_without_paths() {
        for text in ["none", "*", "https://a.example", "http://localhost:5173,tauri://localhost"] {
            assert_eq!(text.parse::<CorsOrigins>().unwrap().to_string(), text);
        }
        assert_eq!("HTTPS://A.example:443".parse::<CorsOrigins>().unwrap().to_string(), "https://a.example");
        for text in
            ["", "null", "a.example", "https://a/", "https://a/b", "https://", "*,https://a", "https://*.a"]
        {
            assert_eq!(text.parse::<CorsOrigins>(), Err(ListError), "{text:?}");
        }
    }
}
