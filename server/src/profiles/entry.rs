//! What is remembered of a user, here and in Redis.

use std::sync::Arc;

use marquee_core::domain::Profile;

/// A remembered profile.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// How many of the newest events were asked for.
    pub(super) asked: usize,
    pub(super) profile: Arc<Profile>,
}
