//! Generated users: who has seen what, as a function of the user's number.

use marquee_core::domain::{Interaction, Kind, MovieId, Rating, UserId};
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt as _, SeedableRng as _};

/// The time of the first event, in 2023.
const EPOCH_MS: i64 = 1_700_000_000_000;
/// The time between two events of a user.
const STEP_MS: i64 = 60_000;

/// So many ratings of distinct movies, oldest first, all of them good enough to be taste.
///
/// # Panics
/// When there are fewer movies.
pub fn history(user_id: UserId, events: usize, movies: &[MovieId]) -> Vec<Interaction> {
    let mut random = StdRng::seed_from_u64(user_id);
    index::sample(&mut random, movies.len(), events)
        .into_iter()
        .zip(0..)
        .map(|(movie, place)| {
            let rating = Rating::from_half_stars(random.random_range(6..=10));
            let time_ms = EPOCH_MS + place * STEP_MS;
            Interaction { user_id, movie_id: movies[movie], time_ms, kind: Kind::Rating, rating }
        })
        .collect()
}

/// The histories of many users, one after another.
pub fn histories(
    users: impl IntoIterator<Item = UserId>,
    events: usize,
    movies: &[MovieId],
) -> Vec<Interaction> {
    users.into_iter().flat_map(|user_id| history(user_id, events, movies)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_history_is_a_function_of_its_user_and_has_distinct_movies() {
        let movies: Vec<MovieId> = (1..=500).collect();
        let first = history(7, 200, &movies);
        assert_eq!(first, history(7, 200, &movies));
        assert_ne!(first, history(8, 200, &movies));
        assert_eq!(first.iter().map(|event| event.movie_id).collect::<HashSet<_>>().len(), 200);
        assert!(first.is_sorted_by_key(|event| event.time_ms));
    }
}
