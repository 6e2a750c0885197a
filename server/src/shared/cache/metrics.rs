//! What is counted of look-ups.

use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

use super::Space;

const CACHE: Label = Label::one_of("cache", &["vector", "profile", "session"]);
const TIER: Label = Label::one_of("tier", &["local", "redis"]);
const OUTCOME: Label = Label::one_of("outcome", &["hit", "miss"]);

metrics! {
    pub(crate) METRICS;
    LOOKUPS = Metric::counter(
        "marquee.cache.lookups",
        "{lookup}",
        &[CACHE, TIER, OUTCOME],
        "The hit ratio of each cache, in this process (`local`) and in Redis",
    );
}

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
        let labels = |outcome| [CACHE.is(space.label()), TIER.is(tier), OUTCOME.is(outcome)];
        let counter = LOOKUPS.u64_counter();
        Self { counter, hit: labels("hit"), miss: labels("miss") }
    }

    /// Counts one look-up.
    pub fn count(&self, found: bool) {
        self.counter.add(1, if found { &self.hit } else { &self.miss });
    }
}
