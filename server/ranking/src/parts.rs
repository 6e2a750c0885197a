//! What a movie is worth by itself.

use crate::{Candidate, Objective};

/// What each term gives a movie; together they are its value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// The log-softmax of the model's score over the candidates.
    pub log_probability: f64,
    /// The weight times `ln(1 + events)`.
    pub popularity: f64,
    /// The weight times `2 ^ (-age / half-life)`; 0 where the year is unknown.
    pub freshness: f64,
    /// The weight times the mean rating in stars.
    pub rating: f64,
    /// The weight times the share of its genres that the user told.
    pub told_genres: f64,
    /// What rules add, below 0 for what they take off.
    pub rules: f64,
}

impl Parts {
    /// The parts of each candidate in `year`.
    pub(crate) fn of(candidates: &[Candidate<'_>], objective: &Objective, year: u16) -> Vec<Self> {
        let shift = log_sum_exp(candidates);
        let parts = candidates.iter().map(|candidate| Self {
            log_probability: f64::from(candidate.score) - shift,
            popularity: objective.popularity_weight * (candidate.events as f64).ln_1p(),
            freshness: objective.freshness_weight * freshness(candidate, objective, year),
            rating: objective.rating_weight * candidate.rating,
            told_genres: objective.told_genres_weight * candidate.told_genres,
            rules: candidate.rules,
        });
        parts.collect()
    }

    /// The movie's own value.
    pub fn sum(&self) -> f64 {
        let of_the_movie = self.log_probability + self.popularity + self.freshness + self.rating;
        of_the_movie + self.told_genres + self.rules
    }
}

/// 1 for a movie of this year or later, half of it after each half-life.
fn freshness(candidate: &Candidate<'_>, objective: &Objective, year: u16) -> f64 {
    candidate.year.map_or(0.0, |released| {
        (-f64::from(year.saturating_sub(released)) / objective.freshness_half_life).exp2()
    })
}

/// The logarithm of the sum of the scores' exponentials, without an overflow of any of them.
fn log_sum_exp(candidates: &[Candidate<'_>]) -> f64 {
    let scores = candidates.iter().map(|candidate| f64::from(candidate.score));
    let best = scores.clone().fold(f64::NEG_INFINITY, f64::max);
    best + scores.map(|score| (score - best).exp()).sum::<f64>().ln()
}
