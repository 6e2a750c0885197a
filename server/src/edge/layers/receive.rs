//! Bounds what has arrived of requests that are not whole.
//!
//! A message is kept until its last byte is there, so callers who begin large ones and do not end them hold
//! memory that others need, for as long as they like. Here each message has a time to arrive in, and all of
//! them have one memory together, the receive buffer. Nobody gets all of it: what a connection holds, and what
//! its address holds, may be no more than what is left beside them. So who holds much is refused, and who comes
//! from elsewhere finds room.
//!
//! A message counts from when its length is known, for that is when room for all of it is made. One that comes in a
//! single piece, as nearly all do, costs neither a lock nor a timer.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use marquee_core::meters::Metric;
use marquee_core::metrics;
use opentelemetry::metrics::UpDownCounter;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::connection::{ConnectionInfo, HeldBytes};
use super::framing::PREFIX_BYTES;
use super::streams::Stream;
use crate::edge::ApiError;

/// How many bytes one byte of gzip can become.
const INFLATION: usize = 1032;

/// The least that a receive buffer is, in messages: a connection's, its address' and as much beside them.
const MIN_MESSAGES: usize = 3;

metrics! {
    pub(crate) METRICS;
    USED = Metric::up_down_counter(
        "marquee.receive_buffer.used",
        "By",
        &[],
        "Memory for request messages that have not arrived whole; the limit is `receive-buffer-mib`",
    );
}

/// What requests may hold until they are whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveLimits {
    /// Bytes of all of them; three of the largest messages at least.
    pub(crate) buffer: usize,
    /// Bytes of one message. Longer ones are refused elsewhere.
    pub(crate) message: usize,
    /// How long one may take to arrive.
    pub(crate) timeout: Duration,
}

/// Holds requests to their limits.
#[derive(Clone)]
pub(crate) struct ReceiveLayer {
    /// The paths of the methods whose callers send streams.
    streams: Arc<HashSet<String>>,
    buffer: Arc<ReceiveBuffer>,
}

struct ReceiveBuffer {
    limits: ReceiveLimits,
    held: Mutex<usize>,
    used: UpDownCounter<i64>,
}

impl ReceiveLayer {
    /// For requests with these limits; `streams` are methods as `package.Service/Method`, and whose streams they have.
    pub(crate) fn new(
        streams: impl IntoIterator<Item = (&'static str, Stream)>,
        limits: ReceiveLimits,
    ) -> Self {
        let of_requests = streams.into_iter().filter(|(_, stream)| *stream != Stream::Replies);
        let buffer = limits.buffer.max(limits.message.saturating_mul(MIN_MESSAGES));
        Self {
            streams: Arc::new(of_requests.map(|(method, _)| format!("/{method}")).collect()),
            buffer: Arc::new(ReceiveBuffer {
                limits: ReceiveLimits { buffer, ..limits },
                held: Mutex::default(),
                used: USED.i64_up_down_counter(),
            }),
        }
    }
}

impl ReceiveLayer {
    /// Reads bodies that are not gRPC's within the same limits and the same memory.
    pub(crate) fn bodies(&self) -> Bodies {
        Bodies(Arc::clone(&self.buffer))
    }
}

/// Bodies that have no messages and are read whole.
#[derive(Clone)]
pub(crate) struct Bodies(Arc<ReceiveBuffer>);

/// A body that has arrived, which keeps its share of the receive buffer.
pub(crate) struct WholeBody {
    pub(crate) bytes: Bytes,
    _share: Share,
}

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It has more bytes than it may.
    TooLarge,
    /// It ended or broke before it was whole.
    Broken,
    /// It did not come, or there is no room for it.
    Failed(Status),
}

impl From<Full> for BodyError {
    fn from(Full: Full) -> Self {
        Self::Failed(ApiError::ReceiveBufferFull.into())
    }
}

impl Bodies {
    /// The most bytes of a message.
    pub(crate) fn limit(&self) -> usize {
        self.0.limits.message
    }

    /// Reads a body of at most `most` bytes that comes over this connection. One that comes in a single piece costs
    /// neither a lock nor a timer nor a copy.
    pub(crate) async fn read(
        &self,
        body: Body,
        connection: Option<ConnectionInfo>,
        most: usize,
    ) -> Result<WholeBody, BodyError> {
        let share = Share { buffer: Arc::clone(&self.0), connection, bytes: 0 };
        let timeout = self.0.limits.timeout;
        match tokio::time::timeout(timeout, read_whole(body, share, most)).await {
            Ok(read) => read,
            Err(_) => Err(BodyError::Failed(ApiError::ReceiveTimeout(timeout).into())),
        }
    }
}

