//! What the events of all users add up to for one movie.
//!
//! A user counts once a movie, however many events there are: by the latest rating, and by the newest
//! event, if that is taste. So statistics are sums of opinions, and an event replaces one opinion by
//! another: what was added can be taken out again exactly, in whatever order events come and users go.

use std::collections::HashMap;

use crate::Trend;
use crate::domain::{EventKey, Interaction, MovieId, Rating, TimeMs, UserId};

/// What one user's events with one movie come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opinion {
    newest: EventKey,
    newest_is_taste: bool,
    rated: Option<(TimeMs, Rating)>,
}

impl Opinion {
    /// The opinion with one more event, which may be older than those before.
    #[must_use]
    pub fn with(before: Option<Self>, event: &Interaction) -> Self {
        let rated = event.rating.map(|rating| (event.time_ms, rating));
        let only = Self { newest: event.into(), newest_is_taste: event.is_taste(), rated };
        let Some(before) = before else { return only };
        let newer = if only.newest > before.newest { only } else { before };
        Self { rated: later(before.rated, rated), ..newer }
    }

    /// The latest rating by event time.
    pub fn rating(&self) -> Option<Rating> {
        self.rated.map(|(_, rating)| rating)
    }

    /// The time of the newest event, if that is taste: dislikes, hidden movies and low ratings are not.
    pub fn taste(&self) -> Option<TimeMs> {
        self.newest_is_taste.then_some(self.newest.time_ms)
    }
}

fn later(one: Option<(TimeMs, Rating)>, other: Option<(TimeMs, Rating)>) -> Option<(TimeMs, Rating)> {
    one.into_iter().chain(other).max_by_key(|(time_ms, _)| *time_ms)
}

/// In half stars; nothing for no rating.
pub fn half_stars(rating: Option<Rating>) -> u64 {
    rating.map_or(0, |rating| u64::from(rating.half_stars()))
}

/// The opinions that these events, in any order, come to; all events of each user must be there.
pub fn opinions(events: &[Interaction]) -> HashMap<(UserId, MovieId), Opinion> {
    let mut opinions = HashMap::new();
    for event in events {
        let key = (event.user_id, event.movie_id);
        let before = opinions.get(&key).copied();
        opinions.insert(key, Opinion::with(before, event));
    }
    opinions
}

/// Sums over all users for one movie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MovieStats {
    /// The movie.
    pub movie_id: MovieId,
    /// Users to whose taste it is.
    pub popularity: u64,
    /// Users who rated it.
    pub ratings: u64,
    /// The sum of their latest ratings, in half stars.
    pub half_stars: u64,
    /// The newest events of the users to whose taste it is.
    pub trend: Trend,
}

impl MovieStats {
    /// The sums of a movie that nobody has an opinion of.
    pub fn none(movie_id: MovieId) -> Self {
        Self { movie_id, ..Self::default() }
    }

    /// Whether nobody's opinion is in them.
    pub fn is_none(&self) -> bool {
        *self == Self::none(self.movie_id)
    }

    /// Puts a user's opinion in the place of the one before, which must be in the sums.
    pub fn replace(&mut self, before: Option<Opinion>, now: Option<Opinion>) {
        if let Some(now) = now {
            self.popularity += u64::from(now.taste().is_some());
            now.taste().inspect(|time| self.trend.add(*time));
            self.ratings += u64::from(now.rating().is_some());
            self.half_stars += half_stars(now.rating());
        }
        if let Some(before) = before {
            self.popularity -= u64::from(before.taste().is_some());
            before.taste().inspect(|time| self.trend.remove(*time));
            self.ratings -= u64::from(before.rating().is_some());
            self.half_stars -= half_stars(before.rating());
        }
    }

    /// Adds the sums of other users.
    pub fn merge(&mut self, others: &Self) {
        self.popularity += others.popularity;
        self.ratings += others.ratings;
        self.half_stars += others.half_stars;
        self.trend.merge(&others.trend);
    }
}
