//! How streams end.
//!
//! A stream has no end of its own, so a silent one would hold its place, and the server's end, for as long as its
//! caller likes. Four things end one:
//! - The server's end. Where the caller sends a stream, nothing more is read of it: what came before is still
//!   answered, then the call ends. Where only the server sends one, it ends after the message that is ready,
//!   such as NOT_SERVING.
//! - The deadline. Nothing more is read and nothing more is sent.
//! - A reader that does not read, as [`super::delivery`] finds out.
//! - A caller that is known no more, as [`super::identity`] finds out. Nothing more is read and nothing more is sent.
//!
//! Other calls are not touched: their answer is held to the deadline as a whole.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Either};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::Deadline;
use super::delivery::Delivery;
use super::identity::Standing;
use crate::access::Refusal;
use crate::edge::ApiError;

/// Whose messages a method's stream is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The caller's.
    Requests,
    /// The server's.
    Replies,
    /// Both sides'.
    Both,
}

/// Ends the streams of these methods.
#[derive(Clone)]
pub struct StreamLayer {
    streams: Arc<HashMap<String, Stream>>,
    stop: CancellationToken,
    send_timeout: Duration,
}

impl StreamLayer {
    /// For the streams of these methods, each as `package.Service/Method`: they end at `stop`, and when a reply
    /// has not been taken for `send_timeout`.
    pub fn new(
        streams: impl IntoIterator<Item = (&'static str, Stream)>,
        stop: CancellationToken,
        send_timeout: Duration,
    ) -> Self {
        let by_path = streams.into_iter().map(|(method, stream)| (format!("/{method}"), stream));
        Self { streams: Arc::new(by_path.collect()), stop, send_timeout }
    }

    fn requests(&self, body: Body, lasts: &Lasts) -> Body {
        Body::new(Requests { body, ends: Ends::new(lasts, None, Some(&self.stop)) })
    }

    /// The replies of a stream. Where requests end with the server, the last of the replies does too.
    fn replies(&self, of: Stream, answer: Response<Body>, lasts: &Lasts) -> Response<Body> {
        if of == Stream::Requests || answer.body().is_end_stream() {
            return answer;
        }
        let stalled = CancellationToken::new();
        let stop = (of == Stream::Replies).then_some(&self.stop);
        let ends = Ends::new(lasts, Some(&stalled), stop);
        let mut replies = answer.map(|body| Body::new(Replies { body, ends, state: State::Open }));
        let (timeout, deadline) = (self.send_timeout, lasts.deadline);
        replies.extensions_mut().insert(Delivery { timeout, deadline, stalled });
        replies
    }
}

/// How long a call may last.
struct Lasts {
    deadline: Option<Instant>,
    standing: Option<Standing>,
}

/// What ends a stream.
struct Ends {
    deadline: Option<Pin<Box<Sleep>>>,
    standing: Option<BoxFuture<'static, Refusal>>,
    stalled: Option<Stop>,
    server: Option<Stop>,
}

type Stop = Pin<Box<WaitForCancellationFutureOwned>>;

/// A stop of one stream's own: those of many streams are not looked at behind one lock.
fn stop(token: &CancellationToken) -> Stop {
    Box::pin(token.child_token().cancelled_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Deadline,
    Unknown(Refusal),
    Stalled,
    Server,
}

impl Ends {
    fn new(lasts: &Lasts, stalled: Option<&CancellationToken>, server: Option<&CancellationToken>) -> Self {
        let deadline = lasts.deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        let standing = lasts.standing.clone().map(|standing| standing.until_over().boxed());
        Self { deadline, standing, stalled: stalled.map(stop), server: server.map(stop) }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Option<End> {
        if self.deadline.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready()) {
            return Some(End::Deadline);
        }
        if let Some(standing) = &mut self.standing
            && let Poll::Ready(refusal) = standing.as_mut().poll(context)
        {
            // It is not asked for any more, and the stream stays at its end.
            self.standing = Some(std::future::ready(refusal).boxed());
            return Some(End::Unknown(refusal));
        }
        let mut is_over = |stop: &mut Option<Stop>| {
            stop.as_mut().is_some_and(|stop| stop.as_mut().poll(context).is_ready())
        };
        if is_over(&mut self.stalled) {
            return Some(End::Stalled);
        }
        is_over(&mut self.server).then_some(End::Server)
    }
}

impl From<End> for Status {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Deadline => ApiError::DeadlinePassed,
            End::Unknown(refusal) => refusal.into(),
            End::Stalled => ApiError::StalledReader,
            End::Server => ApiError::Draining,
        })
    }
}

impl<S> Layer<S> for StreamLayer {
    type Service = StreamService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StreamService { inner, layer: self.clone() }
    }
}

/// See [`StreamLayer`].
#[derive(Clone)]
pub struct StreamService<S> {
    inner: S,
    layer: StreamLayer,
}

