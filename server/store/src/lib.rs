//! Where users, interactions and movies are kept.
//!
//! One trait serves an embedded file (one machine) and ScyllaDB (many); one conformance suite,
//! `conformance`, which the feature `testing` makes public, runs against both. The trait promises:
//!
//! - **Durable**: a write that returned `Ok` survives the process.
//! - **Idempotent by key**: an event is (user, movie, time, kind); sent twice it counts once, and any
//!   call may be repeated after a failure.
//! - **Ordered**: newest first means (time, movie, kind) descending; oldest first the reverse.
//! - **Bounded**: every read has a limit that its caller names.
//! - **Given up with its future**: a caller that waits no longer, as the edge at a request's deadline,
//!   drops the call. A write is then stored or not; it may be repeated.
//!
//! Begin with [`Store`]; [`RedbStore`] and [`ScyllaStore`] are the two. Nothing here knows settings, metrics exporters or
//! gRPC, and of the project's crates only `marquee-core` is used.
//!
//! ```
//! use marquee_core::domain::{Interaction, Kind};
//! use marquee_store::{RedbStore, Store};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let store = RedbStore::open(folder.path())?;
//! let viewed = Interaction { user_id: 7, movie_id: 2571, time_ms: 1_000, kind: Kind::View, rating: None };
//! store.record(&[viewed], 1_000).await?;
//! let profile = store.profile(7, 200).await?.expect("the user has an event");
//! assert!(profile.seen.contains(2571));
//! # Ok(())
//! # }
//! ```

pub mod backup;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod documents;
mod export;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
pub(crate) mod races;
#[cfg(test)]
mod real_parts;
mod redb;
mod scylla;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquee_core::domain::{
    EventKey, Interaction, MovieId, MovieRecord, Preferences, Profile, TimeMs, User, UserId,
};
use marquee_core::meters::Metric;
use marquee_core::statistics::{MovieStats, Opinion};
use tokio::sync::mpsc;
use tracing::Instrument as _;

pub use self::documents::{Content, Document, DocumentId, DocumentKind, Documents};
pub use self::export::{DocumentRecord, Record, UserRecord};
pub use self::redb::{OnDamage, RedbStore, Rewritten, rewrite};
pub use self::scylla::{MigrateMode, ScyllaSettings, ScyllaStore};

/// Runs a change to its end, even when its caller goes away.
///
/// # Errors
/// Those of the change; [`StoreError::Unavailable`] when it broke off.
pub async fn to_its_end<T, E>(change: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let ended = tokio::spawn(change.in_current_span()).await;
    ended.map_err(|broken_off| StoreError::Unavailable(broken_off.to_string()))?
}

/// The metrics of both stores.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    redb::METRICS.iter().chain(scylla::METRICS)
}

/// What one recorded event changed. The catalogue keeps its statistics up to date with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The very same event was there already: nothing changed.
    pub duplicate: bool,
    /// What the user's events with this movie came to before; `None` if it is the first.
    pub before: Option<Opinion>,
    /// What they come to now.
    pub now: Option<Opinion>,
}

impl Recorded {
    /// The outcome for an event that is there already.
    pub fn duplicate(opinion: Option<Opinion>) -> Self {
        Self { duplicate: true, before: opinion, now: opinion }
    }

    /// The outcome for a new event.
    pub fn new(before: Option<Opinion>, event: &Interaction) -> Self {
        Self { duplicate: false, before, now: Some(Opinion::with(before, event)) }
    }
}

/// What a deleted event changed. The catalogue keeps its statistics up to date with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The event as it was stored.
    pub event: Interaction,
    /// What the user's events with its movie came to before.
    pub before: Opinion,
    /// What they come to now; `None` if it was the only one.
    pub now: Option<Opinion>,
}

impl Deleted {
    /// The outcome for an event beside which the user's others with its movie come to `now`.
    pub fn leaving(now: Option<Opinion>, event: Interaction) -> Self {
        Self { event, before: Opinion::with(now, &event), now }
    }
}

/// Numbers about one user; the genres are the catalogue's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserStats {
    /// Movies that the user has interacted with.
    pub interactions: u64,
    /// Movies that the user rated.
    pub ratings: u64,
    /// The sum of the latest ratings, in half stars.
    pub half_stars: u64,
    /// The time of the oldest event.
    pub first_ms: Option<TimeMs>,
    /// The time of the newest event.
    pub last_ms: Option<TimeMs>,
}

/// Numbers about the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Users.
    pub users: u64,
    /// Events.
    pub interactions: u64,
    /// Movies.
    pub movies: u64,
}

/// Numbers of what a node reads once and holds in memory; another number says that another node has
/// changed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// Of the movies.
    pub movies: i64,
    /// Of the statistics.
    pub statistics: i64,
    /// Of the rules.
    pub rules: i64,
    /// Of who may call.
    pub access: i64,
}

/// A rule of the business as it is kept: what it says is for whoever wrote it to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleRecord {
    /// Its name.
    pub rule_id: String,
    /// What it says.
    pub body: Vec<u8>,
}

/// Why the store did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or is closing; the same call may be repeated.
    #[error("the store is unavailable: {0}; try again")]
    Unavailable(String),
    /// The store did not answer before the deadline; the same call may be repeated.
    #[error("the store did not answer in time; try again")]
    Timeout,
    /// What is stored cannot be read.
    #[error("the store holds something that cannot be read: {0}; restore the data folder from a backup")]
    Corrupt(String),
    /// Something that was acknowledged cannot be read any more; the rest can.
    #[error(
        "the store is damaged: {0}; restore the data folder from a backup, or start with --recover to go on with what is \
         left"
    )]
    Damaged(String),
    /// The store was made by a version of the program that this one does not understand.
    #[error(
        "the store has schema version {found}, this program needs {expected}; run `marquee-server migrate`, or a newer program if the store's is higher"
    )]
    Schema {
        /// The version in the store.
        found: u32,
        /// The version that this program needs.
        expected: u32,
    },
    /// It cannot be opened with these settings.
    #[error("the store cannot be opened: {0}")]
    Open(String),
}

