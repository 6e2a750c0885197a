//! A user, or one event, is deleted on one node while another node writes: what may be left.
//!
//! The writes come one after another, so the deletion falls between two of them, before all or after
//! all: those after it make a new user, those before leave no trace. Anything else is half a user.

use marquee_core::clock::now_ms;
use marquee_core::domain::{EventKey, Interaction, MovieId, Preferences, User, UserId};
use proptest::prelude::*;

use super::Store;
use super::conformance::rating;

/// The user of every race.
pub(crate) const USER: UserId = 7;
const LONG_AGO_MS: i64 = 1;

/// One write of the user.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Record(Vec<Interaction>),
    SetPreferences(Vec<MovieId>),
    Register,
}

/// Writes of a user who has a past, and which of them the deletion meets.
#[derive(Clone, Debug)]
pub(crate) struct Race {
    past: Vec<Interaction>,
    writes: Vec<Write>,
    meets: usize,
}

/// Some writes of one event, some of more than a batch has room for.
pub(crate) fn races() -> impl Strategy<Value = Race> {
    let record = |size| prop::collection::btree_set(1_000..9_000_i64, size).prop_map(|times| events(&times));
    let write = prop_oneof![
        4 => record(1..4_usize).prop_map(Write::Record),
        2 => record(100..200_usize).prop_map(Write::Record),
        2 => prop::collection::vec(1..9_u32, 0..3).prop_map(Write::SetPreferences),
        1 => Just(Write::Register),
    ];
    let past = prop::collection::btree_set(0..1_000_i64, 0..100_usize).prop_map(|times| events(&times));
    (past, prop::collection::vec(write, 1..4), any::<prop::sample::Index>()).prop_map(
        |(past, writes, meets)| {
            let meets = meets.index(writes.len());
            Race { past, writes, meets }
        },
    )
}

/// Rates a movie at each of these times. What a write has and what the past had never share a time.
fn events<'a>(times: impl IntoIterator<Item = &'a i64>) -> Vec<Interaction> {
    times.into_iter().map(|time_ms| rating(USER, 1 + *time_ms as u32 % 50, *time_ms, 6)).collect()
}

/// Preferences and history, newest first, of a user who is there.
type State = Option<(Preferences, Vec<Interaction>)>;

/// Lets a deletion `here` meet writes `there`; afterwards the user is one that some of the last writes
/// made, or nobody, in the eyes of both.
pub(crate) async fn assert_a_deletion_leaves_no_half(here: &impl Store, there: &impl Store, race: Race) {
    here.set_preferences(USER, Preferences { genres: vec![], movie_ids: vec![99] }, LONG_AGO_MS)
        .await
        .expect("a write");
    here.record(&race.past, LONG_AGO_MS).await.expect("a write");
    let began_ms = now_ms();
    let (before, meeting) = race.writes.split_at(race.meets);
    for write in before {
        make(there, write).await;
    }
    let writes = async {
        for write in meeting {
            make(there, write).await;
        }
    };
    let (deleted, ()) = tokio::join!(here.delete_user(USER), writes);
    deleted.expect("a deletion");

    let state = state(here, began_ms).await;
    let whole = (0..=meeting.len()).map(|first| made_by(&meeting[first..]));
    assert!(whole.into_iter().any(|whole| whole == state), "half a user: {state:?}");
    assert_eq!(self::state(there, began_ms).await, state, "both see the same");
    let known = here.user(USER).await.expect("a read");
    let (user, created) = there.register(USER, now_ms()).await.expect("a write");
    assert_eq!(created, known.is_none(), "who is not there is created");
    assert!(known.is_none_or(|known| known == user));
}

/// Deletes an event `here` while it is recorded again `there`, with another one. Both orders are right, and
/// both nodes see the same: all others, and that one or not.
pub(crate) async fn assert_a_deleted_event_is_there_or_not(
    here: &impl Store,
    there: &impl Store,
    past: &[Interaction],
) {
    here.record(past, LONG_AGO_MS).await.expect("a write");
    let (event, other) = (past[past.len() / 2], rating(USER, 60, 500_000, 9));
    let again = [event, other];
    let (deleted, recorded) =
        tokio::join!(here.delete_event(USER, EventKey::from(&event)), there.record(&again, LONG_AGO_MS));
    assert_eq!(deleted.expect("a deletion").map(|deleted| deleted.event), Some(event));
    assert_eq!(recorded.expect("a write").len(), 2);

    let (_, history) = state(here, LONG_AGO_MS).await.expect("the user stays");
    let mut expected: Vec<_> = past.iter().chain([&other]).rev().copied().collect();
    if !history.contains(&event) {
        expected.retain(|left| *left != event);
    }
    assert_eq!(history, expected);
    assert_eq!(state(there, LONG_AGO_MS).await.map(|(_, history)| history), Some(history));
}

/// A history in which an event is deleted.
pub(crate) fn histories() -> impl Strategy<Value = Vec<Interaction>> {
    prop::collection::btree_set(0..1_000_i64, 1..300_usize).prop_map(|times| events(&times))
}

async fn make(store: &impl Store, write: &Write) {
    match write {
        Write::Record(events) => drop(store.record(events, now_ms()).await.expect("a write")),
        Write::SetPreferences(movie_ids) => {
            let preferences = Preferences { genres: vec![], movie_ids: movie_ids.clone() };
            store.set_preferences(USER, preferences, now_ms()).await.expect("a write");
        }
        Write::Register => drop(store.register(USER, now_ms()).await.expect("a write")),
    }
}

/// What these writes make of nobody.
fn made_by(writes: &[Write]) -> State {
    let mut preferences = Preferences::default();
    let mut history = Vec::new();
    for write in writes {
        match write {
            Write::Record(events) => history.extend(events.iter().copied()),
            Write::SetPreferences(movie_ids) => preferences.movie_ids.clone_from(movie_ids),
            Write::Register => {}
        }
    }
    history.sort_by_key(|event| std::cmp::Reverse(EventKey::from(event)));
    history.dedup();
    (!writes.is_empty()).then_some((preferences, history))
}

/// What every method of the store says of the user, created since then.
async fn state(store: &impl Store, began_ms: i64) -> State {
    let user = store.user(USER).await.expect("a read");
    let history = store.history(USER, None, 10_000).await.expect("a read");
    let profile = store.profile(USER, 10_000).await.expect("a read");
    let stats = store.user_stats(USER).await.expect("a read");
    let Some(User { created_ms, preferences, .. }) = user else {
        assert!(history.is_none() && profile.is_none() && stats.is_none(), "nobody has no history");
        return None;
    };
    assert!(created_ms >= began_ms, "created at {created_ms}, after a deletion after {began_ms}");
    let history = history.expect("a user has a history");
    let profile = profile.expect("a user has a profile");
    assert_eq!(profile.preferences, preferences);
    assert!(profile.newest.iter().rev().eq(&history), "the profile is the history");
    let stats = stats.expect("a user has numbers");
    assert_eq!(stats.first_ms, history.last().map(|event| event.time_ms));
    Some((preferences, history))
}
