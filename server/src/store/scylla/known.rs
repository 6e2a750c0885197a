//! What is known of a user before events are added: decides what each of them changes.

use std::collections::{HashMap, HashSet};

use crate::domain::{Interaction, MovieId, Rating, TimeMs};
use crate::store::{EventKey, MovieStats, Recorded};

/// A user's events, by what has to be asked of them.
#[derive(Default)]
pub(super) struct Known {
    events: HashSet<EventKey>,
    seen: HashSet<MovieId>,
    latest_ratings: HashMap<MovieId, (TimeMs, Rating)>,
}

impl Known {
    /// With room for so many events more than are known.
    pub(super) fn expecting(events: usize) -> Self {
        Self {
            events: HashSet::with_capacity(events),
            seen: HashSet::with_capacity(events),
            latest_ratings: HashMap::with_capacity(events),
        }
    }

    /// Adds an event; what it changed.
    pub(super) fn add(&mut self, event: &Interaction) -> Recorded {
        let rating_of = |known: &Self| known.latest_ratings.get(&event.movie_id).map(|(_, rating)| *rating);
        let rating_before = rating_of(self);
        if !self.events.insert(EventKey::from(event)) {
            let rating_now = rating_before;
            return Recorded { duplicate: true, first_of_movie: false, rating_before, rating_now };
        }
        if let Some(rating) = event.rating {
            let latest = self.latest_ratings.entry(event.movie_id).or_insert((event.time_ms, rating));
            if event.time_ms > latest.0 {
                *latest = (event.time_ms, rating);
            }
        }
        let first_of_movie = self.seen.insert(event.movie_id);
        Recorded { duplicate: false, first_of_movie, rating_before, rating_now: rating_of(self) }
    }
}

/// Sums over users, from every user's events in any order.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) users: u64,
    pub(super) interactions: u64,
    pub(super) movies: HashMap<MovieId, MovieStats>,
}

impl Totals {
    pub(super) fn add_user(&mut self, events: &[Interaction]) {
        self.users += 1;
        let mut known = Known::default();
        for event in events {
            let outcome = known.add(event);
            let none = MovieStats { movie_id: event.movie_id, ..MovieStats::default() };
            let stats = self.movies.entry(event.movie_id).or_insert(none);
            stats.users += u64::from(outcome.first_of_movie);
            stats.trend = stats.trend.with_event(event.time_ms);
            self.interactions += 1;
        }
        for (movie_id, (_, rating)) in known.latest_ratings {
            let stats = self.movies.entry(movie_id).or_default();
            stats.ratings += 1;
            stats.half_stars += u64::from(rating.half_stars());
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.users += other.users;
        self.interactions += other.interactions;
        for (movie_id, stats) in other.movies {
            let none = MovieStats { movie_id, ..MovieStats::default() };
            let sum = self.movies.entry(movie_id).or_insert(none);
            sum.users += stats.users;
            sum.ratings += stats.ratings;
            sum.half_stars += stats.half_stars;
            sum.trend = sum.trend.plus(stats.trend);
        }
    }
}
