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
pub struct TieredCache<C> {
    local: LocalCache,
    shared: C,
    lookups: Lookups,
}

impl<C: Cache> TieredCache<C> {
    /// `local` in front of `shared`.
    pub fn new(local: LocalCache, shared: C) -> Self {
        Self { local, shared, lookups: Lookups::new(Tier::Local, Space::Vector) }
    }
}

#[async_trait]
impl<C: Cache> Cache for TieredCache<C> {
    async fn get(&self, key: Key) -> Option<Bytes> {
        let here = self.local.get(key).await;
        self.lookups.count(here.is_some());
        if here.is_some() {
            return here;
        }
        let there = self.shared.get(key).await?;
        self.local.put(key, there.clone(), LOCAL_TIME).await;
        Some(there)
    }

    async fn put(&self, key: Key, value: Bytes, time_to_live: Duration) {
        self.local.put(key, value.clone(), time_to_live.min(LOCAL_TIME)).await;
        self.shared.put(key, value, time_to_live).await;
    }

    async fn remove(&self, key: Key) {
        self.local.remove(key).await;
        self.shared.remove(key).await;
    }

    fn forget_model(&self, model: u64) {
        self.local.forget_model(model);
        self.shared.forget_model(model);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { space: Space::Vector, model: 0, id: 7 };
    const HOUR: Duration = Duration::from_hours(1);

    fn local() -> LocalCache {
        LocalCache::new(1 << 20, 100)
    }

    #[tokio::test]
    async fn a_value_of_the_shared_cache_is_kept_here() {
        let cache = TieredCache::new(local(), local());
        cache.shared.put(KEY, Bytes::from_static(b"vector"), HOUR).await;
        assert_eq!(cache.get(KEY).await.as_deref(), Some(b"vector".as_slice()));
        cache.shared.remove(KEY).await;
        assert_eq!(cache.get(KEY).await.as_deref(), Some(b"vector".as_slice()));
    }

    #[tokio::test]
    async fn what_is_put_or_removed_is_so_in_both() {
        let cache = TieredCache::new(local(), local());
        cache.put(KEY, Bytes::from_static(b"vector"), HOUR).await;
        assert!(cache.local.get(KEY).await.is_some() && cache.shared.get(KEY).await.is_some());
        cache.remove(KEY).await;
        assert!(cache.local.get(KEY).await.is_none() && cache.shared.get(KEY).await.is_none());
    }
}
