//! The way to a server below HTTP: a socket on which nothing waits for acknowledgements, encrypted for `https`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use marquee_core::tls::{ClientCertificate, TlsError, Trust};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;

use super::{HttpVersion, Target, WireError};

/// A connection that bytes go over.
pub(super) type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Whom `https` targets are believed by, and what they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file of authorities; those of the system when absent.
    pub authorities: Option<PathBuf>,
    /// Who calls, for servers that ask.
    pub certificate: Option<ClientCertificate>,
}

/// How a target is connected to by TLS, made once for all connections.
#[derive(Clone)]
pub struct Tls {
    http1: TlsConnector,
    http2: TlsConnector,
    options: TlsOptions,
}

impl Tls {
    /// What the files say.
    ///
    /// # Errors
    /// [`TlsError`] when one cannot be used.
    pub(super) fn new(options: &TlsOptions) -> Result<Self, TlsError> {
        let trust = options.authorities.clone().map_or(Trust::System, Trust::Authority);
        let config = match &options.certificate {
            None => trust.client_config()?,
            Some(client) => trust.client_config_showing(client)?,
        };
        let speaking = |protocol: &str| {
            let mut config: ClientConfig = config.clone();
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Ok(Self { http1: speaking("http/1.1"), http2: speaking("h2"), options: options.clone() })
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

/// A connection for this version of HTTP.
pub(super) async fn socket(target: &Target, version: HttpVersion) -> Result<Socket, WireError> {
    let connected = async {
        let socket = TcpStream::connect(&target.authority).await?;
        socket.set_nodelay(true)?;
        let Some(tls) = &target.tls else { return Ok(Either::Left(socket)) };
        let connector = match version {
            HttpVersion::One => &tls.http1,
            HttpVersion::Two => &tls.http2,
        };
        let host = target.authority.rsplit_once(':').map_or(&*target.authority, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(Either::Right(Box::new(connector.connect(name, socket).await?)))
    };
    connected.await.map_err(|error| WireError::connect(target, error))
}
