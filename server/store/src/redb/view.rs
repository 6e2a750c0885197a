//! What readers see: the users that changed since the last checkpoint, and the checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use marquee_core::domain::{EventKey, Interaction, Profile, UserId};

use super::event::{NEWEST, pack_key};
use super::head::HeadView;
use super::recent::Recent;
use super::snapshot::Snapshot;
use crate::{StoreError, StoreStats};

pub(super) struct View {
    /// Nothing once the store is closed.
    stored: ArcSwapOption<Snapshot>,
    pub(super) recent: Recent,
    users: AtomicU64,
    events: AtomicU64,
}

impl View {
    pub(super) fn new(stored: Snapshot) -> Self {
        Self {
            stored: ArcSwapOption::from_pointee(stored),
            recent: Recent::new(),
            users: AtomicU64::new(0),
            events: AtomicU64::new(0),
        }
    }

    /// Shows a checkpoint of everything.
    pub(super) fn show_checkpoint(&self, stored: Arc<Snapshot>) {
        self.stored.store(Some(stored));
        self.recent.clear();
    }

    /// Shows a checkpoint of what was frozen when it began.
    pub(super) fn show_frozen(&self, stored: Arc<Snapshot>) {
        self.stored.store(Some(stored));
        self.recent.forget_frozen();
    }

    /// Shows the tables as another handle has them, after a failed write. They are those of before, or those
    /// of the checkpoint that failed, if the disk has it after all.
    pub(super) fn show_reopened(&self, stored: Arc<Snapshot>) -> Result<(), StoreError> {
        if stored.epoch()? == self.stored()?.epoch()? {
            self.stored.store(Some(stored));
        } else {
            self.show_frozen(stored);
        }
        Ok(())
    }

    pub(super) fn count(&self, (users, events): (u64, u64)) {
        self.users.store(users, Ordering::Relaxed);
        self.events.store(events, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.stored.store(None);
        self.recent.clear();
    }

    /// The tables as of the last checkpoint.
    pub(super) fn stored(&self) -> Result<Arc<Snapshot>, StoreError> {
        self.stored.load_full().ok_or_else(closed)
    }

    /// What `read` makes of the user's head; `None` for an unknown user.
    pub(super) fn head<T>(
        &self,
        user_id: UserId,
        read: impl FnOnce(&HeadView<'_>, &Snapshot) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        // In this order: see `recent`.
        let recent = self.recent.get(user_id);
        let stored = self.stored.load();
        let stored = stored.as_ref().ok_or_else(closed)?;
        if let Some(bytes) = recent {
            return read(&HeadView::new(&bytes)?, stored).map(Some);
        }
        let Some(bytes) = stored.head(user_id)? else {
            return Ok(None);
        };
        read(&HeadView::new(bytes.value())?, stored).map(Some)
    }

    pub(super) fn profile(&self, user_id: UserId, newest: usize) -> Result<Option<Profile>, StoreError> {
        self.head(user_id, |head, stored| {
            let mut events = stored.page(user_id, head, &NEWEST, newest)?;
            events.reverse();
            Ok(Profile { newest: events, seen: head.seen()?, preferences: head.preferences()? })
        })
    }

    pub(super) fn history(
        &self,
        user_id: UserId,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Option<Vec<Interaction>>, StoreError> {
        let before = after.map_or(NEWEST, |key| pack_key(&key));
        self.head(user_id, |head, stored| stored.page(user_id, head, &before, limit))
    }

    pub(super) fn stats(&self) -> Result<StoreStats, StoreError> {
        let stored = self.stored()?.stats()?;
        let (users, interactions) = (self.users.load(Ordering::Relaxed), self.events.load(Ordering::Relaxed));
        Ok(StoreStats { users, interactions, movies: stored.movies })
    }
}

/// The error of every call to a closed store.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}
