//! Who may call at all: for which host a request is, and whose page it comes from.
//!
//! A browser sends requests in the name of any page that it shows, to any machine that it reaches, and so to a server
//! on the loopback address too. Two headers that no page can choose say where it stands: `Host` is the name that the
//! page's address has, so a foreign name that was made to mean this machine is seen, and `Origin` is whose page it is.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Request, StatusCode};

use super::error::HttpError;
use super::host::{AllowedHosts, Authority};
use super::origin::{Called, CorsOrigins};
use crate::edge::ApiError;
use crate::edge::layers::ConnectionInfo;
use crate::edge::shorten::quoted;

/// Refuses what is for others, or from others.
pub(super) struct Guard {
    hosts: AllowedHosts,
    origins: CorsOrigins,
}

impl Guard {
    pub(super) fn new(hosts: AllowedHosts, origins: CorsOrigins) -> Self {
        Self { hosts, origins }
    }

    /// Whether the request may be answered, and for what it is.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<Called, HttpError> {
        let host = self.host_of(request)?;
        let connection = request.extensions().get::<ConnectionInfo>();
        let called = Called { host, is_encrypted: connection.is_some_and(ConnectionInfo::is_encrypted) };
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(called) };
        let is_allowed = origin.to_str().is_ok_and(|origin| self.origins.allow(origin, &called));
        if is_allowed && origins.next().is_none() {
            return Ok(called);
        }
        let origin = quoted(&String::from_utf8_lossy(origin.as_bytes()));
        Err(HttpError::new(StatusCode::FORBIDDEN, ApiError::OriginNotAllowed { origin }))
    }

    /// The host that the request is for. A request may name it in its line (HTTP/2 as `:authority`), in a header, or in
    /// both: each is looked at, as it is not known here which of them those before and behind go by.
    fn host_of<B>(&self, request: &Request<B>) -> Result<Authority, HttpError> {
        let in_line =
            request.uri().authority().map(|authority| self.served(authority.as_str())).transpose()?;
        let in_header = of_header(request.headers())?.map(|host| self.served(host)).transpose()?;
        in_line.or(in_header).ok_or_else(malformed)
    }

    fn served(&self, host: &str) -> Result<Authority, HttpError> {
        let authority = Authority::parse(host).ok_or_else(malformed)?;
        if self.hosts.serve(&authority.host) {
            return Ok(authority);
        }
        let host = quoted(host);
        Err(HttpError::new(StatusCode::MISDIRECTED_REQUEST, ApiError::HostNotAllowed { host }))
    }
}

/// The one `Host` header, if there is any.
fn of_header(headers: &HeaderMap) -> Result<Option<&str>, HttpError> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else { return Ok(None) };
    if hosts.next().is_some() {
        return Err(malformed());
    }
    host.to_str().map(Some).map_err(|_| malformed())
}

fn malformed() -> HttpError {
    HttpError::new(StatusCode::BAD_REQUEST, ApiError::HostHeader)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of the refusal of a request with this target and these headers; 200 where there is none.
    fn status_of(target: &str, headers: &[(&str, &str)]) -> u16 {
        let guard =
            Guard::new("api.example.org".parse().unwrap(), "https://app.example.org".parse().unwrap());
        let mut request = Request::post(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let checked = guard.check(&request.body(()).unwrap());
        checked.map_or_else(|refusal| refusal.http().as_u16(), |_| 200)
    }

    #[test]
    fn a_request_is_for_a_host_that_is_served() {
        assert_eq!(status_of("/", &[("host", "127.0.0.1:50051")]), 200);
        assert_eq!(status_of("/", &[("host", "api.example.org")]), 200);
        assert_eq!(status_of("http://localhost:50051/", &[]), 200);
        assert_eq!(status_of("/", &[("host", "rebound.example:50051")]), 421);
        assert_eq!(status_of("http://rebound.example/", &[]), 421);
    }

    #[test]
    fn no_host_several_hosts_and_what_is_no_host_are_bad_requests() {
        assert_eq!(status_of("/", &[]), 400);
        assert_eq!(status_of("/", &[("host", "")]), 400);
        assert_eq!(status_of("/", &[("host", "localhost"), ("host", "localhost")]), 400);
        assert_eq!(status_of("/", &[("host", "rebound.example@localhost")]), 400);
        assert_eq!(status_of("http://user@localhost/", &[]), 400);
    }

    #[test]
    fn a_host_that_is_named_twice_is_served_by_both_names() {
        assert_eq!(status_of("http://localhost/", &[("host", "api.example.org")]), 200);
        assert_eq!(status_of("http://localhost/", &[("host", "rebound.example")]), 421);
        assert_eq!(status_of("http://rebound.example/", &[("host", "localhost")]), 421);
    }

    #[test]
    fn a_page_of_somebody_else_is_forbidden_unless_it_is_listed() {
        let from = |origin| status_of("/", &[("host", "localhost:50051"), ("origin", origin)]);
        assert_eq!(from("http://localhost:50051"), 200);
        assert_eq!(from("https://app.example.org"), 200);
        assert_eq!(from("https://evil.example"), 403);
        assert_eq!(from("null"), 403);
        let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
        assert_eq!(status_of("/", &twice), 403);
    }
}
