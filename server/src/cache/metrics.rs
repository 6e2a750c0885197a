//! What is counted of look-ups.

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

/// Where it was looked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tier {
    /// In this process, in front of a shared cache.
    Near,
    /// In Redis.
    Redis,
}

/// Counts the look-ups of one tier, by outcome.
pub(super) struct Lookups {
    counter: Counter<u64>,
    hit: [KeyValue; 2],
    miss: [KeyValue; 2],
}

impl Lookups {
    pub(super) fn new(tier: Tier) -> Self {
        let tier = match tier {
            Tier::Near => "near",
            Tier::Redis => "redis",
        };
        let labels = |outcome| [KeyValue::new("tier", tier), KeyValue::new("outcome", outcome)];
        let counter = global::meter("marquee")
            .u64_counter("marquee.cache.lookups")
            .with_description("Look-ups of remembered values, by tier and outcome")
            .build();
        Self { counter, hit: labels("hit"), miss: labels("miss") }
    }

    pub(super) fn count(&self, found: bool) {
        self.counter.add(1, if found { &self.hit } else { &self.miss });
    }
}
