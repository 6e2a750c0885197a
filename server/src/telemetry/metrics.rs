//! The instruments of the edge, made once.
//!
//! What is recorded for every call has a handle of its own: to look labels up for every record, behind a lock that
//! all threads share, was a fifth of what a batch RPC cost on sixteen cores.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram, UpDownCounter};
use opentelemetry::trace::{TraceContextExt as _, TraceId};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::exemplars::Exemplars;

const SYSTEM: Label = Label::one_of("rpc.system.name", &Protocol::NAMES);
const METHOD: Label = Label::any("rpc.method", "the method as `package.Service/Method`, or `unknown`");
const STATUS_CODE: Label = Label::any("rpc.response.status_code", "the gRPC status code, such as `OK`");

metrics! {
    pub(super) METRICS;
    CALL_DURATION = Metric::histogram(
        "rpc.server.call.duration",
        "s",
        &[SYSTEM, METHOD, STATUS_CODE],
        "How long calls take, from their arrival to the end of the reply, and how they end",
    );
    CALLS_IN_FLIGHT = Metric::up_down_counter(
        "marquee.rpc.in_flight",
        "{call}",
        &[],
        "Calls and streams that have begun and not ended",
    );
}

/// By which protocol a call comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    #[default]
    Grpc,
    /// gRPC-web, binary or text.
    GrpcWeb,
    /// Connect: `/package.Service/Method` with JSON or Protobuf.
    Connect,
    /// REST: the paths of `google.api.http`.
    Http,
}

impl Protocol {
    /// The conventions have a name for the first and the third.
    const NAMES: [&str; 4] = ["grpc", "grpc_web", "connectrpc", "http"];

    /// The value of `rpc.system.name`.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Calls at the edge, by the RPC semantic conventions.
#[derive(Clone)]
pub struct RpcMetrics {
    duration: Histogram<f64>,
    /// Of the calls of a method that end well, by protocol; made when the first one has.
    ended_well: Arc<HashMap<&'static str, [OnceLock<BoundHistogram<f64>>; Protocol::NAMES.len()]>>,
    in_flight: UpDownCounter<i64>,
    /// Where calls are traced.
    exemplars: Option<Arc<Exemplars>>,
}

impl RpcMetrics {
    /// For these methods, each as `package.Service/Method`.
    pub fn of(methods: impl IntoIterator<Item = &'static str>) -> Self {
        let duration = CALL_DURATION.seconds();
        let ended_well = Arc::new(methods.into_iter().map(|method| (method, Default::default())).collect());
        let in_flight = CALLS_IN_FLIGHT.i64_up_down_counter();
        Self { duration, ended_well, in_flight, exemplars: None }
    }

    /// The same, which notes the traces of calls where there are such.
    #[must_use]
    pub(crate) fn noting(mut self, exemplars: Option<Arc<Exemplars>>) -> Self {
        self.exemplars = exemplars;
        self
    }

    /// The trace of a call of this span that is exported; `None` where none is.
    pub(crate) fn trace_of(&self, span: &Span) -> Option<TraceId> {
        self.exemplars.as_ref()?;
        let context = span.context();
        let context = context.span().span_context().clone();
        context.is_sampled().then(|| context.trace_id())
    }

    /// A call has begun.
    pub fn begin(&self) {
        self.in_flight.add(1, &[]);
    }

    /// A call has ended with this gRPC status code, and is in this trace. `method` is `package.Service/Method` of a method
    /// that exists, or `unknown`, so that the labels are bounded.
    pub fn end(
        &self,
        protocol: Protocol,
        method: &'static str,
        code: &'static str,
        duration: Duration,
        trace: Option<TraceId>,
    ) {
        self.in_flight.add(-1, &[]);
        if let (Some(exemplars), Some(trace)) = (&self.exemplars, trace) {
            exemplars.note((protocol.name(), method, code), duration, trace);
        }
        let labels = || labels(protocol, method, code);
        match self.ended_well.get(method).filter(|_| code == OK) {
            Some(by_protocol) => {
                let bound = by_protocol[protocol as usize].get_or_init(|| self.duration.bind(&labels()));
                bound.record(duration.as_secs_f64());
            }
            None => self.duration.record(duration.as_secs_f64(), &labels()),
        }
    }
}

const OK: &str = "OK";

fn labels(protocol: Protocol, method: &'static str, code: &'static str) -> [KeyValue; 3] {
    [SYSTEM.is(protocol.name()), METHOD.is(method), STATUS_CODE.is(code)]
}
