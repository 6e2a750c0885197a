//! A name for every call: the caller's `x-request-id`, or a new one, echoed in the reply. It stands in the log,
//! so it is text that can be read there.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service};

const HEADER: &str = "x-request-id";

/// The longest id that is taken over from a caller.
const MAX_BYTES: usize = 128;

/// The id of a call, in the request's extensions.
#[derive(Clone, Debug)]
pub struct RequestId(pub HeaderValue);

/// Gives every call a [`RequestId`].
#[derive(Clone, Copy, Default)]
pub struct RequestIdLayer;

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestIdService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestIdService { inner }
    }
}

/// See [`RequestIdLayer`].
#[derive(Clone)]
pub struct RequestIdService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for RequestIdService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = request
            .headers()
            .get(HEADER)
            .filter(|id| is_readable(id.as_bytes()))
            .cloned()
            .unwrap_or_else(new_id);
        request.extensions_mut().insert(RequestId(id.clone()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            response.headers_mut().insert(HEADER, id);
            Ok(response)
        })
    }
}

/// ASCII that can be shown, not too long.
fn is_readable(id: &[u8]) -> bool {
    (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn new_id() -> HeaderValue {
    let id = format!("{:032x}", rand::random::<u128>());
    HeaderValue::try_from(id).expect("hexadecimal digits are a valid header")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    async fn reply_to(id: Option<&str>) -> HeaderValue {
        let service = RequestIdLayer.layer(service_fn(|request: Request<()>| async move {
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