/// The store. All methods may be called from many tasks at once.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Records events durably and creates their users where needed; one outcome for each event, in
    /// order. `now_ms` is the creation time of new users.
    ///
    /// It is the bulk path too: an import sends batches of some ten thousand events sorted by user,
    /// several at once, and keeps its place with [`Store::put_note`].
    async fn record(&self, events: &[Interaction], now_ms: TimeMs) -> Result<Vec<Recorded>, StoreError>;

    /// The user's newest `newest` events (oldest first) and all seen movies; `None` for an unknown user.
    async fn profile(&self, user_id: UserId, newest: usize) -> Result<Option<Arc<Profile>>, StoreError>;

    /// A page of the user's events, newest first, that come after `after` in that order; `None` for
    /// an unknown user.
    async fn history(
        &self,
        user_id: UserId,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Option<Vec<Interaction>>, StoreError>;

    /// The user; `None` if unknown.
    async fn user(&self, user_id: UserId) -> Result<Option<User>, StoreError>;

    /// Numbers about the user; `None` if unknown.
    async fn user_stats(&self, user_id: UserId) -> Result<Option<UserStats>, StoreError>;

    /// Users after `after`, in an order of the store's own, at most `limit`. Who comes or goes meanwhile may be missing
    /// or not.
    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>, StoreError>;

    /// Creates the user if needed; whether it was created.
    async fn register(&self, user_id: UserId, now_ms: TimeMs) -> Result<(User, bool), StoreError>;

    /// Replaces the user's preferences and creates the user if needed.
    async fn set_preferences(
        &self,
        user_id: UserId,
        preferences: Preferences,
        now_ms: TimeMs,
    ) -> Result<User, StoreError>;

    /// Removes one event of a user, who stays, and takes it out of the statistics; what that changed, or
    /// `None` if there is no such event. A movie stays seen while another event of it is there. The event may be
    /// recorded again.
    async fn delete_event(&self, user_id: UserId, key: EventKey) -> Result<Option<Deleted>, StoreError>;

    /// Removes the user and all its events and takes its ratings out of the statistics. The removed
    /// events, oldest first, for whoever keeps sums of them; empty for an unknown user.
    async fn delete_user(&self, user_id: UserId) -> Result<Vec<Interaction>, StoreError>;

    /// Adds or replaces movies; for each, in order, whether it was new. Each id stands there once.
    async fn put_movies(&self, movies: &[MovieRecord]) -> Result<Vec<bool>, StoreError>;

    /// Removes movies; those that are not there are passed over. What users did with them stays.
    async fn remove_movies(&self, movie_ids: &[MovieId]) -> Result<(), StoreError>;

    /// Movies by ascending id, after `after`.
    async fn movies(&self, after: Option<MovieId>, limit: usize) -> Result<Vec<MovieRecord>, StoreError>;

    /// Adds or replaces a rule; whether it was new.
    async fn put_rule(&self, rule: &RuleRecord) -> Result<bool, StoreError>;

    /// Removes a rule; whether it was there.
    async fn remove_rule(&self, rule_id: &str) -> Result<bool, StoreError>;

    /// All rules by ascending id. They are few: who adds them keeps them so.
    async fn rules(&self) -> Result<Vec<RuleRecord>, StoreError>;

    /// The statistics of every movie that has any: of now in a store that keeps its sums up to date
    /// with every write, else of the newest [`Store::sum_up`].
    async fn movie_stats(&self) -> Result<Vec<MovieStats>, StoreError>;

    /// Numbers about the whole store, as old as those of [`Store::movie_stats`].
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// Sums up over all users if that was not done for so long, for all who share the store; whether
    /// this call did. One at a time does. Nothing to do where the sums are kept up to date.
    async fn sum_up(&self, older_than: Duration, now_ms: TimeMs) -> Result<bool, StoreError>;

    /// Changes when others who share the store have changed movies, rules or who may call, or summed up.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// A small value that other code keeps in the store, such as how far an import got.
    async fn get_note(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a small value.
    async fn put_note(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;

    /// The small documents that other code keeps.
    fn documents(&self) -> &dyn Documents;

    /// Sends everything that is stored to whoever receives it, and ends early, without an error, when nobody does any
    /// more. The embedded store sends what it holds at one moment, and a cluster each user as of the moment of
    /// reading; what was acknowledged before the call is in it.
    async fn export(&self, chunks: mpsc::Sender<Vec<Record>>) -> Result<(), StoreError>;

    /// What time the store has, where it is one of its own.
    async fn clock_ms(&self) -> Result<Option<TimeMs>, StoreError> {
        Ok(None)
    }

    /// The kind of the store, in a word: `redb` or `cql`.
    fn name(&self) -> &'static str;

    /// Whether the store answers now; used by health.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Movies that are read at once by [`all_movies`].
const MOVIES_A_READ: usize = 10_000;

/// All movies by ascending id, read in pages.
///
/// # Errors
/// [`StoreError`] when a page cannot be read.
pub async fn all_movies(store: &dyn Store) -> Result<Vec<MovieRecord>, StoreError> {
    let mut movies: Vec<MovieRecord> = Vec::new();
    loop {
        let after = movies.last().map(|movie| movie.movie_id);
        let mut page = store.movies(after, MOVIES_A_READ).await?;
        if page.is_empty() {
            return Ok(movies);
        }
        movies.append(&mut page);
    }
}
