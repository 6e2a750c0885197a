//! The greedy choice.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::calibration::Divergence;
use crate::diversity::Nearest;
use crate::{Candidate, GenreRoom, GenreShares, Objective, Parts};

/// A movie of the list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Its place among the candidates.
    pub place: usize,
    /// What it is worth by itself.
    pub parts: Parts,
}

/// Chooses `k` of the candidates, fewer where there are fewer or a genre's bound leaves fewer, in the order of their
/// own values; equal ones in the order of the candidates. [`Chooser`] does it one by one.
///
/// # Panics
/// As [`Chooser::new`].
pub fn choose(
    candidates: &[Candidate<'_>],
    wanted: &GenreShares,
    objective: &Objective,
    year: u16,
    k: usize,
) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Chooser::new(candidates, wanted, objective, year).take(k).collect();
    show(&mut choices);
    choices
}

/// Brings choices into the order in which they are shown.
pub fn show(choices: &mut [Choice]) {
    choices.sort_by(|one, other| {
        other.parts.sum().total_cmp(&one.parts.sum()).then(one.place.cmp(&other.place))
    });
}

/// Chooses one movie at a time, by what it gives the set: a caller on an asynchronous runtime lets others run between
/// two.
pub struct Chooser<'a> {
    candidates: &'a [Candidate<'a>],
    parts: Vec<Parts>,
    left: Vec<bool>,
    size: usize,
    /// What diversity asks of the set, with its factor.
    diversity: Option<(f64, Nearest<'a>)>,
    /// What calibration asks of it, with its factor.
    calibration: Option<(f64, Divergence<'a>)>,
    genre_room: Option<GenreRoom>,
    /// Room for the bids of one choice.
    bids: Vec<Bid>,
}

/// What a movie would give the set at most. The greatest comes first, the first of equal ones.
#[derive(Clone, Copy, PartialEq)]
struct Bid {
    gain: f64,
    place: usize,
}

impl Ord for Bid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.total_cmp(&other.gain).then(other.place.cmp(&self.place))
    }
}

impl PartialOrd for Bid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Bid {}

impl Iterator for Chooser<'_> {
    type Item = Choice;

    /// Takes the movie that gives the most now; the first one of equal ones.
    fn next(&mut self) -> Option<Choice> {
        let mut bids = std::mem::take(&mut self.bids);
        bids.extend(
            (0..self.candidates.len()).filter(|place| self.allows(*place)).map(|place| self.bid(place)),
        );
        let mut bids = BinaryHeap::from(bids);
        let best = self.best(&mut bids);
        self.bids = bids.into_vec();
        self.bids.clear();
        let place = best?;
        self.add(place);
        Some(Choice { place, parts: self.parts[place] })
    }
}

