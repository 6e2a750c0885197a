//! How alike movies are.

use crate::{Candidate, dot, jaccard};

/// For each candidate its likeness to the likest movie chosen so far, as far as somebody asked.
///
/// It only grows, so what was found for fewer movies is a bound: few candidates come near enough to be chosen that
/// theirs has to be exact.
pub(crate) struct Nearest<'a> {
    candidates: &'a [Candidate<'a>],
    chosen: Vec<usize>,
    states: Vec<State>,
}

/// What is known of a candidate.
#[derive(Clone, Copy, Default)]
struct State {
    likeness: f64,
    /// To so many of the chosen movies.
    compared: usize,
    /// One over the length of its vector, 0 for a vector of zeros, which is like nothing; `None` before anybody asked.
    scale: Option<f32>,
}

impl<'a> Nearest<'a> {
    /// Before anything is chosen: nothing is like anything.
    pub(crate) fn new(candidates: &'a [Candidate<'a>]) -> Self {
        Self { candidates, chosen: Vec::new(), states: vec![State::default(); candidates.len()] }
    }

    /// The likeness of a candidate at least; exactly, once it was compared with all that are chosen.
    pub(crate) fn likeness(&self, place: usize) -> f64 {
        self.states[place].likeness
    }

    /// Compares a candidate with the movies that were chosen since it was asked for last. Whether its likeness grew.
    pub(crate) fn compare(&mut self, place: usize) -> bool {
        let before = self.states[place].likeness;
        for next in self.states[place].compared..self.chosen.len() {
            let likeness = self.likeness_of(place, self.chosen[next]);
            let state = &mut self.states[place];
            state.likeness = state.likeness.max(likeness);
            state.compared = next + 1;
        }
        self.states[place].likeness > before
    }

    /// Counts one more chosen movie.
    pub(crate) fn add(&mut self, place: usize) {
        self.chosen.push(place);
    }

    /// The mean of the vectors' cosine and the genres' Jaccard similarity.
    fn likeness_of(&mut self, one: usize, other: usize) -> f64 {
        let scale = self.scale(one) * self.scale(other);
        let (one, other) = (&self.candidates[one], &self.candidates[other]);
        f64::midpoint(f64::from(dot(one.vector, other.vector) * scale), jaccard(one.genres, other.genres))
    }

    fn scale(&mut self, place: usize) -> f32 {
        let vector = self.candidates[place].vector;
        *self.states[place].scale.get_or_insert_with(|| {
            let length = dot(vector, vector).sqrt();
            if length > 0.0 { length.recip() } else { 0.0 }
        })
    }
}
