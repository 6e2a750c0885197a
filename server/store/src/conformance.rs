//! What every store must do, as functions that a test of each backend calls.
//!
//! A check takes a fresh, empty store. It panics with a sentence when the store breaks a promise of
//! [`Store`], so it belongs in tests alone.

#![allow(clippy::missing_panics_doc, reason = "panicking is what a check is for")]

use std::time::Duration;

use futures::future::join_all;
use marquee_core::attributes::{Attribute, AttributeValue};
use marquee_core::domain::{EventKey, Interaction, Kind, MovieRecord, Preferences, Rating, UserId};
use marquee_core::statistics::{MovieStats, Opinion, RatingCounts};

use super::{
    Content, Deleted, Document, DocumentId, DocumentKind, Record, Recorded, RuleRecord, Store, StoreStats,
    UserStats,
};

/// Runs every check, each against an empty store of its own from `fresh`.
pub async fn all<S, F>(mut fresh: impl FnMut() -> F)
where
    S: Store,
    F: Future<Output = S>,
{
    the_same_event_twice_counts_once(&fresh().await).await;
    an_unknown_user_is_none_everywhere(&fresh().await).await;
    registering_again_changes_nothing(&fresh().await).await;
    every_user_is_listed_once(&fresh().await).await;
    preferences_replace_those_before(&fresh().await).await;
    history_is_ordered_by_time_movie_and_kind(&fresh().await).await;
    a_profile_is_the_newest_and_all_that_was_seen(&fresh().await).await;
    the_latest_rating_by_event_time_counts(&fresh().await).await;
    views_of_a_rated_movie_keep_its_rating(&fresh().await).await;
    only_the_newest_taste_of_a_user_counts(&fresh().await).await;
    deletion_takes_everything_of_the_user(&fresh().await).await;
    deletion_leaves_the_trend_of_long_ago(&fresh().await).await;
    a_deleted_event_leaves_what_was_there_without_it(&fresh().await).await;
    deleting_an_event_that_is_not_there_changes_nothing(&fresh().await).await;
    events_are_deleted_from_any_part_of_a_long_history(&fresh().await).await;
    a_deleted_event_may_be_recorded_again(&fresh().await).await;
    pages_have_no_gaps_and_no_duplicates(&fresh().await).await;
    late_events_find_their_place(&fresh().await).await;
    a_hundred_thousand_events_are_one_history(&fresh().await).await;
    concurrent_writes_all_count(&fresh().await).await;
    movies_come_by_id_and_replace_each_other(&fresh().await).await;
    removed_movies_are_gone_and_may_come_again(&fresh().await).await;
    text_and_numbers_at_their_limits_come_back(&fresh().await).await;
    rules_come_by_id_and_replace_each_other(&fresh().await).await;
    notes_keep_their_last_value(&fresh().await).await;
    documents_come_by_key_within_their_part(&fresh().await).await;
    one_writer_of_a_document_wins(&fresh().await).await;
    a_document_that_is_over_is_gone(&fresh().await).await;
}

/// A retry must not count.
async fn the_same_event_twice_counts_once(store: &impl Store) {
    let event = rating(7, 42, 1_000, 8);
    let first = store.record(&[event], 1).await.expect("a first write succeeds");
    let second = store.record(&[event, event], 2).await.expect("a retry succeeds");
    assert!(!first[0].duplicate && first[0].before.is_none(), "the first event is new");
    assert!(second.iter().all(|outcome| outcome.duplicate), "the same event again is a duplicate");
    let within = store.record(&[rating(8, 42, 1, 2), rating(8, 42, 1, 2)], 3).await.expect("a write");
    assert_eq!([within[0].duplicate, within[1].duplicate], [false, true], "also within one call");
    let stats = store.user_stats(7).await.expect("a read succeeds").expect("the user is known");
    assert_eq!((stats.interactions, stats.ratings, stats.half_stars), (1, 1, 8));
    assert_sums(store, &[sums(42, &[1_000], &[8, 2])]).await;
}

/// Who never wrote is not there, and asking does not make them.
async fn an_unknown_user_is_none_everywhere(store: &impl Store) {
    assert!(store.record(&[], 1).await.expect("an empty call succeeds").is_empty());
    assert_eq!(store.profile(5, 10).await.expect("a read"), None);
    assert_eq!(store.history(5, None, 10).await.expect("a read"), None);
    assert_eq!(store.user(5).await.expect("a read"), None);
    assert_eq!(store.user_stats(5).await.expect("a read"), None);
    assert_eq!(store.delete_user(5).await.expect("deleting nobody succeeds"), []);
    assert_eq!(store.user(5).await.expect("a read"), None);
    assert_eq!(counts(store).await, StoreStats::default());
    store.ping().await.expect("an open store answers");
}

/// The first registration counts.
async fn registering_again_changes_nothing(store: &impl Store) {
    let (first, created) = store.register(3, 111).await.expect("a write");
    assert!(created && first.created_ms == 111, "the first registration creates");
    let (second, created) = store.register(3, 222).await.expect("a write");
    assert!(!created && second == first, "the second changes nothing");
    store.record(&[rating(4, 1, 5, 5)], 333).await.expect("a write");
    let (user, created) = store.register(4, 444).await.expect("a write");
    assert!(!created && user.created_ms == 333, "an event creates its user too");
    let profile = store.profile(3, 5).await.expect("a read").expect("a known user");
    assert!(profile.newest.is_empty() && profile.seen.is_empty(), "a new user has no history");
    assert_eq!(store.history(3, None, 5).await.expect("a read"), Some(vec![]));
    let stats = store.user_stats(3).await.expect("a read").expect("a known user");
    assert_eq!((stats.interactions, stats.first_ms, stats.last_ms), (0, None, None));
    assert_eq!(counts(store).await.users, 2);
}

