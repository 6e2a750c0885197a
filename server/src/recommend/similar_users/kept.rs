//! Which users are kept: so many at most, those with the oldest activity go first.

use std::collections::BTreeMap;

use marquee_core::domain::UserId;
use rustc_hash::FxHashMap;

/// Users in the order of their newest activity.
#[derive(Debug)]
pub(super) struct Kept {
    most: usize,
    activities: u64,
    by_activity: BTreeMap<u64, UserId>,
    activity_of: FxHashMap<UserId, u64>,
}

impl Kept {
    /// Nobody yet, and so many at most.
    pub(super) fn new(most: usize) -> Self {
        Self { most, activities: 0, by_activity: BTreeMap::new(), activity_of: FxHashMap::default() }
    }

    /// Whether somebody has to go for whoever comes.
    pub(super) fn is_full(&self) -> bool {
        self.activity_of.len() >= self.most
    }

    /// Whether the user is kept.
    pub(super) fn holds(&self, user_id: UserId) -> bool {
        self.activity_of.contains_key(&user_id)
    }

    /// The user was active now; who has to go for that.
    pub(super) fn active(&mut self, user_id: UserId) -> Option<UserId> {
        self.remove(user_id);
        self.activities += 1;
        self.by_activity.insert(self.activities, user_id);
        self.activity_of.insert(user_id, self.activities);
        if self.activity_of.len() <= self.most {
            return None;
        }
        let (_, oldest) = self.by_activity.pop_first()?;
        self.activity_of.remove(&oldest);
        Some(oldest)
    }

    /// The user goes.
    pub(super) fn remove(&mut self, user_id: UserId) {
        if let Some(activity) = self.activity_of.remove(&user_id) {
            self.by_activity.remove(&activity);
        }
    }

    /// Everybody, who was active last at the end; nobody is left.
    pub(super) fn drain(&mut self) -> Vec<UserId> {
        self.activity_of.clear();
        std::mem::take(&mut self.by_activity).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_active_longest_ago_goes_first() {
        let mut kept = Kept::new(2);
        assert_eq!([kept.active(1), kept.active(2), kept.active(1)], [None; 3]);
        assert_eq!(kept.active(3), Some(2));
        kept.remove(1);
        assert_eq!(kept.active(4), None);
        assert_eq!(kept.drain(), [3, 4]);
        assert!(kept.drain().is_empty());
    }
}
