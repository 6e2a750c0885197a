//! The instruments of the edge and of the stages, made once.
//!
//! What is recorded for every call has a handle of its own: to look labels up for every record, behind a lock that
//! all threads share, was a fifth of what a batch RPC cost on sixteen cores.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use marquee_core::meters::LATENCY_BUCKETS_SECONDS;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Histogram, UpDownCounter};
use opentelemetry::{KeyValue, global};

fn seconds(name: &'static str, description: &'static str) -> Histogram<f64> {
    global::meter("marquee")
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(LATENCY_BUCKETS_SECONDS.to_vec())
        .build()
}

/// Calls at the edge, by the RPC semantic conventions.
#[derive(Clone)]
pub struct RpcMetrics {
    duration: Histogram<f64>,
    /// Of the calls of a method that end well.
    ended_well: Arc<HashMap<&'static str, BoundHistogram<f64>>>,
    in_flight: UpDownCounter<i64>,
}

impl RpcMetrics {
    /// For these methods, each as `package.Service/Method`.
    pub fn of(methods: impl IntoIterator<Item = &'static str>) -> Self {
        let in_flight = global::meter("marquee")
            .i64_up_down_counter("marquee.rpc.in_flight")
            .with_description("Calls that have begun and not ended")
            .build();
        let duration = seconds("rpc.server.call.duration", "From a call's arrival to the end of its reply");
        let bound = |method| (method, duration.bind(&labels(method, OK)));
        let ended_well = Arc::new(methods.into_iter().map(bound).collect());
        Self { duration, ended_well, in_flight }
    }

    /// A call has begun.
    pub fn begin(&self) {
        self.in_flight.add(1, &[]);
    }

    /// A call has ended with this gRPC status code. `method` is `package.Service/Method` of a method
    /// that exists, or `unknown`, so that the labels are bounded.
    pub fn end(&self, method: &'static str, code: &'static str, duration: Duration) {
        self.in_flight.add(-1, &[]);
        match self.ended_well.get(method).filter(|_| code == OK) {
            Some(bound) => bound.record(duration.as_secs_f64()),
            None => self.duration.record(duration.as_secs_f64(), &labels(method, code)),
        }
    }
}

const OK: &str = "OK";

fn labels(method: &'static str, code: &'static str) -> [KeyValue; 3] {
    [
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", method),
        KeyValue::new("rpc.response.status_code", code),
    ]
}

/// Where the time of recommendations goes, and where they come from.
#[derive(Clone)]
pub struct StageMetrics {
    durations: Arc<[BoundHistogram<f64>]>,
    vectors_found: BoundCounter<u64>,
    vectors_missed: BoundCounter<u64>,
    answers: Arc<HashMap<&'static str, BoundCounter<u64>>>,
}

impl StageMetrics {
    /// For the stages and the sources of a recommendation, by the names that they are labelled with.
    pub fn of(
        stages: impl IntoIterator<Item = &'static str>,
        sources: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let meter = global::meter("marquee");
        let duration = seconds("marquee.recommend.stage.duration", "Time of one stage of a recommendation");
        let lookups = meter
            .u64_counter("marquee.recommend.vector_cache.lookups")
            .with_description("Look-ups of remembered user vectors, by outcome")
            .build();
        let answers = meter
            .u64_counter("marquee.recommend.answers")
            .with_description("Recommendations answered, by source")
            .build();
        let of_stage = |stage| duration.bind(&[KeyValue::new("stage", stage)]);
        let of_source = |source| (source, answers.bind(&[KeyValue::new("source", source)]));
        Self {
            durations: stages.into_iter().map(of_stage).collect(),
            vectors_found: lookups.bind(&[KeyValue::new("outcome", "hit")]),
            vectors_missed: lookups.bind(&[KeyValue::new("outcome", "miss")]),
            answers: Arc::new(sources.into_iter().map(of_source).collect()),
        }
    }

    /// The stages of a recommendation, in the order of their names, took so long; one that took no time took no part.
    pub fn stages(&self, times: impl IntoIterator<Item = Duration>) {
        for (duration, time) in self.durations.iter().zip(times) {
            if !time.is_zero() {
                duration.record(time.as_secs_f64());
            }
        }
    }

    /// A remembered vector was looked up.
    pub fn vector_lookup(&self, found: bool) {
        let lookups = if found { &self.vectors_found } else { &self.vectors_missed };
        lookups.add(1);
    }

    /// A recommendation was answered by one of the sources.
    pub fn answered(&self, source: &str) {
        if let Some(answers) = self.answers.get(source) {
            answers.add(1);
        }
    }
}
