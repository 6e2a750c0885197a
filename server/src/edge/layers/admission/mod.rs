//! Refuses what cannot be answered in time, before anything is done for it.
//!
//! The engine refuses jobs that it cannot do in time. But where an answer is cheap, most of the time goes
//! elsewhere: calls are read and decoded and wait for the runtime, all of them too late together, and the server
//! works for nobody. So a [`Gate`] stands before all other layers, and a call that it refuses costs some headers.
//! It has no span and no line of the log: to write them would cost more than to answer.
//!
//! hyper clones the service for every call as it decodes the headers, in the connection's own task; the call itself
//! begins when the runtime comes to it. So it is the clone that takes down when its call arrived.
//!
//! Only calls with one request and one reply are counted and refused: a stream lives long, and its messages meet
//! the engine.

mod capacity;
mod gate;
mod metrics;
mod refusals;
#[cfg(test)]
mod simulation;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::{Either, Ready, ready as at_once};
use http::{HeaderMap, Request, Response};
use marquee_engine::Priority;
use rustc_hash::FxHashMap;
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};

pub(crate) use self::metrics::METRICS;

use self::gate::{Arrived, Gate, Refusal, Ticket};
use self::refusals::{Refusals, retry_after};
use super::connection::read_since;
use super::timeout::timeout_of;
use crate::edge::ApiError;

/// What the layers behind know of a call, in the request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    arrived: Instant,
    /// `None` for a call that is not counted.
    ticket: Option<Arc<Ticket>>,
}

impl Admitted {
    /// When the call's headers could be read.
    pub(super) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// Nobody waits for the call's answer: it stands behind all calls that somebody waits for.
    ///
    /// # Errors
    /// [`ApiError`] when it would not be answered in time behind them.
    pub(crate) fn is_bulk(&self) -> Result<(), ApiError> {
        let Some(ticket) = &self.ticket else { return Ok(()) };
        ticket.is_bulk(Instant::now()).map_err(|refusal| match refusal {
            Refusal::Late => ApiError::DeadlinePassed,
            Refusal::Overloaded(expected) => ApiError::Overloaded { retry_after: retry_after(expected) },
        })
    }
}

/// Lets calls in, or refuses them.
#[derive(Clone)]
pub(crate) struct AdmissionLayer(Arc<Admission>);

struct Admission {
    gate: Arc<Gate>,
    refusals: Refusals,
    /// The methods that are counted, by path.
    methods: FxHashMap<String, Priority>,
}

impl AdmissionLayer {
    /// For these methods, each as `package.Service/Method`; the calls of others are all let in.
    pub(crate) fn new(methods: impl IntoIterator<Item = (&'static str, Priority)>) -> Self {
        let by_path = methods.into_iter().map(|(method, priority)| (format!("/{method}"), priority));
        let gate = Gate::new(Instant::now());
        metrics::observe(&gate);
        Self(Arc::new(Admission { gate, refusals: Refusals::new(), methods: by_path.collect() }))
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = AdmissionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AdmissionService { inner, admission: Arc::clone(&self.0), arrived: None }
    }
}

/// See [`AdmissionLayer`].
pub(crate) struct AdmissionService<S> {
    inner: S,
    admission: Arc<Admission>,
    /// When the call arrived for which this is a clone.
    arrived: Option<Instant>,
}

impl<S: Clone> Clone for AdmissionService<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), admission: Arc::clone(&self.admission), arrived: read_since() }
    }
}

impl<S, B> Service<Request<B>> for AdmissionService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Self::Response, Self::Error>>, Answer<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let now = Instant::now();
        let arrived = self.arrived.unwrap_or(now);
        let ticket = match self.admission.ticket_for(&request, now, arrived) {
            Ok(ticket) => ticket.map(Arc::new),
            Err(refusal) => return Either::Left(at_once(Ok(self.admission.refusals.answer(refusal)))),
        };
        request.extensions_mut().insert(Admitted { arrived, ticket: ticket.clone() });
        Either::Right(Answer { answer: self.inner.call(request), ticket })
    }
}

impl Admission {
    /// `None` for a call that is not counted.
    fn ticket_for<B>(
        &self,
        request: &Request<B>,
        now: Instant,
        at: Instant,
    ) -> Result<Option<Ticket>, Refusal> {
        let Some(priority) = self.methods.get(request.uri().path()).copied() else { return Ok(None) };
        // One that cannot be read is refused by the layer that says so.
        let timeout: Option<Duration> = timeout_of(request.headers()).ok().flatten();
        self.gate.enter(now, Arrived { at, timeout, priority }).map(Some)
    }
}