/// Preferences are one value.
async fn preferences_replace_those_before(store: &impl Store) {
    let first = Preferences { genres: vec!["Drama".to_owned()], movie_ids: vec![3, 1, 2] };
    let user = store.set_preferences(6, first.clone(), 10).await.expect("a write");
    assert_eq!((user.created_ms, &user.preferences), (10, &first));
    store.record(&[rating(6, 1, 5, 5)], 20).await.expect("a write");
    let profile = store.profile(6, 5).await.expect("a read").expect("a known user");
    assert_eq!(profile.preferences, first, "an event keeps the preferences");
    let second = Preferences { genres: vec![], movie_ids: vec![9] };
    store.set_preferences(6, second.clone(), 30).await.expect("a write");
    let user = store.user(6).await.expect("a read").expect("a known user");
    assert_eq!((user.created_ms, user.preferences), (10, second));
    let user = store.set_preferences(6, Preferences::default(), 40).await.expect("a write");
    assert_eq!(user.preferences, Preferences::default(), "they can be emptied");
}

/// Equal times are ordered by movie, equal movies by kind.
async fn history_is_ordered_by_time_movie_and_kind(store: &impl Store) {
    let events = [
        of_kind(1, 20, 500, Kind::View),
        rating(1, 30, 500, 7),
        of_kind(1, 30, 500, Kind::View),
        of_kind(1, 10, 500, Kind::Like),
        of_kind(1, 99, 400, Kind::Hide),
        of_kind(1, 5, 600, Kind::Watchlist),
    ];
    store.record(&events, 1).await.expect("a write");
    let history = store.history(1, None, 100).await.expect("a read").expect("a known user");
    let keys: Vec<_> = history.iter().map(EventKey::from).collect();
    assert!(keys.is_sorted_by(|newer, older| newer > older), "newest first, strictly");
    assert_eq!(history.len(), events.len());
    assert!(history.iter().all(|event| events.contains(event)), "events come back as they were");
    let stats = store.user_stats(1).await.expect("a read").expect("a known user");
    assert_eq!((stats.interactions, stats.ratings, stats.half_stars), (5, 1, 7));
    assert_eq!((stats.first_ms, stats.last_ms), (Some(400), Some(600)));
}

/// Seen is everything, newest is bounded.
async fn a_profile_is_the_newest_and_all_that_was_seen(store: &impl Store) {
    let events: Vec<_> = (0..300).map(|i| rating(2, 1000 + i, i64::from(i), 6)).collect();
    store.record(&events, 1).await.expect("a write");
    for newest in [0, 1, 200, 299, 300, 1000] {
        let profile = store.profile(2, newest).await.expect("a read").expect("a known user");
        assert_eq!(profile.newest, events[300_usize.saturating_sub(newest)..], "newest {newest}");
        assert_eq!(profile.seen, (1000..1300).collect());
    }
}

/// Arrival does not matter, event time does.
async fn the_latest_rating_by_event_time_counts(store: &impl Store) {
    let newer = store.record(&[rating(1, 5, 2_000, 10)], 1).await.expect("a write")[0];
    assert_eq!(ratings_of(newer), (None, stars(10)));
    let older = store.record(&[rating(1, 5, 1_000, 2)], 1).await.expect("a write")[0];
    assert!(older.before.is_some() && !older.duplicate);
    assert_eq!(ratings_of(older), (stars(10), stars(10)), "an older one is history");
    let newest = store.record(&[rating(1, 5, 3_000, 4)], 1).await.expect("a write")[0];
    assert_eq!(ratings_of(newest), (stars(10), stars(4)));
    let stats = store.user_stats(1).await.expect("a read").expect("a known user");
    assert_eq!((stats.interactions, stats.ratings, stats.half_stars), (1, 1, 4));
    assert_sums(store, &[sums(5, &[], &[4])]).await;
}

/// Kinds without stars count as seen and change no rating.
async fn views_of_a_rated_movie_keep_its_rating(store: &impl Store) {
    let view = of_kind(1, 5, 900, Kind::View);
    let first = store.record(&[view], 1).await.expect("a write")[0];
    assert_eq!((first.before, ratings_of(first)), (None, (None, None)));
    let rated = store.record(&[rating(1, 5, 800, 9)], 1).await.expect("a write")[0];
    assert_eq!((rated.before, ratings_of(rated)), (first.now, (None, stars(9))));
    let again = store.record(&[of_kind(1, 5, 950, Kind::View)], 1).await.expect("a write")[0];
    assert_eq!(ratings_of(again), (stars(9), stars(9)));
    assert_sums(store, &[sums(5, &[950], &[9])]).await;
}

/// A user counts once a movie, by the newest event: what is disliked, hidden or rated low raises nothing.
async fn only_the_newest_taste_of_a_user_counts(store: &impl Store) {
    let mut events: Vec<_> = (0..200).map(|i| of_kind(1, 5, 1_000 + i, Kind::View)).collect();
    events.extend((2..=4).map(|user| of_kind(user, 5, 500, Kind::View)));
    let disliked = [of_kind(2, 6, 10, Kind::Dislike), of_kind(3, 6, 10, Kind::Hide), rating(4, 6, 10, 1)];
    events.extend(disliked);
    store.record(&events, 1).await.expect("a write");
    assert_sums(store, &[sums(5, &[1_199, 500, 500, 500], &[]), sums(6, &[], &[1])]).await;
    let changes = [of_kind(1, 5, 2_000, Kind::Hide), of_kind(2, 5, 400, Kind::Hide), rating(4, 6, 20, 6)];
    store.record(&changes, 1).await.expect("a write");
    assert_sums(store, &[sums(5, &[500, 500, 500], &[]), sums(6, &[20], &[6])]).await;
    store.delete_user(4).await.expect("a deletion");
    store.delete_user(1).await.expect("a deletion");
    assert_sums(store, &[sums(5, &[500, 500], &[])]).await;
}

