//! Seeded draws: the random numbers of one request, and choices by weight.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng};

use super::{Cancellation, WorkloadError};

/// The random numbers of request `index`, independent of all others.
pub fn request_random(seed: u64, index: u64) -> Xoshiro256PlusPlus {
    // An odd multiplier keeps (seed, index) pairs apart; the seeding itself scrambles them.
    Xoshiro256PlusPlus::seed_from_u64(seed ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Draws whether and when a call is cancelled.
pub(super) fn cancel_after(random: &mut Xoshiro256PlusPlus, plan: Cancellation) -> Option<Duration> {
    (plan.share > 0.0 && random.random_bool(plan.share)).then(|| plan.within.mul_f64(random.random()))
}

/// Things with weights, written `a=80,b=20`; a thing without a weight has 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted<T> {
    items: Vec<T>,
    cumulative: Vec<f64>,
}

impl<T> Weighted<T> {
    /// One thing, always drawn.
    pub fn single(item: T) -> Self {
        Self { items: vec![item], cumulative: vec![1.0] }
    }

    /// Reads `a=80,b=20`, each thing by `read`.
    ///
    /// # Errors
    /// When a weight is no positive number, or `read` says what is wrong with a thing.
    pub fn parse<E: std::fmt::Display>(
        text: &str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Self, WorkloadError> {
        let wrong = |reason: String| WorkloadError::Weights { text: text.to_owned(), reason };
        let mut items = Vec::new();
        let mut cumulative = Vec::new();
        let mut sum = 0.0;
        for part in text.split(',').map(str::trim) {
            let (thing, weight) = part.rsplit_once('=').unwrap_or((part, "1"));
            let weight: f64 = weight
                .parse()
                .ok()
                .filter(|weight: &f64| weight.is_finite() && *weight > 0.0)
                .ok_or_else(|| wrong(format!("'{weight}' is no weight; write a number above 0")))?;
            items.push(read(thing).map_err(|error| wrong(error.to_string()))?);
            sum += weight;
            cumulative.push(sum);
        }
        Ok(Self { items, cumulative })
    }

    /// The things, in the order they were written.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// The place of a drawn thing.
    pub(crate) fn draw_index(&self, random: &mut Xoshiro256PlusPlus) -> usize {
        let [.., total] = self.cumulative.as_slice() else { return 0 };
        if self.items.len() == 1 {
            return 0;
        }
        let point = random.random::<f64>() * total;
        self.cumulative.partition_point(|sum| *sum <= point).min(self.items.len() - 1)
    }

    /// A drawn thing.
    pub fn draw(&self, random: &mut Xoshiro256PlusPlus) -> &T {
        &self.items[self.draw_index(random)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Result<Weighted<u32>, WorkloadError> {
        Weighted::parse(text, str::parse::<u32>)
    }

    #[test]
    fn things_are_drawn_by_their_weights() {
        let weighted = numbers("10=3,50=1").unwrap();
        let mut random = request_random(1, 1);
        let tens = (0..10_000).filter(|_| *weighted.draw(&mut random) == 10).count();
        assert!((7_300..7_700).contains(&tens), "{tens}");
    }

    #[test]
    fn a_bad_weight_is_named() {
        assert!(numbers("10=0").unwrap_err().to_string().contains("'0' is no weight"));
        assert!(numbers("ten=1").is_err());
    }

    #[test]
    fn requests_with_different_numbers_draw_differently() {
        let first: Vec<u64> = (0..1000).map(|index| request_random(7, index).random()).collect();
        let mut distinct = first.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), first.len());
    }
}
