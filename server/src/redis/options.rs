//! How the driver is set: its defaults wait without end and buffer without bound.

use std::time::Duration;

use fred::clients::{Pool, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike as _;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig, UnresponsiveConfig};
use fred::types::{Builder, RespVersion};
use tokio::time::timeout;

use super::RedisError;

/// The longest wait for the answer to a command. Far above a network's round trip, far below what a
/// recommendation may take.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_millis(25);

/// The longest wait for a connection, and for the commands that set it up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Commands are pipelined, so a few connections are enough.
const CONNECTIONS: usize = 3;

/// Commands that may wait for one connection; one more fails.
const COMMANDS_WAITING: usize = 1024;

/// Messages of a channel that may wait to be heard; who is slower is told that it missed some.
const MESSAGES_WAITING: usize = 4096;

/// A connection on which an answer is overdue for so long is closed and opened again.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(1);
const UNRESPONSIVE_CHECK: Duration = Duration::from_millis(250);

/// Reconnection: without end, 50 ms at first and 1 s at most apart.
const RECONNECT_FIRST_MS: u32 = 50;
const RECONNECT_MOST_MS: u32 = 1000;
const RECONNECT_BASE: u32 = 2;

const DEFAULT_NAMESPACE: &str = "marquee";

/// What the URL says, in RESP3.
pub(super) fn config(url: &str) -> Result<Config, RedisError> {
    let config = Config::from_url(url).map_err(|error| unusable(&error))?;
    Ok(Config { version: RespVersion::RESP3, fail_fast: false, ..config })
}

/// The first part of all keys.
pub(super) fn namespace(url: &str) -> &str {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let named = query.split('&').find_map(|pair| pair.strip_prefix("namespace="));
    named.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
}

/// Connects once, so that wrong settings are said at start. Whether Redis can be reached.
pub(super) async fn try_once(config: &Config) -> Result<bool, RedisError> {
    let config = Config { fail_fast: true, ..config.clone() };
    let client = builder(config).build().map_err(|error| unusable(&error))?;
    let failure = match timeout(2 * CONNECT_TIMEOUT, client.init()).await {
        Ok(Ok(task)) => {
            let _closed = client.quit().await;
            task.abort();
            return Ok(true);
        }
        Ok(Err(error)) if *error.kind() == ErrorKind::Auth => {
            return Err(RedisError::Credentials(error.details().to_owned()));
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    tracing::warn!(%failure, "Redis cannot be reached; the server starts without it and keeps trying");
    Ok(false)
}

/// Connections that come back by themselves; not yet connected.
pub(super) fn pool(config: Config) -> Result<Pool, RedisError> {
    returning(config).build_pool(CONNECTIONS).map_err(|error| unusable(&error))
}

/// A connection that hears channels and comes back by itself; not yet connected.
pub(super) fn subscriber(config: Config) -> Result<SubscriberClient, RedisError> {
    let mut builder = returning(config);
    builder.with_performance_config(|performance| {
        performance.broadcast_channel_capacity = MESSAGES_WAITING;
        performance.default_command_timeout = CONNECT_TIMEOUT;
    });
    builder.build_subscriber_client().map_err(|error| unusable(&error))
}

fn returning(config: Config) -> Builder {
    let mut builder = builder(config);
    builder.set_policy(ReconnectPolicy::new_exponential(
        0,
        RECONNECT_FIRST_MS,
        RECONNECT_MOST_MS,
        RECONNECT_BASE,
    ));
    builder
}

fn builder(config: Config) -> Builder {
    let mut builder = Builder::from_config(config);
    builder.with_connection_config(|connection| {
        connection.connection_timeout = CONNECT_TIMEOUT;
        connection.internal_command_timeout = CONNECT_TIMEOUT;
        connection.max_command_attempts = 1;
        connection.max_command_buffer_len = COMMANDS_WAITING;
        connection.reconnect_on_auth_error = true;
        connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        connection.unresponsive =
            UnresponsiveConfig { max_timeout: Some(UNRESPONSIVE_AFTER), interval: UNRESPONSIVE_CHECK };
    });
    builder.with_performance_config(|performance| performance.default_command_timeout = COMMAND_TIMEOUT);
    builder
}

fn unusable(error: &Error) -> RedisError {
    RedisError::Url(error.details().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_stands_in_the_url() {
        assert_eq!(namespace("redis://h:1/2"), "marquee");
        assert_eq!(namespace("redis://h?namespace=blue"), "blue");
        assert_eq!(namespace("redis-cluster://h?node=h2:1&namespace=blue"), "blue");
        assert_eq!(namespace("redis://h?namespace="), "marquee");
    }

    #[test]
    fn a_url_that_cannot_be_read_says_how_to_write_one() {
        let error = config("redis://:::").unwrap_err().to_string();
        assert!(error.contains("redis://[USER:PASSWORD@]HOST"), "{error}");
    }

    #[test]
    fn cluster_sentinel_and_tls_are_read_from_the_url() {
        assert!(config("redis-cluster://h:1?node=h2:1").unwrap().server.is_clustered());
        assert!(config("redis-sentinel://h:1?sentinelServiceName=main").unwrap().server.is_sentinel());
        assert!(config("rediss://h:1").unwrap().uses_tls());
    }
}
