//! The instruments of the edge and of the stages, made once.

use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, UpDownCounter};
use opentelemetry::{KeyValue, global};

/// From 0.1 ms to 10 s: the smallest lets a cached answer be told from an encoded one.
pub const LATENCY_BUCKETS_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

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
    in_flight: UpDownCounter<i64>,
}

impl Default for RpcMetrics {
    fn default() -> Self {
        let in_flight = global::meter("marquee")
            .i64_up_down_counter("marquee.rpc.in_flight")
            .with_description("Calls that have begun and not ended")
            .build();
        Self {
            duration: seconds("rpc.server.call.duration", "From a call's arrival to the end of its reply"),
            in_flight,
        }
    }
}

impl RpcMetrics {
    /// A call has begun.
    pub fn begin(&self) {
        self.in_flight.add(1, &[]);
    }

    /// A call has ended with this gRPC status code. `method` is `package.Service/Method` of a method
    /// that exists, or `unknown`, so that the labels are bounded.
    pub fn end(&self, method: &'static str, code: &'static str, duration: Duration) {
        self.in_flight.add(-1, &[]);
        let labels = [
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method),
            KeyValue::new("rpc.response.status_code", code),
        ];
        self.duration.record(duration.as_secs_f64(), &labels);
    }
}

/// Where the time of recommendations goes.
#[derive(Clone)]
pub struct StageMetrics {
    duration: Histogram<f64>,
    vector_cache: Counter<u64>,
    sources: Counter<u64>,
}

impl Default for StageMetrics {
    fn default() -> Self {
        let meter = global::meter("marquee");
        Self {
            duration: seconds("marquee.recommend.stage.duration", "Time of one stage of a recommendation"),
            vector_cache: meter
                .u64_counter("marquee.recommend.vector_cache.lookups")
                .with_description("Look-ups of remembered user vectors, by outcome")
                .build(),
            sources: meter
                .u64_counter("marquee.recommend.answers")
                .with_description("Recommendations answered, by source")
                .build(),
        }
    }
}

impl StageMetrics {
    /// A stage took so long.
    pub fn stage(&self, stage: &'static str, duration: Duration) {
        self.duration.record(duration.as_secs_f64(), &[KeyValue::new("stage", stage)]);
    }

    /// A remembered vector was looked up.
    pub fn vector_lookup(&self, found: bool) {
        self.vector_cache.add(1, &[KeyValue::new("outcome", if found { "hit" } else { "miss" })]);
    }

    /// A recommendation was answered.
    pub fn answered(&self, source: &'static str) {
        self.sources.add(1, &[KeyValue::new("source", source)]);
    }
}
