//! Maximal marginal relevance: candidates that are worth it, and unlike those before them.
//!
//! One choice at a time, so that a caller on the async runtime lets others run between two.

use crate::dot;

/// How much of a candidate's worth is its relevance; the rest is how unlike it is. Of the balances that were tried for
/// asking new users this one told most about them.
const BALANCE: f32 = 0.5;

/// Chooses among candidates, the best first: each has the greatest `0.5 * relevance - 0.5 * cosine`, where the cosine is
/// the greatest to those that were chosen before it, 0 at least. Ties go to the earlier candidate.
pub struct MarginalRelevance {
    /// Of length 1, or 0 where a vector has no length; row-major.
    directions: Vec<f32>,
    dimension: usize,
    left: Vec<Left>,
}

/// A candidate that was not chosen yet.
struct Left {
    candidate: usize,
    relevance: f32,
    /// The greatest cosine to those that were chosen, 0 at least.
    nearest: f32,
}

impl Left {
    fn worth(&self) -> f32 {
        BALANCE * self.relevance - (1.0 - BALANCE) * self.nearest
    }
}

impl MarginalRelevance {
    /// Candidates with the vector of each, all of `dimension` numbers, and its relevance, 0 to 1.
    pub fn new<'a>(dimension: usize, candidates: impl IntoIterator<Item = (&'a [f32], f32)>) -> Self {
        let (mut directions, mut left) = (Vec::new(), Vec::new());
        for (candidate, (vector, relevance)) in candidates.into_iter().enumerate() {
            let length = dot(vector, vector).sqrt();
            let scale = if length > 0.0 { length.recip() } else { 0.0 };
            directions.extend(vector.iter().map(|number| number * scale));
            left.push(Left { candidate, relevance, nearest: 0.0 });
        }
        Self { directions, dimension, left }
    }

    fn direction(&self, candidate: usize) -> &[f32] {
        &self.directions[candidate * self.dimension..][..self.dimension]
    }

    /// Takes the best one that is left out of them.
    fn take_best(&mut self) -> Option<usize> {
        let worths = self.left.iter().map(Left::worth).enumerate();
        let best = worths.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        Some(self.left.remove(best.0).candidate)
    }
}

impl Iterator for MarginalRelevance {
    type Item = usize;

    /// The place of the next candidate; costs a cosine for each that is left.
    fn next(&mut self) -> Option<usize> {
        let chosen = self.take_best()?;
        let mut left = std::mem::take(&mut self.left);
        let towards = self.direction(chosen);
        for one in &mut left {
            let cosine = dot(self.direction(one.candidate), towards);
            one.nearest = one.nearest.max(cosine);
        }
        self.left = left;
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which candidates of two dimensions are chosen.
    fn order(candidates: &[([f32; 2], f32)]) -> Vec<usize> {
        MarginalRelevance::new(2, candidates.iter().map(|(vector, relevance)| (&vector[..], *relevance)))
            .collect()
    }

    #[test]
    fn the_most_relevant_comes_first_and_what_is_like_it_waits() {
        let like_the_first = ([0.9, 0.1], 0.9);
        assert_eq!(order(&[([1.0, 0.0], 1.0), like_the_first, ([0.0, 1.0], 0.5)]), [0, 2, 1]);
    }

    #[test]
    fn where_all_are_as_unlike_relevance_decides_and_then_the_place() {
        assert_eq!(order(&[([1.0, 0.0], 0.5), ([1.0, 0.0], 0.7), ([1.0, 0.0], 0.5)]), [1, 0, 2]);
    }

    #[test]
    fn the_nearest_of_all_chosen_counts_and_not_the_last() {
        // The third is opposite to the second, but the same as the first.
        let candidates = [([1.0, 0.0], 1.0), ([-1.0, 0.0], 0.9), ([1.0, 0.0], 0.8), ([0.0, 1.0], 0.1)];
        assert_eq!(order(&candidates), [0, 1, 3, 2]);
    }

    #[test]
    fn only_the_direction_of_a_vector_matters_and_one_without_length_is_like_none() {
        assert_eq!(order(&[([1.0, 0.0], 1.0), ([100.0, 1.0], 0.9), ([0.0, 0.0], 0.2)]), [0, 2, 1]);
    }

    #[test]
    fn of_nothing_nothing_is_chosen() {
        assert_eq!(order(&[]), [0; 0]);
    }
}
