//! A connection that ends when nobody uses it, and with the server, though its peer says nothing.
//!
//! A peer that does not begin to speak HTTP/2, or has not called for long, holds a place that others need. The
//! first is closed; the second is told GOAWAY, after which clients make a new connection for their next call, and
//! closed when it may have heard. A call that comes meanwhile is answered.
//!
//! When the server ends, HTTP/2 tells every peer so, and closes a connection once its peer has heard it and
//! its last call has ended. A peer that is deaf (it never began to speak HTTP/2, it sleeps, its network is
//! gone) would hold the end for as long as calls in flight may take. So a connection without a call reads
//! its end a moment after the server's has begun, as if the peer had hung up.
//!
//! It also knows since when what it reads could be read: a busy runtime comes to a connection late, and to the
//! calls that it read later still. [`read_since`] tells it to what is called while the connection's task runs.

mod readable;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::transport::server::Connected;

use super::connections::{Place, Unused};
use super::unread::Unread;
use readable::Readable;
pub(super) use readable::read_since;

/// How long a peer may take to hear that the server ends: a call that it had sent before is still answered.
const HEARD_WITHIN: Duration = Duration::from_millis(250);

/// How long a peer may take to hear that its connection is given up. Nobody waits for it.
const GOODBYE: Duration = Duration::from_secs(5);

/// The preface of HTTP/2, and the head of the settings that follow it.
const GREETING_BYTES: usize = 24 + 9;

/// GOAWAY with NO_ERROR, and with the highest stream there can be: calls that are under way are answered.
const GO_AWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";

/// How long a connection may be there and not be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionTimes {
    /// Until it has begun to speak HTTP/2.
    pub(crate) handshake: Duration,
    /// Without a call. It is found out within twice this time.
    pub(crate) idle: Duration,
    /// With replies that nobody reads. It is found out within twice this time.
    pub(crate) unread: Duration,
}

/// An accepted connection.
pub(crate) struct Connection {
    stream: TcpStream,
    readable: Readable,
    info: ConnectionInfo,
    place: Place,
    ending: AbortOnDropHandle<Ending>,
    state: State,
    write: Write,
    received: usize,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It ends: nobody has begun to speak.
    Silent,
    /// Its peer is told that it will end: nobody has called for long.
    Idle,
    /// It ends with its calls: nobody reads their replies.
    Unread,
    /// It ends: its peer knows, and no call is open.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calls may come.
    Open,
    /// None may; the answer to the last one may still lie in the buffers of HTTP/2.
    Left,
    /// It is over, whatever is open.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Done,
    /// The peer has yet to take what was written before.
    Blocked,
}

/// What a call knows of its connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionInfo(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    peer: Option<SocketAddr>,
    calls: TaskTracker,
    begun: AtomicU64,
    greeted: AtomicBool,
    held_bytes: HeldBytes,
    unread: Arc<Unread>,
}

/// The bytes of unfinished requests of a connection, and of all connections from its address.
#[derive(Debug, Default)]
pub(super) struct HeldBytes {
    pub(super) connection: AtomicUsize,
    pub(super) address: Arc<AtomicUsize>,
}

impl ConnectionInfo {
    /// The address at the other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// Keeps the connection open until it is dropped.
    pub(super) fn call(&self) -> TaskTrackerToken {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.calls.token()
    }

    pub(super) fn held_bytes(&self) -> &HeldBytes {
        &self.0.held_bytes
    }

    pub(super) fn unread(&self) -> &Arc<Unread> {
        &self.0.unread
    }

    /// Waits until the peer may have heard that there are no more calls, and the last one has ended.
    async fn over(&self, heard_within: Duration) -> Ending {
        sleep(heard_within).await;
        self.0.calls.close();
        self.0.calls.wait().await;
        Ending::Over
    }

    /// Waits until nobody uses the connection.
    async fn unused(&self, times: ConnectionTimes) -> Ending {
        sleep(times.handshake).await;
        if !self.0.greeted.load(Ordering::Relaxed) {
            return Ending::Silent;
        }
        loop {
            let begun = self.0.begun.load(Ordering::Relaxed);
            sleep(times.idle).await;
            if self.0.calls.is_empty() && self.0.begun.load(Ordering::Relaxed) == begun {
                return Ending::Idle;
            }
        }
    }
}

