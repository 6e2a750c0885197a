//! What is known of a user before events are added: decides what each of them changes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use marquee_core::domain::{EventKey, Interaction, MovieId, Rating};
use marquee_core::statistics::{MovieStats, Opinion, opinions};

use crate::Recorded;

/// A user's events, by what has to be asked of them.
#[derive(Default)]
pub(super) struct Known {
    events: HashMap<EventKey, Option<Rating>>,
    opinions: HashMap<MovieId, Opinion>,
}

impl Known {
    /// With room for so many events more than are known.
    pub(super) fn expecting(events: usize) -> Self {
        Self { events: HashMap::with_capacity(events), opinions: HashMap::with_capacity(events) }
    }

    /// Adds an event; what it changed.
    pub(super) fn add(&mut self, event: &Interaction) -> Recorded {
        let before = self.opinions.get(&event.movie_id).copied();
        match self.events.entry(EventKey::from(event)) {
            Entry::Occupied(_) => return Recorded::duplicate(before),
            Entry::Vacant(place) => place.insert(event.rating),
        };
        self.opinions.insert(event.movie_id, Opinion::with(before, event));
        Recorded::new(before, event)
    }

    /// Whether an event that was added is what the store keeps: of two ratings with one key it keeps the
    /// first.
    pub(super) fn keeps(&self, event: &Interaction) -> bool {
        self.events.get(&EventKey::from(event)) == Some(&event.rating)
    }
}

/// Sums over users, from every user's events in any order.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) users: u64,
    pub(super) interactions: u64,
    movies: HashMap<MovieId, MovieStats>,
}

impl Totals {
    pub(super) fn add_user(&mut self, events: &[Interaction]) {
        self.users += 1;
        self.interactions += events.len() as u64;
        for ((_, movie_id), opinion) in opinions(events) {
            self.of(movie_id).replace(None, Some(opinion));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.users += other.users;
        self.interactions += other.interactions;
        for (movie_id, stats) in other.movies {
            self.of(movie_id).merge(&stats);
        }
    }

    /// The sums of every movie that somebody has an opinion of.
    pub(super) fn into_movies(self) -> impl Iterator<Item = MovieStats> {
        self.movies.into_values().filter(|stats| !stats.is_none())
    }

    fn of(&mut self, movie_id: MovieId) -> &mut MovieStats {
        self.movies.entry(movie_id).or_insert_with(|| MovieStats::none(movie_id))
    }
}
