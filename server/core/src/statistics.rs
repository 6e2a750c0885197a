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

/// In half stars; nothing for no rating.
pub fn half_stars(rating: Option<Rating>) -> u64 {
    rating.map_or(0, |rating| u64::from(rating.half_stars()))
}

/// How many ratings there are of each value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RatingCounts([u64; Rating::ALL.len()]);

impl RatingCounts {
    /// So many of each value, the lowest first.
    pub const fn new(counts: [u64; Rating::ALL.len()]) -> Self {
        Self(counts)
    }

    /// So many of one value.
    pub fn of(rating: Rating, count: u64) -> Self {
        let mut counts = Self::default();
        counts.0[rating.place()] = count;
        counts
    }

    /// Each value with its number, the lowest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Rating, u64)> {
        Rating::ALL.into_iter().zip(self.0)
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Their sum in half stars.
    pub fn half_stars(&self) -> u64 {
        self.iter().map(|(rating, count)| u64::from(rating.half_stars()) * count).sum()
    }

    /// Their average in stars; `None` without ratings.
    pub fn average(&self) -> Option<f64> {
        let total = self.total();
        (total > 0).then(|| self.half_stars() as f64 / 2.0 / total as f64)
    }

    /// Adds a rating.
    pub fn add(&mut self, rating: Rating) {
        self.0[rating.place()] += 1;
    }

    /// Takes out a rating, which must be there.
    pub fn remove(&mut self, rating: Rating) {
        self.0[rating.place()] -= 1;
    }

    /// Adds other ratings.
    pub fn merge(&mut self, others: &Self) {
        for (count, other) in self.0.iter_mut().zip(others.0) {
            *count += other;
        }
    }
}

impl FromIterator<Rating> for RatingCounts {
    fn from_iter<I: IntoIterator<Item = Rating>>(ratings: I) -> Self {
        let mut counts = Self::default();
        ratings.into_iter().for_each(|rating| counts.add(rating));
        counts
    }
}

/// Sums over all users for one movie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MovieStats {
    /// The movie.
    pub movie_id: MovieId,
    /// Users to whose taste it is.
    pub popularity: u64,
    /// The latest ratings of the users who rated it.
    pub ratings: RatingCounts,
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
            now.rating().inspect(|rating| self.ratings.add(*rating));
        }
        if let Some(before) = before {
            self.popularity -= u64::from(before.taste().is_some());
            before.taste().inspect(|time| self.trend.remove(*time));
            before.rating().inspect(|rating| self.ratings.remove(*rating));
        }
    }

    /// Adds the sums of other users.
    pub fn merge(&mut self, others: &Self) {
        self.popularity += others.popularity;
        self.ratings.merge(&others.ratings);
        self.trend.merge(&others.trend);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_counted_by_value_and_average_as_their_sum_says() {
        let stars = |stars| Rating::from_stars(stars).expect("a rating");
        let mut counts: RatingCounts = [0.5, 5.0, 5.0].map(stars).into_iter().collect();
        assert_eq!((counts.total(), counts.half_stars(), counts.average()), (3, 21, Some(3.5)));
        let (lowest, highest) = (counts.iter().next(), counts.iter().last());
        assert_eq!((lowest, highest), (Some((stars(0.5), 1)), Some((stars(5.0), 2))));
        counts.merge(&RatingCounts::of(stars(0.5), 2));
        [0.5, 0.5, 0.5, 5.0, 5.0].map(stars).into_iter().for_each(|rating| counts.remove(rating));
        assert_eq!((counts, counts.average()), (RatingCounts::default(), None));
    }
}
