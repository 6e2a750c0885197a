//! Ends streams with the server.
//!
//! A stream has no end of its own, so a silent one would hold the server's end for as long as calls in flight
//! may take. Where the caller sends a stream, nothing more is read of it: what came before is still answered,
//! then the call ends. Where only the server sends one, it ends after the message that is ready, such as
//! NOT_SERVING. Other calls are not touched.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::api::ApiError;

/// Whose messages a method's stream is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The caller's; the server may answer with one too.
    Requests,
    /// The server's alone.
    Replies,
}

/// Ends the streams of these methods.
#[derive(Clone)]
pub struct DrainLayer {
    streams: Arc<HashMap<String, Stream>>,
    stop: CancellationToken,
}

impl DrainLayer {
    /// For the streams of these methods, each as `package.Service/Method`, at `stop`.
    pub fn new(streams: impl IntoIterator<Item = (&'static str, Stream)>, stop: CancellationToken) -> Self {
        let by_path = streams.into_iter().map(|(method, stream)| (format!("/{method}"), stream));
        Self { streams: Arc::new(by_path.collect()), stop }
    }

    /// A stop of one call's own: those of many calls are not looked at behind one lock.
    fn stop(&self) -> Stop {
        Box::pin(self.stop.child_token().cancelled_owned())
    }
}

type Stop = Pin<Box<WaitForCancellationFutureOwned>>;

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DrainService { inner, layer: self.clone() }
    }
}

/// See [`DrainLayer`].
#[derive(Clone)]
pub struct DrainService<S> {
    inner: S,
    layer: DrainLayer,
}

impl<S> Service<Request<Body>> for DrainService<S>
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
        match self.layer.streams.get(request.uri().path()) {
            None => Either::Left(self.inner.call(request)),
            Some(Stream::Requests) => {
                let stop = self.layer.stop();
                let request = request.map(|body| Body::new(Requests { body, stop }));
                Either::Left(self.inner.call(request))
            }
            Some(Stream::Replies) => {
                let stop = self.layer.stop();
                let answer = self.inner.call(request);
                Either::Right(Box::pin(async move {
                    let replies = |body| Body::new(Replies { body, stop, stage: Stage::Open });
                    Ok(answer.await?.map(replies))
                }))
            }
        }
    }
}

/// What a caller sends until the server ends.
struct Requests {
    body: Body,
    stop: Stop,
}

impl http_body::Body for Requests {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        if self.stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(ApiError::Draining.into())));
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

/// What the server sends until it ends.
struct Replies {
    body: Body,
    stop: Stop,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
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
        let is_over = self.stop.as_mut().poll(context).is_ready();
        if self.stage == Stage::Open {
            let frame = Pin::new(&mut self.body).poll_frame(context);
            if frame.is_ready() || !is_over {
                self.stage = if is_over { Stage::Last } else { Stage::Open };
                return frame;
            }
        }
        if self.stage == Stage::Ended {
            return Poll::Ready(None);
        }
        self.stage = Stage::Ended;
        let mut trailers = HeaderMap::new();
        let told = Status::from(ApiError::Draining).add_header(&mut trailers);
        Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stage == Stage::Ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt as _, stream};
    use http_body::Body as _;
    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const METHOD: &str = "grpc.health.v1.Health/Watch";

    /// A body of these frames, silent after them.
    struct Silent<S>(S);

    impl<S> http_body::Body for Silent<S>
    where
        S: futures::Stream<Item = &'static [u8]> + Unpin,
    {
        type Data = bytes::Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
            self.0.poll_next_unpin(context).map(|data| data.map(|data| Ok(Frame::data(data.into()))))
        }
    }

    async fn frame(body: &mut Body) -> Option<Result<Frame<bytes::Bytes>, Status>> {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    }

    #[tokio::test]
    async fn a_stream_of_replies_ends_after_the_one_that_is_ready() {
        let stop = CancellationToken::new();
        let layer = DrainLayer::new([(METHOD, Stream::Replies)], stop.clone());
        let service = layer.layer(service_fn(|_: Request<Body>| async {
            let frames: [&[u8]; 3] = [b"before", b"ready", b"too late"];
            let frames = stream::iter(frames).chain(stream::pending());
            Ok::<_, Infallible>(Response::new(Body::new(Silent(frames))))
        }));
        let request = Request::builder().uri(format!("/{METHOD}")).body(Body::empty()).unwrap();
        let mut body = service.oneshot(request).await.unwrap().into_body();
        assert_eq!(frame(&mut body).await.unwrap().unwrap().into_data().unwrap(), "before");
        stop.cancel();
        assert_eq!(frame(&mut body).await.unwrap().unwrap().into_data().unwrap(), "ready");
        let trailers = frame(&mut body).await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(Status::from_header_map(&trailers).unwrap().code(), Code::Unavailable);
        assert!(frame(&mut body).await.is_none());
    }

    #[tokio::test]
    async fn a_stream_of_requests_is_read_until_the_server_ends() {
        let stop = CancellationToken::new();
        let layer = DrainLayer::new([(METHOD, Stream::Requests)], stop.clone());
        let service = layer.layer(service_fn(|request: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(request.into_body()))
        }));
        let frames: [&[u8]; 1] = [b"before"];
        let sent = Silent(stream::iter(frames).chain(stream::pending()));
        let request = Request::builder().uri(format!("/{METHOD}")).body(Body::new(sent)).unwrap();
        let mut body = service.oneshot(request).await.unwrap().into_body();
        assert_eq!(frame(&mut body).await.unwrap().unwrap().into_data().unwrap(), "before");
        stop.cancel();
        assert_eq!(frame(&mut body).await.unwrap().unwrap_err().code(), Code::Unavailable);
    }
}
