//! Disks that fail, and files that are not as they were left.

use std::io;
use std::sync::Mutex;

use proptest::prelude::*;

use super::disk::Operation;
use super::files::FILE;
use super::*;
use crate::conformance::rating;

/// Which operation on which files fails; none when absent.
#[derive(Clone, Default)]
struct Fault(Arc<Mutex<Option<(&'static str, Operation)>>>);

impl Fault {
    fn set(&self, fault: Option<(&'static str, Operation)>) {
        *self.0.lock().expect("nobody panicked") = fault;
    }

    /// The folder, on a disk that fails so.
    fn disk(&self, folder: &Path) -> Disk {
        let fault = self.clone();
        Disk::open(folder).expect("the folder is ours").with_fault(move |name, operation| {
            match *fault.0.lock().expect("nobody panicked") {
                Some((file, fails)) if name.starts_with(file) && operation == fails => {
                    Err(io::Error::from(io::ErrorKind::StorageFull))
                }
                _ => Ok(()),
            }
        })
    }
}

fn open_small(disk: &Disk) -> RedbStore {
    RedbStore::open_on(disk, OnDamage::Refuse, 2_000).expect("the store opens")
}

/// Repeats a write until the store takes it.
async fn insist(store: &RedbStore, events: &[Interaction]) -> Vec<Recorded> {
    loop {
        match store.record(events, 1).await {
            Ok(recorded) => return recorded,
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn times(store: &RedbStore, user_id: UserId) -> Vec<i64> {
    let history = store.history(user_id, None, usize::MAX).await.expect("reads go on").unwrap_or_default();
    history.iter().rev().map(|event| event.time_ms).collect()
}

/// Breaks the disk under a store whose users are on it, in the journal and in memory; looks at reads, refused
/// writes and health meanwhile; mends the disk, and looks at all of it again.
async fn assert_it_comes_back(broken: (&'static str, Operation)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stored: Vec<_> = (1..=300).map(|user| rating(user, 1, 1, 6)).collect();
    open_small(&Disk::open(folder.path()).expect("ours")).record(&stored, 1).await.expect("a write");
    let fault = Fault::default();
    let store = open_small(&fault.disk(folder.path()));
    let mut acknowledged = 0;
    for time in 2..40 {
        store.record(&[rating(1, time as u32, time, 6)], 1).await.expect("a write");
        acknowledged = time;
    }
    fault.set(Some(broken));
    let mut refused = None;
    for time in acknowledged + 1..5_000 {
        match store.record(&[rating(1, time as u32, time, 6)], 1).await {
            Ok(_) => acknowledged = time,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
        if time % 40 == 0 {
            // Only a checkpoint can make it durable.
            let outcome = store.put_note("a note", b"").await;
            if outcome.is_err() {
                refused = outcome.err();
                break;
            }
        }
    }
    assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{broken:?}: {refused:?}");
    for _ in 0..3 {
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.register(7, 1).await, Err(StoreError::Unavailable(_))));
        assert_eq!(times(&store, 1).await, (1..=acknowledged).collect::<Vec<_>>(), "{broken:?}");
        for user in 2..=300 {
            assert_eq!(times(&store, user).await, [1]);
        }
        assert_eq!(store.movies(None, 10).await.expect("reads go on"), []);
    }
    fault.set(None);
    let after = [rating(1, 9_999, 9_999, 6)];
    assert!(!insist(&store, &after).await[0].duplicate);
    store.ping().await.expect("it takes writes");
    let expected: Vec<_> = (1..=acknowledged).chain([9_999]).collect();
    assert_eq!(times(&store, 1).await, expected);
    assert_eq!(store.stats().await.expect("a read").interactions, 299 + expected.len() as u64);
    drop(store);
    let store = open_small(&Disk::open(folder.path()).expect("ours"));
    assert_eq!(times(&store, 1).await, expected);
    assert_eq!(store.stats().await.expect("a read").interactions, 299 + expected.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_after_the_journal_could_not_be_written() {
    assert_it_comes_back(("marquee.journal", Operation::Write)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_after_the_journal_could_not_be_synced() {
    assert_it_comes_back(("marquee.journal", Operation::Sync)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_after_the_tables_could_not_be_written() {
    assert_it_comes_back((FILE, Operation::Write)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_after_the_tables_could_not_be_synced() {
    assert_it_comes_back((FILE, Operation::Sync)).await;
}

/// What a full disk does: files that are there can be written, but none grows.
#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_after_the_tables_could_not_grow() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fault = Fault::default();
    let store = open_small(&fault.disk(folder.path()));
    fault.set(Some((FILE, Operation::Resize)));
    let batch = |first: u64| (first..first + 4_000).map(|user| rating(user, 1, 1, 6)).collect::<Vec<_>>();
    let mut next = 1;
    while store.record(&batch(next), 1).await.is_ok() {
        next += 4_000;
    }
    assert!(store.ping().await.is_err());
    assert_eq!(store.stats().await.expect("reads go on").users, next - 1);
    fault.set(None);
    assert!(insist(&store, &batch(next)).await.iter().all(|recorded| !recorded.duplicate));
    assert_eq!(store.stats().await.expect("a read").users, next + 3_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_failed_once_does_not_end_all_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users: Vec<_> = (1..=3_000).map(|user| rating(user, 1, 1, 6)).collect();
    open_small(&Disk::open(folder.path()).expect("ours")).record(&users, 1).await.expect("a write");
    let fault = Fault::default();
    let store = open_small(&fault.disk(folder.path()));
    fault.set(Some((FILE, Operation::Read)));
    let mut failed = 0;
    for user in 1..=3_000 {
        failed += u32::from(store.user(user).await.is_err());
    }
    assert!(failed > 0, "nothing was read from the file");
    fault.set(None);
    while store.ping().await.is_err() {
        tokio::task::yield_now().await;
    }
    for user in 1..=3_000 {
        assert_eq!(times(&store, user).await, [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_dropped_while_the_disk_fails_has_all_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fault = Fault::default();
    let store = open_small(&fault.disk(folder.path()));
    store.record(&[rating(1, 1, 1, 6)], 1).await.expect("a write");
    fault.set(Some(("marquee", Operation::Write)));
    store.record(&[rating(1, 2, 2, 6)], 1).await.expect_err("the disk failed");
    drop(store);
    assert_eq!(times(&open_small(&Disk::open(folder.path()).expect("ours")), 1).await, [1]);
}

/// What a caller does in the property below.
#[derive(Clone, Debug)]
enum Step {
    Record { user: u64, event: u32 },
    Delete { user: u64, event: u32 },
    Note,
    Break(&'static str, Operation),
    Mend,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let file = prop_oneof![Just(FILE), Just("marquee.journal"), Just("marquee")];
    let operation = prop_oneof![
        Just(Operation::Read),
        Just(Operation::Write),
        Just(Operation::Resize),
        Just(Operation::Sync)
    ];
    let step = prop_oneof![
        12 => (1..4_u64, 1..200_u32).prop_map(|(user, event)| Step::Record { user, event }),
        3 => (1..4_u64, 1..200_u32).prop_map(|(user, event)| Step::Delete { user, event }),
        1 => Just(Step::Note),
        1 => (file, operation).prop_map(|(file, operation)| Step::Break(file, operation)),
        2 => Just(Step::Mend),
    ];
    proptest::collection::vec(step, 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever fails and whenever: what was acknowledged is there once, or gone if that was acknowledged, what
    /// was refused is there at most once, and the sums are those of the histories.
    #[test]
    fn no_fault_loses_or_doubles_what_was_acknowledged(steps in steps()) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let fault = Fault::default();
        let store = RedbStore::open_on(&fault.disk(folder.path()), OnDamage::Refuse, 500).expect("it opens");
        let (mut acknowledged, mut attempted) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        runtime.block_on(async {
            for step in steps {
                match step {
                    Step::Record { user, event } => {
                        attempted.insert((user, i64::from(event)));
                        if store.record(&[rating(user, event, event.into(), 6)], 1).await.is_ok() {
                            acknowledged.insert((user, i64::from(event)));
                        }
                    }
                    Step::Delete { user, event } => {
                        // Refused or not, it may be gone; acknowledged, it is.
                        acknowledged.remove(&(user, i64::from(event)));
                        let key = EventKey::from(&rating(user, event, event.into(), 6));
                        if store.delete_event(user, key).await.is_ok() {
                            attempted.remove(&(user, i64::from(event)));
                        }
                    }
                    Step::Note => drop(store.put_note("a note", b"").await),
                    Step::Break(file, operation) => fault.set(Some((file, operation))),
                    Step::Mend => fault.set(None),
                }
            }
        });
        drop(store);
        let store = open_small(&Disk::open(folder.path()).expect("ours"));
        let found = runtime.block_on(async {
            let mut found = Vec::new();
            for user in 1..4 {
                found.extend(times(&store, user).await.into_iter().map(|time| (user, time)));
            }
            found
        });
        let events: std::collections::BTreeSet<_> = found.iter().copied().collect();
        prop_assert_eq!(events.len(), found.len());
        prop_assert!(events.is_superset(&acknowledged) && events.is_subset(&attempted));
        let stats = runtime.block_on(store.stats()).expect("a read");
        prop_assert_eq!(stats.interactions, found.len() as u64);
        let sums = runtime.block_on(store.movie_stats()).expect("a read");
        prop_assert_eq!(sums.iter().map(|sums| sums.ratings.total()).sum::<u64>(), found.len() as u64);
    }
}
