//! The bytes of a connection, as its peer means them: plain, or encrypted on the way.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::edge::tls::client_name;

/// How long a peer may take to take the last bytes of an encrypted connection. Of a plain one the system has them.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// See the module.
pub(in super::super) enum Transport {
    Plain(TcpStream),
    Encrypted(Box<Encrypted>),
}

/// An encrypted connection.
pub(in super::super) struct Encrypted {
    stream: TlsStream<TcpStream>,
    /// Since the last bytes wait for the peer.
    closing: Option<Pin<Box<Sleep>>>,
}

impl Transport {
    /// An encrypted connection after its handshake.
    pub(in super::super) fn encrypted(stream: TlsStream<TcpStream>) -> Self {
        Self::Encrypted(Box::new(Encrypted { stream, closing: None }))
    }

    /// The connection of the system.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Encrypted(encrypted) => encrypted.stream.get_ref().0,
        }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.tcp().peer_addr().ok()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Encrypted(_))
    }

    /// The name on the peer's certificate, if it has shown one.
    pub(super) fn client_name(&self) -> Option<Arc<str>> {
        match self {
            Self::Plain(_) => None,
            Self::Encrypted(encrypted) => client_name(&encrypted.stream),
        }
    }

    /// Writes what the peer takes at once.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.try_write(bytes).map(drop),
            Self::Encrypted(encrypted) => {
                let mut context = Context::from_waker(Waker::noop());
                match Pin::new(&mut encrypted.stream).poll_write(&mut context, bytes) {
                    Poll::Ready(written) => written.map(drop),
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                }
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(encrypted) => Pin::new(&mut encrypted.stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(encrypted) => Pin::new(&mut encrypted.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Encrypted(encrypted) => Pin::new(&mut encrypted.stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Encrypted(encrypted) => encrypted.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(encrypted) => Pin::new(&mut encrypted.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(encrypted) => encrypted.poll_shutdown(context),
        }
    }
}

impl Encrypted {
    /// Says goodbye after the last bytes, if the peer takes them.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        if closed.is_ready() {
            return closed;
        }
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(LAST_BYTES)));
        match closing.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Pin::new(self.stream.get_mut().0).poll_shutdown(context),
        }
    }
}
