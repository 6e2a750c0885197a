//! Users that changed since the last checkpoint, for readers.
//!
//! A reader looks here first and then into the snapshot. The writer publishes a new snapshot before
//! it clears this, so whoever finds nothing here finds everything there.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::UserId;

/// So many that readers and the writer seldom meet on one lock.
const SHARDS: usize = 64;

/// Encoded heads by user.
#[derive(Default)]
struct Shard(RwLock<HashMap<UserId, Arc<[u8]>>>);

pub(super) struct Recent([Shard; SHARDS]);

impl Recent {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Shard::default()))
    }

    fn shard(&self, user_id: UserId) -> &Shard {
        &self.0[(user_id % SHARDS as u64) as usize]
    }

    pub(super) fn get(&self, user_id: UserId) -> Option<Arc<[u8]>> {
        let heads = self.shard(user_id).0.read().unwrap_or_else(PoisonError::into_inner);
        heads.get(&user_id).cloned()
    }

    pub(super) fn put(&self, user_id: UserId, head: &[u8]) {
        let mut heads = self.shard(user_id).0.write().unwrap_or_else(PoisonError::into_inner);
        heads.insert(user_id, head.into());
    }

    pub(super) fn clear(&self) {
        for shard in &self.0 {
            shard.0.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
