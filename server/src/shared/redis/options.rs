//! How the driver is set: its defaults wait without end and buffer without bound.

use std::time::Duration;

use fred::clients::{Pool, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike as _;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig, TlsConfig, UnresponsiveConfig};
use fred::types::{Builder, RespVersion};
use marquee_core::text::printable;
use marquee_core::tls::Trust;
use tokio::time::timeout;
use url::Url;

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
const MAX_RECONNECT_DELAY_MS: u32 = 1000;
const RECONNECT_BASE: u32 = 2;

const DEFAULT_NAMESPACE: &str = "marquee";

/// The options of a URL: ours, and the driver's, which passes over all others.
const OPTIONS: [&str; 6] =
    ["namespace", "ca", "node", "sentinelServiceName", "sentinelUsername", "sentinelPassword"];

/// What the URL says, in RESP3, and the first part of all keys.
pub(super) fn read(url: &str) -> Result<(Config, String), RedisError> {
    let mut url = Url::parse(url).map_err(|error| RedisError::Url(error.to_string()))?;
    if url.fragment().is_some() {
        return Err(RedisError::Url("# ends the URL; percent-encode it as %23".to_owned()));
    }
    if let Some((unknown, _)) = url.query_pairs().find(|(name, _)| !OPTIONS.contains(&name.as_ref())) {
        let known = OPTIONS.join(", ");
        return Err(RedisError::Url(format!(
            "there is no option {}; there are {known}",
            printable(&unknown)
        )));
    }
    // The driver reads `rediss` as TLS with the system's authorities alone, and fails where there are none.
    let plain = url.scheme().strip_prefix("rediss").map(|rest| format!("redis{rest}"));
    let is_encrypted = plain.is_some_and(|scheme| url.set_scheme(&scheme).is_ok());
    let config = Config::from_url(url.as_str()).map_err(|error| unusable(&error))?;
    let tls = match (is_encrypted, option(&url, "ca")) {
        (false, None) => None,
        (false, Some(_)) => return Err(RedisError::Url("ca stands in a rediss URL only".to_owned())),
        (true, None) => Some(Trust::System),
        (true, Some(ca)) => Some(Trust::Authority(ca.into())),
    };
    let tls = tls.map(|trust| trust.client_config()).transpose()?.map(TlsConfig::from);
    let namespace = option(&url, "namespace").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    Ok((Config { version: RespVersion::RESP3, fail_fast: false, tls, ..config }, namespace))
}

/// The value of an option in the URL's query; `None` when it is absent or empty.
fn option(url: &Url, name: &str) -> Option<String> {
    let mut options = url.query_pairs().filter(|(known, value)| known == name && !value.is_empty());
    options.next().map(|(_, value)| value.into_owned())
}

/// Connects once, so that wrong settings are said at start. Whether Redis can be reached.
pub(super) async fn try_once(config: &Config) -> Result<bool, RedisError> {
    let Err(failure) = attempt(config.clone()).await else { return Ok(true) };
    if let Some(wrong) = wrong_setting(&failure) {
        return Err(wrong);
    }
    if config.uses_tls() && answers_in_plain_text(config).await {
        return Err(RedisError::NoTls);
    }
    tracing::warn!(%failure, "Redis cannot be reached; the server starts without it and keeps trying");
    Ok(false)
}

async fn attempt(config: Config) -> Result<(), Error> {
    let client = builder(Config { fail_fast: true, ..config }).build()?;
    let slow = |_| Error::new(ErrorKind::Timeout, "no answer");
    let task = timeout(2 * CONNECT_TIMEOUT, client.init()).await.map_err(slow)??;
    let _closed = client.quit().await;
    task.abort();
    Ok(())
}

/// What has to be changed before there can be a connection, if that is why there is none.
///
/// The driver tells some of it by text alone: a refusal by the master that a Sentinel named, and rustls's
/// errors.
fn wrong_setting(error: &Error) -> Option<RedisError> {
    let details = error.details();
    if matches!(error.kind(), ErrorKind::Config | ErrorKind::Url) {
        return Some(unusable(error));
    }
    if is_refusal(error) {
        return Some(RedisError::Credentials(details.to_owned()));
    }
    // The signature is bad when the authority that is trusted only bears the name of the one that signed.
    let unknown = ["InvalidCertificate(UnknownIssuer", "InvalidCertificate(BadSignature"];
    if unknown.iter().any(|reason| details.contains(reason)) {
        return Some(RedisError::UnknownAuthority);
    }
    details.contains("InvalidCertificate(").then(|| RedisError::Certificate(details.to_owned()))
}

fn is_refusal(error: &Error) -> bool {
    let says = |refusal| error.details().starts_with(refusal);
    *error.kind() == ErrorKind::Auth || says("WRONGPASS") || says("NOAUTH")
}

/// Whether Redis answers without TLS: it keeps silent when TLS is spoken to it. No password is shown to it,
/// so a Sentinel, whose password is part of its address, is not asked.
async fn answers_in_plain_text(config: &Config) -> bool {
    if config.server.is_sentinel() {
        return false;
    }
    let plain = Config { tls: None, username: None, password: None, ..config.clone() };
    match attempt(plain).await {
        Ok(()) => true,
        Err(error) => is_refusal(&error),
    }
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
        MAX_RECONNECT_DELAY_MS,
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

    fn config(url: &str) -> Result<Config, RedisError> {
        read(url).map(|(config, _)| config)
    }

    #[test]
    fn the_namespace_stands_in_the_url() {
        let namespace = |url| read(url).unwrap().1;
        assert_eq!(namespace("redis://h:1/2"), "marquee");
        assert_eq!(namespace("redis://h?namespace=blue"), "blue");
        assert_eq!(namespace("redis-cluster://h?node=h2:1&namespace=blue"), "blue");
        assert_eq!(namespace("redis://h?namespace="), "marquee");
        assert_eq!(namespace("redis://h?namespace=a%26b"), "a&b");
        assert_eq!(namespace("redis://h?namespace=a%231"), "a#1");
        let error = config("redis://h?namespace=a#1").unwrap_err().to_string();
        assert!(error.contains("%23"), "{error}");
    }

    #[test]
    fn an_option_that_there_is_not_is_refused() {
        let error = config("redis://h?namespac=blue").unwrap_err().to_string();
        assert!(error.contains("namespac;") && error.contains("namespace"), "{error}");
        config("redis-sentinel://h?sentinelServiceName=m&sentinelUsername=u&sentinelPassword=p").unwrap();
    }

    #[test]
    fn odd_characters_of_a_password_are_kept_or_percent_decoded() {
        let password = |url| config(url).unwrap().password;
        assert_eq!(password("redis://u:p@ss;,%2F:d@h:1/2").as_deref(), Some("p@ss;,/:d"));
        assert_eq!(password("rediss://u:se%25cret@h:1").as_deref(), Some("se%cret"));
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
        for url in ["rediss://h:1", "rediss-cluster://h:1", "rediss-sentinel://h:1?sentinelServiceName=main"]
        {
            assert!(config(url).unwrap().uses_tls(), "{url}");
        }
        assert!(!config("redis://h:1").unwrap().uses_tls());
    }

    #[test]
    fn an_authority_that_cannot_be_used_is_said() {
        let error = config("rediss://h:1?ca=/missing.pem").unwrap_err().to_string();
        assert!(error.contains("/missing.pem cannot be used"), "{error}");
        let error = config("redis://h:1?ca=/missing.pem").unwrap_err().to_string();
        assert!(error.contains("ca stands in a rediss URL only"), "{error}");
    }
}
