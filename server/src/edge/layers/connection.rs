//! A connection that ends when nobody uses it, and with the server, though its peer says nothing.
//!
//! A peer that does not begin to speak, or has not called for long, holds a place that others need. The first is
//! closed. The second is told GOAWAY, after which clients make a new connection for their next call, and closed when
//! it may have heard; a call that comes meanwhile is answered. HTTP/1.1 has no such word: there it is closed.
//!
//! Of HTTP/1.1 hyper bounds less than of HTTP/2, so more of it is seen to here: a peer has begun to speak when its
//! first request has begun and not with its first bytes, the head of a request has a bound, and what is written and
//! not read counts as a reply that nobody reads.
//!
//! When the server ends, HTTP/2 tells every peer so, and closes a connection once its peer has heard it and
//! its last call has ended. A peer that is deaf (it never began to speak HTTP/2, it sleeps, its network is
//! gone) would hold the end for as long as calls in flight may take. So a connection without a call reads
//! its end a moment after the server's has begun, as if the peer had hung up.
//!
//! It also knows since when what it reads could be read: a busy runtime comes to a connection late, and to the
//! calls that it read later still. [`read_since`] tells it to what is called while the connection's task runs.

mod greeting;
mod readable;
mod transport;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::transport::server::Connected;

use super::connections::{Place, Unused};
use super::unread::{Reply, Unread};
use greeting::Greeting;
use readable::Readable;
pub(super) use readable::read_since;
pub(super) use transport::Transport;

/// How long a peer may take to hear that the server ends: a call that it had sent before is still answered.
const HEARD_WITHIN: Duration = Duration::from_millis(250);

/// How long a peer may take to hear that its connection is given up. Nobody waits for it.
const GOODBYE: Duration = Duration::from_secs(5);

/// GOAWAY with NO_ERROR, and with the highest stream there can be: calls that are under way are answered.
const GO_AWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";

/// What the head of a request of HTTP/1.1 may take until it is whole. hyper would keep 400 KiB.
const HEAD_BYTES: usize = 32 << 10;

/// What a peer reads whose head is longer.
const HEAD_TOO_LONG: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// How long a connection may be there and not be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionTimes {
    /// Until it has begun to speak HTTP/2, or its first request of HTTP/1.1 has.
    pub(crate) handshake: Duration,
    /// Without a call. It is found out within twice this time.
    pub(crate) idle: Duration,
    /// With replies that nobody reads. It is found out within twice this time.
    pub(crate) unread: Duration,
}

/// An accepted connection.
pub(crate) struct Connection {
    stream: Transport,
    readable: Readable,
    info: ConnectionInfo,
    place: Place,
    ending: AbortOnDropHandle<Ending>,
    state: State,
    write: Write,
    greeting: Greeting,
    head: Head,
    /// What a peer of HTTP/1.1 has yet to take.
    untaken: Option<Reply>,
}

/// What has come of the head of a request of HTTP/1.1.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    /// Letters of its last line so far.
    line: usize,
    /// Whether it has any.
    has_text: bool,
    /// Whether its empty line has come: what follows is the body, though the call may not have begun.
    is_whole: bool,
    /// The calls that had begun before it.
    after: u64,
}

impl Head {
    /// Counts what belongs to it.
    fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.is_whole {
                return;
            }
            self.bytes += 1;
            match byte {
                // Empty lines before the first one belong to nothing.
                b'\n' if self.line == 0 => self.is_whole = self.has_text,
                b'\n' => self.line = 0,
                b'\r' => {}
                _ => {
                    self.line += 1;
                    self.has_text = true;
                }
            }
        }
    }
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
    encrypted: bool,
    client_name: Option<Arc<str>>,
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

    /// Whether nobody on the way reads along, as it is encrypted, or comes from a proxy before which it was.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.encrypted
    }

    /// The name on the certificate that the caller has shown, which an authority of the server's has signed: its
    /// common name, or else the first DNS name or URI of its subject.
    pub(crate) fn client_name(&self) -> Option<&Arc<str>> {
        self.0.client_name.as_ref()
    }

    /// Keeps the connection open until it is dropped.
    pub(crate) fn call(&self) -> TaskTrackerToken {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.calls.token()
    }

    /// How many calls have begun.
    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    pub(super) fn held_bytes(&self) -> &HeldBytes {
        &self.0.held_bytes
    }

    pub(crate) fn unread(&self) -> &Arc<Unread> {
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
        if !self.0.greeted.load(Ordering::Relaxed) && self.begun() == 0 {
            return Ending::Silent;
        }
        loop {
            let (begun, was_idle) = (self.begun(), self.0.calls.is_empty());
            sleep(times.idle).await;
            if was_idle && self.0.calls.is_empty() && self.begun() == begun {
                return Ending::Idle;
            }
        }
    }
}

