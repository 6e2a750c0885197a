//! How long a compressed message may be before it is unpacked.
//!
//! What it may unpack to has its own bound, but the time goes with what is read: blocks of twelve bytes that each
//! bring a table of codes and no text take some 65 ms of a core for each MiB. So a compressed message has at most
//! an eighth of what a plain one has, or 512 KiB where that is more, and its length is looked at as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::framing::Heads;
use crate::edge::ApiError;

const ENCODING: &str = "grpc-encoding";

/// Bytes of a compressed message that are taken whatever the share of a plain one is.
const ALWAYS_TAKEN: usize = 512 << 10;

/// The most bytes of a compressed message where a plain one has `limit` at most.
pub fn max_compressed_bytes(limit: usize) -> usize {
    limit.min(ALWAYS_TAKEN.max(limit / 8))
}

/// Refuses compressed messages that are too long.
#[derive(Clone, Copy)]
pub(crate) struct CompressedLayer {
    most: usize,
}

impl CompressedLayer {
    /// For plain messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { most: max_compressed_bytes(limit) }
    }
}

impl<S> Layer<S> for CompressedLayer {
    type Service = CompressedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CompressedService { inner, most: self.most }
    }
}

/// See [`CompressedLayer`].
#[derive(Clone)]
pub(crate) struct CompressedService<S> {
    inner: S,
    most: usize,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for CompressedService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !request.headers().contains_key(ENCODING) {
            return self.inner.call(request);
        }
        let prefixes = Prefixes::new(self.most);
        self.inner.call(request.map(|inner| Body::new(Watched { inner, prefixes })))
    }
}

/// A body whose messages are measured as they arrive.
struct Watched {
    inner: Body,
    prefixes: Prefixes,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(bytes) = frame.data_ref()
            && let Err(error) = self.prefixes.read(bytes)
        {
            return Poll::Ready(Some(Err(error.into())));
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

/// The lengths of compressed messages, held to a bound.
struct Prefixes {
    most: usize,
    heads: Heads,
}

impl Prefixes {
    fn new(most: usize) -> Self {
        Self { most, heads: Heads::default() }
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), ApiError> {
        while let Some(head) = self.heads.next(&mut bytes) {
            if head.is_compressed && head.length > self.most {
                return Err(ApiError::CompressedTooLarge { limit: self.most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(flag: u8, length: u32) -> Vec<u8> {
        [&[flag][..], &length.to_be_bytes(), &vec![7; length as usize]].concat()
    }

    /// Whether the bytes pass when they arrive in pieces of so many.
    fn passes(bytes: &[u8], piece: usize) -> bool {
        let mut prefixes = Prefixes::new(100);
        bytes.chunks(piece).all(|piece| prefixes.read(piece).is_ok())
    }

    #[test]
    fn a_compressed_message_that_is_too_long_is_seen_however_its_bytes_arrive() {
        let good = [message(1, 100), message(0, 101), message(1, 0)].concat();
        let bad = [good.clone(), message(1, 101)].concat();
        for piece in [1, 2, 3, 7, 106, 107, 1000] {
            assert!(passes(&good, piece), "{piece}");
            assert!(!passes(&bad, piece), "{piece}");
        }
    }

    #[test]
    fn a_refusal_needs_the_prefix_alone() {
        assert!(!passes(&[1, 0, 0, 0, 101], 5));
        assert!(passes(&[1, 0, 0, 0], 4));
    }

    #[test]
    fn the_bound_is_an_eighth_and_no_less_than_small_messages_have() {
        assert_eq!(max_compressed_bytes(4 << 20), 512 << 10);
        assert_eq!(max_compressed_bytes(64 << 20), 8 << 20);
        assert_eq!(max_compressed_bytes(64 << 10), 64 << 10);
    }
}
