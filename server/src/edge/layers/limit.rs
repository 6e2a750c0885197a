//! Refuses calls of a caller who calls too often, before any work is done for them, and slows down streams.
//!
//! A caller is who it is known to be, and an [`Origin`] where nobody asks. Health and reflection are not limited. Each message of a stream counts as a call
//! does: over the rate the stream is read no faster than tokens come, so that its caller is held back as by a
//! slow network, and needs no code for it. One who would wait for more than a minute is refused instead.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Extensions, HeaderMap, HeaderName, Request, Response};
use http_body::Frame;
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::identity::Known;
use super::message_count::MessageCount;
use super::{Methods, Origin};
use crate::edge::ApiError;
use crate::shared::limit::{Limiter, Messages};

/// How long a stream waits for a token.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// How many calls of a method may come at once, and how many of them are left.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// How the methods of the API begin.
const LIMITED: &str = "marquee.";

/// Limits every method of the API.
#[derive(Clone)]
pub(crate) struct LimitLayer {
    limiter: Arc<Limiter>,
    methods: Methods,
    streams: Arc<HashSet<&'static str>>,
}

impl LimitLayer {
    /// For those of these methods that are the API's own; callers of `streams` send many messages in a call.
    pub(crate) fn new(
        limiter: Arc<Limiter>,
        methods: Methods,
        streams: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        Self { limiter, methods, streams: Arc::new(streams.into_iter().collect()) }
    }

    /// Says what the caller may do still.
    fn tell(&self, headers: &mut HeaderMap, remaining: u32) {
        headers.insert(LIMIT, self.limiter.most().into());
        headers.insert(REMAINING, remaining.into());
    }

    /// The request, its messages limited if it is a stream of them.
    fn limited(&self, request: Request<Body>, caller: &str, method: &'static str) -> Request<Body> {
        if !self.streams.contains(method) {
            return request;
        }
        let messages = Messages::new(&self.limiter, caller, method);
        request.map(|body| Body::new(Limited::new(body, messages)))
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService { inner, layer: self.clone() }
    }
}

/// See [`LimitLayer`].
#[derive(Clone)]
pub(crate) struct LimitService<S> {
    inner: S,
    layer: LimitLayer,
}

impl<S> Service<Request<Body>> for LimitService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = self.layer.methods.of_path(request.uri().path());
        let Some(method) = method.filter(|method| method.starts_with(LIMITED)) else {
            return Box::pin(self.inner.call(request));
        };
        let layer = self.layer.clone();
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let caller = bucket(request.extensions());
            match layer.limiter.take(&caller, method).await {
                Ok(remaining) => {
                    let mut answer = ready.call(layer.limited(request, &caller, method)).await?;
                    layer.tell(answer.headers_mut(), remaining);
                    Ok(answer)
                }
                Err(retry_after) => {
                    let mut refusal = Status::from(ApiError::RateLimited { method, retry_after }).into_http();
                    layer.tell(refusal.headers_mut(), 0);
                    Ok(refusal)
                }
            }
        })
    }
}

/// Whose rate and share count: all keys of a name have one.
pub(super) fn bucket(extensions: &Extensions) -> String {
    match extensions.get() {
        Some(Known(identity)) => format!("name-{}", identity.name),
        None => Origin::of(extensions).to_string(),
    }
}

/// What a caller sends, held back to the rate.
struct Limited {
    body: Body,
    messages: Messages,
    count: MessageCount,
    /// Messages that the call itself has paid for.
    paid: u32,
    held: Option<Held>,
}