/// The answer to a call, which is in flight until it is there.
pub(crate) struct Answer<F> {
    answer: F,
    ticket: Option<Arc<Ticket>>,
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        if let (Some(ticket), Ok(answer)) = (self.ticket.take(), &answer) {
            match code_of(answer.headers()) {
                Some(Code::DeadlineExceeded) => ticket.in_vain(Instant::now()),
                // A refusal for another reason says nothing of what the server can do.
                Some(Code::ResourceExhausted) => {}
                _ => ticket.answered(Instant::now()),
            }
        }
        Poll::Ready(answer)
    }
}

/// The status of an answer without a message.
fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::FutureExt as _;
    use tonic::Status;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const RECOMMEND: &str = "marquee.v1.RecommendationService/Recommend";
    const STATS: &str = "marquee.v1.OperationsService/GetStats";
    const MS: Duration = Duration::from_millis(1);

    fn layer() -> AdmissionLayer {
        AdmissionLayer::new([(RECOMMEND, Priority::Interactive)])
    }

    fn request(method: &str, timeout: &str) -> Request<()> {
        Request::builder().uri(format!("/{method}")).header("grpc-timeout", timeout).body(()).unwrap()
    }

    /// How a call ends for which the service was cloned `waited` ago.
    async fn code_after(layer: &AdmissionLayer, waited: Duration, request: Request<()>) -> Option<Code> {
        let service = layer.layer(service_fn(|_: Request<()>| {
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        }));
        let service = AdmissionService { arrived: Some(Instant::now() - waited), ..service };
        let response = service.oneshot(request).await.unwrap();
        Status::from_header_map(response.headers()).map(|status| status.code())
    }

    #[tokio::test]
    async fn a_call_that_comes_too_late_is_not_begun() {
        let layer = layer();
        assert_eq!(code_after(&layer, 10 * MS, request(RECOMMEND, "5S")).await, None);
        let late = code_after(&layer, 60 * MS, request(RECOMMEND, "50m")).await;
        assert_eq!(late, Some(Code::DeadlineExceeded));
    }

    #[tokio::test]
    async fn what_looks_after_the_server_is_never_refused() {
        assert_eq!(code_after(&layer(), 60 * MS, request(STATS, "50m")).await, None);
    }

    #[tokio::test]
    async fn a_call_is_in_flight_until_its_answer_begins() {
        let layer = layer();
        let gate = Arc::clone(&layer.0.gate);
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        let answered = answered.shared();
        let service = layer.layer(service_fn(move |_: Request<()>| {
            let answered = answered.clone();
            Box::pin(async move {
                answered.await.unwrap();
                Ok::<_, Infallible>(Response::new(Body::empty()))
            })
        }));
        let call = tokio::spawn(service.oneshot(request(RECOMMEND, "5S")));
        while gate.calls(Priority::Interactive) == 0 {
            tokio::task::yield_now().await;
        }
        answer.send(()).unwrap();
        call.await.unwrap().unwrap();
        assert_eq!(gate.calls(Priority::Interactive), 0);
    }

    #[tokio::test]
    async fn a_call_that_its_caller_leaves_is_in_flight_no_longer() {
        let layer = layer();
        let gate = Arc::clone(&layer.0.gate);
        let mut service = layer
            .layer(service_fn(|_: Request<()>| std::future::pending::<Result<Response<Body>, Infallible>>()));
        let call = service.call(request(RECOMMEND, "5S"));
        assert_eq!(gate.calls(Priority::Interactive), 1);
        drop(call);
        assert_eq!(gate.calls(Priority::Interactive), 0);
    }

    /// What the gate knows after so many calls that end like this at a busy server.
    async fn capacity_after(status: Option<Status>) -> Option<f64> {
        let layer = layer();
        let service = layer.layer(service_fn(move |_: Request<()>| {
            let answer = status.clone().map_or_else(|| Response::new(Body::empty()), Status::into_http);
            Box::pin(async move {
                tokio::time::sleep(20 * MS).await;
                Ok::<_, Infallible>(answer)
            })
        }));
        for _ in 0..3 {
            let calls = (0..64).map(|_| service.clone().oneshot(request(RECOMMEND, "5S")));
            assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
        }
        layer.0.gate.capacity()
    }

    #[tokio::test(start_paused = true)]
    async fn answers_show_what_the_server_can_do_and_refusals_do_not() {
        assert!(capacity_after(None).await.is_some());
        assert!(capacity_after(Some(Status::not_found("no such movie"))).await.is_some());
        assert!(capacity_after(Some(Status::resource_exhausted("called too often"))).await.is_none());
        assert!(capacity_after(Some(Status::deadline_exceeded("too late"))).await.is_none());
    }
}