async fn read_whole(mut body: Body, mut share: Share, most: usize) -> Result<WholeBody, BodyError> {
    let announced = body.size_hint().lower();
    if announced > most as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        let length = buffer.len() + piece.len();
        if length > most {
            return Err(BodyError::TooLarge);
        }
        if buffer.is_empty() && body.is_end_stream() {
            return Ok(WholeBody { bytes: piece, _share: share });
        }
        if length > buffer.capacity() {
            // What is announced at once, and twice as much as there is where nothing is.
            let room = length.max(announced as usize).max(most.min(2 * buffer.capacity()));
            share.grow_to(room)?;
            buffer.reserve(room - buffer.len());
            share.grow_to(buffer.capacity())?;
        }
        buffer.extend_from_slice(&piece);
    }
    Ok(WholeBody { bytes: buffer.freeze(), _share: share })
}

impl<S> Layer<S> for ReceiveLayer {
    type Service = ReceiveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReceiveService { inner, layer: self.clone() }
    }
}

/// See [`ReceiveLayer`].
#[derive(Clone)]
pub(crate) struct ReceiveService<S> {
    inner: S,
    layer: ReceiveLayer,
}

impl<S> Service<Request<Body>> for ReceiveService<S>
where
    S: Service<Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_stream = self.layer.streams.contains(request.uri().path());
        let messages = if is_stream { Messages::Many } else { Messages::One };
        let share = Share {
            buffer: Arc::clone(&self.layer.buffer),
            connection: request.extensions().get::<ConnectionInfo>().cloned(),
            bytes: 0,
        };
        let arriving =
            |body| Body::new(Arriving { body, messages, framing: Framing::default(), share, time: None });
        self.inner.call(request.map(arriving))
    }
}

/// How many messages a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Messages {
    One,
    Many,
}

/// The body of a request.
struct Arriving {
    body: Body,
    messages: Messages,
    framing: Framing,
    share: Share,
    /// When what is awaited must be there.
    time: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    /// Takes note of the next piece of the body.
    fn arrived(&mut self, piece: &[u8]) -> Result<(), Full> {
        let seen = self.framing.advance(piece);
        if seen.ended && self.messages == Messages::Many {
            self.time = None;
        }
        self.share.grow_to(self.needed(&seen))
    }

    /// The memory that its messages need. The buffers of a stream stay as large as they once were, so a message that
    /// was unpacked there counts on; that of a single one is soon gone.
    fn needed(&self, seen: &Seen) -> usize {
        let most = self.share.buffer.limits.message;
        let accepted = |length: usize| if length <= most { length } else { 0 };
        let unfinished = accepted(seen.unfinished);
        match self.messages {
            Messages::One => unfinished,
            Messages::Many => {
                let compressed = accepted(seen.compressed);
                unfinished.max(compressed + most.min(compressed.saturating_mul(INFLATION)))
            }
        }
    }

    /// Whether the caller owes the rest of a message, or of the whole request.
    fn is_awaited(&self) -> bool {
        self.messages == Messages::One || self.framing.known > 0
    }

    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if !self.is_awaited() {
            return Poll::Pending;
        }
        let timeout = self.share.buffer.limits.timeout;
        let time = self.time.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(time.as_mut().poll(context));
        Poll::Ready(ApiError::ReceiveTimeout(timeout).into())
    }
}

