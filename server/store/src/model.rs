//! A store in a few lines of plain collections, and random work to compare a real one with it.

use std::collections::{BTreeMap, BTreeSet};

use marquee_core::domain::{EventKey, Interaction, Kind, MovieId, Preferences, Rating, TimeMs, UserId};
use marquee_core::statistics::{MovieStats, Opinion};
use proptest::prelude::*;

use super::conformance::{counts, sorted_sums};
use super::{Deleted, Recorded, Store, StoreStats};

/// One call of a store.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Record(Vec<Interaction>),
    SetPreferences(UserId, Vec<MovieId>),
    /// Events of the user's history, one after the other.
    DeleteEvents(UserId, Vec<prop::sample::Index>),
    Delete(UserId),
}

/// Few users, movies and times, so that calls meet, some of which lie decades apart; histories long
/// enough to leave the head.
pub(crate) fn calls() -> impl Strategy<Value = Vec<Call>> {
    let time_ms = prop_oneof![9 => 0..400_i64, 1 => 1_700_000_000_000..1_700_000_000_400_i64];
    let event = (1..4_u64, 1..12_u32, time_ms, 0..12_usize);
    let event = event.prop_map(|(user_id, movie_id, time_ms, kind)| {
        let kind = Kind::ALL.get(kind).copied().unwrap_or(Kind::Rating);
        // The stars follow from the key: which of two events with one key counts is not promised.
        let half_stars = 1 + (movie_id + time_ms as u32) % 10;
        let rating = Rating::from_half_stars(half_stars as u8).filter(|_| kind == Kind::Rating);
        Interaction { user_id, movie_id, time_ms, kind, rating }
    });
    let record = |size| prop::collection::vec(event.clone(), size).prop_map(Call::Record);
    let preferences = (1..4_u64, prop::collection::vec(1..9_u32, 0..3));
    let deletions = (1..4_u64, prop::collection::vec(any::<prop::sample::Index>(), 1..6));
    let call = prop_oneof![
        8 => record(0..6),
        3 => record(100..400),
        1 => preferences.prop_map(|(user, movies)| Call::SetPreferences(user, movies)),
        4 => deletions.prop_map(|(user, places)| Call::DeleteEvents(user, places)),
        1 => (1..4_u64).prop_map(Call::Delete),
    ];
    prop::collection::vec(call, 1..16)
}

#[derive(Default)]
struct Model {
    users: BTreeMap<UserId, (TimeMs, Preferences)>,
    events: BTreeMap<(UserId, EventKey), Interaction>,
}

impl Model {
    fn history(&self, user_id: UserId) -> Vec<Interaction> {
        let of_user = self.events.iter().filter(|((user, _), _)| *user == user_id);
        of_user.map(|(_, event)| *event).collect()
    }

    /// What the user's events with a movie come to, worked out from all of them.
    fn opinion(&self, user_id: UserId, movie_id: MovieId) -> Option<Opinion> {
        let of_movie = self.history(user_id).into_iter().filter(|event| event.movie_id == movie_id);
        of_movie.fold(None, |opinion, event| Some(Opinion::with(opinion, &event)))
    }

    fn record(&mut self, event: Interaction, now_ms: TimeMs) -> Recorded {
        self.users.entry(event.user_id).or_insert((now_ms, Preferences::default()));
        let key = (event.user_id, EventKey::from(&event));
        let before = self.opinion(event.user_id, event.movie_id);
        let duplicate = self.events.contains_key(&key);
        self.events.entry(key).or_insert(event);
        Recorded { duplicate, before, now: self.opinion(event.user_id, event.movie_id) }
    }

    fn delete_event(&mut self, user_id: UserId, key: EventKey) -> Option<Deleted> {
        let event = self.events.remove(&(user_id, key))?;
        Some(Deleted::leaving(self.opinion(user_id, key.movie_id), event))
    }

    fn delete(&mut self, user_id: UserId) -> Vec<Interaction> {
        let history = self.history(user_id);
        self.users.remove(&user_id);
        self.events.retain(|(user, _), _| *user != user_id);
        history
    }

    /// The statistics, counted anew from what they are said to be.
    fn sums(&self) -> Vec<MovieStats> {
        let pairs: BTreeSet<_> = self.events.keys().map(|(user, key)| (key.movie_id, *user)).collect();
        let mut sums: BTreeMap<MovieId, MovieStats> = BTreeMap::new();
        for (movie_id, user_id) in pairs {
            let history = self.history(user_id);
            let mut of_movie = history.iter().rev().filter(|event| event.movie_id == movie_id);
            let newest = of_movie.clone().next().filter(|event| event.is_taste());
            let rating = of_movie.find_map(|event| event.rating);
            let stats = sums.entry(movie_id).or_insert(MovieStats { movie_id, ..MovieStats::default() });
            stats.popularity += u64::from(newest.is_some());
            newest.inspect(|event| stats.trend.add(event.time_ms));
            rating.inspect(|rating| stats.ratings.add(*rating));
        }
        sums.into_values().filter(|stats| *stats != MovieStats::none(stats.movie_id)).collect()
    }
}

