//! A connection that ends with the server, though its peer says nothing.
//!
//! When the server ends, HTTP/2 tells every peer so, and closes a connection once its peer has heard it and
//! its last call has ended. A peer that is deaf (it never began to speak HTTP/2, it sleeps, its network is
//! gone) would hold the end for as long as calls in flight may take. So a connection without a call reads
//! its end a moment after the server's has begun, as if the peer had hung up.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::transport::server::Connected;

/// How long a peer may take to hear that the server ends: a call that it had sent before is still answered.
const HEARD_WITHIN: Duration = Duration::from_millis(250);

/// An accepted connection.
pub struct Connection {
    stream: TcpStream,
    info: ConnectionInfo,
    /// Ends when the server does and no call is open.
    left: AbortOnDropHandle<()>,
    stage: Stage,
    write: Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Calls may come.
    Open,
    /// None may; the answer to the last one may still lie in the buffers of HTTP/2.
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Done,
    /// The peer has yet to take what was written before.
    Blocked,
}

/// What a call knows of its connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    peer: Option<SocketAddr>,
    calls: TaskTracker,
}

impl ConnectionInfo {
    /// The address at the other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Keeps the connection open until it is dropped.
    pub(super) fn call(&self) -> TaskTrackerToken {
        self.calls.token()
    }
}

impl Connection {
    /// A connection that ends with `stop`. Must be called within a tokio runtime.
    pub fn new(stream: TcpStream, stop: CancellationToken) -> Self {
        let calls = TaskTracker::new();
        let left = tokio::spawn(left(calls.clone(), stop));
        let info = ConnectionInfo { peer: stream.peer_addr().ok(), calls };
        let left = AbortOnDropHandle::new(left);
        Self { stream, info, left, stage: Stage::Open, write: Write::Done }
    }

    /// Whether the connection ends here, asked when the peer has nothing to say.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        match self.stage {
            Stage::Open => {
                if Pin::new(&mut self.left).poll(context).is_ready() {
                    self.stage = Stage::Left;
                    // Once more, after the buffers are written.
                    context.waker().wake_by_ref();
                }
                false
            }
            Stage::Left => self.info.calls.is_empty() && self.write == Write::Done,
        }
    }

    fn written<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.write = if result.is_pending() { Write::Blocked } else { Write::Done };
        result
    }
}

async fn left(calls: TaskTracker, stop: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(HEARD_WITHIN).await;
    calls.close();
    calls.wait().await;
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            // Nothing read is the end.
            Poll::Pending if this.is_over(context) => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