impl http_body::Body for Arriving {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return self.poll_time(context).map(|late| Some(Err(late)));
        };
        if let Some(Ok(frame)) = &frame
            && let Some(piece) = frame.data_ref()
            && let Err(Full) = self.arrived(piece)
        {
            return Poll::Ready(Some(Err(ApiError::ReceiveBufferFull.into())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where within its messages a body stands.
#[derive(Default)]
struct Framing {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are there; none between two messages.
    known: usize,
    /// Bytes of the message that are still to come, once the prefix is whole.
    left: usize,
}

/// What a piece of a body holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// A message ended.
    ended: bool,
    /// The length of the longest compressed message that ended.
    compressed: usize,
    /// The length of the message that goes on after the piece.
    unfinished: usize,
}

impl Framing {
    fn advance(&mut self, mut piece: &[u8]) -> Seen {
        let mut seen = Seen::default();
        while !piece.is_empty() {
            if self.known < PREFIX_BYTES {
                let taken = piece.len().min(PREFIX_BYTES - self.known);
                self.prefix[self.known..self.known + taken].copy_from_slice(&piece[..taken]);
                self.known += taken;
                piece = &piece[taken..];
                if self.known < PREFIX_BYTES {
                    return seen;
                }
                self.left = self.length();
            }
            let taken = piece.len().min(self.left);
            self.left -= taken;
            piece = &piece[taken..];
            if self.left > 0 {
                seen.unfinished = self.length();
            } else {
                seen.ended = true;
                if self.is_compressed() {
                    seen.compressed = seen.compressed.max(self.length());
                }
                self.known = 0;
            }
        }
        seen
    }

    fn is_compressed(&self) -> bool {
        self.prefix[0] == 1
    }

    fn length(&self) -> usize {
        let [_, length @ ..] = self.prefix;
        u32::from_be_bytes(length) as usize
    }
}

/// What one request holds of the receive buffer, until it is dropped.
struct Share {
    buffer: Arc<ReceiveBuffer>,
    connection: Option<ConnectionInfo>,
    bytes: usize,
}

/// There is no room.
pub(crate) struct Full;

impl Share {
    fn grow_to(&mut self, bytes: usize) -> Result<(), Full> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        self.buffer.take(more, self.connection.as_ref().map(ConnectionInfo::held_bytes))?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.buffer.give_back(self.bytes, self.connection.as_ref().map(ConnectionInfo::held_bytes));
        }
    }
}

impl ReceiveBuffer {
    /// Takes so many bytes more for a request of this connection, which must leave as much as it and its address
    /// then hold.
    fn take(&self, more: usize, holder: Option<&HeldBytes>) -> Result<(), Full> {
        let mut held = self.lock();
        let after = |bytes: &AtomicUsize| bytes.load(Ordering::Relaxed) + more;
        let by_caller = holder.map_or(0, |holder| after(&holder.connection) + after(&holder.address));
        if *held + more + by_caller > self.limits.buffer {
            return Err(Full);
        }
        *held += more;
        if let Some(holder) = holder {
            holder.connection.fetch_add(more, Ordering::Relaxed);
            holder.address.fetch_add(more, Ordering::Relaxed);
        }
        self.used.add(more as i64, &[]);
        Ok(())
    }

