//! One refusal for messages that are too large.
//!
//! tonic refuses them, before they are read or while they are unpacked: a plain one with OUT_OF_RANGE, a
//! compressed one with RESOURCE_EXHAUSTED. Both mean the same, and become the same status here. They are known
//! by having no details, which every refusal of our own has.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::api::ApiError;

/// Says of a message that is too large how large it may be.
#[derive(Clone, Copy)]
pub struct MessageLimitLayer {
    limit: usize,
}

impl MessageLimitLayer {
    /// For messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }

    /// Puts the one status into headers or trailers that hold one of tonic's.
    fn rewrite(self, headers: &mut HeaderMap) -> Result<(), Status> {
        if !is_too_large(headers) {
            return Ok(());
        }
        Status::from(ApiError::MessageTooLarge { limit: self.limit }).add_header(headers)
    }
}

fn is_too_large(headers: &HeaderMap) -> bool {
    let code = headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    matches!(code, Some(Code::OutOfRange | Code::ResourceExhausted))
        && !headers.contains_key("grpc-status-details-bin")
}

impl<S> Layer<S> for MessageLimitLayer {
    type Service = MessageLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MessageLimitService { inner, layer: *self }
    }
}

/// See [`MessageLimitLayer`].
#[derive(Clone)]
pub struct MessageLimitService<S> {
    inner: S,
    layer: MessageLimitLayer,
}

impl<S, B> Service<Request<B>> for MessageLimitService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let layer = self.layer;
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            Ok(match layer.rewrite(response.headers_mut()) {
                Ok(()) => response.map(|inner| Body::new(Replies { inner, layer })),
                Err(status) => status.into_http(),
            })
        })
    }
}

/// Replies whose status comes at their end.
struct Replies {
    inner: Body,
    layer: MessageLimitLayer,
}

impl http_body::Body for Replies {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
            && let Err(status) = self.layer.rewrite(trailers)
        {
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