/// What users liked years ago stays when somebody of today, who outweighs them a billionfold, goes.
async fn deletion_leaves_the_trend_of_long_ago(store: &impl Store) {
    let (long_ago, today) = (946_684_800_000, 1_790_000_000_000);
    store.record(&[rating(1, 5, long_ago, 10), rating(2, 5, long_ago + 1, 10)], 1).await.expect("a write");
    let before = sorted_sums(store).await;
    store.record(&[of_kind(3, 5, today, Kind::View)], 1).await.expect("a write");
    store.delete_user(3).await.expect("a deletion");
    assert_eq!(sorted_sums(store).await, before);
}

/// Nothing of a deleted user is left, and nobody else loses anything.
async fn deletion_takes_everything_of_the_user(store: &impl Store) {
    let gone: Vec<_> =
        (0..600).map(|i| rating(1, 1 + i % 400, 10_000 + i64::from(i), 1 + (i % 10) as u8)).collect();
    let stays = [rating(2, 7, 50_000, 6), of_kind(2, 8, 50_000, Kind::View)];
    store.record(&gone, 1).await.expect("a write");
    store.record(&stays, 1).await.expect("a write");
    store.set_preferences(1, Preferences { genres: vec![], movie_ids: vec![4] }, 1).await.expect("a write");
    let removed = store.delete_user(1).await.expect("a deletion");
    assert_eq!(removed, gone, "the removed events come back, oldest first");
    assert_eq!(store.user(1).await.expect("a read"), None);
    assert_eq!(store.profile(1, 10).await.expect("a read"), None);
    assert_eq!(store.history(1, None, 10).await.expect("a read"), None);
    assert_eq!(store.delete_user(1).await.expect("deleting again succeeds"), []);
    let left = [sums(7, &[50_000], &[6]), sums(8, &[50_000], &[])];
    assert_sums(store, &left).await;
    assert_eq!(counts(store).await, StoreStats { users: 1, interactions: 2, movies: 0 });
    let again = store.record(&gone[..1], 9).await.expect("a write")[0];
    assert!(!again.duplicate && again.before.is_none(), "a deleted user begins anew");
    let history = store.history(1, None, 1000).await.expect("a read").expect("a known user");
    assert_eq!(history, gone[..1]);
    let user = store.user(1).await.expect("a read").expect("a known user");
    assert_eq!((user.created_ms, user.preferences), (9, Preferences::default()));
}

/// All that can be read is as it was before the event: sums, the user's numbers, what is seen.
async fn a_deleted_event_leaves_what_was_there_without_it(store: &impl Store) {
    let events = [
        rating(1, 5, 1_000, 4),
        of_kind(1, 5, 2_000, Kind::View),
        rating(1, 5, 3_000, 9),
        of_kind(1, 5, 3_000, Kind::Hide),
        rating(1, 6, 500, 7),
        rating(2, 5, 9_000, 8),
    ];
    let mut before = vec![everything(store).await];
    for event in events {
        store.record(&[event], 77).await.expect("a write");
        before.push(everything(store).await);
    }
    for event in events.into_iter().rev() {
        before.pop();
        let deleted = delete(store, event).await.expect("it is there");
        assert_eq!(deleted.event, event);
        let now = everything(store).await;
        let expected = before.last().expect("the state before any event is left");
        assert_eq!((&now.0, now.1.interactions), (&expected.0, expected.1.interactions), "{event:?}");
        assert_eq!(now.2.unwrap_or_default(), expected.2.unwrap_or_default(), "{event:?}");
    }
    for user_id in [1, 2] {
        let profile = store.profile(user_id, 10).await.expect("a read").expect("the user stays");
        assert!(profile.newest.is_empty() && profile.seen.is_empty());
        assert_eq!(store.user(user_id).await.expect("a read").expect("the user stays").created_ms, 77);
    }
}

/// Unknown users, movies, times and kinds.
async fn deleting_an_event_that_is_not_there_changes_nothing(store: &impl Store) {
    assert_eq!(delete(store, rating(1, 5, 1_000, 4)).await, None, "nobody is there");
    assert_eq!(store.user(1).await.expect("a read"), None, "and nobody is made");
    store.record(&[rating(1, 5, 1_000, 4)], 1).await.expect("a write");
    let before = everything(store).await;
    let others = [
        rating(2, 5, 1_000, 4),
        rating(1, 6, 1_000, 4),
        rating(1, 5, 999, 4),
        of_kind(1, 5, 1_000, Kind::View),
    ];
    for other in others {
        assert_eq!(delete(store, other).await, None, "{other:?}");
    }
    assert_eq!(everything(store).await, before);
    assert!(delete(store, rating(1, 5, 1_000, 10)).await.is_some(), "stars are no part of an event's key");
    assert_eq!(delete(store, rating(1, 5, 1_000, 4)).await, None, "it is gone");
}