    fn give_back(&self, bytes: usize, holder: Option<&HeldBytes>) {
        let mut held = self.lock();
        *held -= bytes;
        if let Some(holder) = holder {
            holder.connection.fetch_sub(bytes, Ordering::Relaxed);
            holder.address.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.used.add(-(bytes as i64), &[]);
    }

    /// The bytes that are held. Those of connections and addresses change under the same lock.
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::StreamExt as _;
    use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
    use http::Response;
    use proptest::prelude::*;
    use tokio::time::Instant;
    use tonic::Code;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const UNARY: &str = "marquee.v1.CatalogService/GetMovie";
    const STREAM: &str = "marquee.v1.RecommendationService/RecommendStream";
    const TIMEOUT: Duration = Duration::from_secs(30);
    const LIMITS: ReceiveLimits = ReceiveLimits { buffer: 10_000, message: 1_000, timeout: TIMEOUT };

    /// A body whose pieces come from a channel.
    struct Sent(UnboundedReceiver<Bytes>);

    impl http_body::Body for Sent {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
            self.0.poll_next_unpin(context).map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }

    /// A call of this method: what its caller sends, and what its handler reads.
    struct Call {
        caller: UnboundedSender<Bytes>,
        handler: Body,
    }

    impl Call {
        async fn of(layer: &ReceiveLayer, method: &str) -> Self {
            let (caller, sent) = unbounded();
            let service = layer.layer(service_fn(|request: Request<Body>| async {
                Ok::<_, Infallible>(Response::new(request.into_body()))
            }));
            let request = Request::builder().uri(format!("/{method}")).body(Body::new(Sent(sent))).unwrap();
            Self { caller, handler: service.oneshot(request).await.unwrap().into_body() }
        }

        fn send(&self, piece: Vec<u8>) {
            self.caller.unbounded_send(piece.into()).unwrap();
        }

        async fn read(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
            std::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut self.handler), context))
                .await
        }

        async fn send_and_read(&mut self, piece: Vec<u8>) -> Result<Frame<Bytes>, Status> {
            self.send(piece);
            self.read().await.unwrap()
        }

        async fn error(&mut self) -> (Code, String) {
            let status = self.read().await.unwrap().unwrap_err();
            (status.code(), status.get_details_error_info().unwrap().reason)
        }
    }

    fn layer() -> ReceiveLayer {
        ReceiveLayer::new([(STREAM, Stream::Both)], LIMITS)
    }

    fn late() -> (Code, String) {
        (Code::DeadlineExceeded, "RECEIVE_TIMEOUT".to_owned())
    }

    /// A message of so many bytes, of which so many are sent.
    fn message(length: u32, sent: usize) -> Vec<u8> {
        [&[0], &length.to_be_bytes()[..], &vec![7; sent][..]].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_arrive_in_time_is_given_up() {
        let began = Instant::now();
        let mut nothing_sent = Call::of(&layer(), UNARY).await;
        assert_eq!(nothing_sent.error().await, late());
        let mut half_sent = Call::of(&layer(), UNARY).await;
        half_sent.send_and_read(message(10, 5)).await.unwrap();
        assert_eq!(half_sent.error().await, late());
        let mut without_end = Call::of(&layer(), UNARY).await;
        without_end.send_and_read(message(10, 10)).await.unwrap();
        assert_eq!(without_end.error().await, late());
        assert_eq!(began.elapsed().as_secs(), 3 * TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_slowly_has_one_time_for_all_of_it() {
        let mut call = Call::of(&layer(), UNARY).await;
        let began = Instant::now();
        let caller = call.caller.clone();
        tokio::spawn(async move {
            for piece in message(100, 95).chunks(1) {
                sleep(Duration::from_secs(1)).await;
                caller.unbounded_send(piece.to_vec().into()).unwrap();
            }
        });
        let error = loop {
            if let Err(error) = call.read().await.unwrap() {
                break error;
            }
        };
        assert_eq!((error.code(), began.elapsed()), (Code::DeadlineExceeded, TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_be_silent_between_its_messages_and_not_within_one() {
        let mut call = Call::of(&layer(), STREAM).await;
        for _ in 0..3 {
            let silence = Duration::from_hours(24);
            assert!(tokio::time::timeout(silence, call.read()).await.is_err());
            call.send_and_read(message(10, 5)).await.unwrap();
            assert!(tokio::time::timeout(TIMEOUT / 2, call.read()).await.is_err());
            call.send_and_read(vec![7; 5]).await.unwrap();
        }
        call.send_and_read(message(10, 5)).await.unwrap();
        let began = Instant::now();
        assert_eq!(call.error().await, late());
        assert_eq!(began.elapsed(), TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_room_is_refused_until_what_took_it_is_gone() {
        let layer = layer();
        let mut calls = Vec::new();
        for _ in 0..10 {
            let mut call = Call::of(&layer, UNARY).await;
            call.send_and_read(message(1_000, 0)).await.unwrap();
            calls.push(call);
        }
        let mut newest = Call::of(&layer, UNARY).await;
        let full = newest.send_and_read(message(1, 0)).await.unwrap_err();
        assert_eq!(full.code(), Code::ResourceExhausted);
        assert_eq!(full.get_details_error_info().unwrap().reason, "RECEIVE_BUFFER_FULL");
        assert!(full.get_details_retry_info().unwrap().retry_delay.is_some());
        // What comes whole needs no room.
        Call::of(&layer, UNARY).await.send_and_read(message(9, 9)).await.unwrap();
        calls.pop();
        let mut again = Call::of(&layer, UNARY).await;
        again.send_and_read(message(1_000, 0)).await.unwrap();
        drop((calls, again));
        assert_eq!(*layer.buffer.lock(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_compressed_message_of_a_stream_counts_for_what_it_may_become() {
        let layer = layer();
        let compressed = |length: u8| [&[1, 0, 0, 0, length][..], &vec![7; length.into()]].concat();
        let mut call = Call::of(&layer, STREAM).await;
        call.send_and_read(compressed(200)).await.unwrap();
        assert_eq!(*layer.buffer.lock(), 200 + LIMITS.message);
        call.send_and_read(compressed(100)).await.unwrap();
        assert_eq!(*layer.buffer.lock(), 200 + LIMITS.message);
        let mut single = Call::of(&layer, UNARY).await;
        single.send_and_read(compressed(200)).await.unwrap();
        assert_eq!(*layer.buffer.lock(), 200 + LIMITS.message);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_too_long_is_left_to_who_refuses_those() {
        let layer = layer();
        let mut call = Call::of(&layer, UNARY).await;
        call.send_and_read(message(u32::MAX, 0)).await.unwrap();
        assert_eq!(*layer.buffer.lock(), 0);
    }

    fn holder(address: &Arc<AtomicUsize>) -> HeldBytes {
        HeldBytes { address: Arc::clone(address), ..HeldBytes::default() }
    }

    #[test]
    fn who_holds_much_is_refused_and_who_comes_from_elsewhere_finds_room() {
        let buffer = layer().buffer;
        let bad = Arc::default();
        let connections: Vec<HeldBytes> = (0..100).map(|_| holder(&bad)).collect();
        for connection in &connections {
            while buffer.take(10, Some(connection)).is_ok() {}
        }
        assert_eq!(connections[0].connection.load(Ordering::Relaxed), LIMITS.buffer / 3 / 10 * 10);
        let of_address = bad.load(Ordering::Relaxed);
        assert!((LIMITS.buffer * 9 / 20..=LIMITS.buffer / 2).contains(&of_address), "{of_address}");
        assert!(buffer.take(1_000, Some(&holder(&Arc::default()))).is_ok());
    }

    #[test]
    fn a_buffer_takes_the_largest_message_however_small_it_is_set() {
        let limits = ReceiveLimits { buffer: 1, ..LIMITS };
        let buffer = ReceiveLayer::new([], limits).buffer;
        assert!(buffer.take(LIMITS.message, Some(&HeldBytes::default())).is_ok());
    }

    /// What is read of a plain body that comes in these pieces, and may have so many bytes.
    async fn whole(bodies: &Bodies, pieces: &[&'static [u8]], most: usize) -> Result<WholeBody, BodyError> {
        let (caller, sent) = unbounded();
        for piece in pieces {
            caller.unbounded_send(Bytes::from_static(piece)).unwrap();
        }
        drop(caller);
        bodies.read(Body::new(Sent(sent)), None, most).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_plain_body_is_read_whole_and_holds_its_share_until_it_is_dropped() {
        let layer = layer();
        let body = whole(&layer.bodies(), &[b"ab", b"", b"cde"], 5).await.unwrap();
        assert_eq!(body.bytes, "abcde");
        assert!(*layer.buffer.lock() >= 5);
        drop(body);
        assert_eq!(*layer.buffer.lock(), 0);
        assert_eq!(whole(&layer.bodies(), &[], 5).await.unwrap().bytes, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_plain_body_that_is_too_large_or_late_or_has_no_room_is_given_up() {
        let layer = layer();
        let bodies = layer.bodies();
        assert!(matches!(whole(&bodies, &[b"ab", b"cdef"], 5).await, Err(BodyError::TooLarge)));
        let (_caller, sent) = unbounded();
        let late = bodies.read(Body::new(Sent(sent)), None, 5).await;
        assert!(matches!(late, Err(BodyError::Failed(status)) if status.code() == Code::DeadlineExceeded));
        assert!(layer.buffer.take(LIMITS.buffer, None).is_ok());
        let full = whole(&bodies, &[b"ab", b"c"], 5).await;
        assert!(matches!(full, Err(BodyError::Failed(status)) if status.code() == Code::ResourceExhausted));
    }

    proptest! {
        #[test]
        fn messages_are_known_however_they_are_cut(
            lengths in prop::collection::vec((any::<bool>(), 0u32..50), 0..20),
            cuts in prop::collection::vec(1usize..30, 0..200),
        ) {
            let mut bytes = Vec::new();
            for (compressed, length) in &lengths {
                bytes.push(u8::from(*compressed));
                bytes.extend(length.to_be_bytes());
                bytes.extend(vec![1; *length as usize]);
            }
            let mut framing = Framing::default();
            let (mut rest, mut longest) = (&bytes[..], 0);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                longest = longest.max(framing.advance(piece).compressed);
                rest = after;
            }
            let expected = lengths.iter().filter(|(compressed, _)| *compressed).map(|(_, length)| *length);
            prop_assert_eq!(longest, expected.max().unwrap_or(0) as usize);
            prop_assert_eq!(framing.known, 0);
        }
    }
}
