use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use marquee_core::domain::{EventKey, Kind};
use proptest::prelude::*;
use tempfile::TempDir;

use super::manifest::CHECKSUMS;
use super::target::MANIFEST;
use super::*;
use crate::conformance::{assert_same_content, fill, of_kind, rating};
use crate::model::{calls, make};
use crate::{Content, DocumentId, DocumentKind, RedbStore};

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(folder: &TempDir) -> RedbStore {
    RedbStore::open(folder.path()).expect("the store opens")
}

async fn backup(store: &RedbStore, target: &TempDir) -> Backup {
    write(store, target.path(), &at_once).await.expect("a backup")
}

/// The store that a backup, or the newest one in a folder, becomes.
async fn restored(source: &Path, into: &TempDir) -> RedbStore {
    let store = open(into);
    restore(source, &store, &Restoring::default()).await.expect("it is restored");
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_holds_all_that_the_other_did_and_nothing_else() {
    let (one, target, other) = (folder(), folder(), folder());
    let store = open(&one);
    fill(&store).await;
    let made = backup(&store, &target).await;
    let Counts { movies, rules, notes, documents, users, interactions } = made.manifest.counts;
    assert_eq!((movies, rules, notes, documents, users, interactions), (3, 2, 2, 4, 5, 1_205));
    let other = restored(&made.path, &other).await;
    assert_same_content(&store, &other).await;
    assert!(!is_half_restored(&other).await.expect("a read"));
    let again = backup(&other, &target).await;
    assert_eq!(again.manifest.counts, made.manifest.counts, "how it came to be is no part of it");
}

#[test]
fn what_any_calls_made_of_a_store_is_restored() {
    proptest!(ProptestConfig::with_cases(12), |(calls in calls())| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (one, target, other) = (folder(), folder(), folder());
            let store = open(&one);
            make(&store, calls).await;
            backup(&store, &target).await;
            assert_same_content(&store, &restored(target.path(), &other).await).await;
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_is_a_backup_too() {
    let (one, target, other) = (folder(), folder(), folder());
    let made = backup(&open(&one), &target).await;
    assert_eq!((made.manifest.counts, made.manifest.parts.len()), (Counts::default(), 0));
    assert_same_content(&open(&one), &restored(target.path(), &other).await).await;
}

/// While others write: all that was acknowledged before, of each writer no event without those before it, and sums of
/// exactly what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_writers_is_of_one_moment() {
    let (one, target, other) = (folder(), folder(), folder());
    let store = Arc::new(RedbStore::open_small(one.path(), 5_000).expect("the store opens"));
    let history: Vec<_> = (0..2_000).map(|i| rating(1 + i % 40, 1 + i as u32, i as i64, 6)).collect();
    store.record(&history, 1).await.expect("a write");
    let ends = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicI64::new(0));
    let writers: Vec<_> = (100..104_u64)
        .map(|user_id| {
            let (store, ends, written) = (Arc::clone(&store), Arc::clone(&ends), Arc::clone(&written));
            tokio::spawn(async move {
                let mut time = 0;
                while !ends.load(Ordering::Relaxed) {
                    time += 1;
                    // In two users at once: neither is in the backup without the other.
                    let both = [user_id, user_id + 100].map(|user| rating(user, time as u32, time, 8));
                    store.record(&both, 1).await.expect("a write");
                    written.fetch_add(1, Ordering::Relaxed);
                }
                time
            })
        })
        .collect();
    while written.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    let mut acknowledged = BTreeMap::new();
    for user_id in 100..104 {
        let stats = store.user_stats(user_id).await.expect("a read").expect("a known user");
        acknowledged.insert(user_id, stats.interactions);
    }
    let made = backup(&store, &target).await;
    ends.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("it ends well");
    }
    let restored = restored(target.path(), &other).await;
    let mut events = 2_000;
    for (user_id, at_least) in acknowledged {
        let times = async |user| {
            let history = restored.history(user, None, 1_000_000).await.expect("a read").unwrap_or_default();
            history.iter().rev().map(|event| event.time_ms).collect::<Vec<_>>()
        };
        let (one, other) = (times(user_id).await, times(user_id + 100).await);
        assert_eq!(one, other, "a write is there whole");
        assert_eq!(one, (1..=one.len() as i64).collect::<Vec<_>>(), "and none without those before it");
        assert!(one.len() as u64 >= at_least, "{} of {at_least}", one.len());
        events += 2 * one.len() as u64;
    }
    assert_eq!(made.manifest.counts.interactions, events);
    assert_eq!(restored.stats().await.expect("a read").interactions, events);
    let records: u64 = made.manifest.parts.iter().map(|part| part.records).sum();
    assert_eq!(records, made.manifest.counts.users);
}