/// The newest, the oldest and those between, one by one and many at once, until nothing is left.
async fn events_are_deleted_from_any_part_of_a_long_history(store: &impl Store) {
    let events: Vec<_> = (0..900).map(|i| rating(1, 1 + i % 300, 1_000 + i64::from(i), 6)).collect();
    store.record(&events, 1).await.expect("a write");
    let mut left = events.clone();
    for place in [0, 899, 898, 400, 256, 128, 1] {
        let gone = events[place];
        left.retain(|event| *event != gone);
        assert_eq!(delete(store, gone).await.map(|deleted| deleted.event), Some(gone));
        assert_history(store, &left).await;
    }
    let newest = left.split_off(300);
    let deleted = join_all(newest.iter().map(|event| delete(store, *event))).await;
    assert!(deleted.iter().all(Option::is_some), "all are there");
    assert_history(store, &left).await;
    let again = store.record(&left[..2], 1).await.expect("a write");
    assert!(again.iter().all(|outcome| outcome.duplicate), "what was not deleted is known");
    let late = of_kind(1, 7, 1_003, Kind::View);
    store.record(&[late], 1).await.expect("a write");
    left.insert(left.partition_point(|event| EventKey::from(event) < EventKey::from(&late)), late);
    assert_history(store, &left).await;
    join_all(left.iter().map(|event| delete(store, *event))).await;
    assert_history(store, &[]).await;
    assert_sums(store, &[]).await;
}

/// As if it had never been there, also by whoever deletes and records at once.
async fn a_deleted_event_may_be_recorded_again(store: &impl Store) {
    let event = rating(1, 5, 1_000, 4);
    for _ in 0..3 {
        let recorded = store.record(&[event], 1).await.expect("a write")[0];
        assert_eq!((recorded.duplicate, recorded.before), (false, None));
        assert!(delete(store, event).await.is_some());
    }
    let other = rating(1, 5, 1_000, 10);
    store.record(&[other], 1).await.expect("a write");
    assert_history(store, &[other]).await;
    assert_sums(store, &[sums(5, &[1_000], &[10])]).await;
}

/// A reader of pages sees every event once, whatever is recorded meanwhile.
async fn pages_have_no_gaps_and_no_duplicates(store: &impl Store) {
    // Three events share each time, so that pages end within one.
    let events: Vec<_> = (0..700).map(|i| rating(1, 1 + i, 1_000 + i64::from(i / 3), 6)).collect();
    store.record(&events, 1).await.expect("a write");
    for limit in [1, 7, 256, 700] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.history(1, after, limit).await.expect("a read").expect("a known user");
            assert!(page.len() <= limit, "a page has at most its limit");
            let Some(last) = page.last() else { break };
            after = Some(EventKey::from(last));
            seen.extend(page);
            if limit == 7 {
                let newer = rating(1, 50_000, 1_000_000 + seen.len() as i64, 6);
                store.record(&[newer], 1).await.expect("a write");
            }
        }
        let expected = store.history(1, None, 10_000).await.expect("a read").expect("a known user");
        let first_page_on = expected.iter().position(|event| *event == seen[0]).expect("it is there");
        assert_eq!(seen, expected[first_page_on..], "pages of {limit}");
    }
    assert_eq!(store.history(1, None, 0).await.expect("a read"), Some(vec![]));
}

/// Events that arrive late, one at a time or together, stand where their time says.
async fn late_events_find_their_place(store: &impl Store) {
    let on_time: Vec<_> = (0..600).map(|i| rating(1, 1 + i, i64::from(i) * 10, 6)).collect();
    store.record(&on_time, 1).await.expect("a write");
    let late = [-5, 5, 1_234, 3_333, 5_555, 5_991].map(|time| of_kind(1, 2_000, time, Kind::View));
    for event in &late[..3] {
        store.record(&[*event], 1).await.expect("a write");
    }
    let outcomes = store.record(&late, 1).await.expect("a write");
    let duplicates = outcomes.iter().filter(|outcome| outcome.duplicate).count();
    assert_eq!(duplicates, 3, "those recorded before are duplicates");
    let again = store.record(&on_time[100..110], 1).await.expect("a write");
    assert!(again.iter().all(|outcome| outcome.duplicate), "old events are found again");
    let mut expected = [&on_time[..], &late].concat();
    expected.sort_by_key(|event| std::cmp::Reverse(EventKey::from(event)));
    let history = store.history(1, None, 1000).await.expect("a read").expect("a known user");
    assert_eq!(history, expected);
}

/// Large, and still bounded reads.
async fn a_hundred_thousand_events_are_one_history(store: &impl Store) {
    const EVENTS: u32 = 100_000;
    // Every movie ten times; the times are a permutation of 0 to 99,999.
    let event = |i: u32| rating(1, 1 + i / 10, i64::from(i * 7_919 % EVENTS), 1 + (i % 10) as u8);
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    for batch in events.chunks(10_000) {
        store.record(batch, 1).await.expect("a write");
    }
    let profile = store.profile(1, 200).await.expect("a read").expect("a known user");
    assert_eq!(profile.seen.len(), u64::from(EVENTS / 10));
    let times: Vec<_> = profile.newest.iter().map(|event| event.time_ms).collect();
    assert_eq!(times, (99_800..100_000).collect::<Vec<_>>());
    let stats = store.user_stats(1).await.expect("a read").expect("a known user");
    let latest = events.chunks(10).map(|of_movie| {
        let latest = of_movie.iter().max_by_key(|event| event.time_ms).expect("ten events");
        u64::from(latest.rating.expect("a rating").half_stars())
    });
    assert_eq!((stats.ratings, stats.half_stars), (u64::from(EVENTS / 10), latest.sum()));
    let middle = EventKey { time_ms: 50_000, movie_id: 0, kind: Kind::Rating };
    let page = store.history(1, Some(middle), 50).await.expect("a read").expect("a known user");
    let times: Vec<_> = page.iter().map(|event| event.time_ms).collect();
    assert_eq!(times, (49_950..50_000).rev().collect::<Vec<_>>());
}

