//! Which movies a user liked.

use marquee_core::domain::{Interaction, Kind, MovieId};
use rustc_hash::FxHashSet;

/// The fewest half stars of a movie that was liked: 4 stars. Fewer may be taste, but "because you liked it" would be
/// said too lightly.
const LIKED_FROM_HALF_STARS: u8 = 8;

/// The liked movies, newest first, each once; its newest event decides. `events` are oldest first.
pub(super) fn newest_liked(events: &[Interaction]) -> Vec<MovieId> {
    let mut decided = FxHashSet::default();
    let newest = events.iter().rev().filter(|event| decided.insert(event.movie_id));
    newest.filter(|event| is_liked(event)).map(|event| event.movie_id).collect()
}

fn is_liked(event: &Interaction) -> bool {
    match event.kind {
        Kind::Like => true,
        Kind::Rating => event.rating.is_some_and(|rating| rating.half_stars() >= LIKED_FROM_HALF_STARS),
        Kind::View | Kind::Watchlist | Kind::Dislike | Kind::Hide => false,
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::Rating;

    use super::*;

    fn event(movie_id: MovieId, kind: Kind, half_stars: u8) -> Interaction {
        let rating = Rating::from_half_stars(half_stars);
        Interaction { user_id: 1, movie_id, time_ms: 0, kind, rating }
    }

    #[test]
    fn what_was_liked_or_got_four_stars_counts_newest_first_unless_a_later_event_says_otherwise() {
        let events = [
            event(1, Kind::Like, 0),
            event(2, Kind::Rating, 8),
            event(3, Kind::Rating, 7),
            event(4, Kind::View, 0),
            event(5, Kind::Like, 0),
            event(1, Kind::Hide, 0),
            event(2, Kind::Like, 0),
        ];
        assert_eq!(newest_liked(&events), [2, 5]);
    }
}
