//! What remains of a request whose reply is known before it is read.
//!
//! A server that answers without reading tells its caller to send no more, over HTTP/2 by a reset. Some callers take
//! that for an error and lose the reply (curl up to 7.88 says "Error in the HTTP/2 framing layer"); over HTTP/1.1 the
//! connection is lost with it. So a small request is read to its end first. It is not kept, and not waited for long.

use std::time::Duration;

use futures::future::BoxFuture;
use http::Response;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tonic::body::Body;

/// Most bytes that are read: what a caller of HTTP/2 may send before it hears of the server.
const MOST_BYTES: usize = 64 << 10;

/// How long they are waited for.
const LONGEST: Duration = Duration::from_millis(250);

/// Reads what remains of a request, and says whether that was all of it.
pub(crate) async fn read_remainder(mut body: Body) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let reading = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
            if bytes > MOST_BYTES {
                return false;
            }
        }
        true
    };
    timeout(LONGEST, reading).await.unwrap_or(false)
}

/// The answer to a request that is not read.
pub(super) fn answered<E>(
    body: Body,
    answer: Response<Body>,
) -> BoxFuture<'static, Result<Response<Body>, E>> {
    Box::pin(async move {
        read_remainder(body).await;
        Ok(answer)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::time::Instant;
    use tonic::Status;

    use super::*;

    /// So many KiB, after which a request ends or does not.
    fn sent(kib: usize, ends: bool) -> Body {
        let pieces = (0..kib).map(|_| Ok::<_, Status>(Frame::data(Bytes::from_static(&[7; 1024]))));
        let pieces = stream::iter(pieces);
        if ends {
            Body::new(StreamBody::new(pieces))
        } else {
            Body::new(StreamBody::new(futures::StreamExt::chain(pieces, stream::pending())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_request_is_read_to_its_end() {
        assert!(read_remainder(Body::empty()).await);
        assert!(read_remainder(sent(64, true)).await);
        assert!(!read_remainder(sent(65, true)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_end_is_not_waited_for() {
        let began = Instant::now();
        assert!(!read_remainder(sent(1, false)).await);
        assert_eq!(began.elapsed(), LONGEST);
    }
}