impl<S> Service<Request<Body>> for StreamService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(stream) = self.layer.streams.get(request.uri().path()).copied() else {
            return Either::Left(self.inner.call(request));
        };
        let layer = self.layer.clone();
        let lasts = Lasts {
            deadline: request.extensions().get::<Deadline>().map(|deadline| deadline.0),
            standing: request.extensions().get::<Standing>().cloned(),
        };
        let request = match stream {
            Stream::Requests | Stream::Both => request.map(|body| layer.requests(body, &lasts)),
            Stream::Replies => request,
        };
        let answer = self.inner.call(request);
        Either::Right(Box::pin(async move { Ok(layer.replies(stream, answer.await?, &lasts)) }))
    }
}

/// What a caller sends until the stream ends.
struct Requests {
    body: Body,
    ends: Ends,
}

impl http_body::Body for Requests {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        if let Some(end) = self.ends.poll(context) {
            return Poll::Ready(Some(Err(end.into())));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What the server sends until the stream ends.
struct Replies {
    body: Body,
    ends: Ends,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The server ends; one frame has been sent since.
    Last,
    /// The status has been sent.
    Ended,
}

impl http_body::Body for Replies {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        let Some(end) = self.ends.poll(context) else { return Pin::new(&mut self.body).poll_frame(context) };
        if end == End::Server && self.state == State::Open {
            let frame = Pin::new(&mut self.body).poll_frame(context);
            if frame.is_ready() {
                self.state = State::Last;
                return frame;
            }
        }
        self.state = State::Ended;
        let mut trailers = HeaderMap::new();
        let told = Status::from(end).add_header(&mut trailers);
        Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt as _, stream};
    use tokio::sync::oneshot;
    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::super::delivery::deliver;
    use super::*;

    const METHOD: &str = "grpc.health.v1.Health/Watch";
    const TIMEOUT: Duration = Duration::from_secs(10);
    const MOMENT: Duration = Duration::from_millis(1);

    type Frames = futures::stream::BoxStream<'static, &'static [u8]>;

    /// A body of these frames, silent where they are.
    struct Sent(Frames);

    impl http_body::Body for Sent {
        type Data = bytes::Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
            self.0.poll_next_unpin(context).map(|data| data.map(|data| Ok(Frame::data(data.into()))))
        }
    }

