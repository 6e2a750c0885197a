//! The cost model: how long a batch will take, learnt from the batches that really ran.
//!
//! Encoding costs so much a token, by class of shape; scoring so much a query, by class of batch size. A
//! class that was never seen borrows from the nearest that was; before the first batch everything is
//! predicted to be free, so that nothing is refused on a guess. How wrong the model is can be seen in
//! `marquee.engine.cost_model.error`.

use std::ops::Add;
use std::time::Duration;

/// Classes are powers of two: 2^0 up to 2^20 tokens or queries.
const CLASSES: usize = 21;
/// The weight of a new observation once an estimate has settled.
const SETTLED_WEIGHT: f64 = 0.1;

/// What a batch consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchShape {
    /// Sequences that are encoded.
    pub(crate) sequences: usize,
    /// Their tokens, padding included.
    pub(crate) tokens: usize,
    /// Queries that are scored.
    pub(crate) queries: usize,
}

impl Add for BatchShape {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sequences: self.sequences + other.sequences,
            tokens: self.tokens + other.tokens,
            queries: self.queries + other.queries,
        }
    }
}

/// What decides the price of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenClass {
    /// Sequences run one by one: the length of one.
    Sequence,
    /// Sequences run together: the tokens of the batch.
    Batch,
}

/// Predicts and learns.
#[derive(Clone, Debug)]
pub(crate) struct CostModel {
    token_class: TokenClass,
    per_token: [Estimate; CLASSES],
    per_query: [Estimate; CLASSES],
    turnaround: Estimate,
}

/// A running mean of seconds that forgets slowly.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    seconds: f64,
    observations: u32,
}

impl CostModel {
    pub(crate) fn new(token_class: TokenClass) -> Self {
        Self {
            token_class,
            per_token: [Estimate::default(); CLASSES],
            per_query: [Estimate::default(); CLASSES],
            turnaround: Estimate::default(),
        }
    }

    /// How long a batch of this shape will take on a worker.
    pub(crate) fn predict(&self, shape: BatchShape) -> Duration {
        let encode = nearest(&self.per_token, self.token_class(shape)) * shape.tokens as f64;
        let score = nearest(&self.per_query, class(shape.queries)) * shape.queries as f64;
        Duration::from_secs_f64(encode + score)
    }

    /// How long jobs are in work of late, whatever their shape: from when a worker takes them to their answer.
    pub(crate) fn typical_turnaround(&self) -> Duration {
        Duration::from_secs_f64(self.turnaround.seconds)
    }

    /// Learns how long the sequences of a batch took.
    pub(crate) fn observe_encoding(&mut self, shape: BatchShape, encode: Duration) {
        if shape.tokens > 0 {
            self.per_token[self.token_class(shape)].observe(encode.as_secs_f64() / shape.tokens as f64);
        }
    }

    /// Learns how long the queries of a batch took.
    pub(crate) fn observe_scoring(&mut self, shape: BatchShape, score: Duration) {
        if shape.queries > 0 {
            self.per_query[class(shape.queries)].observe(score.as_secs_f64() / shape.queries as f64);
        }
    }

    /// Learns how long the slowest job of a batch was in work.
    pub(crate) fn observe_turnaround(&mut self, turnaround: Duration) {
        self.turnaround.observe(turnaround.as_secs_f64());
    }

    fn token_class(&self, shape: BatchShape) -> usize {
        match self.token_class {
            TokenClass::Sequence => class(shape.tokens / shape.sequences.max(1)),
            TokenClass::Batch => class(shape.tokens),
        }
    }
}

impl Estimate {
    fn observe(&mut self, seconds: f64) {
        self.observations = self.observations.saturating_add(1);
        let weight = SETTLED_WEIGHT.max(1.0 / f64::from(self.observations));
        self.seconds += weight * (seconds - self.seconds);
    }
}

fn class(count: usize) -> usize {
    (count.max(1).ilog2() as usize).min(CLASSES - 1)
}

/// The estimate of the nearest class that was observed; 0 when none was.
fn nearest(estimates: &[Estimate; CLASSES], class: usize) -> f64 {
    (0..CLASSES)
        .flat_map(|distance| [class.checked_sub(distance), Some(class + distance)])
        .flatten()
        .filter_map(|class| estimates.get(class))
        .find(|estimate| estimate.observations > 0)
        .map_or(0.0, |estimate| estimate.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn shape(sequences: usize, tokens: usize, queries: usize) -> BatchShape {
        BatchShape { sequences, tokens, queries }
    }

    #[test]
    fn nothing_is_predicted_before_the_first_batch() {
        let costs = CostModel::new(TokenClass::Sequence);
        assert_eq!(costs.predict(shape(4, 800, 4)), Duration::ZERO);
    }

    #[test]
    fn a_batch_of_twice_the_tokens_costs_twice_the_encoding() {
        let mut costs = CostModel::new(TokenClass::Sequence);
        costs.observe_encoding(shape(2, 200, 0), 4 * MS);
        assert_eq!(costs.predict(shape(4, 400, 0)), 8 * MS);
    }

    #[test]
    fn a_class_that_was_never_seen_borrows_from_the_nearest() {
        let mut costs = CostModel::new(TokenClass::Batch);
        costs.observe_encoding(shape(1, 64, 0), 64 * MS);
        costs.observe_encoding(shape(1, 4096, 0), 8192 * MS);
        assert_eq!(costs.predict(shape(1, 128, 0)), 128 * MS);
        assert_eq!(costs.predict(shape(1, 2048, 0)), 4096 * MS);
    }

    #[test]
    fn the_model_follows_a_machine_that_becomes_slower() {
        let mut costs = CostModel::new(TokenClass::Sequence);
        for _ in 0..100 {
            costs.observe_encoding(shape(1, 100, 1), 2 * MS);
            costs.observe_scoring(shape(1, 100, 1), MS);
        }
        for _ in 0..100 {
            costs.observe_encoding(shape(1, 100, 1), 6 * MS);
            costs.observe_scoring(shape(1, 100, 1), 3 * MS);
        }
        let predicted = costs.predict(shape(1, 100, 1));
        assert!(
            predicted > Duration::from_micros(8990) && predicted < Duration::from_micros(9010),
            "{predicted:?}"
        );
    }
}
