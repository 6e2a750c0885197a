//! What is counted of look-ups.

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

use super::Space;

/// Where it was looked.
#[derive(Clone, Copy, Debug)]
pub enum Tier {
    /// In this process, in front of a shared cache.
    Local,
    /// In Redis.
    Redis,
}

/// Counts the look-ups of one kind of thing in one tier, by outcome.
pub struct Lookups {
    counter: Counter<u64>,
    hit: [KeyValue; 3],
    miss: [KeyValue; 3],
}

impl Lookups {
    /// For this tier and this kind of thing.
    pub fn new(tier: Tier, space: Space) -> Self {
        let tier = match tier {
            Tier::Local => "local",
            Tier::Redis => "redis",
        };
        let labels = |outcome| {
            [
                KeyValue::new("space", space.label()),
                KeyValue::new("tier", tier),
                KeyValue::new("outcome", outcome),
            ]
        };
        let counter = global::meter("marquee")
            .u64_counter("marquee.cache.lookups")
            .with_description("Look-ups of remembered values, by space, tier and outcome")
            .build();
        Self { counter, hit: labels("hit"), miss: labels("miss") }
    }

    /// Counts one look-up.
    pub fn count(&self, found: bool) {
        self.counter.add(1, if found { &self.hit } else { &self.miss });
    }
}
