//! Statuses as callers shall see them, whoever made them.
//!
//! Most come from the one map in [`crate::edge`]. What tonic, health and reflection refuse by themselves does not,
//! and is known by having no details, which every refusal of our own has. Here it gets them: a message that is too
//! large is one thing, plain (tonic's OUT_OF_RANGE) or compressed (RESOURCE_EXHAUSTED), and bytes that are no
//! message are the caller's mistake and not INTERNAL. Flags of compression that the headers do not explain stay
//! INTERNAL: gRPC's specification wants it so (`compression.md`), and other servers do the same. And as a status travels in headers, which clients take only
//! up to a size, one that is longer than that is cut.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::edge::shorten::shorten;
use crate::edge::{ApiError, MAX_STATUS_BYTES, MESSAGE_BYTES};

const MESSAGE: &str = "grpc-message";
const DETAILS: &str = "grpc-status-details-bin";

/// How tonic's texts for bytes that are no message begin.
const NOT_DECODED: [&str; 4] = [
    "Error decompressing",
    "Unexpected EOF decoding stream",
    "Missing request message",
    "failed to decode Protobuf message",
];

/// Gives every status its form.
#[derive(Clone, Copy)]
pub(crate) struct StatusLayer {
    limit: usize,
}

impl StatusLayer {
    /// For messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit }
    }

    /// Puts headers or trailers right that hold a status.
    fn settle(self, headers: &mut HeaderMap) -> Result<(), Status> {
        let length = |name| headers.get(name).map_or(0, http::HeaderValue::len);
        let is_bare = length(DETAILS) == 0;
        let is_long = length(MESSAGE) + length(DETAILS) > MAX_STATUS_BYTES;
        if !is_bare && !is_long {
            return Ok(());
        }
        let code = headers.get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        let settled = if !is_bare {
            None
        } else if matches!(code, Code::OutOfRange | Code::ResourceExhausted) {
            Some(ApiError::MessageTooLarge { limit: self.limit }.into())
        } else if code == Code::Internal {
            undecodable(headers)
        } else {
            None
        };
        match settled.or_else(|| is_long.then(|| shortened(headers, code))) {
            Some(status) => {
                headers.remove(DETAILS);
                status.add_header(headers)
            }
            None => Ok(()),
        }
    }
}

/// The status for bytes that are no message, if it is one.
fn undecodable(headers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)?;
    let is_undecodable = NOT_DECODED.iter().any(|beginning| status.message().starts_with(beginning));
    is_undecodable.then(|| ApiError::Undecodable(status.message().to_owned()).into())
}

/// The code with as much of the message as may be sent. Details that are too long say less than none.
fn shortened(headers: &HeaderMap, code: Code) -> Status {
    let message = Status::from_header_map(headers).map(|status| status.message().to_owned());
    Status::new(code, shorten(&message.unwrap_or_default(), MESSAGE_BYTES))
}

impl<S> Layer<S> for StatusLayer {
    type Service = StatusService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StatusService { inner, layer: *self }
    }
}

/// See [`StatusLayer`].
#[derive(Clone)]
pub(crate) struct StatusService<S> {
    inner: S,
    layer: StatusLayer,
}

impl<S, B> Service<Request<B>> for StatusService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Replies>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Answer { inner: self.inner.call(request), layer: self.layer }
    }
}

pin_project! {
    /// The answer of a [`StatusService`].
    pub(crate) struct Answer<F> {
        #[pin]
        inner: F,
        layer: StatusLayer,
    }
}

impl<F: Future<Output = Result<Response<Body>, E>>, E> Future for Answer<F> {
    type Output = Result<Response<Replies>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let layer = *this.layer;
        let mut response = ready!(this.inner.poll(context))?;
        if let Err(status) = layer.settle(response.headers_mut()) {
            response = status.into_http();
        }
        Poll::Ready(Ok(response.map(|inner| Replies { inner, layer })))
    }
}

/// Replies whose status comes at their end.
pub(crate) struct Replies {
    inner: Body,
    layer: StatusLayer,
}

impl http_body::Body for Replies {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
            && let Err(status) = self.layer.settle(trailers)
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::StreamExt as _;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    fn settled(status: &Status) -> Status {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        StatusLayer::new(64).settle(&mut headers).unwrap();
        Status::from_header_map(&headers).unwrap()
    }

    fn reason_of(status: &Status) -> Option<String> {
        status.get_details_error_info().map(|info| info.reason)
    }

    #[test]
    fn bytes_that_are_no_message_are_the_callers_mistake() {
        for text in NOT_DECODED {
            let status = settled(&Status::internal(format!("{text}: why")));
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert_eq!(reason_of(&status).as_deref(), Some("UNDECODABLE_MESSAGE"));
            assert!(status.message().ends_with(": why"), "{status}");
        }
    }

    #[test]
    fn a_message_that_is_too_large_is_one_status() {
        for status in [Status::out_of_range("too long"), Status::resource_exhausted("size limit")] {
            let status = settled(&status);
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert_eq!(reason_of(&status).as_deref(), Some("MESSAGE_TOO_LARGE"));
        }
    }

    #[test]
    fn a_status_of_ours_stays_as_it_is() {
        let ours = Status::from(ApiError::UnknownMovie(7));
        let same = settled(&ours);
        assert_eq!(
            (same.code(), same.message(), same.details()),
            (ours.code(), ours.message(), ours.details())
        );
        assert_eq!(settled(&Status::internal("a mistake of ours")).code(), Code::Internal);
        assert_eq!(settled(&Status::ok("")).code(), Code::Ok);
    }

    #[test]
    fn a_long_status_is_cut_whoever_made_it() {
        let details = Bytes::from(vec![7; 9000]);
        for long in [
            Status::not_found("ä".repeat(5000)),
            Status::with_details(Code::NotFound, "no such symbol", details),
        ] {
            let mut headers = HeaderMap::new();
            settled(&long).add_header(&mut headers).unwrap();
            let size: usize = headers.values().map(http::HeaderValue::len).sum();
            assert!(size <= MAX_STATUS_BYTES, "{size}");
            assert_eq!(settled(&long).code(), Code::NotFound);
            assert!(!settled(&long).message().is_empty());
        }
    }

    #[tokio::test]
    async fn a_status_in_trailers_is_settled_as_one_in_headers() {
        let service = StatusLayer::new(64).layer(service_fn(|_: Request<()>| async {
            let mut trailers = HeaderMap::new();
            Status::out_of_range("x".repeat(9000)).add_header(&mut trailers).unwrap();
            let frames = futures::stream::iter([Ok::<_, Status>(Frame::<Bytes>::trailers(trailers))]);
            Ok::<_, Infallible>(Response::new(Body::new(http_body_util::StreamBody::new(frames))))
        }));
        let body = service.oneshot(Request::new(())).await.unwrap().into_body();
        let frames: Vec<_> = http_body_util::BodyStream::new(body).collect().await;
        let trailers = frames[0].as_ref().unwrap().trailers_ref().unwrap();
        assert_eq!(Status::from_header_map(trailers).unwrap().code(), Code::ResourceExhausted);
    }
}
