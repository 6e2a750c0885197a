//! From an accepted connection to an encrypted one.
//!
//! Whoever speaks without TLS is told so in the words of what they speak, as the alert of TLS means nothing to them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::name::subject_name;
use super::{OUTCOME, Tls};

/// The first byte of a handshake of TLS.
const HANDSHAKE: u8 = 22;

/// What a peer of HTTP/1.1 reads that speaks without TLS.
const PLAIN_HTTP1: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 43\r\n\r\nthis port speaks TLS; call it as https://\r\n";

/// What a peer of HTTP/2 reads: a GOAWAY with INADEQUATE_SECURITY, without the settings that would make the connection
/// a good one to a client of gRPC.
const PLAIN_HTTP2: &[u8] = b"\
    \0\0\x31\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0cthis port speaks TLS; call it as https://";

/// Why there is no encrypted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum NoTls {
    /// The peer took too long.
    Timeout,
    /// The peer speaks without TLS.
    Plain,
    /// It failed, as the log says.
    Failed,
}

impl Tls {
    /// An encrypted connection of this one, within a time. Must be called within a tokio runtime.
    pub(in super::super) async fn handshake(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, NoTls> {
        let shaken = match timeout(limit, self.shake(stream)).await {
            Ok(shaken) => shaken,
            Err(_) => Err(NoTls::Timeout),
        };
        let outcome = match &shaken {
            Ok(_) => "ok",
            Err(NoTls::Timeout) => "timeout",
            Err(NoTls::Plain) => "plain",
            Err(NoTls::Failed) => "failed",
        };
        self.metrics.handshakes.add(1, &[OUTCOME.is(outcome)]);
        shaken
    }

    async fn shake(&self, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, NoTls> {
        let failed = |error: io::Error| {
            tracing::debug!(%error, "handshake of TLS failed");
            NoTls::Failed
        };
        if let Some(answer) = answer_without_tls(&stream).await.map_err(failed)? {
            say_and_close(&mut stream, answer).await.map_err(failed)?;
            return Err(NoTls::Plain);
        }
        let config = Arc::clone(&self.current.load().config);
        TlsAcceptor::from(config).accept(stream).await.map_err(failed)
    }
}

/// The name on the certificate that the peer has shown, which an authority of the server's has signed.
pub(in super::super) fn client_name(stream: &TlsStream<TcpStream>) -> Option<Arc<str>> {
    let (_, session) = stream.get_ref();
    session.peer_certificates()?.first().and_then(subject_name).map(Arc::from)
}

/// What a peer is answered whose first bytes are none of TLS; they are left to be read.
async fn answer_without_tls(stream: &TcpStream) -> io::Result<Option<&'static [u8]>> {
    let mut first = [0; 3];
    let length = stream.peek(&mut first).await?;
    Ok(match &first[..length] {
        [] | [HANDSHAKE, ..] => None,
        b"PRI" => Some(PLAIN_HTTP2),
        _ => Some(PLAIN_HTTP1),
    })
}

/// Says the last words, and reads what the peer has still to say: to close before would take them back.
async fn say_and_close(stream: &mut TcpStream, words: &[u8]) -> io::Result<()> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
