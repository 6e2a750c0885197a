//! Calls of methods that there are not.
//!
//! tonic answers them with UNIMPLEMENTED and no word, so that a caller with a typing error, or one of a newer API,
//! learns neither what it asked for nor what there is.

use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::remainder::answered;
use super::{Methods, Refused};
use crate::edge::ApiError;
use crate::edge::shorten::quoted;

/// Refuses calls of other methods than these.
#[derive(Clone)]
pub(crate) struct UnknownMethodLayer {
    methods: Methods,
}

impl UnknownMethodLayer {
    /// For a server with these methods.
    pub(crate) fn new(methods: Methods) -> Self {
        Self { methods }
    }
}

impl<S> Layer<S> for UnknownMethodLayer {
    type Service = UnknownMethodService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        UnknownMethodService { inner, methods: self.methods.clone() }
    }
}

/// See [`UnknownMethodLayer`].
#[derive(Clone)]
pub(crate) struct UnknownMethodService<S> {
    inner: S,
    methods: Methods,
}

impl<S> Service<Request<Body>> for UnknownMethodService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if self.methods.of_path(path).is_some() {
            return Either::Left(self.inner.call(request));
        }
        let answer = Refused::answer(&request)
            .unwrap_or_else(|| Status::from(ApiError::UnknownMethod { path: quoted(path) }).into_http());
        Either::Right(answered(request.into_body(), answer))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::Code;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::edge::shorten::QUOTED_BYTES;

    async fn answer_to(path: &str) -> Option<Status> {
        let methods = ["marquee.v1.CatalogService/GetMovie"].into_iter().collect();
        let service = UnknownMethodLayer::new(methods).layer(service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        Status::from_header_map(service.oneshot(request).await.unwrap().headers())
    }

    #[tokio::test]
    async fn a_method_that_there_is_is_called() {
        assert!(answer_to("/marquee.v1.CatalogService/GetMovie").await.is_none());
    }

    #[tokio::test]
    async fn a_method_that_there_is_not_is_named_and_where_to_look() {
        for path in ["/marquee.v1.CatalogService/GetFilm", "/marquee.v2.CatalogService/GetMovie", "/"] {
            let status = answer_to(path).await.unwrap();
            assert_eq!(status.code(), Code::Unimplemented);
            assert!(status.message().contains(&format!("{path:?}")), "{status}");
            assert!(status.message().contains("ServerReflection"), "{status}");
            assert_eq!(status.get_details_error_info().unwrap().reason, "UNKNOWN_METHOD");
        }
    }

    #[tokio::test]
    async fn a_path_is_quoted_in_part_and_without_commands_for_a_terminal() {
        let hostile = format!("/\u{202e}{}", "x".repeat(10_000));
        let status = answer_to(&hostile).await.unwrap();
        assert!(status.message().len() < 2 * QUOTED_BYTES, "{status}");
        assert!(!status.message().contains(marquee_core::text::is_command), "{status}");
    }
}
