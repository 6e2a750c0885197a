use std::fs;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;

use super::bucket::Bucket;
use super::tests::folder;
use super::*;
use crate::RedbStore;
use crate::conformance::{assert_same_content, fill};
use crate::real_parts::address;

/// A backup of a filled store in a folder, and the store.
async fn made(folder: &TempDir, target: &TempDir) -> (RedbStore, Backup) {
    let store = RedbStore::open(folder.path()).expect("the store opens");
    fill(&store).await;
    let backup = write(&store, target.path(), &at_once).await.expect("a backup");
    (store, backup)
}

async fn has(objects: &dyn ObjectStore, key: &str) -> bool {
    objects.head(&Key::from(key)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_backup_of_a_bucket_comes_back_as_it_went() {
    let (one, target, copy, other) = (folder(), folder(), folder(), folder());
    let bucket = Bucket::of(Arc::new(InMemory::new()));
    let (store, older) = made(&one, &target).await;
    bucket.upload(&older.path, &older.manifest).await.expect("it goes up");
    store.register(9_999, 1).await.expect("a user");
    let newer = write(&store, target.path(), &at_once).await.expect("a backup");
    bucket.upload(&newer.path, &newer.manifest).await.expect("it goes up");
    bucket.download(copy.path()).await.expect("it comes down");
    let restored = RedbStore::open(other.path()).expect("the store opens");
    let said = restore(copy.path(), &restored, &Restoring::default()).await.expect("it is restored");
    assert_eq!(said.counts, newer.manifest.counts);
    assert_same_content(&store, &restored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_its_manifest_is_none_and_goes_with_the_next_that_is_whole() {
    let (one, target, copy) = (folder(), folder(), folder());
    let objects = Arc::new(InMemory::new());
    let bucket = Bucket::of(Arc::clone(&objects) as Arc<dyn ObjectStore>);
    let left = "backups/2026-01-01T00-00-00.000Z/users-0001.jsonl.gz";
    objects.put(&Key::from(left), "half".into()).await.expect("a put");
    objects.put(&Key::from("backups/theirs/file"), "theirs".into()).await.expect("a put");
    assert!(matches!(bucket.download(copy.path()).await, Err(BackupError::NotABackup(_))));
    assert!(bucket.keep(1).await.expect("nothing to remove").is_empty());
    assert!(has(objects.as_ref(), left).await, "it may be under way");
    let (_store, backup) = made(&one, &target).await;
    bucket.upload(&backup.path, &backup.manifest).await.expect("it goes up");
    assert!(bucket.keep(1).await.expect("a removal").is_empty(), "no backup went");
    assert!(!has(objects.as_ref(), left).await);
    assert!(has(objects.as_ref(), "backups/theirs/file").await, "what is no backup is not ours");
    bucket.download(copy.path()).await.expect("the whole one is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_backups_of_a_bucket_stay() {
    let (one, target) = (folder(), folder());
    let objects = Arc::new(InMemory::new());
    let bucket = Bucket::of(Arc::clone(&objects) as Arc<dyn ObjectStore>);
    let (_store, backup) = made(&one, &target).await;
    for name in ["2026-01-01T00-00-00.000Z", "2026-01-02T00-00-00.000Z", "2026-01-03T00-00-00.000Z"] {
        let path = target.path().join(name);
        fs::create_dir(&path).expect("a folder");
        for file in fs::read_dir(&backup.path).expect("files") {
            let file = file.expect("a file");
            fs::copy(file.path(), path.join(file.file_name())).expect("a copy");
        }
        bucket.upload(&path, &backup.manifest).await.expect("it goes up");
    }
    let gone = bucket.keep(2).await.expect("a removal");
    assert_eq!(gone, ["memory://backups/2026-01-01T00-00-00.000Z"]);
    assert_eq!(bucket.names().await.expect("a list").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_bucket_lost_or_changed_is_told() {
    let (one, target, copy, other) = (folder(), folder(), folder(), folder());
    let objects = Arc::new(InMemory::new());
    let bucket = Bucket::of(Arc::clone(&objects) as Arc<dyn ObjectStore>);
    let (_store, backup) = made(&one, &target).await;
    bucket.upload(&backup.path, &backup.manifest).await.expect("it goes up");
    let name = backup.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = Key::from(format!("backups/{name}/{}", backup.manifest.parts[0].file));
    objects.put(&part, "other".into()).await.expect("a put");
    bucket.download(copy.path()).await.expect("it comes down");
    assert!(matches!(verify(copy.path()), Err(BackupError::Damaged { .. })));
    objects.delete(&part).await.expect("a removal");
    let error = bucket.download(other.path()).await.expect_err("a file is missing");
    assert!(error.to_string().contains(&backup.manifest.parts[0].file), "{error}");
}

/// The bucket of a real server, whose address is in the environment.
fn real() -> Option<Place> {
    let url = address("MARQUEE_TEST_S3")?;
    let Ok(place) = format!("{url}/{}", std::process::id()).parse();
    Some(place)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_object_store_keeps_a_backup() {
    let Some(place) = real() else { return };
    let (one, staging, other) = (folder(), folder(), folder());
    let store = RedbStore::open(one.path()).expect("the store opens");
    fill(&store).await;
    place.write(&store, staging.path(), &at_once).await.expect("a backup");
    let made = place.write(&store, staging.path(), &at_once).await.expect("a second one");
    assert!(made.at.starts_with(&place.to_string()), "{}", made.at);
    assert_eq!(place.keep(1).await.expect("a removal").len(), 1);
    let fetched = place.fetch().await.expect("it comes down");
    let restored = RedbStore::open(other.path()).expect("the store opens");
    restore(fetched.folder(), &restored, &Restoring::default()).await.expect("it is restored");
    assert_same_content(&store, &restored).await;
    let copied = fetched.folder().to_owned();
    drop(fetched);
    assert!(!copied.exists(), "a copy goes with its reader");
    place.keep(0).await.expect("a removal");
    assert!(matches!(place.fetch().await, Err(BackupError::NotABackup(_))));
}
