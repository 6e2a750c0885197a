//! The buckets that all nodes share, in Redis.
//!
//! One script reads, refills and writes a bucket in one step, by the clock of Redis, so that neither
//! two nodes nor two clocks disagree.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::LuaInterface as _;

use super::Rate;
use crate::shared::redis::{Holds, Outage, Purpose, Redis};

const TAKE: &str = include_str!("take.lua");

/// Buckets in Redis.
pub(super) struct SharedBuckets {
    redis: Arc<Redis>,
    arguments: [String; 2],
}

impl SharedBuckets {
    pub(super) fn new(rate: Rate, redis: Arc<Redis>) -> Self {
        let arguments = [rate.capacity().to_string(), rate.fill_time().as_millis().to_string()];
        Self { redis, arguments }
    }

    /// Takes a token and says how many there are still, or how long until there is one.
    ///
    /// # Errors
    /// [`Outage`] when Redis does not answer.
    pub(super) async fn take(&self, name: &str) -> Result<Result<u32, Duration>, Outage> {
        let key = self.redis.key("limit", name, Holds::Bucket);
        let (name, arguments) = (key.name.as_str(), &self.arguments);
        let script = |client: Client| async move {
            client.eval::<(u64, u32), _, _, _>(TAKE, name, arguments.to_vec()).await
        };
        let (wait_ms, remaining) = self.redis.call_on(Purpose::Limit, &[&key], script).await?;
        Ok(if wait_ms == 0 { Ok(remaining) } else { Err(Duration::from_millis(wait_ms)) })
    }
}
