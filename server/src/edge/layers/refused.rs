//! Calls that were refused before they were any: what the gateway cannot read has no message to be called with.
//!
//! It goes through the layers nevertheless, in place of the call and with the status that it is refused with. So it
//! counts for its caller, in the metrics and in the log, as the same fault does in gRPC.

use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// With what a call is refused, in the extensions of its request. Nobody reads its body.
#[derive(Clone, Debug)]
pub(crate) struct Refused(pub(crate) Status);

impl Refused {
    /// The answer to a request that is refused; `None` where it is a call.
    pub(super) fn answer(request: &Request<Body>) -> Option<Response<Body>> {
        request.extensions().get().map(|Self(status)| status.clone().into_http())
    }
}

/// Answers calls that are refused already.
#[derive(Clone, Copy)]
pub(crate) struct RefusedLayer;

impl<S> Layer<S> for RefusedLayer {
    type Service = RefusedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RefusedService { inner }
    }
}

/// See [`RefusedLayer`].
#[derive(Clone)]
pub(crate) struct RefusedService<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for RefusedService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match Refused::answer(&request) {
            Some(answer) => Either::Right(ready(Ok(answer))),
            None => Either::Left(self.inner.call(request)),
        }
    }
}