/// Makes the calls to the store.
pub(crate) async fn make(store: &impl Store, calls: Vec<Call>) {
    for (now_ms, call) in (1..).zip(calls) {
        match call {
            Call::Record(events) => drop(store.record(&events, now_ms).await.expect("a write")),
            Call::SetPreferences(user_id, movie_ids) => {
                let preferences = Preferences { genres: vec![], movie_ids };
                store.set_preferences(user_id, preferences, now_ms).await.expect("a write");
            }
            Call::DeleteEvents(..) => {}
            Call::Delete(user_id) => drop(store.delete_user(user_id).await.expect("a write")),
        }
    }
}

/// Makes the calls to the store and to the model; every answer and all that can be read are equal.
pub(crate) async fn assert_follows_the_model(store: &impl Store, calls: Vec<Call>) {
    let mut model = Model::default();
    for (now_ms, call) in (1..).zip(calls) {
        match call {
            Call::Record(events) => {
                let expected: Vec<_> = events.iter().map(|event| model.record(*event, now_ms)).collect();
                assert_eq!(store.record(&events, now_ms).await.expect("a write"), expected);
            }
            Call::SetPreferences(user_id, movie_ids) => {
                let preferences = Preferences { genres: vec![], movie_ids };
                let (_, kept) = model.users.entry(user_id).or_insert((now_ms, Preferences::default()));
                kept.clone_from(&preferences);
                store.set_preferences(user_id, preferences, now_ms).await.expect("a write");
            }
            Call::DeleteEvents(user_id, places) => {
                for place in places {
                    let history = model.history(user_id);
                    if history.is_empty() {
                        break;
                    }
                    let key = EventKey::from(place.get(&history));
                    let deleted = store.delete_event(user_id, key).await.expect("a write");
                    assert_eq!(deleted, model.delete_event(user_id, key));
                    assert_eq!(store.delete_event(user_id, key).await.expect("a write"), None);
                }
            }
            Call::Delete(user_id) => {
                assert_eq!(store.delete_user(user_id).await.expect("a write"), model.delete(user_id));
            }
        }
        for user_id in 1..4 {
            assert_same_user(store, &model, user_id).await;
        }
    }
    assert_eq!(sorted_sums(store).await, model.sums());
    let (users, interactions) = (model.users.len() as u64, model.events.len() as u64);
    let expected = StoreStats { users, interactions, movies: 0 };
    assert_eq!(counts(store).await, expected);
}

async fn assert_same_user(store: &impl Store, model: &Model, user_id: UserId) {
    let Some((created_ms, preferences)) = model.users.get(&user_id) else {
        assert_eq!(store.profile(user_id, 10).await.expect("a read"), None);
        return;
    };
    let history = model.history(user_id);
    let profile = store.profile(user_id, 200).await.expect("a read").expect("a known user");
    assert_eq!(profile.newest, history[history.len().saturating_sub(200)..]);
    assert_eq!(profile.seen, history.iter().map(|event| event.movie_id).collect());
    assert_eq!(profile.preferences, *preferences);
    let user = store.user(user_id).await.expect("a read").expect("a known user");
    assert_eq!(user.created_ms, *created_ms);
    let newest_first: Vec<_> = history.iter().rev().copied().collect();
    assert_eq!(store.history(user_id, None, 5000).await.expect("a read"), Some(newest_first.clone()));
    if let Some(middle) = newest_first.get(newest_first.len() / 2) {
        let page = store.history(user_id, Some(middle.into()), 300).await.expect("a read");
        let rest = newest_first.iter().skip(newest_first.len() / 2 + 1).take(300).copied();
        assert_eq!(page, Some(rest.collect()));
    }
    let opinions = profile.seen.iter().filter_map(|movie| model.opinion(user_id, movie));
    let ratings: Vec<_> = opinions.filter_map(|opinion| opinion.rating()).collect();
    let stats = store.user_stats(user_id).await.expect("a read").expect("a known user");
    assert_eq!((stats.interactions, stats.ratings), (profile.seen.len(), ratings.len() as u64));
    assert_eq!(stats.half_stars, ratings.iter().map(|rating| u64::from(rating.half_stars())).sum::<u64>());
    assert_eq!(stats.first_ms, history.first().map(|event| event.time_ms));
    assert_eq!(stats.last_ms, history.last().map(|event| event.time_ms));
}
