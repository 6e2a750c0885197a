//! The schema and its versions.
//!
//! Migrations are run by `marquee-server migrate`, never by a starting server: one runner at a time
//! holds a lock in the keyspace, and each applied migration's checksum is kept, so that an edited one
//! is noticed. A migration is only ever added at the end.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::settings::ScyllaSettings;
use crate::StoreError;

/// Migration `i` makes version `i + 1`. Every statement may be repeated.
const MIGRATIONS: [&[&str]; 8] =
    [MIGRATION_1, MIGRATION_2, MIGRATION_3, MIGRATION_4, MIGRATION_5, MIGRATION_6, MIGRATION_7, MIGRATION_8];

const MIGRATION_1: &[&str] = &[
    // Everything of a user is one partition: 100,000 events are some 4 MB. Newest first, so that the
    // newest are at its beginning. Whole partitions are deleted and rows never expire, so size-tiered
    // compaction, the default of both servers, reads few tables; a deleted user's tombstone goes
    // after the default ten days.
    "CREATE TABLE IF NOT EXISTS users (
        user_id bigint,
        created_ms bigint static,
        preferred_genres frozen<list<text>> static,
        preferred_movies frozen<list<bigint>> static,
        time_ms bigint,
        movie_id bigint,
        kind tinyint,
        half_stars tinyint,
        PRIMARY KEY (user_id, time_ms, movie_id, kind)
    ) WITH CLUSTERING ORDER BY (time_ms DESC, movie_id DESC, kind DESC)",
    // One partition, some 26 MB for 87,585 movies: it is read once at start, in order, by pages.
    "CREATE TABLE IF NOT EXISTS movies (
        catalogue tinyint,
        movie_id bigint,
        title text,
        genres frozen<list<text>>,
        imdb bigint,
        tmdb bigint,
        tags frozen<list<frozen<tuple<text, bigint>>>>,
        PRIMARY KEY (catalogue, movie_id)
    )",
    "CREATE TABLE IF NOT EXISTS notes (key text PRIMARY KEY, value blob)",
];

const MIGRATION_2: &[&str] = &[
    // A snapshot is written once, read by every node, and dropped whole when the next one is
    // published; what a dead job left behind ends after a week. No partition is ever written again,
    // so no read meets a tombstone.
    "CREATE TABLE IF NOT EXISTS movie_sums (
        snapshot bigint,
        part int,
        sums frozen<list<frozen<tuple<bigint, bigint, bigint, bigint, double>>>>,
        PRIMARY KEY (snapshot, part)
    ) WITH default_time_to_live = 604800",
    // Two rows of one partition: which movies and which statistics are the newest.
    "CREATE TABLE IF NOT EXISTS revisions (
        catalogue tinyint,
        name text,
        revision bigint,
        summed_ms bigint,
        parts int,
        users bigint,
        interactions bigint,
        movies bigint,
        PRIMARY KEY (catalogue, name)
    )",
    "CREATE TABLE IF NOT EXISTS leases (name text PRIMARY KEY, owner bigint)",
];

const MIGRATION_3: &[&str] = &[
    // Statistics of opinions, whose trend is an exact sum of some bytes. The snapshot of before is found
    // to have no part here, so that all is summed up anew.
    "CREATE TABLE IF NOT EXISTS movie_statistics (
        snapshot bigint,
        part int,
        sums frozen<list<frozen<tuple<bigint, bigint, bigint, bigint, blob>>>>,
        PRIMARY KEY (snapshot, part)
    ) WITH default_time_to_live = 604800",
    "DROP TABLE IF EXISTS movie_sums",
];

const MIGRATION_4: &[&str] = &[
    // One partition of at most 1,000 rows, read as a whole when their revision changes. What a rule says is its
    // writer's: a new part of it is no migration.
    "CREATE TABLE IF NOT EXISTS rules (
        catalogue tinyint,
        rule_id text,
        body blob,
        PRIMARY KEY (catalogue, rule_id)
    )",
];

