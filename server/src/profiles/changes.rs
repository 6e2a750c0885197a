//! Whose profiles changed, for one who follows: on this node, and on others as far as they are heard.
//!
//! It is the news alone, each user once however often the profile changes before it is read. Nobody waits for the
//! follower: with more users than it has room for, those who wait longest are dropped.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use marquee_core::domain::UserId;
use rustc_hash::FxHashSet;
use tokio::sync::Notify;

/// The users whose changes were not taken yet; none are kept before somebody follows.
#[derive(Debug, Default)]
pub struct Changes {
    waiting: OnceLock<Mutex<Waiting>>,
    come: Notify,
}

#[derive(Debug)]
struct Waiting {
    most: usize,
    in_order: VecDeque<UserId>,
    all: FxHashSet<UserId>,
}

impl Changes {
    /// From now on users are kept until they are taken, so many at most.
    pub fn follow(&self, most: usize) {
        let waiting = Waiting { most, in_order: VecDeque::new(), all: FxHashSet::default() };
        let _followed_already = self.waiting.set(Mutex::new(waiting));
    }

    /// These users' profiles changed, or shall be looked at again.
    pub fn add(&self, users: impl IntoIterator<Item = UserId>) {
        let Some(mut waiting) = self.waiting() else { return };
        for user_id in users {
            if waiting.all.insert(user_id) {
                waiting.in_order.push_back(user_id);
            }
        }
        while waiting.in_order.len() > waiting.most
            && let Some(oldest) = waiting.in_order.pop_front()
        {
            waiting.all.remove(&oldest);
        }
        drop(waiting);
        self.come.notify_one();
    }

    /// The next users, those who wait longest first, at most so many; waits until there is one. For one follower.
    ///
    /// # Cancel safety
    /// Dropping the future loses no user.
    pub async fn next(&self, most: usize) -> Vec<UserId> {
        loop {
            let taken = self.take(most);
            if !taken.is_empty() {
                return taken;
            }
            self.come.notified().await;
        }
    }

    fn take(&self, most: usize) -> Vec<UserId> {
        let Some(mut waiting) = self.waiting() else { return Vec::new() };
        let count = most.min(waiting.in_order.len());
        let taken: Vec<UserId> = waiting.in_order.drain(..count).collect();
        for user_id in &taken {
            waiting.all.remove(user_id);
        }
        taken
    }

    fn waiting(&self) -> Option<MutexGuard<'_, Waiting>> {
        Some(self.waiting.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_user_comes_once_in_the_order_of_the_first_change() {
        let changes = Changes::default();
        changes.follow(10);
        changes.add([3, 1]);
        changes.add([3, 2]);
        assert_eq!(changes.next(2).await, [3, 1]);
        changes.add([3]);
        assert_eq!(changes.next(9).await, [2, 3]);
    }

    #[tokio::test]
    async fn where_there_is_no_room_those_who_wait_longest_are_dropped() {
        let changes = Changes::default();
        changes.add([7]);
        changes.follow(2);
        changes.add([1, 2, 3]);
        changes.add([1]);
        assert_eq!(changes.next(9).await, [3, 1]);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_change() {
        let changes = Changes::default();
        changes.follow(2);
        let mut next = std::pin::pin!(changes.next(1));
        assert!(futures::poll!(&mut next).is_pending());
        changes.add([5]);
        assert_eq!(next.await, [5]);
    }
}
