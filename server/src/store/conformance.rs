//! What every store must do, as functions that a test of each backend calls.
//!
//! A check takes a fresh, empty store. It panics with a sentence when the store breaks a promise of
//! [`Store`], so it belongs in tests alone.

#![allow(clippy::missing_panics_doc, reason = "panicking is what a check is for")]

use super::Store;
use crate::domain::{Interaction, Kind, Rating};

/// Runs every check, each against a store of its own from `fresh`.
pub async fn all<S, F>(mut fresh: impl FnMut() -> F)
where
    S: Store,
    F: Future<Output = S>,
{
    the_same_event_twice_counts_once(&fresh().await).await;
}

/// A retry must not count.
pub async fn the_same_event_twice_counts_once(store: &impl Store) {
    let event = rating(7, 42, 1_000, 8);
    let first = store.record(&[event], 1).await.expect("a first write succeeds");
    let second = store.record(&[event], 2).await.expect("a retry succeeds");
    assert!(!first[0].duplicate && first[0].first_of_movie, "the first event is new");
    assert!(second[0].duplicate, "the same event again is a duplicate");
    let stats = store.user_stats(7).await.expect("a read succeeds").expect("the user is known");
    assert_eq!((stats.interactions, stats.ratings, stats.half_stars), (1, 1, 8));
}

/// A rating event for a check.
pub fn rating(user_id: u64, movie_id: u32, time_ms: i64, half_stars: u8) -> Interaction {
    Interaction {
        user_id,
        movie_id,
        time_ms,
        kind: Kind::Rating,
        rating: Rating::from_half_stars(half_stars),
    }
}
