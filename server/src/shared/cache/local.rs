//! The cache of one process: bounded by bytes, least useful out first, entries with an end.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache as Inner;
use quick_cache::{DefaultHashBuilder, Weighter};
use tokio::time::Instant;

use super::{Cache, Key};

/// What an entry costs beside its value: the key, the end, and the cache's own books.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

/// A bounded in-process cache.
pub struct LocalCache {
    entries: Inner<Key, Entry, ByBytes>,
}

#[derive(Clone)]
struct Entry {
    value: Bytes,
    end: Instant,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Entry> for ByBytes {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        entry.value.len() as u64 + ENTRY_OVERHEAD_BYTES
    }
}

impl LocalCache {
    /// A cache of at most `limit_bytes`, expecting values of about `value_bytes`.
    pub fn new(limit_bytes: u64, value_bytes: u64) -> Self {
        let expected_entries = limit_bytes / (value_bytes + ENTRY_OVERHEAD_BYTES);
        let entries = Inner::with(
            expected_entries as usize,
            limit_bytes,
            ByBytes,
            DefaultHashBuilder::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { entries }
    }
}

#[async_trait]
impl Cache for LocalCache {
    async fn get(&self, key: Key) -> Option<Bytes> {
        let entry = self.entries.get(&key)?;
        if entry.end <= Instant::now() {
            self.entries.remove(&key);
            return None;
        }
        Some(entry.value)
    }

    async fn put(&self, key: Key, value: Bytes, time_to_live: Duration) {
        self.entries.insert(key, Entry { value, end: Instant::now() + time_to_live });
    }

    async fn remove(&self, key: Key) {
        self.entries.remove(&key);
    }

    fn forget_model(&self, model: u64) {
        self.entries.retain(|key, _| key.model != model);
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::clock;

    use super::*;
    use crate::shared::cache::Space;

    fn key(id: u128) -> Key {
        Key { space: Space::Vector, model: 0, id }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_there_until_its_end() {
        let cache = LocalCache::new(1 << 20, 100);
        cache.put(key(1), Bytes::from_static(b"vector"), Duration::from_secs(10)).await;
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(cache.get(key(1)).await.as_deref(), Some(b"vector".as_slice()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(cache.get(key(1)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_ends_when_its_time_has_passed_however_the_clock_is_set() {
        let cache = LocalCache::new(1 << 20, 100);
        cache.put(key(1), Bytes::from_static(b"vector"), Duration::from_secs(10)).await;
        for hour in [1, 3, 2] {
            clock::fake::set(hour * 3_600_000);
            assert!(cache.get(key(1)).await.is_some());
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(cache.get(key(1)).await, None);
    }

    #[tokio::test]
    async fn a_removed_value_is_gone() {
        let cache = LocalCache::new(1 << 20, 100);
        cache.put(key(1), Bytes::from_static(b"vector"), Duration::from_secs(10)).await;
        cache.remove(key(1)).await;
        assert_eq!(cache.get(key(1)).await, None);
    }

    #[tokio::test]
    async fn the_memory_stays_within_its_limit() {
        let cache = LocalCache::new(64 << 10, 1 << 10);
        for id in 0..1000 {
            cache.put(key(id), Bytes::from(vec![0; 1 << 10]), Duration::from_secs(10)).await;
        }
        assert!(cache.entries.weight() <= 64 << 10);
        assert!(!cache.entries.is_empty());
    }

    #[tokio::test]
    async fn a_model_is_forgotten_alone() {
        let cache = LocalCache::new(1 << 20, 100);
        let other = Key { model: 1, ..key(1) };
        for key in [key(1), key(2), other] {
            cache.put(key, Bytes::from_static(b"vector"), Duration::from_secs(10)).await;
        }
        cache.forget_model(0);
        assert!(cache.get(key(1)).await.is_none() && cache.get(key(2)).await.is_none());
        assert!(cache.get(other).await.is_some());
    }
}
