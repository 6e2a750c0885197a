//! Requests that come back when nobody reads them to their end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;

use crate::edge::layers::read_remainder;

/// What remains of one request, once it is given up.
pub(super) struct Remainder {
    given_up: oneshot::Receiver<Body>,
    version: Version,
}

/// The request, and what will remain of it.
pub(super) fn watched(request: Request<Body>) -> (Request<Body>, Remainder) {
    let (give_up, given_up) = oneshot::channel();
    let remainder = Remainder { given_up, version: request.version() };
    // Who asks first whether to send is told by the reply.
    let is_held_back = request.headers().contains_key(EXPECT);
    let watched = |body| Body::new(Watched { body, is_held_back, give_up: Some(give_up) });
    (request.map(watched), remainder)
}

impl Remainder {
    /// Reads it before the reply is sent. A connection of HTTP/1.1 on which more follows has no use afterwards.
    pub(super) async fn read_before(mut self, reply: &mut Response<Body>) {
        let Ok(body) = self.given_up.try_recv() else { return };
        if !read_remainder(body).await && self.version < Version::HTTP_2 {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

struct Watched {
    body: Body,
    /// Whether the caller sends nothing until it is asked to, and nobody has.
    is_held_back: bool,
    /// `None` when the body has ended.
    give_up: Option<oneshot::Sender<Body>>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_held_back = false;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.give_up = None;
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

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(give_up) = self.give_up.take()
            && !self.is_held_back
            && !self.body.is_end_stream()
        {
            // Nobody waits for it when the reply has been sent.
            _ = give_up.send(std::mem::take(&mut self.body));
        }
    }
}
