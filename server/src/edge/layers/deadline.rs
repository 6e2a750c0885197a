//! By when an answer is wanted: `grpc-timeout` becomes one point in time for all stages, counted from the call's
//! arrival.
//!
//! tonic has a timer of its own that answers CANCELLED; it polls the inner service first, so racing
//! the deadline here makes the answer DEADLINE_EXCEEDED, as callers expect.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::Admitted;
use super::remainder::answered;
use super::timeout::timeout_of;
use crate::edge::ApiError;

/// The moment after which nobody waits for the answer, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

/// Reads the deadline of every call and holds its answer to it.
#[derive(Clone, Copy, Default)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner }
    }
}

/// See [`DeadlineLayer`].
#[derive(Clone)]
pub struct DeadlineService<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for DeadlineService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let began = request.extensions().get::<Admitted>().map_or_else(Instant::now, Admitted::arrived);
        let deadline = match timeout_of(request.headers()) {
            Ok(timeout) => timeout.map(|timeout| began + timeout),
            Err(error) => return answered(request.into_body(), Status::from(error).into_http()),
        };
        let Some(deadline) = deadline else { return Box::pin(self.inner.call(request)) };
        if deadline <= Instant::now() {
            return answered(request.into_body(), Status::from(ApiError::DeadlinePassed).into_http());
        }
        request.extensions_mut().insert(Deadline(deadline));
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(Status::from(ApiError::DeadlinePassed).into_http()),
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

    async fn answer_after(work: Duration, timeout: &'static str) -> Option<Code> {
        let service = DeadlineLayer.layer(service_fn(move |_: Request<Body>| async move {
            tokio::time::sleep(work).await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        let request = Request::builder().header("grpc-timeout", timeout).body(Body::empty()).unwrap();
        let response = service.oneshot(request).await.unwrap();
        Status::from_header_map(response.headers()).map(|status| status.code())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_after_the_deadline_is_deadline_exceeded() {
        let late = answer_after(Duration::from_millis(251), "250m").await;
        assert_eq!(late, Some(Code::DeadlineExceeded));
        let in_time = answer_after(Duration::from_millis(249), "250m").await;
        assert_eq!(in_time, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_that_cannot_be_read_is_an_invalid_argument() {
        for timeout in ["", "m", "1", "123456789S", "1x", "-1S", "1 S", "١S"] {
            let request = Request::builder().header("grpc-timeout", timeout).body(Body::empty()).unwrap();
            let service = DeadlineLayer.layer(service_fn(|_: Request<Body>| async {
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }));
            let response = service.oneshot(request).await.unwrap();
            let status = Status::from_header_map(response.headers()).unwrap();
            assert_eq!(status.code(), Code::InvalidArgument, "{timeout:?}");
            assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_TIMEOUT");
        }
    }
}
