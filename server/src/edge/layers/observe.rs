//! One span, one measured duration and, where [`CallLog`] wants it, one line of the log for every call, whatever
//! becomes of it.
//!
//! A gRPC status stands in the trailers of a reply, or in its headers when there is no message, so
//! the duration is recorded when the body ends; a body that is dropped before counts as CANCELLED. So a stream
//! that is carried to its reader ends here when it is given up, and not when its reader has heard of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use marquee_proto::{code_name, v1};
use opentelemetry::global;
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TraceId;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::call_log::{CallLog, Ended, Failures};
use super::caller::Caller;
use super::delivery::{deliver, is_carried};
use super::unread::Reply;
use super::{ConnectionInfo, Methods, RequestId};
use crate::edge::slow_calls::{SlowCall, SlowCalls};
use crate::telemetry::{Protocol, RpcMetrics};

/// The label of all methods that do not exist.
const UNKNOWN: &str = "unknown";

/// Observes every call. Knows the methods that exist, so that labels stay bounded.
#[derive(Clone)]
pub(crate) struct ObserveLayer(Arc<Observer>);

struct Observer {
    metrics: RpcMetrics,
    methods: Methods,
    log: CallLog,
    failures: Failures,
    slow: Arc<SlowCalls>,
}

impl ObserveLayer {
    /// For these methods; all others are labelled `unknown`.
    pub(crate) fn new(metrics: RpcMetrics, methods: Methods, log: CallLog, slow: Arc<SlowCalls>) -> Self {
        let failures = Failures::of(methods.names().chain([UNKNOWN]));
        Self(Arc::new(Observer { metrics, methods, log, failures, slow }))
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = ObserveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveService { inner, layer: self.clone() }
    }
}

/// See [`ObserveLayer`].
#[derive(Clone)]
pub(crate) struct ObserveService<S> {
    inner: S,
    layer: ObserveLayer,
}

impl<S, B, R> Service<Request<B>> for ObserveService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let observer = Arc::clone(&self.layer.0);
        let method = observer.methods.of_path(request.uri().path()).unwrap_or(UNKNOWN);
        let protocol = request.extensions().get().copied().unwrap_or_default();
        let span = span_of(protocol, method, &request);
        let trace = observer.metrics.trace_of(&span);
        observer.metrics.begin();
        let connection = request.extensions().get::<ConnectionInfo>().cloned();
        let mut call = Call {
            protocol,
            method,
            request_id: request.extensions().get::<RequestId>().map(|id| id.header_value().clone()),
            caller: Caller::of(&request),
            _open: connection.as_ref().map(ConnectionInfo::call),
            unread: None,
            began: Instant::now(),
            trace,
            observer,
            status: None,
            timings: None,
        };
        let answer = self.inner.call(request).instrument(span.clone());
        Box::pin(async move {
            let response = answer.await?;
            call.status = Status::from_header_map(response.headers());
            call.caller.becomes(response.extensions().get());
            call.timings = response.extensions().get().copied();
            if !is_carried(&response) && !response.body().is_end_stream() {
                call.unread = connection.map(|connection| Reply::on(connection.unread()));
            }
            Ok(deliver(response.map(|inner| Body::new(ObservedBody { inner, call, span }))))
        })
    }
}

/// The span of a call. Lines of the log are written within it and carry its fields, so these are known from the
/// start; what a call comes to is for the exporter alone.
fn span_of<B>(protocol: Protocol, method: &'static str, request: &Request<B>) -> Span {
    let request_id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    let span = tracing::info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        rpc.system.name = protocol.name(),
        rpc.method = method,
        request_id,
    );
    let headers = Headers(request.headers());
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    if let Err(error) = span.set_parent(parent) {
        tracing::trace!(%error, "trace context not set: no trace exporter");
    }
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// A call whose end is recorded when it is dropped.
struct Call {
    protocol: Protocol,
    method: &'static str,
    request_id: Option<HeaderValue>,
    caller: Caller,
    /// Keeps the connection.
    _open: Option<TaskTrackerToken>,
    /// The reply while it waits for its reader; none for those that are carried.
    unread: Option<Reply>,
    began: Instant,
    /// Where traces are exported.
    trace: Option<TraceId>,
    observer: Arc<Observer>,
    status: Option<Status>,
    /// Where the time went, as the handler says.
    timings: Option<v1::Timings>,
}

impl Call {
    fn code(&self) -> Code {
        self.status.as_ref().map_or(Code::Cancelled, Status::code)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        let Observer { metrics, log, failures, slow, .. } = &*self.observer;
        metrics.end(self.protocol, self.method, code_name(self.code()), duration, self.trace);
        let ended = Ended {
            protocol: self.protocol,
            method: self.method,
            request_id: self.request_id.as_ref(),
            caller: &self.caller,
            duration,
            status: self.status.as_ref(),
        };
        slow.note(self.method, duration, || SlowCall {
            code: code_name(self.code()),
            request_id: ended.request_id().unwrap_or_default().to_owned(),
            caller: self.caller.to_string(),
            timings: self.timings,
        });
        log.write(&ended, failures);
    }
}

struct ObservedBody<R> {
    inner: R,
    call: Call,
    span: Span,
}

impl<R> Drop for ObservedBody<R> {
    fn drop(&mut self) {
        self.span.set_attribute("rpc.response.status_code", code_name(self.call.code()));
    }
}

