//! Where a provider publishes its public keys: a file, or a URL that is asked over TLS.
//!
//! A URL is asked by one request of HTTP/1.1, without a proxy and without following where it points: what signs its
//! way in here has to come from the very place that the settings name. The answer is bounded in size and time.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use marquee_core::tls::{TlsError, Trust};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

/// Most bytes of a set of keys. One has a few kilobytes.
const MAX_BYTES: usize = 256 << 10;

/// How long a URL may take to answer, from the connection to the last byte.
const ANSWER: Duration = Duration::from_secs(5);

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// Behind this URL: of `https`, or of `http` on this machine.
    Url(Box<Url>),
}

/// A text that is no place of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place of keys")]
pub struct KeySourceError;

impl FromStr for KeySource {
    type Err = KeySourceError;

    fn from_str(text: &str) -> Result<Self, KeySourceError> {
        if text.is_empty() {
            return Err(KeySourceError);
        }
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let url = Url::parse(text).map_err(|_| KeySourceError)?;
        let is_secure = match url.scheme() {
            "https" => url.has_host(),
            "http" => is_this_machine(&url),
            _ => false,
        };
        let is_plain = url.username().is_empty() && url.password().is_none();
        if is_secure && is_plain { Ok(Self::Url(Box::new(url))) } else { Err(KeySourceError) }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Reads the text of the keys.
pub(super) enum Reader {
    File(PathBuf),
    Url { url: Box<Url>, connector: TlsConnector },
}

impl Reader {
    /// Reads from there; these authorities sign the certificate of a URL.
    ///
    /// # Errors
    /// [`TlsError`] when the file with the authorities cannot be used.
    pub(super) fn new(source: KeySource, trust: &Trust) -> Result<Self, TlsError> {
        Ok(match source {
            KeySource::File(file) => Self::File(file),
            KeySource::Url(url) => {
                let connector = TlsConnector::from(Arc::new(trust.client_config()?));
                Self::Url { url, connector }
            }
        })
    }

    /// The text.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(file) => tokio::fs::read(file).await.map_err(|error| error.to_string()),
            Self::Url { url, connector } => match timeout(ANSWER, ask(url, connector)).await {
                Ok(Ok(text)) => Ok(text),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("there is no answer within {} s", ANSWER.as_secs())),
            },
        }
    }
}

type AskError = Box<dyn std::error::Error + Send + Sync>;

/// What stands behind the URL.
async fn ask(url: &Url, connector: &TlsConnector) -> Result<Vec<u8>, AskError> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err("the URL names no host".into()),
    };
    let port = url.port_or_known_default().ok_or("the URL names no port")?;
    let connection = TcpStream::connect((host.as_str(), port)).await?;
    if url.scheme() == "https" {
        let name = ServerName::try_from(host)?;
        answer(connector.connect(name, connection).await?, url).await
    } else {
        answer(connection, url).await
    }
}

/// What a connection answers to the one request that is made on it.
async fn answer<C>(connection: C, url: &Url) -> Result<Vec<u8>, AskError>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut requests, connection) = handshake(TokioIo::new(connection)).await?;
    let _driven = AbortOnDropHandle::new(tokio::spawn(connection));
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("marquee-server/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())?;
    let reply = requests.send_request(request).await?;
    match reply.status() {
        StatusCode::OK => Ok(Limited::new(reply.into_body(), MAX_BYTES).collect().await?.to_bytes().to_vec()),
        moved if moved.is_redirection() => Err(format!("it answers {moved}; name the place itself").into()),
        other => Err(format!("it answers {other}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_a_file_or_over_tls() {
        for text in [
            "/etc/marquee/keys.json",
            "keys.json",
            "https://id.example.org/jwks.json?tenant=a",
            "http://127.0.0.1:8080/jwks",
            "http://[::1]:8080/jwks",
            "http://localhost/jwks",
        ] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
        for wrong in
            ["", "http://id.example.org/jwks", "ftp://id.example.org/jwks", "https://", "https://u:p@h/"]
        {
            assert_eq!(wrong.parse::<KeySource>(), Err(KeySourceError), "{wrong:?}");
        }
    }
}