const MIGRATION_5: &[&str] = &[
    // A part is read or removed as a whole: all API keys, or what belongs to one account. Rows are written by updates
    // alone, without a marker, so that one whose value has expired is gone.
    "CREATE TABLE IF NOT EXISTS documents (
        kind text,
        part text,
        key text,
        value blob,
        expires_ms bigint,
        PRIMARY KEY ((kind, part), key)
    )",
];

const MIGRATION_6: &[&str] = &[
    // By which its owner knows a movie.
    "ALTER TABLE movies ADD movie_key text",
];

const MIGRATION_7: &[&str] = &[
    // The ratings of each movie of a part by value, in the same order. A part of before has none and is passed over, so
    // that all is summed up anew.
    "ALTER TABLE movie_statistics ADD ratings frozen<list<frozen<list<bigint>>>>",
];

const MIGRATION_8: &[&str] = &[
    // What its owner says of a movie beside: name, and a text, a number or several texts.
    "ALTER TABLE movies ADD attributes frozen<list<frozen<tuple<text, text, double, frozen<list<text>>>>>>",
];

/// What servers say of a column that a repeated statement adds.
const COLUMN_IS_THERE: [&str; 2] = ["already exists", "conflicts with an existing column"];

const LOCK_SECONDS: u32 = 300;
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const SCHEMA_TRIES: u32 = 100;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The version that this program needs.
pub(super) fn expected() -> u32 {
    MIGRATIONS.len() as u32
}

/// What a migration run is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrateMode {
    /// Say which statements are missing and change nothing.
    DryRun,
    /// Run them.
    Apply,
}

/// Brings the keyspace to this program's version; the statements that were, or would be, run.
pub(super) async fn migrate(
    session: &Session,
    settings: &ScyllaSettings,
    mode: MigrateMode,
) -> Result<Vec<String>, StoreError> {
    let mut statements = Vec::new();
    if !keyspace_exists(session, &settings.keyspace).await? {
        statements.push(format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'replication_factor': {}}}",
            settings.keyspace, settings.replication_factor
        ));
        if mode == MigrateMode::DryRun {
            statements
                .extend(MIGRATIONS.iter().flat_map(|migration| migration.iter().map(ToString::to_string)));
            return Ok(statements);
        }
        run(session, &statements[0]).await?;
    }
    patiently(async || session.use_keyspace(&settings.keyspace, false).await.map_err(failed)).await?;
    if mode == MigrateMode::DryRun {
        let found = patiently(async || version(session).await).await?;
        let missing = MIGRATIONS.iter().skip(found as usize);
        statements.extend(missing.flat_map(|migration| migration.iter().map(ToString::to_string)));
        return Ok(statements);
    }
    let bookkeeping = [
        "CREATE TABLE IF NOT EXISTS schema_migrations (version int PRIMARY KEY, checksum text)",
        "CREATE TABLE IF NOT EXISTS schema_lock (name text PRIMARY KEY, owner text)",
    ];
    for statement in bookkeeping {
        run(session, statement).await?;
    }
    let owner = format!("{}-{:x}", std::process::id(), rand::random::<u64>());
    lock(session, &owner).await?;
    let applied = apply(session).await;
    unlock(session, &owner).await?;
    statements.extend(applied?);
    Ok(statements)
}

/// Runs the missing migrations; their statements.
async fn apply(session: &Session) -> Result<Vec<String>, StoreError> {
    let found = patiently(async || version(session).await).await?;
    let mut statements = Vec::new();
    for (migration, number) in MIGRATIONS.iter().zip(1..).skip(found as usize) {
        for statement in *migration {
            run(session, statement).await?;
            statements.push((*statement).to_owned());
        }
        let insert = "INSERT INTO schema_migrations (version, checksum) VALUES (?, ?)";
        let row = (number, checksum(migration));
        patiently(async || session.query_unpaged(insert, &row).await.map(drop).map_err(failed)).await?;
    }
    Ok(statements)
}