impl<R: http_body::Body<Data = Bytes, Error = Status> + Unpin> http_body::Body for ObservedBody<R> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
                    self.call.status = Some(status);
                }
            }
            Some(Err(error)) => self.call.status = Some(Status::internal(error.to_string())),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;
    use std::sync::Mutex;
    use std::time::Duration;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
    use tower::{ServiceBuilder, ServiceExt as _, service_fn};
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    use super::*;
    use crate::edge::ApiError;
    use crate::edge::layers::request_id;
    use crate::telemetry::Exemplars;

    const METHOD: &str = "marquee.v1.CatalogService/GetMovie";
    const FAILED_ONLY: CallLog = CallLog { slow: Duration::MAX, one_in: 0 };

    /// What is written while it lives.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of the log of a call that ends with this status.
    async fn lines_of(status: Status, log: CallLog) -> Vec<serde_json::Value> {
        lines_of_calls(1, status, log).await
    }

    /// The lines of the log of so many calls that end with this status.
    async fn lines_of_calls(calls: usize, status: Status, log: CallLog) -> Vec<serde_json::Value> {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone());
        let _here = tracing_subscriber::registry().with(lines.with_filter(LevelFilter::INFO)).set_default();
        let service = ServiceBuilder::new()
            .layer(request_id())
            .layer(ObserveLayer::new(
                RpcMetrics::of([METHOD]),
                [METHOD].into_iter().collect(),
                log,
                Arc::default(),
            ))
            .service(service_fn(move |_: Request<()>| {
                let answer = status.clone().into_http::<Body>();
                async { Ok::<_, Infallible>(answer) }
            }));
        for _ in 0..calls {
            let request = Request::builder().uri(format!("/{METHOD}")).header("x-request-id", "order-66");
            let request = request.header("x-api-key", "secret").extension(Protocol::GrpcWeb);
            drop(service.clone().oneshot(request.body(()).unwrap()).await.unwrap());
        }
        let written = written.0.lock().unwrap();
        written.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    #[tokio::test]
    async fn a_call_that_failed_has_one_line_of_the_log() {
        let lines = lines_of(Status::from(ApiError::UnknownMovie(7)), FAILED_ONLY).await;
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let fields = &line["fields"];
        assert_eq!(line["level"], "INFO");
        assert_eq!(fields["request_id"], "order-66");
        assert_eq!(fields["protocol"], "grpc_web");
        assert_eq!(fields["method"], METHOD);
        assert_eq!(fields["code"], "NOT_FOUND");
        assert_eq!(fields["reason"], "UNKNOWN_MOVIE");
        assert!(fields["duration_us"].is_u64(), "{line}");
        let caller = fields["caller"].as_str().unwrap();
        assert!(caller.starts_with("key-") && !caller.contains("secret"), "{caller}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_calls_that_fail_alike_has_a_few_lines() {
        let lines = lines_of_calls(1_000, Status::from(ApiError::ReceiveBufferFull), FAILED_ONLY).await;
        assert_eq!(lines.len(), 11);
        assert!(lines[10]["fields"]["message"].as_str().unwrap().starts_with("more calls failed like this"));
    }

    #[tokio::test]
    async fn what_the_server_could_not_do_is_a_warning() {
        let lines = lines_of(Status::from(ApiError::Draining), FAILED_ONLY).await;
        assert_eq!((lines.len(), &lines[0]["level"]), (1, &"WARN".into()));
    }

    #[tokio::test]
    async fn a_call_that_ended_well_has_a_line_where_the_settings_say_so() {
        let lines = async |log| lines_of(Status::ok(""), log).await.len();
        assert_eq!(lines(FAILED_ONLY).await, 0);
        assert_eq!(lines(CallLog { slow: Duration::ZERO, ..FAILED_ONLY }).await, 1);
        assert_eq!(lines(CallLog { one_in: 1, ..FAILED_ONLY }).await, 1);
    }

    #[tokio::test]
    async fn the_span_says_whose_call_it_was_and_what_came_of_it_and_its_trace_is_noted() {
        let exported = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exported.clone()).build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let _here = tracing_subscriber::registry().with(spans).set_default();

        let exemplars = Arc::<Exemplars>::default();
        let metrics = RpcMetrics::of([METHOD]).noting(Some(Arc::clone(&exemplars)));
        let methods = [METHOD].into_iter().collect();
        let service = ServiceBuilder::new()
            .layer(request_id())
            .layer(ObserveLayer::new(metrics, methods, FAILED_ONLY, Arc::default()))
            .service(service_fn(|_: Request<()>| async {
                Ok::<_, Infallible>(Status::not_found("no such movie").into_http::<Body>())
            }));
        let request = Request::builder().uri(format!("/{METHOD}")).header("x-request-id", "order-66");
        drop(service.oneshot(request.body(()).unwrap()).await.unwrap());

        let spans = exported.get_finished_spans().unwrap();
        let said = |key| {
            let mut attributes = spans[0].attributes.iter();
            attributes.find(|attribute| attribute.key.as_str() == key).map(|found| found.value.to_string())
        };
        assert_eq!(said("request_id").as_deref(), Some("order-66"));
        assert_eq!(said("rpc.system.name").as_deref(), Some("grpc"));
        assert_eq!(said("rpc.method").as_deref(), Some(METHOD));
        assert_eq!(said("rpc.response.status_code").as_deref(), Some("NOT_FOUND"));
        let trace = spans[0].span_context.trace_id();
        assert_eq!(exemplars.traces(), [(("grpc", METHOD, "NOT_FOUND"), trace)]);
    }
}