/// A frame that waits until its messages may pass.
struct Held {
    frame: Frame<Bytes>,
    messages: u32,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Limited {
    fn new(body: Body, messages: Messages) -> Self {
        Self { body, messages, count: MessageCount::default(), paid: 1, held: None }
    }

    fn hold(&mut self, frame: Frame<Bytes>) -> Held {
        let begun = frame.data_ref().map_or(0, |bytes| self.count.begun(bytes));
        let paid = self.paid.min(begun);
        self.paid -= paid;
        Held { frame, messages: begun - paid, wait: None }
    }
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let mut held = match this.held.take() {
            Some(held) => held,
            None => match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => this.hold(frame),
                end => return Poll::Ready(end),
            },
        };
        loop {
            if held.wait.as_mut().is_some_and(|wait| wait.as_mut().poll(context).is_pending()) {
                this.held = Some(held);
                return Poll::Pending;
            }
            match if held.messages == 0 { Ok(()) } else { this.messages.take(held.messages) } {
                Ok(()) => return Poll::Ready(Some(Ok(held.frame))),
                Err(retry_after) if retry_after > LONGEST_WAIT => {
                    this.messages.refused();
                    let refusal = ApiError::RateLimited { method: this.messages.method(), retry_after };
                    return Poll::Ready(Some(Err(refusal.into())));
                }
                Err(wait) => held.wait = Some(Box::pin(tokio::time::sleep(wait))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use http_body::Body as _;
    use tokio::time::Instant;
    use tonic::Code;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const METHOD: &str = "marquee.v1.CatalogService/GetMovie";
    const STREAM: &str = "marquee.v1.CatalogService/ImportMovies";
    const HEALTH: &str = "grpc.health.v1.Health/Check";

    async fn call(layer: &LimitLayer, path: &str, key: Option<&str>) -> Option<Status> {
        let service = layer.layer(service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        let mut request = Request::builder().uri(path);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let response = service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        Status::from_header_map(response.headers())
    }

    fn layer() -> LimitLayer {
        let methods = [METHOD, HEALTH, STREAM].into_iter().collect();
        LimitLayer::new(Arc::new(Limiter::new("2/m".parse().unwrap(), None)), methods, [STREAM])
    }

    /// A call that streams frames of so many messages; its body as the handler reads it.
    async fn stream_of(layer: &LimitLayer, frames: &[usize]) -> Body {
        let service = layer.layer(service_fn(|request: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(request.into_body()))
        }));
        let frames: Vec<_> = frames.iter().map(|messages| Bytes::from(vec![0; messages * 5])).collect();
        let request = Request::builder().uri(format!("/{STREAM}")).body(Body::new(Frames(frames.into())));
        service.oneshot(request.unwrap()).await.unwrap().into_body()
    }

    struct Frames(VecDeque<Bytes>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(|frame| Ok(Frame::data(frame))))
        }
    }

    async fn next(body: &mut Body) -> Option<Result<Frame<Bytes>, Status>> {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_too_many_is_refused_and_says_when_to_try_again() {
        let (layer, path) = (layer(), format!("/{METHOD}"));
        for _ in 0..2 {
            assert!(call(&layer, &path, None).await.is_none());
        }
        let status = call(&layer, &path, None).await.unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let retry = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert_eq!(retry, Duration::from_secs(30));
        tokio::time::advance(retry).await;
        assert!(call(&layer, &path, None).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_says_how_many_calls_there_may_be_and_how_many_are_left() {
        let layer = layer();
        let mut told = Vec::new();
        for _ in 0..3 {
            let service = layer.layer(service_fn(|_: Request<Body>| async {
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }));
            let request = Request::builder().uri(format!("/{METHOD}")).body(Body::empty()).unwrap();
            let response = service.oneshot(request).await.unwrap();
            told.push([LIMIT, REMAINING].map(|name| response.headers()[name].to_str().unwrap().to_owned()));
        }
        assert_eq!(told, [["2", "1"], ["2", "0"], ["2", "0"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_nobody_knows_add_nothing_to_the_rate() {
        let (layer, path) = (layer(), format!("/{METHOD}"));
        let mut passed = 0;
        for key in 0..100 {
            passed += u32::from(call(&layer, &path, Some(&key.to_string())).await.is_none());
        }
        assert_eq!(passed, 2);
        assert!(call(&layer, &path, None).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_messages_of_a_stream_pass_at_the_rate() {
        let began = Instant::now();
        let mut body = stream_of(&layer(), &[1, 1, 1, 1]).await;
        let mut passed_after = Vec::new();
        while let Some(frame) = next(&mut body).await {
            frame.unwrap();
            passed_after.push(began.elapsed().as_secs());
        }
        // The call pays for the first, the full bucket for the second.
        assert_eq!(passed_after, [0, 0, 30, 60]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_of_many_messages_passes_and_is_paid_before_the_next() {
        let layer = layer();
        let mut body = stream_of(&layer, &[4, 1]).await;
        assert!(next(&mut body).await.unwrap().is_ok());
        let refused = next(&mut body).await.unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let retry = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert_eq!(retry, Duration::from_secs(90));
        assert!(call(&layer, &format!("/{STREAM}"), None).await.is_some());
        tokio::time::advance(retry).await;
        let mut body = stream_of(&layer, &[1]).await;
        assert!(next(&mut body).await.unwrap().is_ok());
        assert!(next(&mut body).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn other_methods_are_not_limited() {
        let layer = layer();
        for _ in 0..10 {
            assert!(call(&layer, &format!("/{HEALTH}"), None).await.is_none());
        }
    }
}