    fn frames<const N: usize>(frames: [&'static str; N]) -> Frames {
        stream::iter(frames.map(str::as_bytes)).chain(stream::pending()).boxed()
    }

    async fn frame(body: &mut Body) -> Option<Result<Frame<bytes::Bytes>, Status>> {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    }

    async fn data(body: &mut Body) -> bytes::Bytes {
        frame(body).await.expect("a frame").expect("a frame").into_data().expect("data")
    }

    /// The status at the end of a body.
    async fn status(body: &mut Body) -> Code {
        let trailers =
            frame(body).await.expect("a frame").expect("a frame").into_trailers().expect("trailers");
        assert!(frame(body).await.is_none());
        Status::from_header_map(&trailers).expect("a status").code()
    }

    /// A call of [`METHOD`], a stream as said; its service answers with the frames, or with the request's own.
    struct Call {
        stream: Stream,
        stop: CancellationToken,
        timeout: Option<Duration>,
        standing: Option<Standing>,
    }

    impl Call {
        fn of(stream: Stream) -> Self {
            Self { stream, stop: CancellationToken::new(), timeout: None, standing: None }
        }

        /// Of a caller that is known as long as this says so.
        fn while_known(self, known: &CancellationToken) -> Self {
            let over = known.clone();
            let standing = Standing::by(move || {
                let answer = if over.is_cancelled() { Err(Refusal::Unknown) } else { Ok(()) };
                std::future::ready(answer).boxed()
            });
            Self { standing: Some(standing), ..self }
        }

        fn within(self, timeout: Duration) -> Self {
            Self { timeout: Some(timeout), ..self }
        }

        async fn answer(&self, sent: Frames, replies: Option<Frames>) -> Body {
            let layer = StreamLayer::new([(METHOD, self.stream)], self.stop.clone(), TIMEOUT);
            let mut replies = replies.map(|frames| Body::new(Sent(frames)));
            let service = layer.layer(service_fn(move |request: Request<Body>| {
                let body = replies.take().unwrap_or_else(|| request.into_body());
                async { Ok::<_, Infallible>(Response::new(body)) }
            }));
            let mut request = Request::builder().uri(format!("/{METHOD}"));
            if let Some(timeout) = self.timeout {
                request = request.extension(Deadline(Instant::now() + timeout));
            }
            if let Some(standing) = &self.standing {
                request = request.extension(standing.clone());
            }
            let request = request.body(Body::new(Sent(sent))).unwrap();
            deliver(service.oneshot(request).await.unwrap()).into_body()
        }

        async fn replies(&self, replies: Frames) -> Body {
            self.answer(frames([]), Some(replies)).await
        }

        async fn echo(&self, sent: Frames) -> Body {
            self.answer(sent, None).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_replies_ends_with_the_server_after_the_one_that_is_ready() {
        let call = Call::of(Stream::Replies);
        let (say, said) = oneshot::channel::<&'static [u8]>();
        let later = stream::once(async { said.await.unwrap() });
        let mut body = call.replies(later.chain(frames(["too late", "too late"])).boxed()).await;
        tokio::time::sleep(MOMENT).await;
        say.send(b"ready").unwrap();
        call.stop.cancel();
        assert_eq!(data(&mut body).await, "ready");
        assert_eq!(status(&mut body).await, Code::Unavailable);
    }

    #[tokio::test]
    async fn a_stream_of_requests_is_read_until_the_server_ends() {
        let call = Call::of(Stream::Requests);
        let mut body = call.echo(frames(["before"])).await;
        assert_eq!(data(&mut body).await, "before");
        call.stop.cancel();
        assert_eq!(frame(&mut body).await.unwrap().unwrap_err().code(), Code::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_requests_is_read_until_the_deadline() {
        let mut body = Call::of(Stream::Requests).within(TIMEOUT).echo(frames(["before"])).await;
        let began = Instant::now();
        assert_eq!(data(&mut body).await, "before");
        assert_eq!(frame(&mut body).await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(began.elapsed().as_secs(), TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_replies_ends_at_the_deadline() {
        for stream in [Stream::Replies, Stream::Both] {
            let mut body = Call::of(stream).within(TIMEOUT).replies(frames(["before"])).await;
            let began = Instant::now();
            assert_eq!(data(&mut body).await, "before");
            assert_eq!(status(&mut body).await, Code::DeadlineExceeded);
            assert_eq!(began.elapsed().as_secs(), TIMEOUT.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_soon_after_its_caller_is_known_no_more() {
        for stream in [Stream::Replies, Stream::Both] {
            let over = CancellationToken::new();
            let mut body = Call::of(stream).while_known(&over).replies(frames(["before"])).await;
            assert_eq!(data(&mut body).await, "before");
            assert!(tokio::time::timeout(10 * TIMEOUT, frame(&mut body)).await.is_err(), "it is known");
            over.cancel();
            let began = Instant::now();
            assert_eq!(status(&mut body).await, Code::Unauthenticated);
            assert!(began.elapsed() <= Duration::from_secs(2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_requests_is_read_until_its_caller_is_known_no_more() {
        let over = CancellationToken::new();
        let mut body = Call::of(Stream::Requests).while_known(&over).echo(frames(["before"])).await;
        assert_eq!(data(&mut body).await, "before");
        over.cancel();
        assert_eq!(frame(&mut body).await.unwrap().unwrap_err().code(), Code::Unauthenticated);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_a_stream_whose_reader_takes_nothing() {
        let (held, released) = oneshot::channel::<()>();
        let endless = stream::repeat(&b"more"[..]).inspect(move |_| _ = &held).boxed();
        let mut body = Call::of(Stream::Replies).within(MOMENT).replies(endless).await;
        released.await.unwrap_err();
        assert_eq!(data(&mut body).await, "more");
        assert_eq!(status(&mut body).await, Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up_and_told_so_when_it_reads() {
        let (held, released) = oneshot::channel::<()>();
        let endless = stream::repeat(&b"more"[..]).inspect(move |_| _ = &held).boxed();
        let began = Instant::now();
        let mut body = Call::of(Stream::Replies).replies(endless).await;
        released.await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), TIMEOUT.as_secs());
        assert_eq!(data(&mut body).await, "more");
        assert_eq!(status(&mut body).await, Code::Aborted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_and_a_quiet_stream_are_left_alone() {
        let (say, said) = oneshot::channel::<&'static [u8]>();
        let later = stream::once(async { said.await.unwrap() });
        let replies = frames(["a", "b", "c"]).take(3).chain(later).chain(stream::pending()).boxed();
        let mut body = Call::of(Stream::Replies).replies(replies).await;
        for expected in ["a", "b", "c"] {
            tokio::time::sleep(TIMEOUT * 9 / 10).await;
            assert_eq!(data(&mut body).await, expected);
        }
        tokio::time::sleep(100 * TIMEOUT).await;
        say.send(b"at last").unwrap();
        assert_eq!(data(&mut body).await, "at last");
    }

    #[tokio::test]
    async fn a_stream_whose_reader_is_gone_is_dropped() {
        let (held, released) = oneshot::channel::<()>();
        let quiet = frames([]).inspect(move |_| _ = &held).boxed();
        drop(Call::of(Stream::Both).replies(quiet).await);
        released.await.unwrap_err();
    }
}
