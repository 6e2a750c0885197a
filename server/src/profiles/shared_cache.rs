//! The cache of profiles that all nodes share, in Redis.
//!
//! An entry is the generation it belongs to, in 16 hexadecimal digits, and the encoded profile. A write
//! replaces the entry by a tombstone, which stands above every generation and keeps fills away for
//! [`TOMBSTONE_TIME`], so that a fill that read the store before the write cannot end after it. Fills
//! that took longer than [`LONGEST_FILL`] are not kept. One script compares and fills in one step.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{KeysInterface, LuaInterface as _};
use fred::types::{Expiration, Value};
use marquee_core::domain::UserId;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::codec;
use super::entry::Entry;
use crate::shared::cache::{Lookups, Space, Tier};
use crate::shared::redis::{Holds, Key, Purpose, Redis};

/// How long no entry is filled after a write.
const TOMBSTONE_TIME: Duration = Duration::from_secs(10);

/// A fill that took longer might end after the tombstone that stands against it.
const LONGEST_FILL: Duration = Duration::from_secs(5);

/// How long an entry may be read: the bound for what changes the store without a server, such as an import.
const TIME_TO_LIVE: Duration = Duration::from_mins(1);

/// Larger entries are not shared: they would hold up the connection for all.
const MAX_BYTES: usize = 256 << 10;

/// Fills that may be under way at once; one more is dropped.
const FILLS_UNDER_WAY: usize = 256;

const GENERATION_DIGITS: usize = 16;
const TOMBSTONE: &str = "ffffffffffffffff";
const FILL: &str = include_str!("fill.lua");

/// The key of a user's entry.
pub(super) fn key(redis: &Redis, user_id: UserId) -> Key {
    redis.key("profile", user_id, Holds::Value)
}

/// Overwrites an entry with a tombstone.
pub(super) async fn write_tombstone(client: &impl KeysInterface, name: String) -> Result<(), Error> {
    let end = Expiration::PX(TOMBSTONE_TIME.as_millis() as i64);
    client.set::<(), _, _>(name, TOMBSTONE, Some(end), None, false).await
}

/// The shared cache.
pub(super) struct SharedProfileCache {
    redis: Arc<Redis>,
    fills: Arc<Semaphore>,
    lookups: Lookups,
}

impl SharedProfileCache {
    pub(super) fn new(redis: Arc<Redis>) -> Self {
        let fills = Arc::new(Semaphore::new(FILLS_UNDER_WAY));
        Self { redis, fills, lookups: Lookups::new(Tier::Redis, Space::Profile) }
    }

    /// The copy of this generation, if there is one.
    pub(super) async fn get(&self, generation: u64, user_id: UserId) -> Option<Entry> {
        let key = key(&self.redis, user_id);
        let name = key.name.as_str();
        let get = |client: Client| async move { client.get::<Option<Bytes>, _>(name).await };
        let found = self.redis.call_on(Purpose::Get, &[&key], get).await.ok().flatten();
        let copy = found.and_then(|copy| {
            let (of, profile) = copy.split_at_checked(GENERATION_DIGITS)?;
            (of == digits(generation).as_bytes()).then(|| codec::decode(user_id, profile)).flatten()
        });
        self.lookups.count(copy.is_some());
        copy
    }

    /// Shares what the store said to a read that began at this time, behind the caller's back.
    pub(super) fn fill(&self, generation: u64, user_id: UserId, entry: &Entry, began: Instant) {
        let Ok(permit) = Arc::clone(&self.fills).try_acquire_owned() else { return };
        let profile = codec::encode(entry);
        if profile.len() > MAX_BYTES || began.elapsed() > LONGEST_FILL {
            return;
        }
        let mut copy = BytesMut::with_capacity(GENERATION_DIGITS + profile.len());
        copy.put(digits(generation).as_bytes());
        copy.put(profile);
        let (redis, name) = (Arc::clone(&self.redis), key(&self.redis, user_id).name);
        let arguments = [Value::Bytes(copy.freeze()), Value::from(TIME_TO_LIVE.as_millis() as i64)];
        tokio::spawn(async move {
            let fill = |client: Client| async move {
                client.eval::<i64, _, _, _>(FILL, name, arguments.to_vec()).await
            };
            if let Err(outage) = redis.call(Purpose::Put, fill).await {
                tracing::trace!(%outage, "profile not written to the shared cache");
            }
            drop(permit);
        });
    }

    #[cfg(test)]
    pub(super) async fn wait_for_fills(&self) {
        let _all = self.fills.acquire_many(FILLS_UNDER_WAY as u32).await;
    }
}

fn digits(generation: u64) -> String {
    format!("{generation:016x}")
}
