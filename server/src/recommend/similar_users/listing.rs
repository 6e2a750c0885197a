//! The store's users, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use marquee_core::domain::UserId;
use marquee_store::Store;
use tokio::time::sleep;

/// Users that are read at once.
const PAGE: usize = 1000;

/// How long to wait where the store does not answer.
const RETRY: Duration = Duration::from_secs(5);

/// A place in the list of all users.
pub(super) struct Listing {
    store: Arc<dyn Store>,
    read: VecDeque<UserId>,
    last: Option<UserId>,
}

impl Listing {
    /// Before the first one.
    pub(super) fn of(store: Arc<dyn Store>) -> Self {
        Self { store, read: VecDeque::new(), last: None }
    }

    /// The next users, at most so many; none at the end. Waits for a store that does not answer.
    ///
    /// # Cancel safety
    /// Dropping the future loses no user.
    pub(super) async fn next(&mut self, most: usize) -> Vec<UserId> {
        if self.read.is_empty() {
            self.read = self.page().await.into();
            self.last = self.read.back().copied().or(self.last);
        }
        let count = most.min(self.read.len());
        self.read.drain(..count).collect()
    }

    async fn page(&self) -> Vec<UserId> {
        loop {
            match self.store.users(self.last, PAGE).await {
                Ok(page) => return page,
                Err(error) => {
                    tracing::debug!(%error, "users not read for the index of similar users; trying again");
                    sleep(RETRY).await;
                }
            }
        }
    }
}