impl<'a> Chooser<'a> {
    /// Over these candidates, best first by the model. `wanted` are the genres of the history: the genres of all
    /// candidates are below their number. `year` is the present one.
    ///
    /// # Panics
    /// When a candidate's genre is not below the number of `wanted`; so do the choices.
    pub fn new(
        candidates: &'a [Candidate<'a>],
        wanted: &'a GenreShares,
        objective: &Objective,
        year: u16,
    ) -> Self {
        let (beta, gamma) = (objective.beta(), objective.gamma());
        Self {
            candidates,
            parts: Parts::of(candidates, objective, year),
            left: vec![true; candidates.len()],
            size: 0,
            diversity: (beta > 0.0).then(|| (beta, Nearest::new(candidates))),
            calibration: (gamma > 0.0).then(|| (gamma, Divergence::new(wanted, candidates))),
            genre_room: objective.max_per_genre.map(|most| GenreRoom::new(most, wanted.len())),
            bids: Vec::with_capacity(candidates.len()),
        }
    }

    /// The place of the greatest bid, once it is known to be exact.
    fn best(&mut self, bids: &mut BinaryHeap<Bid>) -> Option<usize> {
        loop {
            let place = bids.pop()?.place;
            let was_more = self.diversity.as_mut().is_some_and(|(_, nearest)| nearest.compare(place));
            if !was_more {
                return Some(place);
            }
            bids.push(self.bid(place));
        }
    }

    fn allows(&self, place: usize) -> bool {
        self.left[place]
            && self.genre_room.as_ref().is_none_or(|room| room.allows(self.candidates[place].genres))
    }

    /// What a movie would give the set: at most, as long as it was not compared with all that are chosen.
    fn bid(&self, place: usize) -> Bid {
        let mut gain = self.parts[place].sum();
        if let Some((beta, nearest)) = &self.diversity {
            gain -= beta * nearest.likeness(place);
        }
        if let Some((gamma, divergence)) = &self.calibration {
            let before = self.size as f64 * divergence.now();
            let after = (self.size + 1) as f64 * divergence.with(&self.candidates[place]);
            gain -= gamma * (after - before);
        }
        Bid { gain, place }
    }

    fn add(&mut self, place: usize) {
        self.left[place] = false;
        self.size += 1;
        if let Some((_, nearest)) = &mut self.diversity {
            nearest.add(place);
        }
        if let Some((_, divergence)) = &mut self.calibration {
            divergence.add(&self.candidates[place]);
        }
        if let Some(room) = &mut self.genre_room {
            room.take(self.candidates[place].genres);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(count: usize) -> Vec<Candidate<'static>> {
        let scores = (0..count).map(|place| -(place as f32));
        let known = |score| Candidate {
            score,
            vector: &[1.0, 0.5],
            genres: &[0],
            events: 3,
            year: Some(1999),
            rating: 3.5,
            told_genres: 0.0,
            rules: 0.0,
        };
        scores.map(known).collect()
    }

    fn places(choices: &[Choice]) -> Vec<usize> {
        choices.iter().map(|choice| choice.place).collect()
    }

    #[test]
    fn without_an_objective_the_best_stay_in_their_order() {
        let candidates = candidates(5);
        let wanted = GenreShares::of([&[0][..]], 1);
        let choices = choose(&candidates, &wanted, &Objective::default(), 2020, 3);
        assert_eq!(places(&choices), [0, 1, 2]);
        let total: f64 = choose(&candidates, &wanted, &Objective::default(), 2020, 5)
            .iter()
            .map(|choice| choice.parts.sum().exp())
            .sum();
        assert!((total - 1.0).abs() < 1e-12, "{total}");
    }

    #[test]
    fn a_bound_on_genres_leaves_a_shorter_list() {
        let wanted = GenreShares::of([&[0][..]], 1);
        let capped = Objective { max_per_genre: Some(2), ..Objective::default() };
        assert_eq!(places(&choose(&candidates(5), &wanted, &capped, 2020, 4)), [0, 1]);
    }

    #[test]
    fn equal_movies_come_in_the_order_of_the_candidates() {
        let mut candidates = candidates(4);
        for candidate in &mut candidates {
            candidate.score = 1.0;
        }
        let wanted = GenreShares::of([&[0][..]], 1);
        let diverse = Objective { diversity: 1.0, calibration: 1.0, ..Objective::default() };
        assert_eq!(places(&choose(&candidates, &wanted, &diverse, 2020, 3)), [0, 1, 2]);
    }

    #[test]
    fn what_rules_add_counts_as_the_movies_own() {
        let mut candidates = candidates(5);
        candidates[4].rules = 2.5;
        candidates[0].rules = -10.0;
        let choices = choose(&candidates, &GenreShares::of([&[0][..]], 1), &Objective::default(), 2020, 4);
        assert_eq!(places(&choices), [1, 4, 2, 3]);
        let gap = choices[0].parts.sum() - choices[1].parts.sum();
        assert!((gap - 0.5).abs() < 1e-12, "{gap}");
    }

    #[test]
    fn there_may_be_nothing_to_choose_from() {
        let diverse = Objective { diversity: 1.0, calibration: 1.0, ..Objective::default() };
        assert!(choose(&[], &GenreShares::default(), &diverse, 2020, 3).is_empty());
    }
}
