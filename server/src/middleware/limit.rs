//! Refuses calls of a caller who calls too often, before any work is done for them.
//!
//! Health and reflection are not limited. A stream counts as one call, whatever it carries.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::Methods;
use super::caller::Caller;
use crate::api::ApiError;
use crate::limit::Limiter;

/// How the methods of the API begin.
const LIMITED: &str = "marquee.";

/// Limits every method of the API.
#[derive(Clone)]
pub struct LimitLayer {
    limiter: Arc<Limiter>,
    methods: Methods,
}

impl LimitLayer {
    /// For those of these methods that are the API's own.
    pub fn new(limiter: Limiter, methods: Methods) -> Self {
        Self { limiter: Arc::new(limiter), methods }
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
pub struct LimitService<S> {
    inner: S,
    layer: LimitLayer,
}

impl<S, B> Service<Request<B>> for LimitService<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = self.layer.methods.of_path(request.uri().path());
        let Some(method) = method.filter(|method| method.starts_with(LIMITED)) else {
            return Box::pin(self.inner.call(request));
        };
        let limiter = Arc::clone(&self.layer.limiter);
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            match limiter.take(&Caller::of(&request).to_string(), method).await {
                Ok(()) => ready.call(request).await,
                Err(retry_after) => {
                    Ok(Status::from(ApiError::CalledTooOften { method, retry_after }).into_http())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use tonic::Code;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const METHOD: &str = "marquee.v1.CatalogService/GetMovie";
    const HEALTH: &str = "grpc.health.v1.Health/Check";

    async fn call(layer: &LimitLayer, path: &str, key: Option<&str>) -> Option<Status> {
        let service = layer
            .layer(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Body::empty())) }));
        let mut request = Request::builder().uri(path);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
        Status::from_header_map(response.headers())
    }

    fn layer() -> LimitLayer {
        LimitLayer::new(Limiter::new("2/m".parse().unwrap(), None), [METHOD, HEALTH].into_iter().collect())
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
    async fn each_key_has_its_own_rate() {
        let (layer, path) = (layer(), format!("/{METHOD}"));
        for _ in 0..2 {
            assert!(call(&layer, &path, Some("red")).await.is_none());
        }
        assert!(call(&layer, &path, Some("red")).await.is_some());
        assert!(call(&layer, &path, Some("blue")).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn other_methods_are_not_limited() {
        let layer = layer();
        for _ in 0..10 {
            assert!(call(&layer, &format!("/{HEALTH}"), None).await.is_none());
        }
    }
}