/// The version of the keyspace, 0 for an empty one; its migrations are those of this program.
pub(super) async fn version(session: &Session) -> Result<u32, StoreError> {
    let keyspace = session.get_keyspace().map(|name| name.to_string()).unwrap_or_default();
    let select = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let table = session.query_unpaged(select, (&keyspace, "schema_migrations")).await.map_err(failed)?;
    if table.into_rows_result().map_err(failed)?.rows_num() == 0 {
        return Ok(0);
    }
    let select = "SELECT version, checksum FROM schema_migrations";
    let rows = session.query_unpaged(select, ()).await.map_err(failed)?;
    let rows = rows.into_rows_result().map_err(failed)?;
    let mut newest = 0;
    for row in rows.rows::<(i32, String)>().map_err(failed)? {
        let (number, found) = row.map_err(failed)?;
        newest = newest.max(number as u32);
        let migration = MIGRATIONS.get(number as usize - 1);
        if migration.is_some_and(|migration| checksum(migration) != found) {
            return Err(StoreError::Open(format!(
                "migration {number} of the keyspace is not the one of this program; use the program that made it"
            )));
        }
    }
    Ok(newest)
}

fn checksum(migration: &[&str]) -> String {
    hex::encode(Sha256::digest(migration.join(";")))
}

pub(super) async fn keyspace_exists(session: &Session, keyspace: &str) -> Result<bool, StoreError> {
    let select = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found = session.query_unpaged(select, (keyspace.to_lowercase(),)).await.map_err(failed)?;
    Ok(found.into_rows_result().map_err(failed)?.rows_num() > 0)
}

async fn run(session: &Session, statement: &str) -> Result<(), StoreError> {
    patiently(async || match session.query_unpaged(statement, ()).await {
        Err(error) if statement.starts_with("ALTER") && is_there_already(&error.to_string()) => Ok(()),
        ended => ended.map(drop).map_err(failed),
    })
    .await
}

fn is_there_already(error: &str) -> bool {
    COLUMN_IS_THERE.iter().any(|words| error.contains(words))
}

/// Tries again for some seconds: while another runner changes the schema, or nodes have just met, a server
/// may say that a keyspace exists and, a moment later, that it does not, or that it disagrees with another.
async fn patiently<T>(step: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..SCHEMA_TRIES {
        match step().await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            ended => return ended,
        }
    }
    step().await
}

/// Takes the lock; another holder is waited for, and forgotten after [`LOCK_SECONDS`]. While there is no
/// quorum, as in a cluster whose nodes have just met, it is tried again too.
pub(super) async fn lock(session: &Session, owner: &str) -> Result<(), StoreError> {
    let insert = format!(
        "INSERT INTO schema_lock (name, owner) VALUES ('migrate', ?) IF NOT EXISTS USING TTL {LOCK_SECONDS}"
    );
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        let trouble = match session.query_unpaged(insert.as_str(), (owner,)).await {
            Ok(answer) => {
                if is_held(answer, owner)? {
                    return Ok(());
                }
                StoreError::Open("another migration holds the lock; wait for it, or five minutes".to_owned())
            }
            Err(error) => failed(error),
        };
        if Instant::now() > end {
            return Err(trouble);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the lock is the owner's after this answer to its conditional insert. One that went unanswered
/// before may have taken it already; then the answer shows the row that is there.
fn is_held(answer: QueryResult, owner: &str) -> Result<bool, StoreError> {
    let rows = answer.into_rows_result().map_err(failed)?;
    let row = rows.first_row::<Row>().map_err(failed)?;
    let says_so = |column: &Option<CqlValue>| match column {
        Some(CqlValue::Boolean(applied)) => *applied,
        Some(CqlValue::Text(holder)) => holder == owner,
        _ => false,
    };
    Ok(row.columns.iter().any(says_so))
}

pub(super) async fn unlock(session: &Session, owner: &str) -> Result<(), StoreError> {
    let delete = "DELETE FROM schema_lock WHERE name = 'migrate' IF owner = ?";
    patiently(async || session.query_unpaged(delete, (owner,)).await.map(drop).map_err(failed)).await
}

/// An error of the driver as the store's.
fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
