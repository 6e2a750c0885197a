//! Against the server that `MARQUEE_TEST_CQL` names (`deploy/services up` prints it); without it they
//! say that they were skipped, which under `CI=true` is a failure.

use marquee_core::clock::now_ms;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::backup::{self, BackupError, Restoring};
use crate::conformance::{self, rating};
use crate::model::{assert_follows_the_model, calls};
use crate::races::{
    USER, assert_a_deleted_event_is_there_or_not, assert_a_deletion_leaves_no_half, histories, races,
};
use crate::real_parts::address;
use crate::{Content, DocumentId, DocumentKind};

/// The cluster's URL without a keyspace.
fn cluster() -> Option<String> {
    address("MARQUEE_TEST_CQL")
}

/// A keyspace of its own for a test, removed when dropped.
struct Keyspace {
    settings: ScyllaSettings,
}

impl Keyspace {
    async fn new(cluster: &str) -> Self {
        let url = format!("{cluster}/marquee_test_{:x}", rand::random::<u64>());
        let settings = ScyllaSettings::parse(&url).expect("a good URL");
        ScyllaStore::migrate(&settings, MigrateMode::Apply).await.expect("the keyspace is made");
        Self { settings }
    }

    async fn open(&self) -> ScyllaStore {
        ScyllaStore::open(self.settings.clone()).await.expect("the store opens")
    }

    /// The store with nothing in it.
    async fn emptied(&self) -> ScyllaStore {
        let store = self.open().await;
        for table in ["users", "movies", "rules", "documents", "notes", "movie_statistics", "revisions"] {
            let truncate = format!("TRUNCATE {table}");
            store.link.connected().session.query_unpaged(truncate, ()).await.expect("a truncation");
        }
        store
    }

    async fn remove(self) {
        let drop = format!("DROP KEYSPACE {}", self.settings.keyspace);
        let session = connect::session(&self.settings).await.expect("a session");
        session.query_unpaged(drop, ()).await.expect("the keyspace goes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_promises_of_a_store() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    conformance::all(|| keyspace.emptied()).await;
    keyspace.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_restart() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    conformance::it_survives_a_restart(|| keyspace.open()).await;
    keyspace.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_took_the_lock_unheard_holds_it() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let store = keyspace.open().await;
    let connected = store.link.connected();
    for _ in 0..2 {
        migrations::lock(&connected.session, "me").await.expect("it is mine");
    }
    let (mine, others) = tokio::join!(
        migrations::unlock(&connected.session, "me"),
        migrations::lock(&connected.session, "another"),
    );
    assert!(mine.is_ok() && others.is_ok());
    migrations::unlock(&connected.session, "me").await.expect("an answer");
    migrations::lock(&connected.session, "another").await.expect("it was not mine to give back");
    keyspace.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_moves_all_from_the_embedded_store_to_a_cluster_and_back() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let folder = || tempfile::tempdir().expect("a temporary folder");
    let (one, other, there, back) = (folder(), folder(), folder(), folder());
    let embedded = crate::RedbStore::open(one.path()).expect("it opens");
    conformance::fill(&embedded).await;
    let made = backup::write(&embedded, there.path(), &backup::at_once).await.expect("a backup");
    let store = keyspace.open().await;
    let restored =
        backup::restore(there.path(), &store, &Restoring::default()).await.expect("it is restored");
    assert_eq!((restored.store.as_str(), restored.counts), ("redb", made.manifest.counts));
    conformance::assert_same_content(&embedded, &store).await;

    let made = backup::write(&store, back.path(), &backup::at_once).await.expect("a backup");
    assert_eq!(made.manifest.store, "cql");
    let again = crate::RedbStore::open(other.path()).expect("it opens");
    backup::restore(back.path(), &again, &Restoring::default()).await.expect("it is restored");
    conformance::assert_same_content(&embedded, &again).await;
    let refused = backup::restore(back.path(), &store, &Restoring::default()).await.err();
    assert!(matches!(refused, Some(BackupError::NotEmpty)), "{refused:?}");
    keyspace.remove().await;
}

#[test]
fn it_follows_the_model() {
    let Some(cluster) = cluster() else { return };
    let runtime = Runtime::new().expect("a runtime");
    let keyspace = runtime.block_on(Keyspace::new(&cluster));
    proptest!(ProptestConfig::with_cases(6), |(calls in calls())| {
        runtime.block_on(async { assert_follows_the_model(&keyspace.emptied().await, calls).await });
    });
    runtime.block_on(keyspace.remove());
}

#[test]
fn a_deletion_and_a_write_of_two_nodes_at_once_leave_a_whole_user_or_none() {
    let Some(cluster) = cluster() else { return };
    let runtime = Runtime::new().expect("a runtime");
    let keyspace = runtime.block_on(Keyspace::new(&cluster));
    let (here, there) = runtime.block_on(async { (keyspace.open().await, keyspace.open().await) });
    proptest!(ProptestConfig::with_cases(100), |(race in races())| {
        runtime.block_on(async {
            assert_a_deletion_leaves_no_half(&here, &there, race).await;
            here.delete_user(USER).await.expect("a deletion");
        });
    });
    runtime.block_on(keyspace.remove());
}

#[test]
fn an_event_that_is_deleted_on_one_node_and_recorded_on_another_is_there_or_not() {
    let Some(cluster) = cluster() else { return };
    let runtime = Runtime::new().expect("a runtime");
    let keyspace = runtime.block_on(Keyspace::new(&cluster));
    let (here, there) = runtime.block_on(async { (keyspace.open().await, keyspace.open().await) });
    proptest!(ProptestConfig::with_cases(50), |(past in histories())| {
        runtime.block_on(async {
            assert_a_deleted_event_is_there_or_not(&here, &there, &past).await;
            here.delete_user(USER).await.expect("a deletion");
        });
    });
    runtime.block_on(keyspace.remove());
}

#[tokio::test]
async fn an_event_that_was_recorded_again_stays_when_its_deletion_of_before_arrives_late() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let store = keyspace.open().await;
    let event = rating(USER, 1, 10, 6);
    store.record(&[event], 1).await.expect("a write");
    let deleted_at = store.timestamps.now();
    assert!(store.delete_event(USER, EventKey::from(&event)).await.expect("a deletion").is_some());
    assert_eq!(store.history(USER, None, 10).await.expect("a read"), Some(vec![]), "the user stays");
    assert!(!store.record(&[event], 1).await.expect("a write")[0].duplicate);
    let late = (deleted_at, USER as i64, event.time_ms, i64::from(event.movie_id), event.kind as u8 as i8);
    store.link.execute(Statement::DeleteEvent, late).await.expect("a deletion");
    assert_eq!(store.history(USER, None, 10).await.expect("a read"), Some(vec![event]));
    keyspace.remove().await;
}

#[tokio::test]
async fn an_event_of_a_node_whose_clock_is_ahead_is_deleted_and_its_user_without_a_date_stays() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let (ahead, store) = (keyspace.open().await, keyspace.open().await);
    ahead.timestamps.after(store.timestamps.now() + 3_600_000_000);
    let event = rating(USER, 1, 10, 6);
    ahead.write(&[What::Event(&event).at(ahead.timestamps.now())]).await.expect("a write");
    let before = store.user(USER).await.expect("a read").expect("an event makes a user");
    assert!(store.delete_event(USER, EventKey::from(&event)).await.expect("a deletion").is_some());
    assert_eq!(store.history(USER, None, 10).await.expect("a read"), Some(vec![]));
    assert_eq!(store.user(USER).await.expect("a read"), Some(before));
    keyspace.remove().await;
}

