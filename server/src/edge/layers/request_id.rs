//! A name for every call: the caller's `x-request-id`, or a new one, echoed in the reply. It stands in the log,
//! so it is text that can be read there.

use http::{HeaderValue, Request};
use tower::util::MapRequestLayer;
pub(crate) use tower_http::request_id::RequestId;
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, SetRequestIdLayer};

const HEADER: &str = "x-request-id";

/// The longest id that is taken over from a caller.
const MAX_BYTES: usize = 128;

/// Takes out ids that no log can show, gives every call without an id one, and echoes it.
type RequestIdLayer<B> =
    (MapRequestLayer<fn(Request<B>) -> Request<B>>, SetRequestIdLayer<RandomId>, PropagateRequestIdLayer);

/// Gives every call a [`RequestId`], in its extensions and in the headers of its reply.
pub(crate) fn request_id<B>() -> RequestIdLayer<B> {
    (
        MapRequestLayer::new(without_unreadable_id),
        SetRequestIdLayer::x_request_id(RandomId),
        PropagateRequestIdLayer::x_request_id(),
    )
}

/// 128 random bits.
#[derive(Clone, Copy)]
pub(crate) struct RandomId;

impl MakeRequestId for RandomId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = format!("{:032x}", rand::random::<u128>());
        HeaderValue::try_from(id).ok().map(RequestId::new)
    }
}

fn without_unreadable_id<B>(mut request: Request<B>) -> Request<B> {
    if request.headers().get(HEADER).is_some_and(|id| !is_readable(id.as_bytes())) {
        request.headers_mut().remove(HEADER);
    }
    request
}

/// ASCII that can be shown, not too long.
fn is_readable(id: &[u8]) -> bool {
    (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(|byte| (b' '..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;

    async fn reply_to(id: Option<&str>) -> HeaderValue {
        let service = request_id().layer(service_fn(|request: Request<()>| async move {
            assert!(request.extensions().get::<RequestId>().is_some());
            Ok::<_, Infallible>(Response::new(()))
        }));
        let mut request = Request::new(());
        if let Some(id) = id {
            request.headers_mut().insert(HEADER, HeaderValue::try_from(id).unwrap());
        }
        service.oneshot(request).await.unwrap().headers()[HEADER].clone()
    }

    #[tokio::test]
    async fn the_callers_id_comes_back() {
        assert_eq!(reply_to(Some("order-66")).await, "order-66");
    }

    #[tokio::test]
    async fn a_call_without_an_id_gets_one() {
        assert_eq!(reply_to(None).await.len(), 32);
        assert_ne!(reply_to(None).await, reply_to(None).await);
    }

    #[tokio::test]
    async fn an_id_that_is_too_long_is_replaced() {
        assert_eq!(reply_to(Some(&"x".repeat(129))).await.len(), 32);
    }

    #[tokio::test]
    async fn an_id_that_no_log_can_show_is_replaced() {
        for id in ["\t", "\u{9b}31m", "\u{202e}66-redro"] {
            assert_eq!(reply_to(Some(id)).await.len(), 32, "{id:?}");
        }
    }
}
