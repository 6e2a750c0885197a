//! Only gRPC with Protobuf is answered.
//!
//! tonic reads any request as if it were that, so a JSON text would come back as a message that cannot be
//! decoded. As gRPC wants it, another content type is HTTP's 415, with a status for those who read one.

use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::remainder::answered;
use crate::edge::ApiError;

const GRPC: &[u8] = b"application/grpc";
const GRPC_WEB: &[u8] = b"application/grpc-web";
const PROTOBUF: &[u8] = b"+proto";

/// Refuses calls with another content type.
#[derive(Clone, Copy, Default)]
pub(crate) struct ContentTypeLayer;

impl<S> Layer<S> for ContentTypeLayer {
    type Service = ContentTypeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ContentTypeService { inner }
    }
}

/// See [`ContentTypeLayer`].
#[derive(Clone)]
pub(crate) struct ContentTypeService<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for ContentTypeService<S>
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
        if is_grpc(request.headers()) {
            return Either::Left(self.inner.call(request));
        }
        let refusal = refusal(request.headers());
        Either::Right(answered(request.into_body(), refusal))
    }
}

/// Whether the type is `application/grpc` or `application/grpc+proto`, with parameters or without.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    after(GRPC, headers).is_some_and(is_protobuf)
}

/// Whether the type is `application/grpc-web` or any that begins so, of which not all are served.
pub(crate) fn is_grpc_web(headers: &HeaderMap) -> bool {
    after(GRPC_WEB, headers).is_some()
}

/// What follows `start` in the content type, if it begins so.
fn after<'a>(start: &[u8], headers: &'a HeaderMap) -> Option<&'a [u8]> {
    let found = headers.get(CONTENT_TYPE)?.as_bytes();
    let (beginning, rest) = found.split_at_checked(start.len())?;
    beginning.eq_ignore_ascii_case(start).then_some(rest)
}

/// Whether a type that has begun goes on as one of Protobuf, with parameters or without.
fn is_protobuf(rest: &[u8]) -> bool {
    let rest = rest.strip_prefix(PROTOBUF).unwrap_or(rest).trim_ascii_start();
    rest.is_empty() || rest.starts_with(b";")
}

fn refusal(headers: &HeaderMap) -> Response<Body> {
    let found = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let found = String::from_utf8_lossy(found).into_owned();
    let mut response = Status::from(ApiError::ContentType { found }).into_http();
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    async fn answer_to(content_type: Option<&str>) -> (StatusCode, Option<Code>) {
        let service = ContentTypeLayer.layer(service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        let mut request = Request::new(Body::empty());
        if let Some(content_type) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        let response = service.oneshot(request).await.unwrap();
        (response.status(), Status::from_header_map(response.headers()).map(|status| status.code()))
    }

    #[tokio::test]
    async fn grpc_with_protobuf_is_answered() {
        for accepted in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "application/grpc+proto ; charset=utf-8",
            "Application/gRPC",
        ] {
            assert_eq!(answer_to(Some(accepted)).await, (StatusCode::OK, None), "{accepted}");
        }
    }

    #[tokio::test]
    async fn another_content_type_is_415_with_a_status() {
        let refused = (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some(Code::InvalidArgument));
        for other in [
            "application/json",
            "application/grpc+json",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcs",
            "text/plain;application/grpc",
            "",
        ] {
            assert_eq!(answer_to(Some(other)).await, refused, "{other}");
        }
        assert_eq!(answer_to(None).await, refused);
    }
}
