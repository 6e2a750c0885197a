//! What a connection needs to know, with defaults that suit a service beside the server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::RetryPolicy;

/// How to reach the server and how to treat its calls.
///
/// All fields are public: start from [`ConnectOptions::to`] and change what differs.
///
/// ```
/// use std::time::Duration;
///
/// use marquee_client::{ConnectOptions, RetryPolicy};
///
/// let options = ConnectOptions {
///     timeout: Some(Duration::from_millis(200)),
///     retry: RetryPolicy::never(),
///     ..ConnectOptions::to("127.0.0.1:50051")
/// };
/// assert_eq!(options.endpoints, ["127.0.0.1:50051"]);
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where the servers listen, such as `http://127.0.0.1:50051`, or `https://marquee.example:50051` for TLS; a missing
    /// scheme means `http`, a missing host (`:50051`) this machine. Calls go to them in turn, and a repeated call goes to the next one.
    pub endpoints: Vec<String>,
    /// HTTP/2 connections to each endpoint, 1 by default. One connection is a ceiling of some tens of
    /// thousands of calls a second: raise this before anything else when the client is the bottleneck.
    pub connections_per_endpoint: usize,
    /// Longest wait for a connection: 5 s.
    pub connect_timeout: Duration,
    /// The deadline of a unary call that sets none, all attempts together: 10 s. `None` waits for ever.
    /// Streams have no deadline unless [`Client::with_timeout`](crate::Client::with_timeout) sets one.
    pub timeout: Option<Duration>,
    /// What is repeated, and when.
    pub retry: RetryPolicy,
    /// How often an HTTP/2 ping looks whether the peer is there, idle or not: 30 s.
    pub keepalive_interval: Duration,
    /// A ping that is unanswered for so long closes the connection: 10 s.
    pub keepalive_timeout: Duration,
    /// HTTP/2 flow control window of a stream: 1 MiB.
    pub stream_window_bytes: u32,
    /// HTTP/2 flow control window of a connection: 4 MiB.
    pub connection_window_bytes: u32,
    /// Largest reply accepted: 64 MiB, a full batch of 1,000 requests with 500 movies each.
    pub max_reply_bytes: usize,
    /// Sent as `user-agent`: `marquee-client/VERSION`.
    pub user_agent: String,
    /// Sent as `x-api-key` if there is one.
    pub api_key: Option<ApiKey>,
    /// Whom `https` endpoints are believed by, and what this client shows them.
    pub tls: TlsOptions,
}

/// How `https` endpoints are connected to. Files are read once, at [`Client::connect`](crate::Client::connect).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file of the authorities that sign the certificates of servers; those of the system when absent.
    pub authorities: Option<PathBuf>,
    /// The certificate that the server is shown, where it asks for one.
    pub certificate: Option<ClientCertificate>,
}

/// Who a client is, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and behind it those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ConnectOptions {
    /// The defaults, for one endpoint.
    pub fn to(endpoint: impl Into<String>) -> Self {
        Self { endpoints: vec![endpoint.into()], ..Self::default() }
    }
}

impl Default for ConnectOptions {
    /// The defaults, for no endpoint yet.
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            connections_per_endpoint: 1,
            connect_timeout: Duration::from_secs(5),
            timeout: Some(Duration::from_secs(10)),
            retry: RetryPolicy::default(),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 4 << 20,
            max_reply_bytes: 64 << 20,
            user_agent: concat!("marquee-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            api_key: None,
            tls: TlsOptions::default(),
        }
    }
}

/// A key that opens the server to this client. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps the key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_shows_the_api_key() {
        let options = ConnectOptions { api_key: Some(ApiKey::new("secret-123")), ..Default::default() };
        assert!(!format!("{options:?}").contains("secret-123"));
    }
}