#[tokio::test]
async fn an_event_that_was_recorded_before_stays_when_a_deletion_of_before_arrives_late() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let store = keyspace.open().await;
    let again = rating(USER, 1, 10, 6);
    store.record(&[again, rating(USER, 2, 20, 6)], 1).await.expect("a write");
    let deleted_at = store.timestamps.now();
    let events = [again, rating(USER, 1, 10, 9), rating(USER, 3, 30, 6)];
    let outcomes = store.record(&events, 1).await.expect("a write");
    assert_eq!(outcomes.iter().map(|outcome| outcome.duplicate).collect::<Vec<_>>(), [true, true, false]);
    store.link.execute(Statement::DeleteUser, (deleted_at, USER as i64)).await.expect("a deletion");
    let history = store.history(USER, None, 10).await.expect("a read");
    assert_eq!(history, Some(vec![rating(USER, 3, 30, 6), again]));
    keyspace.remove().await;
}

#[tokio::test]
async fn a_user_whom_a_deletion_left_without_a_creation_time_is_there_since_the_write_that_is_left() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let store = keyspace.open().await;
    let began_ms = now_ms();
    store.write(&[What::Event(&rating(USER, 1, 10, 6)).at(store.timestamps.now())]).await.expect("a write");
    let user = store.user(USER).await.expect("a read").expect("an event makes a user");
    assert!((began_ms..=now_ms()).contains(&user.created_ms), "{user:?}");
    assert_eq!(store.register(USER, 1).await.expect("a read"), (user.clone(), false));

    // The newest event by its own time is written last now, and the user is as old as before.
    store.record(&[rating(USER, 2, 20, 6)], 1).await.expect("a write");
    assert_eq!(store.user(USER).await.expect("a read"), Some(user.clone()));
    let preferences = Preferences { genres: vec![], movie_ids: vec![3] };
    let preferring = store.set_preferences(USER, preferences, 1).await.expect("a write");
    assert_eq!(preferring.created_ms, user.created_ms);
    assert_eq!(store.delete_user(USER).await.expect("a deletion").len(), 2);
    assert_eq!(store.user(USER).await.expect("a read"), None);
    keyspace.remove().await;
}

