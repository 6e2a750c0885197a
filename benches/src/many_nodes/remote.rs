//! The CQL store beside the bare driver: reads of profiles.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};
use marquee_core::domain::{Interaction, MovieId};
use marquee_store::{MigrateMode, ScyllaSettings, ScyllaStore, Store as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;

use super::{Extent, micros, quantile, synthetic_users};
use crate::figures::Figures;

/// Users whose profiles are read, with this many events each.
const USERS: u64 = 500;
/// The events of a profile.
const PROFILE: usize = 200;
/// How many times fewer reads than on redb: each crosses a socket.
const FEWER_READS: usize = 10;
/// Movies.
const MOVIES: MovieId = 20_000;
const NOW_MS: i64 = 1_760_000_000_000;
/// Batches of events that are written at once.
const BATCHES_AT_ONCE: usize = 2;

/// What the store runs for a profile.
const PARTITION: &str = "SELECT created_ms, preferred_genres, preferred_movies, time_ms, movie_id, kind, half_stars \
     FROM users WHERE user_id = ?";
type PartitionRow =
    (Option<i64>, Option<Vec<String>>, Option<Vec<i64>>, Option<i64>, Option<i64>, Option<i8>, Option<i8>);

/// A keyspace of this measurement alone.
pub struct Keyspace {
    /// As the server takes it.
    pub url: String,
    name: String,
    nodes: Vec<String>,
}

impl Keyspace {
    /// Makes it in the cluster, `scylla://HOST:PORT`.
    ///
    /// # Errors
    /// When the cluster cannot be reached.
    pub async fn make(cluster: &str) -> anyhow::Result<Self> {
        let name = format!("marquee_bench_{:08x}", rand::random::<u32>());
        let url = format!("{cluster}/{name}");
        ScyllaStore::migrate(&ScyllaSettings::parse(&url)?, MigrateMode::Apply).await?;
        let nodes = cluster.strip_prefix("scylla://").context("the cluster's URL begins with scylla://")?;
        Ok(Self { url, name, nodes: nodes.split(',').map(str::to_owned).collect() })
    }

    /// The store in it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn store(&self) -> anyhow::Result<ScyllaStore> {
        Ok(ScyllaStore::open(ScyllaSettings::parse(&self.url)?).await?)
    }

    /// A driver's session in it, with nothing around.
    ///
    /// # Errors
    /// When the cluster cannot be reached.
    pub async fn session(&self) -> anyhow::Result<Session> {
        Ok(SessionBuilder::new().known_nodes(&self.nodes).use_keyspace(&self.name, false).build().await?)
    }

    /// Drops it and all that is in it.
    ///
    /// # Errors
    /// When the cluster cannot be reached.
    pub async fn drop(self) -> anyhow::Result<()> {
        let statement = format!("DROP KEYSPACE {}", self.name);
        self.session().await?.query_unpaged(statement, ()).await?;
        Ok(())
    }
}

/// What the server says of its version; ScyllaDB names the version of Cassandra that it is compatible with.
///
/// # Errors
/// When it does not say.
pub async fn version(keyspace: &Keyspace) -> anyhow::Result<String> {
    let session = keyspace.session().await?;
    let rows = session.query_unpaged("SELECT * FROM system.local", ()).await?.into_rows_result()?;
    let at = rows.column_specs().iter().position(|column| column.name() == "release_version");
    let row = rows.first_row::<scylla::value::Row>()?;
    let version = at.and_then(|at| row.columns.into_iter().nth(at).flatten());
    let version = version.as_ref().and_then(CqlValue::as_text).map_or("of unknown version", String::as_str);
    Ok(format!("a CQL server that says {version}"))
}

/// A statement as the store marks its own.
///
/// # Errors
/// When the server does not take it.
pub async fn prepare(session: &Session, text: &str) -> anyhow::Result<PreparedStatement> {
    let mut statement = session.prepare(text).await?;
    statement.set_is_idempotent(true);
    statement.set_consistency(Consistency::LocalQuorum);
    Ok(statement)
}

/// Writes events into the store, some batches at once.
///
/// # Errors
/// When the store fails.
pub async fn fill(store: &ScyllaStore, events: &[Interaction], per_user: usize) -> anyhow::Result<()> {
    let batches = events.chunks(64 * per_user).map(|batch| store.record(batch, NOW_MS));
    let written: Vec<_> = stream::iter(batches).buffer_unordered(BATCHES_AT_ONCE).try_collect().await?;
    drop(written);
    Ok(())
}

/// Reads profiles by the store and by the bare driver, in turn, one at a time.
///
/// # Errors
/// When the cluster fails, or the two do not read the same.
pub async fn profiles(figures: &mut Figures, extent: Extent, keyspace: &Keyspace) -> anyhow::Result<()> {
    let (store, session) = (keyspace.store().await?, keyspace.session().await?);
    let statement = prepare(&session, PARTITION).await?;
    let movies: Vec<MovieId> = (1..=MOVIES).collect();
    eprintln!("filling the CQL store");
    fill(&store, &synthetic_users::histories(1..=USERS, PROFILE, &movies), PROFILE).await?;
    for user_id in 1..=USERS {
        // So that nobody reads cold.
        bare_read(&session, &statement, user_id).await?;
    }
    for round in 1..=extent.rounds {
        eprintln!("CQL store, reads: round {round} of {}", extent.rounds);
        let mut random = StdRng::seed_from_u64(round as u64);
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for read in 0..extent.reads / FEWER_READS {
            let user_id = random.random_range(1..=USERS);
            if read % 2 == 0 {
                bare.push(bare_read(&session, &statement, user_id).await?);
                ours.push(store_read(&store, user_id).await?);
            } else {
                ours.push(store_read(&store, user_id).await?);
                bare.push(bare_read(&session, &statement, user_id).await?);
            }
        }
        bare.sort_unstable();
        ours.sort_unstable();
        let (bare, ours) = (micros(quantile(&bare, 0.5)), micros(quantile(&ours, 0.5)));
        figures.add("cql_bare_read_p50_us", bare);
        figures.add("cql_profile_p50_us", ours);
        figures.add("cql_profile_over_bare", ours / bare);
    }
    Ok(())
}

async fn bare_read(
    session: &Session,
    statement: &PreparedStatement,
    user_id: u64,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let rows = session.execute_unpaged(statement, (user_id as i64,)).await?.into_rows_result()?;
    let rows: Vec<PartitionRow> = rows.rows()?.collect::<Result<_, _>>()?;
    let took = began.elapsed();
    anyhow::ensure!(rows.len() == PROFILE, "the bare driver read {} rows", rows.len());
    Ok(took)
}

async fn store_read(store: &ScyllaStore, user_id: u64) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let profile = store.profile(user_id, PROFILE).await?;
    let took = began.elapsed();
    let events = profile.map_or(0, |profile| profile.newest.len());
    anyhow::ensure!(events == PROFILE, "the store read {events} events");
    Ok(took)
}