/// A small backup in a folder of its own.
async fn small() -> (TempDir, PathBuf) {
    let (one, target) = (folder(), folder());
    let store = open(&one);
    store.record(&[rating(1, 2, 3, 4), of_kind(2, 2, 3, Kind::View)], 1).await.expect("a write");
    store.put_note("a note", b"says something").await.expect("a write");
    let path = backup(&store, &target).await.path;
    (target, path)
}

fn files(backup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(backup).expect("it is there");
    entries.map(|entry| entry.expect("it is there").path()).collect()
}

/// The refusal of a backup one of whose files is not as it was written.
fn refusal(backup: &Path) -> String {
    verify(backup).expect_err("it is damaged").to_string()
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_found_and_the_file_is_named() {
    let (_target, backup) = small().await;
    verify(&backup).expect("it is whole");
    for path in files(&backup) {
        let whole = fs::read(&path).expect("it is there");
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).expect("a write");
            let refusal = refusal(&backup);
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            let is_named = refusal.contains(name) || [MANIFEST, CHECKSUMS].contains(&name);
            assert!(is_named && refusal.contains("is damaged"), "{name}, bit {bit}: {refusal}");
        }
        fs::write(&path, whole).expect("a write");
    }
    verify(&backup).expect("it is whole again");
}

#[tokio::test]
async fn a_file_that_ends_early_or_is_missing_is_found() {
    let (_target, backup) = small().await;
    for path in files(&backup) {
        let whole = fs::read(&path).expect("it is there");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("a write");
            assert!(verify(&backup).is_err(), "{}: {length} bytes", path.display());
        }
        fs::write(&path, [&whole[..], b"\n"].concat()).expect("a write");
        assert!(verify(&backup).is_err(), "{}: longer", path.display());
        fs::remove_file(&path).expect("it goes");
        assert!(verify(&backup).is_err(), "{}: missing", path.display());
        fs::write(&path, whole).expect("a write");
    }
}

#[tokio::test]
async fn nothing_of_a_damaged_backup_is_restored() {
    let (_target, backup) = small().await;
    let users = files(&backup).into_iter().find(|path| path.to_string_lossy().contains("users-"));
    let users = users.expect("there are users");
    let mut bytes = fs::read(&users).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&users, bytes).expect("a write");
    let into = folder();
    let store = open(&into);
    let refused = restore(&backup, &store, &Restoring::default()).await.expect_err("it is damaged");
    assert!(matches!(&refused, BackupError::Damaged { path, .. } if *path == users), "{refused}");
    assert_same_content(&store, &open(&folder())).await;
}

#[tokio::test]
async fn a_backup_of_a_newer_program_is_said_to_be_one() {
    let (_target, backup) = small().await;
    let manifest = fs::read_to_string(backup.join(MANIFEST)).expect("it is there");
    let newer = manifest.replace("\"format\": 1", "\"format\": 2").replace("\"parts\"", "\"pieces\"");
    fs::write(backup.join(MANIFEST), &newer).expect("a write");
    fs::write(backup.join(CHECKSUMS), manifest::hash(newer.as_bytes())).expect("a write");
    let refusal = refusal(&backup);
    assert!(refusal.contains("has format 2 and this program reads 1; use a newer program"), "{refusal}");
}