#[tokio::test]
async fn a_write_of_a_node_whose_clock_is_ahead_is_replaced_and_deleted_all_the_same() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let (ahead, store) = (keyspace.open().await, keyspace.open().await);
    let hour_us = 3_600_000_000;
    ahead.timestamps.after(store.timestamps.now() + hour_us);
    let preferring = |movie_id| Preferences { genres: vec![], movie_ids: vec![movie_id] };
    ahead.set_preferences(USER, preferring(1), 1).await.expect("a write");
    ahead.record(&[rating(USER, 1, 10, 6)], 1).await.expect("a write");
    store.set_preferences(USER, preferring(2), 1).await.expect("a write");
    let user = ahead.user(USER).await.expect("a read").expect("a known user");
    assert_eq!(user.preferences, preferring(2));
    assert_eq!(store.delete_user(USER).await.expect("a deletion").len(), 1);
    assert_eq!(ahead.user(USER).await.expect("a read"), None);
    keyspace.remove().await;
}

#[tokio::test]
async fn a_missing_keyspace_an_old_schema_and_an_edited_migration_are_said() {
    let Some(cluster) = cluster() else { return };
    let missing = ScyllaSettings::parse(&format!("{cluster}/nowhere")).expect("a good URL");
    let refused = ScyllaStore::open(missing).await.err().expect("there is no such keyspace").to_string();
    assert!(refused.contains("marquee-server migrate"), "{refused}");

    let keyspace = Keyspace::new(&cluster).await;
    let again =
        ScyllaStore::migrate(&keyspace.settings, MigrateMode::Apply).await.expect("it may be repeated");
    assert!(again.is_empty(), "nothing is left to do: {again:?}");
    let store = keyspace.open().await;
    let connected = store.link.connected();
    let session = &connected.session;
    session
        .query_unpaged("UPDATE schema_migrations SET checksum = 'other' WHERE version = 1", ())
        .await
        .expect("a write");
    let edited = ScyllaStore::open(keyspace.settings.clone()).await.err().expect("it is another migration");
    assert!(edited.to_string().contains("not the one of this program"), "{edited}");
    session.query_unpaged("TRUNCATE schema_migrations", ()).await.expect("a truncation");
    let old = ScyllaStore::open(keyspace.settings.clone()).await.err().expect("it has no version");
    assert!(
        matches!(old, StoreError::Schema { found: 0, expected } if expected == migrations::expected()),
        "{old}"
    );
    keyspace.remove().await;
}

#[tokio::test]
async fn a_dry_run_says_what_is_missing_and_makes_nothing() {
    let Some(cluster) = cluster() else { return };
    let url = format!("{cluster}/marquee_test_{:x}", rand::random::<u64>());
    let settings = ScyllaSettings::parse(&url).expect("a good URL");
    let missing = ScyllaStore::migrate(&settings, MigrateMode::DryRun).await.expect("a dry run");
    assert!(ScyllaStore::open(settings.clone()).await.is_err(), "the keyspace was not made");
    let made = ScyllaStore::migrate(&settings, MigrateMode::Apply).await.expect("a migration");
    assert_eq!(missing, made, "what is missing is what is made");
    Keyspace { settings }.remove().await;
}

#[tokio::test]
async fn two_migrations_at_once_both_end_with_the_same_schema() {
    let Some(cluster) = cluster() else { return };
    let url = format!("{cluster}/marquee_test_{:x}", rand::random::<u64>());
    let settings = ScyllaSettings::parse(&url).expect("a good URL");
    let run = || ScyllaStore::migrate(&settings, MigrateMode::Apply);
    let (one, other) = tokio::join!(run(), run());
    one.and(other).expect("one waits for the other");
    let keyspace = Keyspace { settings };
    keyspace.open().await.ping().await.expect("it answers");
    keyspace.remove().await;
}

