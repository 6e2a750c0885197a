//! The one way to Redis: cache and rate limits share its connections and its fate.
//!
//! Redis only saves time and shares counts; nothing may wait for it. So every command has a short
//! timeout, the buffers are bounded, and after a few failures in a row a `Breaker` refuses commands
//! at once and lets one through now and then to see whether Redis is back. A caller gets an [`Outage`]
//! and goes on without.

mod breaker;
mod heartbeat;
mod keys;
mod metrics;
mod options;

use std::sync::Arc;

use fred::clients::{Client, Pool, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike as _;
use fred::types::config::Config;
use marquee_core::tls::TlsError;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use breaker::{Breaker, Change};
pub(crate) use heartbeat::keep_alive;
pub use keys::{Holds, Key};
pub(crate) use metrics::METRICS;
use metrics::Metrics;

/// Why Redis cannot be used at all: settings that must be changed.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The URL cannot be read.
    #[error("the Redis URL cannot be read: {0}; write redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]")]
    Url(String),
    /// Redis does not accept the credentials.
    #[error("Redis refuses the credentials: {0}; correct user and password in the URL of --cache")]
    Credentials(String),
    /// The file with the authorities cannot be used.
    #[error("{0}; correct ca=FILE in the URL of --cache")]
    Authority(#[from] TlsError),
    /// Nobody who is trusted vouches for the server.
    #[error(
        "the certificate of Redis is signed by nobody who is trusted; name the PEM file of its authority by ca=FILE in the URL of --cache"
    )]
    UnknownAuthority,
    /// The certificate is not good for another reason.
    #[error(
        "the certificate of Redis is not accepted: {0}; it must be valid and name the host in the URL of --cache"
    )]
    Certificate(String),
    /// The server answers, but not in TLS.
    #[error(
        "Redis speaks no TLS on this port; write redis instead of rediss in --cache, or the port for TLS"
    )]
    NoTls,
}

/// Why a command was not answered. The caller goes on without Redis.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Outage {
    /// Redis failed several times in a row: the circuit breaker is open.
    #[error("the circuit breaker of Redis is open")]
    Open,
    /// There is no connection.
    #[error("there is no connection to Redis")]
    Disconnected,
    /// No answer in time.
    #[error("Redis did not answer in time")]
    Timeout,
    /// Too many commands wait.
    #[error("too many commands wait for Redis")]
    Full,
    /// The key holds a value of another type. Redis is well.
    #[error("a key in Redis holds a value of another type")]
    WrongType,
    /// Redis answered with an error, or the connection broke.
    #[error("Redis failed: {0}")]
    Failed(Error),
}

/// What a command is for. A closed set: it labels the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Read a remembered value.
    Get,
    /// Remember a value.
    Put,
    /// Forget a value.
    Remove,
    /// Take a token of a rate limit.
    Limit,
    /// Tell the other nodes of a change.
    Announce,
    /// Write or read the event stream.
    Follow,
}

/// A few connections to Redis, pipelined, behind one breaker.
pub struct Redis {
    config: Config,
    pool: Pool,
    namespace: String,
    breaker: Breaker,
    metrics: Metrics,
    _heartbeats: JoinSet<()>,
}

impl Redis {
    /// Connects as the URL says; `?namespace=NAME` sets the first part of all keys (`marquee`), `?ca=FILE`
    /// the authorities that sign a `rediss` server's certificate instead of the system's.
    ///
    /// A Redis that cannot be reached is no error: the connection is tried again for as long as this
    /// value lives.
    ///
    /// # Errors
    /// [`RedisError`] when the URL, the credentials or the certificate are wrong.
    pub async fn connect(url: &str) -> Result<Arc<Self>, RedisError> {
        let (config, namespace) = options::read(url)?;
        let reachable = options::try_once(&config).await?;
        let pool = options::pool(config.clone())?;
        pool.connect();
        if reachable {
            let _connected = timeout(options::CONNECT_TIMEOUT, pool.wait_for_connect()).await;
        }
        let heartbeats = pool.clients().iter().cloned().map(keep_alive).collect();
        Ok(Arc::new(Self {
            config,
            pool,
            namespace,
            breaker: Breaker::default(),
            metrics: Metrics::default(),
            _heartbeats: heartbeats,
        }))
    }

    /// A key named by namespace, kind and id.
    pub fn key(&self, kind: &str, id: impl std::fmt::Display, holds: Holds) -> Key {
        Key { name: self.name(kind, id), holds }
    }

    /// A name of namespace, kind and id.
    pub fn name(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("{}:{kind}:{id}", self.namespace)
    }

    /// A connection of its own that hears channels and comes back by itself, if `keep_alive` is run for it;
    /// not yet connected.
    ///
    /// # Errors
    /// [`RedisError`] when the settings cannot be used.
    pub fn subscriber(&self) -> Result<SubscriberClient, RedisError> {
        options::subscriber(self.config.clone())
    }

    /// Sends a command and waits for its answer, 25 ms at most.
    ///
    /// # Errors
    /// [`Outage`]; the caller goes on without the answer.
    pub async fn call<T, F>(&self, purpose: Purpose, send: impl FnOnce(Client) -> F) -> Result<T, Outage>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let began = Instant::now();
        let answer = if self.breaker.admits(began) { self.attempt(send).await } else { Err(Outage::Open) };
        self.metrics.call(purpose, answer.as_ref().err(), began.elapsed());
        answer
    }

    /// Sends a command on keys of ours as [`Self::call`] does. If one of them holds what is not ours, it is
    /// freed and the command sent again.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) async fn call_on<T, F>(
        &self,
        purpose: Purpose,
        keys: &[&Key],
        send: impl Fn(Client) -> F,
    ) -> Result<T, Outage>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match self.call(purpose, &send).await {
            Err(Outage::WrongType) => {
                for key in keys {
                    self.free(key).await?;
                }
                self.call(purpose, &send).await
            }
            answer => answer,
        }
    }

    async fn attempt<T, F>(&self, send: impl FnOnce(Client) -> F) -> Result<T, Outage>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.pool.next_connected().clone();
        let answer = if client.is_connected() {
            match timeout(options::COMMAND_TIMEOUT, send(client)).await {
                Ok(answer) => answer.map_err(Outage::from),
                Err(_) => Err(Outage::Timeout),
            }
        } else {
            Err(Outage::Disconnected)
        };
        let change = match &answer {
            Ok(_) | Err(Outage::WrongType) => self.breaker.succeeded(),
            Err(_) => self.breaker.failed(Instant::now()),
        };
        match (change, &answer) {
            (Some(Change::Opened), Err(outage)) => {
                tracing::warn!(%outage, "circuit breaker open: working without Redis");
                self.metrics.opened();
            }
            (Some(Change::Closed), _) => tracing::info!("circuit breaker closed: Redis answers again"),
            _ => {}
        }
        answer
    }
}

impl From<Error> for Outage {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Backpressure => Self::Full,
            // A script's error has it in the middle.
            _ if error.details().contains("WRONGTYPE") => Self::WrongType,
            _ => Self::Failed(error),
        }
    }
}
