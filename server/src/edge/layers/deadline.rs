//! By when an answer is wanted: `grpc-timeout` becomes one point in time for all stages, counted from the call's
//! arrival.
//!
//! tonic has a timer of its own that answers CANCELLED; it polls the inner service first, so racing
//! the deadline here makes the answer DEADLINE_EXCEEDED, as callers expect.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::Admitted;
use crate::edge::ApiError;

const HEADER: &str = "grpc-timeout";

/// The moment after which nobody waits for the answer, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

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

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let began = request.extensions().get::<Admitted>().map_or_else(Instant::now, Admitted::arrived);
        let deadline = match timeout_of(request.headers()) {
            Ok(timeout) => timeout.map(|timeout| began + timeout),
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
        };
        let Some(deadline) = deadline else { return Box::pin(self.inner.call(request)) };
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

/// The time that the caller gives; `None` when it names none.
///
/// # Errors
/// INVALID_ARGUMENT when it cannot be read.
pub(super) fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let timeout = value.to_str().ok().and_then(parse_grpc_timeout);
    timeout.map(Some).ok_or_else(|| {
        Status::invalid_argument("grpc-timeout must be 1 to 8 digits and a unit of H, M, S, m, u or n")
    })
}

/// The span of a `grpc-timeout` header: 1 to 8 digits and a unit.
///
/// ```
/// use std::time::Duration;
/// use marquee_server::edge::layers::parse_grpc_timeout;
///
/// assert_eq!(parse_grpc_timeout("250m"), Some(Duration::from_millis(250)));
/// assert_eq!(parse_grpc_timeout("1.5S"), None);
/// ```
pub fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    async fn answer_after(work: Duration, timeout: &'static str) -> Option<Code> {
        let service = DeadlineLayer.layer(service_fn(move |_: Request<()>| async move {
            tokio::time::sleep(work).await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        let request = Request::builder().header(HEADER, timeout).body(()).unwrap();
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
            let request = Request::builder().header(HEADER, timeout).body(()).unwrap();
            let service = DeadlineLayer.layer(service_fn(|_: Request<()>| async {
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }));
            let response = service.oneshot(request).await.unwrap();
            let code = Status::from_header_map(response.headers()).map(|status| status.code());
            assert_eq!(code, Some(Code::InvalidArgument), "{timeout:?}");
        }
    }
}