/// Callers at once, of the same user and of others.
async fn concurrent_writes_all_count(store: &impl Store) {
    let writes = (0..32_u32).map(|caller| async move {
        for i in 0..20 {
            let own = rating(100 + u64::from(caller), 1 + i, i64::from(i), 4);
            let shared = rating(1, 1 + caller, i64::from(i), 1 + (i % 10) as u8);
            store.record(&[own, shared], 1).await.expect("a write");
            let profile = store.profile(1, 1000).await.expect("a read").expect("a known user");
            assert!(profile.newest.contains(&shared), "a write is in the next read");
        }
    });
    join_all(writes).await;
    let shared = store.user_stats(1).await.expect("a read").expect("a known user");
    assert_eq!((shared.interactions, shared.half_stars), (32, 32 * 10));
    assert_eq!(counts(store).await, StoreStats { users: 33, interactions: 1280, movies: 0 });
    let ratings: u64 =
        store.movie_stats().await.expect("a read").iter().map(|stats| stats.ratings.total()).sum();
    assert_eq!(ratings, 32 * 20 + 32);
}

/// Whatever made them, in pages of any size.
async fn every_user_is_listed_once(store: &impl Store) {
    assert_eq!(store.users(None, 10).await.expect("a read"), [0; 0]);
    let registered = 1..=40;
    for user_id in registered.clone() {
        store.register(user_id, 1).await.expect("a write");
    }
    let preferences = Preferences { genres: vec![], movie_ids: vec![1] };
    store.set_preferences(u64::MAX, preferences, 1).await.expect("a write");
    store.record(&[rating(50, 1, 1, 6), rating(51, 1, 1, 6)], 1).await.expect("a write");
    store.delete_user(51).await.expect("a deletion");
    let expected: Vec<UserId> = registered.chain([50, u64::MAX]).collect();
    for limit in [1, 7, 41, 42, 100] {
        let mut listed = Vec::new();
        loop {
            let page = store.users(listed.last().copied(), limit).await.expect("a read");
            assert!(page.len() <= limit, "a page of {limit} has {}", page.len());
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        listed.sort_unstable();
        assert_eq!(listed, expected, "pages of {limit}");
    }
    assert_eq!(store.users(None, 0).await.expect("a read"), [0; 0]);
}

/// The catalogue.
async fn movies_come_by_id_and_replace_each_other(store: &impl Store) {
    let movie =
        |movie_id, title: &str| MovieRecord { movie_id, title: title.to_owned(), ..MovieRecord::default() };
    let first: Vec<_> = [5, 1, 9, 70_000].map(|id| movie(id, "A (1999)")).into();
    assert_eq!(store.put_movies(&first).await.expect("a write"), [true; 4]);
    let second = [movie(9, "B (2000)"), movie(10, "C (2001)")];
    assert_eq!(store.put_movies(&second).await.expect("a write"), [false, true]);
    let all = store.movies(None, 100).await.expect("a read");
    assert_eq!(all.iter().map(|movie| movie.movie_id).collect::<Vec<_>>(), [1, 5, 9, 10, 70_000]);
    assert_eq!(all[2].title, "B (2000)");
    assert_eq!(store.movies(Some(5), 2).await.expect("a read"), all[2..4]);
    assert_eq!(store.movies(Some(70_000), 2).await.expect("a read"), []);
    assert_eq!(counts(store).await.movies, 5);
}

/// Of the catalogue alone: users keep what they did.
async fn removed_movies_are_gone_and_may_come_again(store: &impl Store) {
    let movie = |movie_id| MovieRecord { movie_id, title: "A (1999)".to_owned(), ..MovieRecord::default() };
    store.put_movies(&[movie(1), movie(2), movie(3)]).await.expect("a write");
    store.record(&[rating(1, 2, 5, 8)], 1).await.expect("a write");
    store.remove_movies(&[2, 3, 77]).await.expect("a write");
    store.remove_movies(&[2]).await.expect("a repetition");
    assert_eq!(store.movies(None, 10).await.expect("a read"), [movie(1)]);
    assert_eq!(counts(store).await, StoreStats { users: 1, interactions: 1, movies: 1 });
    let new = store.put_movies(&[movie(1), movie(3)]).await.expect("a write");
    assert_eq!(new, [false, true], "a removed one is new");
    assert_eq!(store.movies(None, 10).await.expect("a read"), [movie(1), movie(3)]);
}

/// Unicode, empty and long text, the ends of number ranges.
async fn text_and_numbers_at_their_limits_come_back(store: &impl Store) {
    let movie = MovieRecord {
        movie_id: u32::MAX,
        title: "七人の侍 🎬 é\u{0}".to_owned(),
        genres: (0..50).map(|i| format!("Genre {i} ü")).collect(),
        imdb: Some(u32::MAX),
        tmdb: None,
        tags: vec![(String::new(), 0), ("x".repeat(20_000), u32::MAX)],
        key: Some("七人の侍/1954".to_owned()),
        attributes: vec![
            attribute("監督", AttributeValue::Texts(vec!["黒澤明".to_owned(), String::new()])),
            attribute("minutes", AttributeValue::Number(f64::MIN_POSITIVE)),
            attribute("studio", AttributeValue::Text("x".repeat(4_000))),
        ],
    };
    let plain = MovieRecord {
        movie_id: 1,
        imdb: None,
        tmdb: Some(1),
        attributes: vec![attribute("minutes", AttributeValue::Number(-0.5))],
        ..MovieRecord::default()
    };
    store.put_movies(&[movie.clone(), plain.clone()]).await.expect("a write");
    assert_eq!(store.movies(None, 10).await.expect("a read"), [plain, movie]);
    let preferences = Preferences {
        genres: vec!["ドラマ".to_owned(); 50],
        movie_ids: (1..=99).chain([u32::MAX]).collect(),
    };
    store.set_preferences(UserId::MAX, preferences.clone(), i64::MAX).await.expect("a write");
    let user = store.user(UserId::MAX).await.expect("a read").expect("a known user");
    assert_eq!((user.created_ms, user.preferences), (i64::MAX, preferences));
    let far = 8_000_000_000_000_000;
    let events = [-far, -1, 0, 1, far].map(|time| rating(UserId::MAX, u32::MAX, time, 10));
    store.record(&events, 0).await.expect("a write");
    let profile = store.profile(UserId::MAX, 10).await.expect("a read").expect("a known user");
    assert_eq!(profile.newest, events);
    assert_eq!(profile.seen, [u32::MAX].into());
}

/// What editors want.
async fn rules_come_by_id_and_replace_each_other(store: &impl Store) {
    assert_eq!(store.rules().await.expect("a read"), []);
    let [christmas, autumn] = [rule("christmas", b"pin"), rule("autumn", &[0, 255])];
    assert!(store.put_rule(&christmas).await.expect("a write"), "the first is new");
    assert!(store.put_rule(&autumn).await.expect("a write"), "another one is new");
    let changed = rule("christmas", b"");
    assert!(!store.put_rule(&changed).await.expect("a write"), "the same again is not");
    assert_eq!(store.rules().await.expect("a read"), [autumn.clone(), changed]);
    assert!(store.remove_rule("christmas").await.expect("a write"), "it was there");
    assert!(!store.remove_rule("christmas").await.expect("a repetition"), "it is gone");
    assert_eq!(store.rules().await.expect("a read"), std::slice::from_ref(&autumn));
    assert!(store.put_rule(&christmas).await.expect("a write"), "a removed one is new");
    let many: Vec<_> = (0..300).map(|i| rule(&format!("rule-{i:04}"), &[7; 100])).collect();
    join_all(many.iter().map(|rule| store.put_rule(rule))).await;
    let all = [&[autumn, christmas], &many[..]].concat();
    assert_eq!(store.rules().await.expect("a read"), all);
}

/// Small values by name.
async fn notes_keep_their_last_value(store: &impl Store) {
    assert_eq!(store.get_note("import/ratings.csv").await.expect("a read"), None);
    store.put_note("import/ratings.csv", b"one").await.expect("a write");
    store.put_note("import/ratings.csv", &[0, 255]).await.expect("a write");
    store.put_note("ключ", b"").await.expect("a write");
    assert_eq!(store.get_note("import/ratings.csv").await.expect("a read"), Some(vec![0, 255]));
    assert_eq!(store.get_note("ключ").await.expect("a read"), Some(vec![]));
}

/// What is listed together, and what is removed together.
async fn documents_come_by_key_within_their_part(store: &impl Store) {
    let documents = store.documents();
    let put = async |part, key, value: &[u8]| {
        documents.put(document(part, key), &Content::lasting(value), 1).await.expect("a write");
    };
    let list = async |part, after, limit| {
        let page = documents.list(DocumentKind::Key, part, after, limit, 1).await.expect("a read");
        page.into_iter().map(|Document { key, value }| (key, value)).collect::<Vec<_>>()
    };
    let row = |key: &str, value: &[u8]| (key.to_owned(), value.to_vec());
    assert_eq!(documents.get(document("", "a"), 1).await.expect("a read"), None);
    assert_eq!(list("", None, 10).await, []);
    put("", "b", b"two").await;
    put("", "a", b"").await;
    put("", "ключ", &[0, 255]).await;
    put("", "b", b"2").await;
    put("b", "a", b"of another part").await;
    assert_eq!(documents.get(document("", "b"), 1).await.expect("a read").as_deref(), Some(&b"2"[..]));
    assert_eq!(
        documents.get(document("", "a"), 1).await.expect("a read"),
        Some(vec![]),
        "empty is something"
    );
    let all = [row("a", b""), row("b", b"2"), row("ключ", &[0, 255])];
    assert_eq!(list("", None, 10).await, all);
    assert_eq!(list("", None, 2).await, all[..2]);
    assert_eq!(list("", Some("a"), 1).await, all[1..2]);
    assert_eq!(list("", Some("ключ"), 10).await, []);
    let other_kind = documents.list(DocumentKind::KeyUse, "", None, 10, 1).await.expect("a read");
    assert_eq!(other_kind, [], "another kind has its own");
    assert!(documents.remove(document("", "a"), 1).await.expect("a write"), "it was there");
    assert!(!documents.remove(document("", "a"), 1).await.expect("a write"), "it is gone");
    documents.remove_part(DocumentKind::Key, "").await.expect("a write");
    assert_eq!(list("", None, 10).await, []);
    assert_eq!(list("b", None, 10).await, [row("a", b"of another part")]);
}

/// Nobody overwrites what they have not seen.
async fn one_writer_of_a_document_wins(store: &impl Store) {
    let (documents, name) = (store.documents(), document("", "a"));
    let contents: Vec<_> = (0..8_u8).map(|writer| Content::lasting([writer])).collect();
    let inserted = join_all(contents.iter().map(|content| documents.insert(name, content, 1))).await;
    let won: Vec<_> = inserted.into_iter().map(|won| won.expect("a write")).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let winner = won.iter().position(|won| *won).expect("one of them") as u8;
    assert_eq!(documents.get(name, 1).await.expect("a read"), Some(vec![winner]));

    let [seen, next, lost] = [&[winner][..], b"next", b"lost"];
    assert!(documents.replace(name, seen, &Content::lasting(next), 1).await.expect("a write"));
    assert!(!documents.replace(name, seen, &Content::lasting(lost), 1).await.expect("a write"));
    assert_eq!(documents.get(name, 1).await.expect("a read").as_deref(), Some(next));
    let absent = document("", "absent");
    assert!(!documents.replace(absent, b"", &Content::lasting(lost), 1).await.expect("a write"));
    assert_eq!(documents.get(absent, 1).await.expect("a read"), None);
}

/// By the reader's time, to the millisecond.
async fn a_document_that_is_over_is_gone(store: &impl Store) {
    let (documents, name) = (store.documents(), document("", "a"));
    let until = |expires_ms, value: &[u8]| Content { value: value.to_vec(), expires_ms: Some(expires_ms) };
    documents.put(name, &until(90_000, b"short"), 1_000).await.expect("a write");
    documents.put(document("", "b"), &Content::lasting(*b"long"), 1_000).await.expect("a write");
    let keys = async |now_ms, limit| {
        let page = documents.list(DocumentKind::Key, "", None, limit, now_ms).await.expect("a read");
        page.into_iter().map(|document| document.key).collect::<Vec<_>>()
    };
    assert_eq!(documents.get(name, 89_999).await.expect("a read").as_deref(), Some(&b"short"[..]));
    assert_eq!(documents.get(name, 90_000).await.expect("a read"), None);
    assert_eq!(keys(89_999, 10).await, ["a", "b"]);
    assert_eq!(keys(90_000, 1).await, ["b"], "what is over takes no place on a page");
    assert!(!documents.replace(name, b"short", &until(1, b""), 90_000).await.expect("a write"), "gone");
    assert!(!documents.insert(name, &until(1, b""), 89_999).await.expect("a write"), "still there");
    assert!(documents.insert(name, &Content::lasting(*b"new"), 90_000).await.expect("a write"), "free again");
    assert_eq!(documents.get(name, 1_000_000).await.expect("a read").as_deref(), Some(&b"new"[..]));
    documents.put(name, &until(200_000, b"short"), 150_000).await.expect("a write");
    assert!(!documents.remove(name, 200_000).await.expect("a write"), "what is over was not there");
    assert!(documents.remove(name, 199_999).await.expect("a write"), "what is not was");
}

/// What was acknowledged is there after closing and opening again; `open` opens the same store.
pub async fn it_survives_a_restart<S, F>(mut open: impl FnMut() -> F)
where
    S: Store,
    F: Future<Output = S>,
{
    let events: Vec<_> =
        (0..1_000).map(|i| rating(1 + u64::from(i % 3), 1 + i % 50, i64::from(i), 5)).collect();
    let movie = MovieRecord { movie_id: 3, title: "Heat (1995)".to_owned(), ..MovieRecord::default() };
    let store = open().await;
    store.put_movies(std::slice::from_ref(&movie)).await.expect("a write");
    store.put_note("import", b"half way").await.expect("a write");
    store.put_rule(&rule("christmas", b"pin")).await.expect("a write");
    store.documents().put(document("", "a"), &Content::lasting(*b"kept"), 1).await.expect("a write");
    store.register(77, 5).await.expect("a write");
    for batch in events.chunks(100) {
        store.record(batch, 1).await.expect("a write");
    }
    let before = (store.profile(1, 200).await.expect("a read"), counts(&store).await);
    let sums_before = sorted_sums(&store).await;
    drop(store);
    let store = open().await;
    let after = (store.profile(1, 200).await.expect("a read"), counts(&store).await);
    assert_eq!(after, before);
    assert_eq!(sorted_sums(&store).await, sums_before);
    assert_eq!(store.movies(None, 10).await.expect("a read"), [movie]);
    assert_eq!(store.rules().await.expect("a read"), [rule("christmas", b"pin")]);
    let kept = store.documents().get(document("", "a"), 1).await.expect("a read");
    assert_eq!(kept.as_deref(), Some(&b"kept"[..]));
    assert_eq!(store.get_note("import").await.expect("a read").as_deref(), Some(&b"half way"[..]));
    let again = store.record(&events, 1).await.expect("a write");
    assert!(again.iter().all(|outcome| outcome.duplicate), "everything is known already");
}

/// Fills an empty store with something of every kind: 3 movies, 2 rules, 2 notes, 4 documents, and 5 users with 1,205
/// events, histories short and long among them.
pub async fn fill(store: &impl Store) {
    let movie = MovieRecord {
        movie_id: 7,
        title: "七人の侍 (1954)\n\"'".to_owned(),
        genres: vec!["Drama".to_owned(), "Action".to_owned()],
        imdb: Some(47_478),
        tmdb: None,
        tags: vec![("samurai".to_owned(), 12), (String::new(), 0)],
        key: Some("seven samurai".to_owned()),
        attributes: vec![
            attribute("cast", AttributeValue::Texts(vec!["Mifune".to_owned(), "Shimura".to_owned()])),
            attribute("minutes", AttributeValue::Number(207.0)),
            attribute("studio", AttributeValue::Text("Toho \"\n".to_owned())),
        ],
    };
    let plain = |movie_id| MovieRecord { movie_id, ..MovieRecord::default() };
    store.put_movies(&[movie, plain(1), plain(u32::MAX)]).await.expect("a write");
    for rule in [rule("christmas", &[0, 255]), rule("autumn", b"")] {
        store.put_rule(&rule).await.expect("a write");
    }
    store.put_note("import/ratings.csv", &[0, 1, 255]).await.expect("a write");
    store.put_note("ключ", b"").await.expect("a write");
    let documents = store.documents();
    let until = Content { value: vec![7; 3_000], expires_ms: Some(i64::MAX / 2_000_000) };
    documents.put(document("", "a"), &Content::lasting(*b"kept"), 1).await.expect("a write");
    documents.put(document("", "ключ"), &Content::lasting([0, 255]), 1).await.expect("a write");
    documents.put(document("another part", "a"), &until, 1).await.expect("a write");
    let session = DocumentId { kind: DocumentKind::Session, part: "1", key: "s" };
    documents.put(session, &Content::lasting(*b""), 1).await.expect("a write");

    let long: Vec<_> = (0..1_200).map(|i| rating(1, 1 + i % 500, i64::from(i), 1 + (i % 10) as u8)).collect();
    store.record(&long, 111).await.expect("a write");
    let kinds = [Kind::View, Kind::Like, Kind::Dislike, Kind::Hide];
    let events = kinds.map(|kind| of_kind(2, 7, -5, kind));
    store.record(&events, 222).await.expect("a write");
    store.register(3, 333).await.expect("a write");
    let preferences = Preferences { genres: vec!["Drama".to_owned()], movie_ids: vec![1, u32::MAX] };
    store.set_preferences(UserId::MAX, preferences.clone(), 444).await.expect("a write");
    store.set_preferences(5, preferences, 555).await.expect("a write");
    store.record(&[rating(5, 7, 1_700_000_000_000, 10)], 666).await.expect("a write");
}

/// Everything of a store but what says how it came to be, in one order.
async fn content(store: &impl Store) -> Vec<String> {
    let (sender, mut chunks) = tokio::sync::mpsc::channel(1);
    let received = async move {
        let mut records = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            records.extend(chunk);
        }
        records
    };
    let (exported, records) = tokio::join!(store.export(sender), received);
    exported.expect("a read");
    let is_content = |record: &Record| !matches!(record, Record::Note { key, .. } if key == "restore");
    let mut shown: Vec<_> = records.iter().filter(|it| is_content(it)).map(|it| format!("{it:?}")).collect();
    shown.sort_unstable();
    shown
}

