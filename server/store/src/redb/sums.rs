//! Sums over all users by movie, in memory; a checkpoint writes those that changed.

use std::collections::{HashMap, HashSet};

use marquee_core::domain::{Interaction, MovieId};
use marquee_core::statistics::{MovieStats, Opinion, opinions};

use crate::{Deleted, Recorded};

pub(super) struct Sums {
    all: HashMap<MovieId, MovieStats>,
    changed: HashSet<MovieId>,
}

impl Sums {
    pub(super) fn new(stored: Vec<MovieStats>) -> Self {
        let all = stored.into_iter().map(|stats| (stats.movie_id, stats)).collect();
        Self { all, changed: HashSet::new() }
    }

    pub(super) fn all(&self) -> Vec<MovieStats> {
        self.all.values().copied().collect()
    }

    /// Puts a user's opinion in the place of the one before. A movie without opinions has no sums.
    fn replace(&mut self, movie_id: MovieId, before: Option<Opinion>, now: Option<Opinion>) {
        self.changed.insert(movie_id);
        let stats = self.all.entry(movie_id).or_insert_with(|| MovieStats::none(movie_id));
        stats.replace(before, now);
        if stats.is_none() {
            self.all.remove(&movie_id);
        }
    }

    /// Adds what a recorded event changed.
    pub(super) fn add(&mut self, event: &Interaction, outcome: Recorded) {
        if outcome.before != outcome.now {
            self.replace(event.movie_id, outcome.before, outcome.now);
        }
    }

    /// Takes out what a deleted event was to its user's opinion.
    pub(super) fn take_back(&mut self, deleted: &Deleted) {
        self.replace(deleted.event.movie_id, Some(deleted.before), deleted.now);
    }

    /// Takes out the whole history of a user.
    pub(super) fn subtract(&mut self, history: &[Interaction]) {
        for ((_, movie_id), opinion) in opinions(history) {
            self.replace(movie_id, Some(opinion), None);
        }
    }

    /// Takes out what changed since the last checkpoint, for the next one.
    pub(super) fn freeze(&mut self) -> Vec<(MovieId, Option<MovieStats>)> {
        self.changed.drain().map(|movie_id| (movie_id, self.all.get(&movie_id).copied())).collect()
    }
}
