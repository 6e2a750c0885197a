use proptest::prelude::*;

use redb::Database;

use super::files::FILE;
use super::*;
use crate::conformance::{self, rating};
use crate::model::{assert_follows_the_model, calls};
use crate::races::{assert_a_deletion_leaves_no_half, races};

fn open(dir: &Path) -> RedbStore {
    RedbStore::open(dir).expect("the store opens")
}

/// With a checkpoint whenever the journal has so many bytes.
fn open_small(dir: &Path, journal_bytes: u64) -> RedbStore {
    let disk = Disk::open(dir).expect("the folder is ours");
    RedbStore::open_on(&disk, OnDamage::Refuse, journal_bytes).expect("the store opens")
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