/// Two stores, of whatever kinds, hold the same, and say the same of it.
pub async fn assert_same_content(one: &impl Store, other: &impl Store) {
    assert_eq!(content(other).await, content(one).await);
    assert_eq!(sorted_sums(other).await, sorted_sums(one).await);
    assert_eq!(counts(other).await, counts(one).await);
    for user_id in one.users(None, 10).await.expect("a read") {
        let (of_one, of_other) = (one.user_stats(user_id).await, other.user_stats(user_id).await);
        assert_eq!(of_other.expect("a read"), of_one.expect("a read"), "{user_id}");
    }
}

/// A rating event for a check.
pub fn rating(user_id: UserId, movie_id: u32, time_ms: i64, half_stars: u8) -> Interaction {
    Interaction { rating: stars(half_stars), ..of_kind(user_id, movie_id, time_ms, Kind::Rating) }
}

/// An event without stars for a check.
pub fn of_kind(user_id: UserId, movie_id: u32, time_ms: i64, kind: Kind) -> Interaction {
    Interaction { user_id, movie_id, time_ms, kind, rating: None }
}

fn attribute(name: &str, value: AttributeValue) -> Attribute {
    Attribute { name: name.to_owned(), value }
}

fn document<'a>(part: &'a str, key: &'a str) -> DocumentId<'a> {
    DocumentId { kind: DocumentKind::Key, part, key }
}

