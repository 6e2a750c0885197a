//! The cache that several nodes share.
//!
//! Keys are `NAMESPACE:SPACE:ID`, the id in hexadecimal; a vector's id is a hash over the model and how
//! it computes, so what differs does not meet. A read waits 25 ms at most, a write is sent behind the caller's back and
//! dropped when too many are under way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::KeysInterface as _;
use fred::types::Expiration;
use tokio::sync::Semaphore;

use super::metrics::{Lookups, Tier};
use super::{Cache, Key, Space};
use crate::shared::redis::{self, Holds, Purpose, Redis};

/// Writes that may be under way at once; one more is dropped.
const WRITES_UNDER_WAY: usize = 256;

/// A cache in Redis.
pub struct RedisCache {
    redis: Arc<Redis>,
    writes: Arc<Semaphore>,
    lookups: Lookups,
}

impl RedisCache {
    /// A cache of vectors over this link.
    pub fn new(redis: Arc<Redis>) -> Self {
        Self::of(redis, Space::Vector)
    }

    /// A cache of such things over this link.
    pub fn of(redis: Arc<Redis>, space: Space) -> Self {
        let writes = Arc::new(Semaphore::new(WRITES_UNDER_WAY));
        Self { redis, writes, lookups: Lookups::new(Tier::Redis, space) }
    }

    fn key(&self, key: Key) -> redis::Key {
        self.redis.key(key.space.label(), format_args!("{:032x}", key.id), Holds::Value)
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: Key) -> Option<Bytes> {
        let key = self.key(key);
        let name = key.name.as_str();
        let get = |client: Client| async move { client.get::<Option<Bytes>, _>(name).await };
        let found = self.redis.call_on(Purpose::Get, &[&key], get).await.ok().flatten();
        self.lookups.count(found.is_some());
        found
    }

    async fn put(&self, key: Key, value: Bytes, time_to_live: Duration) {
        let Ok(permit) = Arc::clone(&self.writes).try_acquire_owned() else { return };
        let (redis, name) = (Arc::clone(&self.redis), self.key(key).name);
        let end = Expiration::PX(time_to_live.as_millis() as i64);
        tokio::spawn(async move {
            let write = |client: Client| async move {
                client.set::<(), _, _>(name, value, Some(end), None, false).await
            };
            if let Err(outage) = redis.call(Purpose::Put, write).await {
                tracing::trace!(%outage, "value not written to the cache");
            }
            drop(permit);
        });
    }

    async fn remove(&self, key: Key) {
        let name = self.key(key).name;
        let removal =
            self.redis.call(Purpose::Remove, |client| async move { client.del::<(), _>(name).await });
        if let Err(outage) = removal.await {
            tracing::trace!(%outage, "value not removed from the cache; it expires");
        }
    }

    fn forget_model(&self, _: u64) {}
}
