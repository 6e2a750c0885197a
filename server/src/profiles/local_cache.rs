//! The profiles that this node remembers: bounded by bytes, with an end.
//!
//! A read that finds nothing holds the place for what it will find. Forgetting a user takes such a place
//! away too, so that a fill that began before cannot be kept.

use std::time::Duration;

use marquee_core::domain::{Profile, UserId};
use quick_cache::sync::{Cache, DefaultLifecycle, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, Weighter};
use tokio::time::Instant;

use super::entry::Entry;
use super::peers::Remembering;

/// How long a profile is kept: the bound for what changes the store without a server, such as an import.
const TIME_TO_LIVE: Duration = Duration::from_mins(1);

/// A profile of some hundred events and movies.
const USUAL_BYTES: u64 = 16 << 10;

#[derive(Clone)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    end: Instant,
    bytes: u64,
}

impl Kept {
    pub(super) fn has_ended(&self) -> bool {
        self.end <= Instant::now()
    }
}

#[derive(Clone)]
pub(super) struct ByBytes;

impl Weighter<UserId, Kept> for ByBytes {
    fn weight(&self, _: &UserId, kept: &Kept) -> u64 {
        kept.bytes
    }
}

type Inner = Cache<UserId, Kept, ByBytes>;

/// A place that is held for a profile.
pub(super) struct Place<'a>(
    PlaceholderGuard<'a, UserId, Kept, ByBytes, DefaultHashBuilder, DefaultLifecycle<UserId, Kept>>,
);

impl Place<'_> {
    /// Keeps the entry, unless the user was forgotten since the place was taken.
    pub(super) fn keep(self, entry: &Entry) {
        let Profile { newest, seen, .. } = &*entry.profile;
        let bytes = size_of::<Profile>() + size_of_val(newest.as_slice()) + seen.serialized_size();
        let end = Instant::now() + TIME_TO_LIVE;
        let _forgotten = self.0.insert(Kept { entry: entry.clone(), end, bytes: bytes as u64 });
    }
}

/// The profiles of one node.
pub(super) struct LocalProfileCache {
    profiles: Inner,
}

impl LocalProfileCache {
    pub(super) fn new(limit_bytes: u64) -> Self {
        let expected = (limit_bytes / USUAL_BYTES) as usize;
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { profiles: Cache::with(expected, limit_bytes, ByBytes, hasher, lifecycle) }
    }

    /// What is remembered, or a place for it. Who finds the place taken waits for its fill.
    pub(super) async fn get(&self, user_id: UserId) -> Result<Kept, Place<'_>> {
        self.profiles.get_value_or_guard_async(&user_id).await.map_err(Place)
    }
}

impl Remembering for LocalProfileCache {
    fn forget(&self, users: &[UserId]) {
        for user_id in users {
            self.profiles.remove(user_id);
        }
    }

    fn forget_all(&self) {
        self.profiles.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use marquee_core::clock;
    use marquee_core::domain::{Interaction, Kind};

    use super::*;

    fn entry() -> Entry {
        Entry { asked: 10, profile: Arc::default() }
    }

    async fn is_kept(local: &LocalProfileCache, user_id: UserId) -> bool {
        local.get(user_id).await.is_ok()
    }

    #[tokio::test]
    async fn a_profile_is_kept_until_it_is_forgotten() {
        let local = LocalProfileCache::new(1 << 20);
        local.get(1).await.err().unwrap().keep(&entry());
        local.get(2).await.err().unwrap().keep(&entry());
        assert!(is_kept(&local, 1).await);
        local.forget(&[1]);
        assert!(!is_kept(&local, 1).await);
        assert!(is_kept(&local, 2).await);
    }

    #[tokio::test]
    async fn a_fill_that_began_before_its_user_was_forgotten_is_not_kept() {
        let local = LocalProfileCache::new(1 << 20);
        let place = local.get(1).await.err().unwrap();
        local.forget(&[1]);
        place.keep(&entry());
        assert!(!is_kept(&local, 1).await);
    }

    #[tokio::test]
    async fn a_fill_that_began_before_all_was_forgotten_is_not_kept() {
        let local = LocalProfileCache::new(1 << 20);
        let place = local.get(1).await.err().unwrap();
        local.forget_all();
        place.keep(&entry());
        assert!(!is_kept(&local, 1).await);
    }

    #[tokio::test]
    async fn a_read_after_the_user_was_forgotten_does_not_wait_for_a_fill_from_before() {
        let local = LocalProfileCache::new(1 << 20);
        let old = local.get(1).await.err().unwrap();
        local.forget(&[1]);
        let new = local.get(1).await.err().unwrap();
        old.keep(&entry());
        new.keep(&Entry { asked: 20, ..entry() });
        assert_eq!(local.get(1).await.ok().unwrap().entry.asked, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_has_an_end() {
        let local = LocalProfileCache::new(1 << 20);
        local.get(1).await.err().unwrap().keep(&entry());
        assert!(!local.get(1).await.ok().unwrap().has_ended());
        tokio::time::advance(TIME_TO_LIVE).await;
        assert!(local.get(1).await.ok().unwrap().has_ended());
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_ends_when_its_time_has_passed_however_the_clock_is_set() {
        let local = LocalProfileCache::new(1 << 20);
        local.get(1).await.err().unwrap().keep(&entry());
        for hour in [1, 3, 2] {
            clock::fake::set(hour * 3_600_000);
            assert!(!local.get(1).await.ok().unwrap().has_ended());
        }
        tokio::time::advance(TIME_TO_LIVE).await;
        assert!(local.get(1).await.ok().unwrap().has_ended());
    }

    #[tokio::test]
    async fn without_memory_nothing_is_kept() {
        let local = LocalProfileCache::new(0);
        local.get(1).await.err().unwrap().keep(&entry());
        assert!(!is_kept(&local, 1).await);
    }

    #[tokio::test]
    async fn the_memory_stays_within_its_limit() {
        let local = LocalProfileCache::new(64 << 10);
        let event = Interaction { user_id: 1, movie_id: 1, time_ms: 1, kind: Kind::View, rating: None };
        let profile = Arc::new(Profile { newest: vec![event; 50], ..Profile::default() });
        for user_id in 0..1000 {
            local.get(user_id).await.err().unwrap().keep(&Entry { asked: 50, profile: Arc::clone(&profile) });
        }
        assert!(local.profiles.weight() <= 64 << 10);
        assert!(!local.profiles.is_empty());
    }
}
