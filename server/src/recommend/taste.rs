//! What the model reads of a history.
//!
//! A model has seen each movie at most once in a sequence, so a movie stands where its newest event
//! stands, and that event decides whether it is taste: who liked a movie and later hid it is not asked
//! about it again.

use marquee_core::domain::{Interaction, MovieId};
use rustc_hash::{FxBuildHasher, FxHashSet};

/// The movies that count as taste, oldest first, each once. `events` are oldest first.
pub(crate) fn taste_of(events: &[Interaction]) -> Vec<MovieId> {
    let mut decided = FxHashSet::with_capacity_and_hasher(events.len(), FxBuildHasher);
    let mut newest_first: Vec<MovieId> = events
        .iter()
        .rev()
        .filter(|event| decided.insert(event.movie_id) && event.is_taste())
        .map(|event| event.movie_id)
        .collect();
    newest_first.reverse();
    newest_first
}

/// Movies or rows, oldest first, each once, where it stands last.
pub(super) fn without_repeats(numbers: &[u32]) -> Vec<u32> {
    let mut met = FxHashSet::with_capacity_and_hasher(numbers.len(), FxBuildHasher);
    let mut newest_first: Vec<u32> =
        numbers.iter().rev().copied().filter(|number| met.insert(*number)).collect();
    newest_first.reverse();
    newest_first
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{Kind, Rating};

    use super::*;

    fn event(movie_id: MovieId, time_ms: i64, kind: Kind, half_stars: u8) -> Interaction {
        Interaction { user_id: 1, movie_id, time_ms, kind, rating: Rating::from_half_stars(half_stars) }
    }

    #[test]
    fn the_newest_event_of_a_movie_decides() {
        let events = [
            event(10, 1, Kind::Like, 0),
            event(20, 2, Kind::View, 0),
            event(30, 3, Kind::Rating, 3),
            event(10, 4, Kind::Hide, 0),
            event(30, 5, Kind::Rating, 9),
        ];
        assert_eq!(taste_of(&events), [20, 30]);
    }

    #[test]
    fn a_repeated_movie_stands_where_it_stands_last() {
        assert_eq!(without_repeats(&[1, 2, 1, 3]), [2, 1, 3]);
    }
}
