//! Redis: whether it answers, and what time it has.

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::LuaInterface as _;
use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;

use super::Finding;
use super::checks::compare;
use crate::config::Config;
use crate::shared::redis::{Outage, Purpose, Redis};

/// How often it is asked, and the time between: it may answer a command late, but not all of them.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Answers seconds and microseconds.
const TIME: &str = "return redis.call('TIME')";

/// What Redis says, where the settings name one.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let Some(url) = config.cache.cache.url() else { return Vec::new() };
    let redis = match Redis::connect(url).await {
        Ok(redis) => redis,
        Err(error) => return vec![Finding::fail("redis", error.to_string())],
    };
    match ask(&redis).await {
        Ok(time_ms) => vec![Finding::ok("redis", "it answers"), compare("redis clock", time_ms, now_ms())],
        Err(outage) => vec![Finding::fail(
            "redis",
            format!(
                "{outage}; start it, or correct --cache: the server goes on without, and remembers no profiles"
            ),
        )],
    }
}

async fn ask(redis: &Redis) -> Result<TimeMs, Outage> {
    let mut tries = 0;
    loop {
        match time(redis).await {
            Ok(time_ms) => return Ok(time_ms),
            Err(outage) if tries == TRIES => return Err(outage),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn time(redis: &Redis) -> Result<TimeMs, Outage> {
    let ask =
        |client: Client| async move { client.eval(TIME, Vec::<String>::new(), Vec::<String>::new()).await };
    let (seconds, microseconds): (i64, i64) = redis.call(Purpose::Get, ask).await?;
    Ok(seconds * 1_000 + microseconds / 1_000)
}
