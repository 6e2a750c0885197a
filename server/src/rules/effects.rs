//! What all rules that hold for a request do to its answer.

use std::sync::Arc;

use marquee_core::domain::MovieId;
use roaring::RoaringBitmap;

use super::rule::Rule;

/// What rules do to one answer. Where they collide, those that were added first decide.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Movies to show first, in this order, each once.
    pub pins: Vec<Pinned>,
    /// Movies to leave out.
    pub removed: RoaringBitmap,
    removals: Vec<Removal>,
    weights: Vec<Weight>,
}

/// A movie to show first, and by which rule.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The movie.
    pub movie_id: MovieId,
    /// The rule.
    pub rule: Arc<Rule>,
}

#[derive(Clone, Debug)]
struct Removal {
    rule: Arc<Rule>,
    movies: Arc<RoaringBitmap>,
}

#[derive(Clone, Debug)]
struct Weight {
    rule: Arc<Rule>,
    movies: Arc<RoaringBitmap>,
    /// Below 0 for what is buried.
    value: f64,
}

impl Effects {
    /// Pins movies that no rule before removes or pins.
    pub(super) fn pin(&mut self, rule: &Arc<Rule>, movie_ids: impl Iterator<Item = MovieId>) {
        let mut pinned = self.pinned();
        let new = movie_ids.filter(|movie_id| !self.removed.contains(*movie_id) && pinned.insert(*movie_id));
        let new: Vec<_> = new.map(|movie_id| Pinned { movie_id, rule: Arc::clone(rule) }).collect();
        self.pins.extend(new);
    }

    /// Removes movies that no rule before pins.
    pub(super) fn remove(&mut self, rule: &Arc<Rule>, movies: Arc<RoaringBitmap>) {
        self.removed |= &*movies - self.pinned();
        self.removals.push(Removal { rule: Arc::clone(rule), movies });
    }

    /// Adds a value to those of movies.
    pub(super) fn weigh(&mut self, rule: &Arc<Rule>, movies: Arc<RoaringBitmap>, value: f64) {
        self.weights.push(Weight { rule: Arc::clone(rule), movies, value });
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.pins.is_empty() && self.removals.is_empty() && self.weights.is_empty()
    }

    fn pinned(&self) -> RoaringBitmap {
        self.pins.iter().map(|pinned| pinned.movie_id).collect()
    }

    /// The movies that are no candidates: those that are removed, and those that are shown anyway.
    pub fn withheld(&self) -> RoaringBitmap {
        self.pinned() | &self.removed
    }

    /// Whether the values of any movies change.
    pub fn weighs(&self) -> bool {
        !self.weights.is_empty()
    }

    /// What is added to a movie's value.
    pub fn added_to(&self, movie_id: MovieId) -> f64 {
        self.weights_of(movie_id).map(|weight| weight.value).sum()
    }

    /// The movies that any rule lifts.
    pub fn lifted(&self) -> RoaringBitmap {
        let lifts = self.weights.iter().filter(|weight| weight.value > 0.0);
        lifts.fold(RoaringBitmap::new(), |all, weight| all | &*weight.movies)
    }

    /// The first rule that lifts a movie.
    pub fn lifted_by(&self, movie_id: MovieId) -> Option<&Arc<Rule>> {
        self.weights_of(movie_id).find(|weight| weight.value > 0.0).map(|weight| &weight.rule)
    }

    /// The rule that removes a movie; else the first that pushes it down.
    pub fn against(&self, movie_id: MovieId) -> Option<&Arc<Rule>> {
        let is_of = |removal: &&Removal| removal.movies.contains(movie_id);
        let removal = self.removals.iter().find(is_of).filter(|_| self.removed.contains(movie_id));
        let burial =
            || self.weights_of(movie_id).find(|weight| weight.value < 0.0).map(|weight| &weight.rule);
        removal.map(|removal| &removal.rule).or_else(burial)
    }

    fn weights_of(&self, movie_id: MovieId) -> impl Iterator<Item = &Weight> {
        self.weights.iter().filter(move |weight| weight.movies.contains(movie_id))
    }
}
