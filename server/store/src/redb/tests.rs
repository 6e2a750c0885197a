use proptest::prelude::*;

use redb::Database;

use super::files::FILE;
use super::*;
use crate::conformance::{self, rating};
use crate::model::{assert_follows_the_model, calls};
use crate::races::{
    assert_a_deleted_event_is_there_or_not, assert_a_deletion_leaves_no_half, histories, races,
};

fn open(dir: &Path) -> RedbStore {
    RedbStore::open(dir).expect("the store opens")
}

/// With a checkpoint whenever the journal has so many bytes.
fn open_small(dir: &Path, journal_bytes: u64) -> RedbStore {
    RedbStore::open_small(dir, journal_bytes).expect("the store opens")
}

#[tokio::test]
async fn it_keeps_the_promises_of_a_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut number = 0;
    conformance::all(|| {
        number += 1;
        let dir = folder.path().join(number.to_string());
        async move { open(&dir) }
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    conformance::it_survives_a_restart(async || open(folder.path())).await;
}

/// Whether any file of the store has these bytes.
fn has(dir: &Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(dir).expect("the folder can be read");
    files.into_iter().any(|file| {
        let file = std::fs::read(file.expect("the folder can be read").path()).expect("the file can be read");
        file.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test]
async fn files_that_are_written_anew_have_nothing_of_what_was_removed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path();
    let store = open(dir);
    let (removed, kept) = (0x4142_4344_4546_4748_u64, 7);
    let place = |part| crate::DocumentId { kind: crate::DocumentKind::Account, part, key: "it" };
    for user_id in [removed, kept] {
        store.record(&[rating(user_id, 1, 1, 6), rating(user_id, 2, 2, 8)], 1).await.expect("a write");
    }
    let secret = crate::Content::lasting("ada@example.org");
    store.documents().put(place("gone"), &secret, 1).await.expect("a write");
    store
        .documents()
        .put(place("stays"), &crate::Content::lasting("eve@example.org"), 1)
        .await
        .expect("a write");
    drop(store);
    let id = removed.to_le_bytes();
    assert!(has(dir, &id) && has(dir, b"ada@example.org"), "they are looked for as they are written");

    let store = open(dir);
    store.delete_user(removed).await.expect("a write");
    store.documents().remove(place("gone"), 1).await.expect("a write");
    let before = store.stats().await.expect("a read");
    drop(store);
    rewrite(dir).expect("nobody has the store open");
    assert!(!has(dir, &id) && !has(dir, &removed.to_be_bytes()) && !has(dir, b"ada@example.org"));
    assert!(has(dir, b"eve@example.org"));

    let store = open(dir);
    assert_eq!(store.stats().await.expect("a read"), before);
    assert_eq!(store.history(kept, None, 10).await.expect("a read").map(|events| events.len()), Some(2));
    let found = store.documents().get(place("stays"), 1).await.expect("a read");
    assert_eq!(found.as_deref(), Some(&b"eve@example.org"[..]));
    assert!(rewrite(dir).is_err(), "a store that is open");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_follows_the_model(calls in calls()) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(assert_follows_the_model(&open(folder.path()), calls));
    }

    #[test]
    fn it_follows_the_model_while_checkpoints_are_under_way(calls in calls()) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let store = open_small(folder.path(), 500);
        runtime.block_on(assert_follows_the_model(&store, calls));
    }

    #[test]
    fn a_deletion_and_a_write_at_once_leave_a_whole_user_or_none(race in races()) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let store = open(folder.path());
        runtime.block_on(assert_a_deletion_leaves_no_half(&store, &store, race));
    }

    #[test]
    fn an_event_that_is_deleted_and_recorded_at_once_is_there_or_not(past in histories()) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let store = open_small(folder.path(), 500);
        runtime.block_on(assert_a_deleted_event_is_there_or_not(&store, &store, &past));
    }
}

/// Long histories, events out of order, one at a time: heads are handed down again and again while
/// their users go on.
#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_under_way_lose_and_double_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(open_small(folder.path(), 4096));
    let callers = (1..=8_u64).map(|user| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for i in 0..1200_i64 {
                // Now and then an event of before the last few hundred.
                let time = if i % 97 == 96 { 10 * i - 2_505 } else { 10 * i };
                let event = rating(user, 1 + i as u32, time, 6);
                store.record(&[event], 1).await.expect("a write");
                if i % 50 == 0 {
                    let history = store.history(user, None, 5000).await.expect("a read");
                    assert_eq!(history.expect("a known user").len() as i64, i + 1);
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("all is there");
    }
    drop(store);
    let store = open(folder.path());
    for user in 1..=8 {
        let history = store.history(user, None, 5000).await.expect("a read").expect("a known user");
        assert_eq!(history.len(), 1200);
        assert!(history.is_sorted_by(|newer, older| newer.time_ms > older.time_ms));
    }
}

#[tokio::test]
async fn a_second_process_is_told_that_the_folder_is_in_use() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _first = open(folder.path());
    let refused = RedbStore::open(folder.path()).err().expect("the folder is in use");
    assert!(refused.to_string().contains("another server is using it"), "{refused}");
}

/// What version 1 said of a movie was wrong for good: all is counted anew, runs and heads.
#[tokio::test]
async fn statistics_of_version_1_are_counted_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    let events: Vec<_> = (0..900).map(|i| rating(1 + i % 2, 1 + i as u32 % 400, i as i64, 6)).collect();
    store.record(&events, 1).await.expect("a write");
    let counted = conformance::sorted_sums(&store).await;
    drop(store);
    let database = Database::open(folder.path().join(FILE)).expect("nobody else has it");
    let transaction = database.begin_write().expect("nobody else writes");
    transaction.delete_table(schema::MOVIE_STATS).expect("it is there");
    let before = redb::TableDefinition::<u32, (u64, u64, u64, f64)>::new("movie_stats");
    let mut sums = transaction.open_table(before).expect("a new table");
    sums.insert(1, (7, 7, 7, f64::NEG_INFINITY)).expect("a write");
    drop(sums);
    transaction.open_table(schema::META).expect("it is there").insert(schema::SCHEMA, 1).expect("a write");
    transaction.commit().expect("a commit");
    drop(database);
    assert_eq!(conformance::sorted_sums(&open(folder.path())).await, counted);
}

#[tokio::test]
async fn events_that_only_the_journal_holds_come_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    let events: Vec<_> = (0..500).map(|i| rating(1, 1 + i, i64::from(i), 6)).collect();
    for event in &events {
        store.record(&[*event], 1).await.expect("a write");
    }
    for file in [FILE, journal::FILES[0], journal::FILES[1]] {
        std::fs::copy(folder.path().join(file), copy.path().join(file)).expect("a copy of a crash");
    }
    let recovered = open(copy.path());
    let profile = recovered.profile(1, 500).await.expect("a read").expect("a known user");
    assert_eq!(profile.newest, events);
    assert_eq!(recovered.stats().await.expect("a read"), store.stats().await.expect("a read"));
}