#[tokio::test]
async fn a_store_that_holds_anything_is_not_restored_into() {
    let (_target, backup) = small().await;
    let into = folder();
    let store = open(&into);
    store.put_note("another note", b"").await.expect("a write");
    let refused = restore(&backup, &store, &Restoring::default()).await.expect_err("it is not empty");
    assert!(matches!(refused, BackupError::NotEmpty), "{refused}");
    let nothing = restore(into.path(), &store, &Restoring::default()).await.expect_err("there is none");
    assert!(matches!(nothing, BackupError::NotABackup(_)), "{nothing}");
    assert_eq!(store.user(1).await.expect("a read"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_broke_off_is_known_as_half_and_goes_on() {
    let (one, target, other, into) = (folder(), folder(), folder(), folder());
    let store = open(&one);
    fill(&store).await;
    let users: Vec<_> = (1_000..9_000).map(|user| rating(user, 1, 1, 6)).collect();
    store.record(&users, 1).await.expect("a write");
    backup(&store, &target).await;
    let restoring = open(&into);
    let (began, begins) = tokio::sync::oneshot::channel();
    let began = Mutex::new(Some(began));
    let progress = |counts: Counts| {
        if counts.users > 0 {
            let began = began.lock().expect("nobody panicked").take();
            let _first = began.map(|began| began.send(()));
        }
    };
    let options = Restoring { progress: Some(&progress), ..Restoring::default() };
    tokio::select! {
        done = restore(target.path(), &restoring, &options) => panic!("it was to be given up: {done:?}"),
        _ = begins => {}
    }
    assert!(is_half_restored(&restoring).await.expect("a read"));
    let (_elsewhere, another) = small().await;
    let refused = restore(&another, &restoring, &Restoring::default()).await.expect_err("it is another one");
    assert!(matches!(refused, BackupError::OtherRestore), "{refused}");
    drop(restoring);
    let whole = restored(target.path(), &into).await;
    assert!(!is_half_restored(&whole).await.expect("a read"));
    assert_same_content(&store, &whole).await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_were_deleted_since_do_not_come_back() {
    let (one, target, into) = (folder(), folder(), folder());
    let store = open(&one);
    fill(&store).await;
    let key = DocumentId { kind: DocumentKind::UserKey, part: "1", key: "key" };
    let kept = store.documents().insert(key, &Content::lasting("anna@example.org"), 1).await;
    assert!(kept.expect("a write"));
    backup(&store, &target).await;
    store.delete_user(1).await.expect("a deletion");
    store.documents().remove_part(DocumentKind::UserKey, "1").await.expect("a deletion");
    let restoring = Restoring { without: [1, 77_777].into(), ..Restoring::default() };
    let other = open(&into);
    let manifest = restore(target.path(), &other, &restoring).await.expect("it is restored");
    assert_eq!(manifest.counts.users, 4);
    assert_same_content(&store, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_given_up_leaves_nothing_and_one_is_written_at_a_time() {
    let (one, target) = (folder(), folder());
    let store = open(&one);
    let users: Vec<_> = (1..20_000).map(|user| rating(user, 1, 1, 6)).collect();
    store.record(&users, 1).await.expect("a write");
    let (began, begins) = tokio::sync::oneshot::channel();
    let began = Mutex::new(Some(began));
    let progress = |_: Counts| {
        let began = began.lock().expect("nobody panicked").take();
        let _first = began.map(|began| began.send(()));
        at_once(Counts::default())
    };
    tokio::select! {
        done = write(&store, target.path(), &progress) => panic!("it was to be given up: {done:?}"),
        () = async {
            begins.await.expect("it begins");
            let busy = write(&store, target.path(), &at_once).await.expect_err("another one is written");
            assert!(matches!(busy, BackupError::Busy(_)), "{busy}");
        } => {}
    }
    // A thread may still have the folder for a moment.
    let made = loop {
        match write(&store, target.path(), &at_once).await {
            Err(BackupError::Busy(_)) => tokio::task::yield_now().await,
            made => break made.expect("a backup"),
        }
    };
    let left: BTreeSet<_> = files(target.path()).into_iter().collect();
    assert_eq!(left, BTreeSet::from([target.path().join(".lock"), made.path.clone()]));
    verify(&made.path).expect("it is whole");
}

#[tokio::test]
async fn what_a_killed_backup_left_is_none_and_goes_with_the_next() {
    let (target, backup) = small().await;
    let left = target.path().join(".2026-01-01T00-00-00.000Z.unfinished");
    fs::create_dir(&left).expect("a folder");
    fs::copy(backup.join(MANIFEST), left.join(MANIFEST)).expect("a copy");
    assert_eq!(find(target.path()).expect("there is one"), backup);
    write(&open(&folder()), target.path(), &at_once).await.expect("a backup");
    assert!(!left.exists());
}

#[tokio::test]
async fn the_newest_are_kept_and_what_is_no_backup_stays() {
    let (one, target) = (folder(), folder());
    let store = open(&one);
    fs::create_dir(target.path().join("other")).expect("a folder");
    let mut made = Vec::new();
    for clock in 1..=4 {
        marquee_core::clock::fake::set(clock * 3_600_000);
        made.push(backup(&store, &target).await.path);
    }
    assert_eq!(find(target.path()).expect("there are some"), made[3]);
    assert_eq!(keep(target.path(), 2).expect("they can be removed"), made[..2]);
    assert_eq!(keep(target.path(), 2).expect("nothing is left to do"), Vec::<PathBuf>::new());
    assert!(!made[1].exists() && made[2].exists() && target.path().join("other").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_a_backup() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_target, backup) = small().await;
    for path in files(&backup).iter().chain([&backup]) {
        let mode = fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[tokio::test]
async fn a_deleted_event_is_in_no_later_backup() {
    let (one, target, into) = (folder(), folder(), folder());
    let store = open(&one);
    let event = rating(1, 2, 3, 4);
    store.record(&[event, rating(1, 3, 4, 5)], 1).await.expect("a write");
    store.delete_event(1, EventKey::from(&event)).await.expect("a deletion");
    backup(&store, &target).await;
    assert_same_content(&store, &restored(target.path(), &into).await).await;
}
