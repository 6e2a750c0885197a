//! Remembered answers.
//!
//! A cache only saves time: every method's failure means "not there", and the caller goes on. So the
//! trait has no error; a backend counts its failures itself. Values are bytes whose first byte is a
//! version, so that a node never reads what another version of the program wrote.

mod local;
mod metrics;
mod redis;
mod tiered;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
pub use local::LocalCache;
pub(crate) use metrics::METRICS;
pub use metrics::{Lookups, Tier};
pub use redis::RedisCache;
pub use tiered::TieredCache;

/// What kind of thing is remembered. A closed set: it labels the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// User vectors, keyed by a hash of (how the model computes, item sequence): never wrong, so never
    /// invalidated.
    Vector,
    /// Users' profiles, which writes make void; their keys and values are
    /// [`profiles`](crate::profiles)'s business.
    Profile,
    /// Sessions of people, for a moment: what the store says of one is asked for once by all nodes together. Their keys
    /// and values are [`access`](crate::access)'s business.
    Session,
}

impl Space {
    /// Its label in metrics, and its part of a key.
    pub fn label(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Profile => "profile",
            Self::Session => "session",
        }
    }
}

/// The key of a remembered value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// What kind of thing it is.
    pub space: Space,
    /// The number that its model has here. Other nodes number theirs in their own order, so it is no part of the name
    /// that nodes share.
    pub model: u64,
    /// Which one: a user id, or a 128-bit hash.
    pub id: u128,
}

/// A cache. All methods may be called from many tasks at once.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// The value, if it is there and fresh.
    async fn get(&self, key: Key) -> Option<Bytes>;

    /// Remembers the value for at most `time_to_live`.
    async fn put(&self, key: Key, value: Bytes, time_to_live: Duration);

    /// Forgets the value, on every node before long.
    async fn remove(&self, key: Key);

    /// Forgets what this process holds of a model. What nodes share stays until the end of its time: others may serve
    /// the same model.
    fn forget_model(&self, model: u64);
}
