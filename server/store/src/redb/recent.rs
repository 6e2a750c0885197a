//! Users that changed since the last checkpoint, for readers.
//!
//! A reader looks here first and then into the snapshot. The writer publishes a new snapshot before
//! it clears what that holds, so whoever finds nothing here finds everything there. While a checkpoint
//! is under way, what it writes stands apart from what changed since.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use marquee_core::domain::UserId;

/// So many that readers and the writer seldom meet on one lock.
const SHARDS: usize = 64;

/// Encoded heads by user.
#[derive(Default)]
struct Heads {
    /// Changed since the last checkpoint began.
    changed: HashMap<UserId, Arc<[u8]>>,
    /// In the checkpoint that is under way.
    frozen: HashMap<UserId, Arc<[u8]>>,
}

#[derive(Default)]
struct Shard(RwLock<Heads>);

impl Shard {
    fn change(&self, change: impl FnOnce(&mut Heads)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

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
        heads.changed.get(&user_id).or_else(|| heads.frozen.get(&user_id)).cloned()
    }

    /// The users after `after` by ascending id, at most `limit`.
    pub(super) fn users_after(&self, after: Option<UserId>, limit: usize) -> Vec<UserId> {
        let mut users = BTreeSet::new();
        for shard in &self.0 {
            let heads = shard.0.read().unwrap_or_else(PoisonError::into_inner);
            let all = heads.changed.keys().chain(heads.frozen.keys());
            for user_id in all.filter(|user_id| after.is_none_or(|after| **user_id > after)) {
                users.insert(*user_id);
                if users.len() > limit {
                    users.pop_last();
                }
            }
        }
        users.into_iter().collect()
    }

    pub(super) fn put(&self, user_id: UserId, head: &[u8]) {
        self.shard(user_id).change(|heads| drop(heads.changed.insert(user_id, head.into())));
    }

    /// A checkpoint of everything here begins.
    pub(super) fn freeze(&self) {
        for shard in &self.0 {
            shard.change(|heads| heads.frozen = std::mem::take(&mut heads.changed));
        }
    }

    /// The checkpoint that began is shown.
    pub(super) fn forget_frozen(&self) {
        for shard in &self.0 {
            shard.change(|heads| heads.frozen = HashMap::new());
        }
    }

    /// A checkpoint of everything is shown, or the store is closed.
    pub(super) fn clear(&self) {
        for shard in &self.0 {
            shard.change(|heads| *heads = Heads::default());
        }
    }
}
