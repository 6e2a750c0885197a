//! Sums over all users by movie, in memory; a checkpoint writes those that changed.

use std::collections::{HashMap, HashSet};

use crate::domain::{Interaction, MovieId, Rating};
use crate::store::{MovieStats, Recorded};

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

    fn of(&mut self, movie_id: MovieId) -> &mut MovieStats {
        self.changed.insert(movie_id);
        let none = MovieStats { movie_id, ..MovieStats::default() };
        self.all.entry(movie_id).or_insert(none)
    }

    /// Adds what a recorded event changed.
    pub(super) fn add(&mut self, event: &Interaction, outcome: Recorded) {
        if !outcome.duplicate {
            let stats = self.of(event.movie_id);
            stats.users += u64::from(outcome.first_of_movie);
            stats.ratings += u64::from(outcome.rating_before.is_none() && outcome.rating_now.is_some());
            stats.half_stars += outcome.rating_now.map_or(0, |rating| u64::from(rating.half_stars()));
            stats.half_stars -= outcome.rating_before.map_or(0, |rating| u64::from(rating.half_stars()));
            stats.trend = stats.trend.with_event(event.time_ms);
        }
    }

    /// Takes out the whole history of a user, given oldest first. A movie without users has no sums.
    pub(super) fn subtract(&mut self, history: &[Interaction]) {
        let mut latest: HashMap<MovieId, Option<Rating>> = HashMap::new();
        for event in history {
            let stats = self.of(event.movie_id);
            stats.trend = stats.trend.without_event(event.time_ms);
            let rating = latest.entry(event.movie_id).or_default();
            *rating = event.rating.or(*rating);
        }
        for (movie_id, rating) in latest {
            let stats = self.of(movie_id);
            stats.users -= 1;
            if let Some(rating) = rating {
                stats.ratings -= 1;
                stats.half_stars -= u64::from(rating.half_stars());
            }
            if stats.users == 0 {
                self.all.remove(&movie_id);
            }
        }
    }

    /// Takes out what changed since the last checkpoint, for the next one.
    pub(super) fn freeze(&mut self) -> Vec<(MovieId, Option<MovieStats>)> {
        self.changed.drain().map(|movie_id| (movie_id, self.all.get(&movie_id).copied())).collect()
    }
}