#[tokio::test]
async fn what_one_node_sums_up_is_what_all_nodes_read() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let (one, other) = (keyspace.open().await, keyspace.open().await);
    let before = other.revision().await.expect("a read");
    one.record(&[rating(1, 7, 10, 8), rating(2, 7, 20, 6), rating(2, 9, 30, 2)], 1).await.expect("a write");
    one.put_movies(&[MovieRecord { movie_id: 7, ..MovieRecord::default() }]).await.expect("a write");
    assert!(one.sum_up(Duration::ZERO, 1_000).await.expect("the lease is free"));
    let counts = StoreStats { users: 2, interactions: 3, movies: 1 };
    for store in [&one, &other] {
        let mut sums = store.movie_stats().await.expect("a read");
        sums.sort_unstable_by_key(|stats| stats.movie_id);
        let exact: Vec<_> =
            sums.iter().map(|sum| (sum.movie_id, sum.popularity, sum.ratings.half_stars())).collect();
        assert_eq!(exact, [(7, 2, 14), (9, 0, 2)]);
        assert_eq!(store.stats().await.expect("a read"), counts);
    }
    let after = other.revision().await.expect("a read");
    assert!(after.movies != before.movies && after.statistics != before.statistics, "it is noticed");
    assert_eq!(after.rules, before.rules, "no rule has changed");
    one.put_rule(&RuleRecord { rule_id: "christmas".to_owned(), body: Vec::new() }).await.expect("a write");
    let put = other.revision().await.expect("a read");
    one.remove_rule("christmas").await.expect("a write");
    let removed = other.revision().await.expect("a read");
    assert!(put.rules != after.rules && removed.rules != put.rules, "a rule is noticed");
    assert_eq!(Revision { rules: after.rules, ..removed }, after, "and nothing else is");
    let [key, used] =
        [DocumentKind::Key, DocumentKind::KeyUse].map(|kind| DocumentId { kind, part: "", key: "1" });
    one.documents().put(used, &Content::lasting(*b"now"), 1).await.expect("a write");
    assert_eq!(other.revision().await.expect("a read"), removed, "nobody holds in memory who was there");
    one.documents().put(key, &Content::lasting(*b"who"), 1).await.expect("a write");
    let let_in = other.revision().await.expect("a read");
    one.documents().remove(key, 1).await.expect("a write");
    let shut_out = other.revision().await.expect("a read");
    assert!(let_in.access != removed.access && shut_out.access != let_in.access, "a key is noticed");
    assert_eq!(Revision { access: removed.access, ..shut_out }, removed, "and nothing else is");

    one.record(&[rating(3, 7, 40, 1)], 1).await.expect("a write");
    assert!(!other.sum_up(Duration::from_mins(1), 2_000).await.expect("a read"), "the sums are young");
    assert_eq!(other.stats().await.expect("a read"), counts, "they stay as they were");
    assert!(
        !other.sum_up(Duration::from_mins(1), 3_601_000).await.expect("a read"),
        "however the clock is set"
    );
    let third = keyspace.open().await;
    assert!(third.sum_up(Duration::from_mins(1), 61_000).await.expect("the lease is free"), "a minute later");
    assert_eq!(one.stats().await.expect("a read").users, 3);
    keyspace.remove().await;
}

#[tokio::test]
async fn one_node_at_a_time_sums_up_and_half_a_snapshot_is_never_read() {
    let Some(cluster) = cluster() else { return };
    let keyspace = Keyspace::new(&cluster).await;
    let store = keyspace.open().await;
    let connected = store.link.connected();
    let session = &connected.session;
    store.record(&[rating(1, 7, 10, 8)], 1).await.expect("a write");
    session.query_unpaged("INSERT INTO leases (name, owner) VALUES ('sums', 1)", ()).await.expect("a write");
    assert!(!store.sum_up(Duration::ZERO, 1).await.expect("a read"), "another node has the lease");
    assert_eq!(store.movie_stats().await.expect("a read").len(), 1, "the table itself is read");
    session.query_unpaged("TRUNCATE leases", ()).await.expect("a truncation");
    for now_ms in [1, 2] {
        assert!(store.sum_up(Duration::ZERO, now_ms).await.expect("the lease was given back"));
    }
    let (snapshot, part) = published_part(session).await;
    let of_before = "DELETE ratings FROM movie_statistics WHERE snapshot = ? AND part = ?";
    session.query_unpaged(of_before, (snapshot, part)).await.expect("a write");
    let counted = store.movie_stats().await.expect("a read");
    assert_eq!(counted[0].ratings.total(), 1, "ratings by value that are missing are counted");
    session.query_unpaged("TRUNCATE movie_statistics", ()).await.expect("a truncation");
    assert_eq!(store.movie_stats().await.expect("a read").len(), 1, "the table itself is read");
    keyspace.remove().await;
}

/// The first part of the snapshot that is there.
async fn published_part(session: &scylla::client::session::Session) -> (i64, i32) {
    let select = "SELECT snapshot, part FROM movie_statistics";
    let rows = session.query_unpaged(select, ()).await.expect("a read").into_rows_result().expect("rows");
    rows.first_row().expect("a snapshot was published")
}
