//! A local cache in front of a shared one.
//!
//! Only for values that are never wrong (user vectors are keyed by what they were computed from): a
//! value that another node removes stays here until the end of its local time.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::metrics::{Lookups, Tier};
use super::{Cache, Key, LocalCache, Space};

/// How long a value that came from the shared cache is kept here.
const LOCAL_TIME: Duration = Duration::from_mins(10);

/// Looks here first, then there.
pub struct NearCache<C> {
    near: LocalCache,
    far: C,
    lookups: Lookups,
}

impl<C: Cache> NearCache<C> {
    /// `near` in front of `far`.
    pub fn new(near: LocalCache, far: C) -> Self {
        Self { near, far, lookups: Lookups::new(Tier::Near, Space::Vector) }
    }
}

#[async_trait]
impl<C: Cache> Cache for NearCache<C> {
    async fn get(&self, key: Key) -> Option<Bytes> {
        let here = self.near.get(key).await;
        self.lookups.count(here.is_some());
        if here.is_some() {
            return here;
        }
        let there = self.far.get(key).await?;
        self.near.put(key, there.clone(), LOCAL_TIME).await;
        Some(there)
    }

    async fn put(&self, key: Key, value: Bytes, time_to_live: Duration) {
        self.near.put(key, value.clone(), time_to_live.min(LOCAL_TIME)).await;
        self.far.put(key, value, time_to_live).await;
    }

    async fn remove(&self, key: Key) {
        self.near.remove(key).await;
        self.far.remove(key).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { space: Space::Vector, id: 7 };
    const HOUR: Duration = Duration::from_hours(1);

    fn local() -> LocalCache {
        LocalCache::new(1 << 20, 100)
    }

    #[tokio::test]
    async fn a_value_of_the_shared_cache_is_kept_here() {
        let cache = NearCache::new(local(), local());
        cache.far.put(KEY, Bytes::from_static(b"vector"), HOUR).await;
        assert_eq!(cache.get(KEY).await.as_deref(), Some(b"vector".as_slice()));
        cache.far.remove(KEY).await;
        assert_eq!(cache.get(KEY).await.as_deref(), Some(b"vector".as_slice()));
    }

    #[tokio::test]
    async fn what_is_put_or_removed_is_so_in_both() {
        let cache = NearCache::new(local(), local());
        cache.put(KEY, Bytes::from_static(b"vector"), HOUR).await;
        assert!(cache.near.get(KEY).await.is_some() && cache.far.get(KEY).await.is_some());
        cache.remove(KEY).await;
        assert!(cache.near.get(KEY).await.is_none() && cache.far.get(KEY).await.is_none());
    }
}