fn rule(rule_id: &str, body: &[u8]) -> RuleRecord {
    RuleRecord { rule_id: rule_id.to_owned(), body: body.to_vec() }
}

fn stars(half_stars: u8) -> Option<Rating> {
    Rating::from_half_stars(half_stars)
}

/// A user's rating of the movie before the event and after it.
fn ratings_of(recorded: Recorded) -> (Option<Rating>, Option<Rating>) {
    let rating = |opinion: Option<Opinion>| opinion.and_then(|opinion| opinion.rating());
    (rating(recorded.before), rating(recorded.now))
}

/// The sums of a movie that is to the taste of users since these times, some of whom rated it so.
fn sums(movie_id: u32, taste: &[i64], half_stars: &[u8]) -> MovieStats {
    let ratings: RatingCounts = half_stars.iter().filter_map(|half_stars| stars(*half_stars)).collect();
    let trend = taste.iter().copied().collect();
    MovieStats { movie_id, popularity: taste.len() as u64, ratings, trend }
}

async fn delete(store: &impl Store, event: Interaction) -> Option<Deleted> {
    store.delete_event(event.user_id, EventKey::from(&event)).await.expect("a deletion")
}

/// Sums, counts, and what is known of user 1.
async fn everything(store: &impl Store) -> (Vec<MovieStats>, StoreStats, Option<UserStats>) {
    let sums = sorted_sums(store).await;
    (sums, counts(store).await, store.user_stats(1).await.expect("a read"))
}