impl Connection {
    /// A connection that ends with `stop`. Must be called within a tokio runtime.
    pub(super) fn new(
        stream: TcpStream,
        place: Place,
        times: ConnectionTimes,
        stop: CancellationToken,
    ) -> Self {
        let info = ConnectionInfo(Arc::new(Shared {
            peer: stream.peer_addr().ok(),
            calls: TaskTracker::new(),
            begun: AtomicU64::new(0),
            greeted: AtomicBool::new(false),
            held_bytes: HeldBytes { address: Arc::clone(place.held_bytes()), ..HeldBytes::default() },
            unread: Arc::default(),
        }));
        let ending = tokio::spawn(ending(info.clone(), times, stop));
        let ending = AbortOnDropHandle::new(ending);
        let readable = Readable::default();
        Self { stream, readable, info, place, ending, state: State::Open, write: Write::Done, received: 0 }
    }

    /// Whether the connection ends here, asked when the peer has nothing to say.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        match self.state {
            State::Open => {
                if let Poll::Ready(ending) = Pin::new(&mut self.ending).poll(context) {
                    self.begin(ending.unwrap_or(Ending::Over));
                    // Once more, after the buffers are written.
                    context.waker().wake_by_ref();
                }
                false
            }
            State::Left => self.info.0.calls.is_empty() && self.write == Write::Done,
            State::Cut => true,
        }
    }

    fn begin(&mut self, ending: Ending) {
        match ending {
            Ending::Silent => {
                self.place.closed(Unused::Handshake);
                self.state = State::Left;
            }
            Ending::Idle => {
                self.place.closed(Unused::Idle);
                self.say_goodbye();
                let info = self.info.clone();
                self.ending = AbortOnDropHandle::new(tokio::spawn(async move { info.over(GOODBYE).await }));
            }
            Ending::Unread => {
                self.place.closed(Unused::Unread);
                self.state = State::Cut;
            }
            Ending::Over => self.state = State::Left,
        }
    }

    /// Tells the peer to make another connection for its next call. HTTP/2 has written whole frames only, because
    /// no call is open, so that this one stands between two of them.
    fn say_goodbye(&self) {
        if self.write == Write::Done
            && let Err(error) = self.stream.try_write(GO_AWAY)
        {
            tracing::trace!(%error, "GOAWAY not sent on an idle connection");
        }
    }

    fn count(&mut self, bytes: usize) {
        if self.received < GREETING_BYTES {
            self.received += bytes;
            self.info.0.greeted.store(self.received >= GREETING_BYTES, Ordering::Relaxed);
        }
    }

    fn sent(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &result {
            self.info.unread().written(*bytes);
        }
        self.write = if result.is_pending() { Write::Blocked } else { Write::Done };
        result
    }
}

async fn ending(info: ConnectionInfo, times: ConnectionTimes, stop: CancellationToken) -> Ending {
    let unused = async {
        tokio::select! {
            () = stop.cancelled() => info.over(HEARD_WITHIN).await,
            ending = info.unused(times) => ending,
        }
    };
    tokio::select! {
        ending = unused => ending,
        () = info.unread().stalled(times.unread) => Ending::Unread,
    }
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
        let before = buffer.filled().len();
        let stream = Pin::new(&mut this.stream);
        match this.readable.watch(context, |context| stream.poll_read(context, buffer)) {
            // Nothing read is the end.
            Poll::Pending if this.is_over(context) => Poll::Ready(Ok(())),
            read => {
                this.count(buffer.filled().len() - before);
                read
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.sent(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.sent(written)
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

#[cfg(test)]
pub(super) mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const TIMES: ConnectionTimes = ConnectionTimes {
        handshake: Duration::from_secs(10),
        idle: Duration::from_mins(30),
        unread: Duration::from_secs(10),
    };

    /// A connection whose peer has, or has not, begun to speak.
    pub(in super::super) fn info(greeted: bool) -> ConnectionInfo {
        ConnectionInfo(Arc::new(Shared {
            peer: None,
            calls: TaskTracker::new(),
            begun: AtomicU64::new(0),
            greeted: AtomicBool::new(greeted),
            held_bytes: HeldBytes::default(),
            unread: Arc::default(),
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_speak_has_the_time_of_a_handshake() {
        let began = Instant::now();
        assert_eq!(info(false).unused(TIMES).await, Ending::Silent);
        assert_eq!(began.elapsed(), TIMES.handshake);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_call_is_not_idle_however_long_it_takes() {
        let info = info(true);
        let stream = info.call();
        assert!(timeout(Duration::from_hours(24), info.unused(TIMES)).await.is_err());
        drop(stream);
        let began = Instant::now();
        assert_eq!(info.unused(TIMES).await, Ending::Idle);
        assert!(began.elapsed() <= TIMES.handshake + 2 * TIMES.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_now_and_then_keeps_a_connection() {
        let info = info(true);
        let caller = info.clone();
        let calling = tokio::spawn(async move {
            loop {
                drop(caller.call());
                sleep(TIMES.idle / 2).await;
            }
        });
        assert!(timeout(Duration::from_hours(24), info.unused(TIMES)).await.is_err());
        calling.abort();
    }
}
