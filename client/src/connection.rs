//! From options to channels: HTTP/2 connections that re-open themselves.

use std::path::{Path, PathBuf};

use futures::future::join_all;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{ApiKey, ConnectOptions, TlsOptions};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The options name no endpoint.
    #[error("no endpoint is named; give at least one, such as http://127.0.0.1:50051")]
    NoEndpoint,
    /// An endpoint is no address.
    #[error(
        "endpoint {endpoint:?} is not an address ({reason}); write it as http://HOST:PORT, https://HOST:PORT, HOST:PORT or :PORT"
    )]
    BadEndpoint {
        /// The endpoint as it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of [`TlsOptions`] cannot be read.
    #[error("{} cannot be read ({reason}); name a PEM file that can", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What the files of [`TlsOptions`] hold cannot be used.
    #[error(
        "the certificates for {endpoint:?} cannot be used ({reason}); give PEM files, and a key with its certificate"
    )]
    Tls {
        /// The endpoint as it was given.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// A text cannot travel in a header.
    #[error("the {what} holds characters that cannot travel in a header; use printable ASCII")]
    BadHeader {
        /// Which text.
        what: &'static str,
    },
    /// Nothing answered.
    #[error("cannot reach {endpoints} ({reason}); is the server running there?")]
    Unreachable {
        /// All endpoints, with commas.
        endpoints: String,
        /// What happened at the last one.
        reason: String,
    },
}

/// One channel for each connection of each endpoint.
///
/// An endpoint that is down gets a channel that connects when it is used, as long as another
/// endpoint is up.
pub(crate) async fn open(options: &ConnectOptions) -> Result<Vec<Channel>, ConnectError> {
    let has_tls = options.endpoints.iter().any(|name| is_encrypted(name));
    let tls = if has_tls { Some(tls_config(&options.tls)?) } else { None };
    let endpoints = options.endpoints.iter().map(|name| endpoint(name, options, tls.as_ref()));
    let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
    if endpoints.is_empty() {
        return Err(ConnectError::NoEndpoint);
    }
    let copies = options.connections_per_endpoint.max(1);
    let wanted = (0..copies).flat_map(|_| &endpoints);
    let outcomes = join_all(wanted.map(|endpoint| async move { (endpoint, endpoint.connect().await) })).await;

    let mut failure = None;
    let mut reached = false;
    let channels = outcomes
        .into_iter()
        .map(|(endpoint, outcome)| match outcome {
            Ok(channel) => {
                reached = true;
                channel
            }
            Err(error) => {
                failure = Some(error);
                endpoint.connect_lazy()
            }
        })
        .collect();
    match failure {
        Some(error) if !reached => Err(ConnectError::Unreachable {
            endpoints: options.endpoints.join(", "),
            reason: root_cause(&error),
        }),
        _ => Ok(channels),
    }
}

/// The header value of an API key, marked so that nothing logs it.
pub(crate) fn api_key_header(key: &ApiKey) -> Result<MetadataValue<Ascii>, ConnectError> {
    let mut value =
        MetadataValue::try_from(key.expose()).map_err(|_| ConnectError::BadHeader { what: "API key" })?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_encrypted(name: &str) -> bool {
    name.starts_with("https://")
}

/// What the files say of the connections to all `https` endpoints.
fn tls_config(options: &TlsOptions) -> Result<ClientTlsConfig, ConnectError> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| ConnectError::TlsFile { path: path.to_owned(), reason: error.to_string() })
    };
    let config = match &options.authorities {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    Ok(match &options.certificate {
        Some(client) => config.identity(Identity::from_pem(read(&client.certificate)?, read(&client.key)?)),
        None => config,
    })
}

fn endpoint(
    name: &str,
    options: &ConnectOptions,
    tls: Option<&ClientTlsConfig>,
) -> Result<Endpoint, ConnectError> {
    let mut endpoint = Endpoint::from_shared(url_of(name)).map_err(|error| ConnectError::BadEndpoint {
        endpoint: name.to_owned(),
        reason: root_cause(&error),
    })?;
    if let Some(tls) = tls.filter(|_| is_encrypted(name)) {
        endpoint = endpoint
            .tls_config(tls.clone())
            .map_err(|error| ConnectError::Tls { endpoint: name.to_owned(), reason: root_cause(&error) })?;
    }
    Ok(endpoint
        .user_agent(options.user_agent.as_str())
        .map_err(|_| ConnectError::BadHeader { what: "user agent" })?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(options.stream_window_bytes)
        .initial_connection_window_size(options.connection_window_bytes)
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .keep_alive_while_idle(true))
}

/// The endpoint with what was left out: the scheme, and the host where this machine is meant.
fn url_of(name: &str) -> String {
    let address = name.strip_prefix("http://").unwrap_or(name);
    if address.contains("://") {
        address.to_owned()
    } else if address.starts_with(':') {
        format!("http://127.0.0.1{address}")
    } else {
        format!("http://{address}")
    }
}

/// What lies at the bottom of an error: the upper layers only say that something went wrong.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientCertificate;

    async fn refusal(options: ConnectOptions) -> String {
        open(&options).await.unwrap_err().to_string()
    }

    #[test]
    fn an_address_without_a_scheme_is_plain_http_and_one_without_a_host_this_machine() {
        let uri = |name| endpoint(name, &ConnectOptions::default(), None).unwrap().uri().to_string();
        assert_eq!(uri("127.0.0.1:50051"), "http://127.0.0.1:50051/");
        assert_eq!(uri("localhost:50051"), "http://localhost:50051/");
        assert_eq!(uri(":50051"), "http://127.0.0.1:50051/");
        assert_eq!(uri("http://:50051"), "http://127.0.0.1:50051/");
    }

    #[tokio::test]
    async fn a_wrong_address_is_named_with_the_remedy() {
        let text = refusal(ConnectOptions::to("http://not an address")).await;
        assert!(text.contains("not an address") && text.contains("http://HOST:PORT"), "{text}");
    }

    #[tokio::test]
    async fn a_file_of_tls_that_cannot_be_used_is_named_before_any_byte_is_sent() {
        let with = |tls| ConnectOptions { tls, ..ConnectOptions::to("https://localhost:1") };
        let missing = TlsOptions { authorities: Some("missing.pem".into()), certificate: None };
        let text = refusal(with(missing.clone())).await;
        assert!(text.starts_with("missing.pem cannot be read"), "{text}");
        let plain = ConnectOptions { tls: missing, ..ConnectOptions::to("http://localhost:1") };
        assert!(refusal(plain).await.starts_with("cannot reach"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("no.pem");
        std::fs::write(&file, "no PEM").unwrap();
        let client = ClientCertificate { certificate: file.clone(), key: file };
        let text = refusal(with(TlsOptions { authorities: None, certificate: Some(client) })).await;
        assert!(text.contains("https://localhost:1") && text.contains("PEM"), "{text}");
    }

    #[tokio::test]
    async fn no_endpoint_at_all_is_an_error() {
        assert!(refusal(ConnectOptions::default()).await.contains("no endpoint"));
    }
}