/// What every method says of user 1, whose events these are, oldest first.
async fn assert_history(store: &impl Store, events: &[Interaction]) {
    let newest_first: Vec<_> = events.iter().rev().copied().collect();
    assert_eq!(store.history(1, None, 10_000).await.expect("a read"), Some(newest_first));
    let profile = store.profile(1, 200).await.expect("a read").expect("a known user");
    assert_eq!(profile.newest, events[events.len().saturating_sub(200)..]);
    assert_eq!(profile.seen, events.iter().map(|event| event.movie_id).collect());
    let stats = store.user_stats(1).await.expect("a read").expect("a known user");
    assert_eq!(stats.interactions, profile.seen.len());
    let times = [events.first(), events.last()].map(|event| event.map(|event| event.time_ms));
    assert_eq!([stats.first_ms, stats.last_ms], times);
}

async fn assert_sums(store: &impl Store, expected: &[MovieStats]) {
    assert_eq!(sorted_sums(store).await, expected);
}

/// The store's numbers of now.
pub async fn counts(store: &impl Store) -> StoreStats {
    store.sum_up(Duration::ZERO, 1).await.expect("a store sums up");
    store.stats().await.expect("a read succeeds")
}

/// All movies' sums of now, by movie id.
pub async fn sorted_sums(store: &impl Store) -> Vec<MovieStats> {
    store.sum_up(Duration::ZERO, 1).await.expect("a store sums up");
    let mut sums = store.movie_stats().await.expect("a read succeeds");
    sums.sort_unstable_by_key(|stats| stats.movie_id);
    sums
}