impl Connection {
    /// A connection that ends with `stop`. Must be called within a tokio runtime.
    pub(super) fn new(
        stream: Transport,
        place: Place,
        times: ConnectionTimes,
        stop: CancellationToken,
    ) -> Self {
        let info = ConnectionInfo(Arc::new(Shared {
            peer: stream.peer(),
            encrypted: stream.is_encrypted() || place.is_of_a_proxy(),
            client_name: stream.client_name(),
            calls: TaskTracker::new(),
            begun: AtomicU64::new(0),
            greeted: AtomicBool::new(false),
            held_bytes: HeldBytes { address: Arc::clone(place.held_bytes()), ..HeldBytes::default() },
            unread: Arc::default(),
        }));
        let ending = tokio::spawn(ending(info.clone(), times, stop));
        let ending = AbortOnDropHandle::new(ending);
        Self {
            stream,
            readable: Readable::default(),
            info,
            place,
            ending,
            state: State::Open,
            write: Write::Done,
            greeting: Greeting::default(),
            head: Head::default(),
            untaken: None,
        }
    }

    /// Whether the connection ends here, asked when the peer has nothing to say or takes nothing.
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
            Ending::Idle if self.greeting.is_http1() => {
                self.place.closed(Unused::Idle);
                self.state = State::Left;
            }
            Ending::Idle => {
                self.place.closed(Unused::Idle);
                self.say(GO_AWAY);
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

    /// Writes while no call is open: HTTP/2 has written whole frames only then, and HTTP/1.1 whole replies, so that
    /// this stands between two of them.
    fn say(&mut self, last_words: &[u8]) {
        if self.write == Write::Done
            && let Err(error) = self.stream.try_write(last_words)
        {
            tracing::trace!(%error, "nothing said at the end of a connection");
        }
    }

    /// Takes note of what was read.
    fn received(&mut self, bytes: &[u8]) {
        if self.greeting.is_http2() {
            return;
        }
        self.greeting.read(bytes);
        if self.greeting.is_http2() {
            self.info.0.greeted.store(true, Ordering::Relaxed);
        } else if self.info.0.calls.is_empty() {
            self.head.read(bytes);
        }
    }

    /// Whether a peer of HTTP/1.1 has sent more than a head without its call having begun.
    fn has_long_head(&mut self) -> bool {
        if !self.greeting.is_http1() {
            return false;
        }
        let begun = self.info.begun();
        if begun != self.head.after || !self.info.0.calls.is_empty() {
            self.head = Head { after: begun, ..Head::default() };
        }
        !self.head.is_whole && self.head.bytes > HEAD_BYTES
    }

    /// Takes note of what was written of so many bytes.
    fn sent(
        &mut self,
        context: &mut Context<'_>,
        given: usize,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &result {
            self.info.unread().written(*bytes);
            if *bytes == given {
                self.untaken = None;
            }
        }
        self.write = if result.is_pending() { Write::Blocked } else { Write::Done };
        if result.is_pending() && self.is_given_up(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        result
    }

    /// Whether the connection ends here, asked when a peer of HTTP/1.1 takes nothing: hyper may have read ahead, and
    /// not ask for more.
    fn is_given_up(&mut self, context: &mut Context<'_>) -> bool {
        if !self.greeting.is_http1() {
            return false;
        }
        let unread = self.info.unread();
        self.untaken.get_or_insert_with(|| Reply::on(unread));
        self.is_over(context)
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
        if this.has_long_head() {
            this.say(HEAD_TOO_LONG);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let stream = Pin::new(&mut this.stream);
        match this.readable.watch(context, |context| stream.poll_read(context, buffer)) {
            // Nothing read is the end.
            Poll::Pending if this.is_over(context) => Poll::Ready(Ok(())),
            read => {
                this.received(&buffer.filled()[before..]);
                read
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.sent(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.sent(context, parts.iter().map(|part| part.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// What is encrypted may wait here for the peer though all was written; what is plain never does.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        if this.stream.is_encrypted() {
            this.write = if flushed.is_pending() { Write::Blocked } else { Write::Done };
            if flushed.is_pending() && this.is_given_up(context) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            if flushed.is_ready() {
                this.untaken = None;
            }
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, timeout};
    use tonic::service::Routes;
    use tonic::transport::Server;

    use super::super::accept;
    use super::super::connections::{ConnectionLimits, Connections};
    use super::*;
    use crate::edge::Proxies;

    const TIMES: ConnectionTimes = ConnectionTimes {
        handshake: Duration::from_secs(10),
        idle: Duration::from_mins(30),
        unread: Duration::from_secs(10),
    };

    /// One connection.
    const ONE: ConnectionLimits = ConnectionLimits { total: 1, per_address: 1, proxies: Proxies::NONE };

    /// A connection whose peer has, or has not, begun to speak.
    pub(in super::super) fn info(greeted: bool) -> ConnectionInfo {
        ConnectionInfo(Arc::new(Shared {
            peer: None,
            encrypted: false,
            client_name: None,
            calls: TaskTracker::new(),
            begun: AtomicU64::new(0),
            greeted: AtomicBool::new(greeted),
            held_bytes: HeldBytes::default(),
            unread: Arc::default(),
        }))
    }

    #[test]
    fn a_head_ends_with_its_empty_line_wherever_the_pieces_end() {
        let text = b"\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nbody\r\n\r\nbody";
        for piece in 1..text.len() {
            let mut head = super::Head::default();
            text.chunks(piece).for_each(|bytes| head.read(bytes));
            assert_eq!((head.bytes, head.is_whole), (29, true), "pieces of {piece}");
        }
        let mut head = super::Head::default();
        head.read(b"\r\n\r\nGET / HTTP/1.1\r\nx: a");
        assert_eq!((head.bytes, head.is_whole), (24, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_speak_has_the_time_of_a_handshake() {
        let began = Instant::now();
        assert_eq!(info(false).unused(TIMES).await, Ending::Silent);
        assert_eq!(began.elapsed(), TIMES.handshake);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_of_http_1_has_begun_to_speak_with_its_first_call() {
        let info = info(false);
        let call = info.call();
        assert!(timeout(Duration::from_hours(24), info.unused(TIMES)).await.is_err());
        drop(call);
        assert_eq!(info.unused(TIMES).await, Ending::Idle);
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

    /// The shortest request of HTTP/1.1.
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    /// A connection that has a request of HTTP/1.1 to read, and its peer.
    async fn with_a_request() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        peer.write_all(REQUEST).await.unwrap();
        // The clock goes on while the runtime waits for the system, so nothing of it is waited for later.
        stream.readable().await.unwrap();
        let place = Connections::new(ONE).admit(address.ip()).ok().unwrap();
        (Connection::new(Transport::Plain(stream), place, TIMES, CancellationToken::new()), peer)
    }

    /// What is read of a connection at once; nothing at its end.
    async fn read(connection: &mut Connection) -> Vec<u8> {
        let mut bytes = [0; 64];
        let length = connection.read(&mut bytes).await.unwrap();
        bytes[..length].to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_of_http_1_ends_once_its_call_has_ended() {
        let (mut connection, _peer) = with_a_request().await;
        assert_eq!(read(&mut connection).await, REQUEST);
        let call = connection.info.call();
        assert!(timeout(Duration::from_hours(24), read(&mut connection)).await.is_err());
        drop(call);
        let began = Instant::now();
        assert_eq!(read(&mut connection).await, b"");
        assert!((TIMES.idle..=2 * TIMES.idle).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_as_an_idle_connection_of_http_1_ends_is_read_and_answered() {
        let (mut connection, mut peer) = with_a_request().await;
        assert_eq!(read(&mut connection).await, REQUEST);
        drop(connection.info.call());
        sleep(TIMES.handshake + 2 * TIMES.idle).await;
        peer.write_all(REQUEST).await.unwrap();
        connection.stream.tcp().readable().await.unwrap();
        assert_eq!(read(&mut connection).await, REQUEST);
        let call = connection.info.call();
        assert!(timeout(Duration::from_hours(24), read(&mut connection)).await.is_err());
        drop(call);
        assert_eq!(read(&mut connection).await, b"");
    }

    /// Sends a request of HTTP/1.1 and reads the reply, which has no body.
    async fn ask(client: &mut TcpStream) {
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\n") {
            assert_ne!(client.read_buf(&mut reply).await.unwrap(), 0, "the connection has ended");
        }
    }

    /// The clock stands while nothing is waited for but this, so that no connection is waited for meanwhile.
    async fn pass(span: Duration) {
        tokio::time::pause();
        tokio::time::advance(span).await;
        tokio::time::resume();
    }

    #[tokio::test]
    async fn hyper_ends_a_connection_of_http_1_half_a_minute_after_its_last_request() {
        const NEVER: Duration = Duration::from_hours(24);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let times = ConnectionTimes { handshake: NEVER, idle: NEVER, unread: NEVER };
        let connections = accept(listener, Connections::new(ONE), None, times, CancellationToken::new());
        let server = Server::builder().accept_http1(true).add_routes(Routes::default());
        let serving = tokio::spawn(server.serve_with_incoming(connections));
        ask(&mut client).await;
        pass(Duration::from_secs(29)).await;
        ask(&mut client).await;
        pass(Duration::from_secs(31)).await;
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        serving.abort();
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
