//! The shared cache of profiles in a real Redis, which `MARQUEE_TEST_REDIS` names.

use std::io::Write as _;
use std::sync::Arc;

use marquee_store::RedbStore;

use super::*;

const USER: UserId = 7;

/// A Redis under a namespace that no other test and no other run uses.
async fn redis() -> Option<Arc<Redis>> {
    let Ok(url) = std::env::var("MARQUEE_TEST_REDIS") else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "MARQUEE_TEST_REDIS must be set in CI");
        // Not `eprintln!`, which the test harness keeps to itself.
        let said = writeln!(std::io::stderr(), "skipped: MARQUEE_TEST_REDIS is not set; see deploy/services");
        said.expect("standard error is open");
        return None;
    };
    let url = format!("{url}?namespace=test-{:x}", rand::random::<u64>());
    Some(Redis::connect(&url).await.unwrap())
}

fn entry(asked: usize) -> Entry {
    Entry { asked, profile: Arc::default() }
}

/// The `asked` of the copy, once the fills under way have ended.
async fn shared(cache: &SharedProfileCache, generation: u64) -> Option<usize> {
    cache.wait_for_fills().await;
    cache.get(generation, USER).await.map(|entry| entry.asked)
}

async fn write_tombstone(redis: &Redis) {
    let name = shared_cache::key(redis, USER).name;
    redis
        .call(crate::shared::redis::Purpose::Put, |client| async move {
            shared_cache::write_tombstone(&client, name).await
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_copy_is_read_in_its_generation_only() {
    let Some(redis) = redis().await else { return };
    let cache = SharedProfileCache::new(redis);
    cache.fill(5, USER, &entry(10), Instant::now());
    assert_eq!(shared(&cache, 5).await, Some(10));
    assert_eq!(shared(&cache, 4).await, None);
    assert_eq!(shared(&cache, 6).await, None);
}

#[tokio::test]
async fn only_a_newer_generation_overwrites_a_copy() {
    let Some(redis) = redis().await else { return };
    let cache = SharedProfileCache::new(redis);
    cache.fill(5, USER, &entry(10), Instant::now());
    assert_eq!(shared(&cache, 5).await, Some(10));
    cache.fill(4, USER, &entry(20), Instant::now());
    cache.fill(5, USER, &entry(30), Instant::now());
    assert_eq!(shared(&cache, 5).await, Some(10));
    cache.fill(6, USER, &entry(40), Instant::now());
    assert_eq!(shared(&cache, 6).await, Some(40));
}

#[tokio::test]
async fn a_fill_that_began_before_a_write_is_not_shared_whatever_its_generation() {
    let Some(redis) = redis().await else { return };
    let cache = SharedProfileCache::new(Arc::clone(&redis));
    cache.fill(5, USER, &entry(10), Instant::now());
    assert_eq!(shared(&cache, 5).await, Some(10));
    write_tombstone(&redis).await;
    assert_eq!(shared(&cache, 5).await, None);
    cache.fill(5, USER, &entry(10), Instant::now());
    cache.fill(6, USER, &entry(10), Instant::now());
    assert_eq!(shared(&cache, 5).await, None);
    assert_eq!(shared(&cache, 6).await, None);
}

#[tokio::test]
async fn one_that_remembers_nothing_and_shares_nothing_reads_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
    let profiles = Profiles::new(Arc::clone(&store), 0, None).unwrap();
    assert!(!profiles.are_remembered());
    store.register(USER, 1).await.unwrap();
    assert!(profiles.read(USER, 10, &ConsistencyToken::default()).await.unwrap().is_some());
}
