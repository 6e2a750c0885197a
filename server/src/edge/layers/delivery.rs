//! Carries the replies of a stream to their reader, and gives up one that does not read.
//!
//! HTTP/2 asks a stream for more only when its reader has room. One that takes nothing would keep the stream's
//! place, its position and the connection for as long as it likes, and neither deadline nor the server's end
//! would reach a stream that is not asked. So a task asks in the reader's place, one frame ahead. A frame that
//! waits for too long ends the stream inside, and what remains for the reader is that frame and the status.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

/// In the extensions of a response: its body is a stream that is to be carried.
#[derive(Clone)]
pub(super) struct Delivery {
    /// How long a frame may wait for its reader.
    pub(super) timeout: Duration,
    /// When it waits no longer in any case.
    pub(super) deadline: Option<Instant>,
    /// Tells the stream that nobody reads it. It ends with a status then.
    pub(super) stalled: CancellationToken,
}

type Carried = Result<Frame<Bytes>, Status>;

/// Whether the response's body is to be carried.
pub(super) fn is_carried<B>(response: &Response<B>) -> bool {
    response.extensions().get::<Delivery>().is_some()
}

/// The response, its body carried if it has a [`Delivery`].
pub(super) fn deliver(mut response: Response<Body>) -> Response<Body> {
    match response.extensions_mut().remove::<Delivery>() {
        None => response,
        Some(delivery) => response.map(|body| {
            // One place for a frame, and one for the end.
            let (frames, taken) = mpsc::channel(2);
            tokio::spawn(delivery.carry(body, frames));
            Body::new(Taken(taken))
        }),
    }
}

impl Delivery {
    async fn carry(self, mut body: Body, frames: mpsc::Sender<Carried>) {
        let Ok(end) = frames.clone().try_reserve_owned() else { return };
        loop {
            let next = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let frame = tokio::select! {
                frame = next => frame,
                () = frames.closed() => None,
            };
            let Some(frame) = frame else { return };
            if frame.as_ref().map_or(true, Frame::is_trailers) {
                end.send(frame);
                return;
            }
            match tokio::time::timeout_at(self.until(), frames.reserve()).await {
                Ok(Ok(place)) => place.send(frame),
                Ok(Err(_)) => return,
                Err(_) => self.stalled.cancel(),
            }
        }
    }

    /// When a frame of now has waited for too long.
    fn until(&self) -> Instant {
        let patience = Instant::now() + self.timeout;
        self.deadline.map_or(patience, |deadline| deadline.min(patience))
    }
}

/// What the reader takes.
struct Taken(mpsc::Receiver<Carried>);

impl http_body::Body for Taken {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Carried>> {
        self.0.poll_recv(context)
    }
}
