//! What users did, as a recommendation reads it: remembered here, shared in Redis, and never older than
//! promised.
//!
//! A write is reflected on its own node at once, on other nodes as soon as they hear of it (`peers`),
//! and anywhere at once for a read that carries the write's [`ConsistencyToken`]. A node that may have missed
//! something, or has no connection to Redis, reads the store.

mod changes;
mod codec;
mod consistency_token;
mod entry;
mod local_cache;
mod peers;
mod shared_cache;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use marquee_core::domain::{Profile, UserId};
use marquee_store::{Store, StoreError};
use tokio::time::Instant;

pub use changes::Changes;
pub use consistency_token::ConsistencyToken;
pub(crate) use consistency_token::MAX_USERS;
use entry::Entry;
use local_cache::LocalProfileCache;
use peers::{Peers, Remembering};
use shared_cache::SharedProfileCache;

use crate::shared::cache::{Lookups, Space, Tier};
use crate::shared::redis::{Redis, RedisError};

/// The profiles of all users.
pub struct Profiles {
    store: Arc<dyn Store>,
    remembered: Option<Remembered>,
    changes: Arc<Changes>,
}

struct Remembered {
    local: Arc<LocalProfileCache>,
    lookups: Lookups,
    shared: Option<Shared>,
}

/// What this node has in common with others.
struct Shared {
    cache: SharedProfileCache,
    peers: Peers,
}

/// Where a profile may be found; the generation of the shared cache, if there are any.
struct Places<'a> {
    local: &'a LocalProfileCache,
    cache: Option<(&'a SharedProfileCache, u64)>,
}

impl Profiles {
    /// The profiles in this store, of which this node remembers `limit_bytes`. With `redis` they are
    /// shared with all nodes on the same store; without, no other node may write to it.
    ///
    /// # Errors
    /// [`RedisError`] when Redis cannot be used with its settings.
    pub fn new(
        store: Arc<dyn Store>,
        limit_bytes: u64,
        redis: Option<&Arc<Redis>>,
    ) -> Result<Self, RedisError> {
        let changes = Arc::<Changes>::default();
        if limit_bytes == 0 && redis.is_none() {
            return Ok(Self { store, remembered: None, changes });
        }
        let local = Arc::new(LocalProfileCache::new(limit_bytes));
        let share = |redis: &Arc<Redis>| -> Result<Shared, RedisError> {
            let remembering = Arc::new(Hearing { local: Arc::clone(&local), changes: Arc::clone(&changes) });
            let peers = Peers::join(Arc::clone(redis), remembering)?;
            Ok(Shared { cache: SharedProfileCache::new(Arc::clone(redis)), peers })
        };
        let shared = redis.map(share).transpose()?;
        let lookups = Lookups::new(Tier::Local, Space::Profile);
        Ok(Self { store, remembered: Some(Remembered { local, lookups, shared }), changes })
    }

    /// The user's newest `newest` events (oldest first) and all seen movies; `None` for an unknown
    /// user. It contains what `consistency_token` names.
    ///
    /// # Errors
    /// [`StoreError`] when it has to be read from the store, and cannot be.
    pub async fn read(
        &self,
        user_id: UserId,
        newest: usize,
        consistency_token: &ConsistencyToken,
    ) -> Result<Option<Arc<Profile>>, StoreError> {
        let Some(places) = self.remembered.as_ref().and_then(Remembered::places) else {
            return self.store.profile(user_id, newest).await;
        };
        let is_good = |entry: &Entry| {
            entry.asked == newest && consistency_token.is_in(user_id, &entry.profile, entry.asked)
        };
        let place = match places.local.get(user_id).await {
            Ok(kept) if is_good(&kept.entry) && !kept.has_ended() => {
                self.count(true);
                return Ok(Some(kept.entry.profile));
            }
            Ok(_) => {
                self.count(false);
                places.local.forget(&[user_id]);
                return self.store.profile(user_id, newest).await;
            }
            Err(place) => place,
        };
        self.count(false);
        if let Some((cache, generation)) = places.cache
            && let Some(copy) = cache.get(generation, user_id).await.filter(is_good)
        {
            place.keep(&copy);
            return Ok(Some(copy.profile));
        }
        let began = Instant::now();
        let Some(profile) = self.store.profile(user_id, newest).await? else { return Ok(None) };
        let entry = Entry { asked: newest, profile };
        place.keep(&entry);
        if let Some((cache, generation)) = places.cache {
            cache.fill(generation, user_id, &entry, began);
        }
        Ok(Some(entry.profile))
    }

    /// These users' profiles changed, or may have: to be called after every write, whatever came of it.
    /// When it returns, no read on this node is answered with what was before.
    pub async fn changed(&self, mut users: Vec<UserId>) {
        users.sort_unstable();
        users.dedup();
        if let Some(remembered) = &self.remembered {
            remembered.local.forget(&users);
        }
        self.changes.add(users.iter().copied());
        let Some(remembered) = &self.remembered else { return };
        if let Some(shared) = &remembered.shared {
            shared.peers.announce(users).await;
        }
    }

    /// Whose profiles change, on this node and on those that it hears of.
    pub fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// Whether what is remembered is used now; if not, every read goes to the store.
    #[cfg(any(test, feature = "testing"))]
    pub fn are_remembered(&self) -> bool {
        self.remembered.as_ref().and_then(Remembered::places).is_some()
    }

    /// Takes leave of the other nodes; to be called when nothing is written any more.
    pub async fn leave(&self) {
        if let Some(shared) = self.remembered.as_ref().and_then(|remembered| remembered.shared.as_ref()) {
            shared.peers.leave().await;
        }
    }

    fn count(&self, found: bool) {
        if let Some(remembered) = &self.remembered {
            remembered.lookups.count(found);
        }
    }
}

/// What other nodes' messages act on.
struct Hearing {
    local: Arc<LocalProfileCache>,
    changes: Arc<Changes>,
}

impl Remembering for Hearing {
    fn forget(&self, users: &[UserId]) {
        self.local.forget(users);
        self.changes.add(users.iter().copied());
    }

    fn forget_all(&self) {
        self.local.forget_all();
    }
}

impl Remembered {
    /// Where to look now; `None` when nothing that is remembered can be believed.
    fn places(&self) -> Option<Places<'_>> {
        let cache = match &self.shared {
            None => None,
            Some(shared) => Some((&shared.cache, shared.peers.trusted_generation()?)),
        };
        Some(Places { local: &self.local, cache })
    }
}
