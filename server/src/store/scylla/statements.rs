//! Every statement, prepared once, with its execution profile.
//!
//! All are idempotent: writes name their whole key and all values. So the driver may retry them on
//! another node and send a second one when the first is slow.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use super::failed;
use crate::store::StoreError;

/// Users' data is written and read at the same quorum, so that a write is in the next read.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// The catalogue and whole-table scans.
const SCAN_TIMEOUT: Duration = Duration::from_secs(30);
/// A read that takes this long is sent to another replica too.
const SPECULATE_AFTER: Duration = Duration::from_millis(100);
/// Rows of a page: most users are one page.
const PAGE_ROWS: i32 = 5_000;

pub(super) struct Statements {
    pub(super) user: PreparedStatement,
    pub(super) partition: PreparedStatement,
    pub(super) events: PreparedStatement,
    pub(super) events_after: PreparedStatement,
    pub(super) events_of_movie: PreparedStatement,
    pub(super) create_user: PreparedStatement,
    pub(super) set_preferences: PreparedStatement,
    pub(super) insert_event: PreparedStatement,
    pub(super) delete_user: PreparedStatement,
    pub(super) scan: PreparedStatement,
    pub(super) movie: PreparedStatement,
    pub(super) put_movie: PreparedStatement,
    pub(super) movies: PreparedStatement,
    pub(super) count_movies: PreparedStatement,
    pub(super) note: PreparedStatement,
    pub(super) put_note: PreparedStatement,
    pub(super) ping: PreparedStatement,
}

impl Statements {
    pub(super) async fn prepare(session: &Session, consistency: Consistency) -> Result<Self, StoreError> {
        let speculative =
            || SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: SPECULATE_AFTER };
        let users = ExecutionProfile::builder()
            .consistency(consistency)
            .request_timeout(Some(USER_TIMEOUT))
            .speculative_execution_policy(Some(Arc::new(speculative())))
            .build()
            .into_handle();
        let catalogue = ExecutionProfile::builder()
            .consistency(Consistency::LocalOne)
            .request_timeout(Some(SCAN_TIMEOUT))
            .speculative_execution_policy(Some(Arc::new(speculative())))
            .build()
            .into_handle();
        let scans = ExecutionProfile::builder()
            .consistency(consistency)
            .request_timeout(Some(SCAN_TIMEOUT))
            .build()
            .into_handle();
        let of_users = |text| prepare(session, &users, text);
        let of_catalogue = |text| prepare(session, &catalogue, text);
        Ok(Self {
            user: of_users(
                "SELECT created_ms, preferred_genres, preferred_movies FROM users WHERE user_id = ? LIMIT 1",
            )
            .await?,
            partition: of_users(
                "SELECT created_ms, preferred_genres, preferred_movies, time_ms, movie_id, kind, half_stars \
                 FROM users WHERE user_id = ?",
            )
            .await?,
            events: of_users(
                "SELECT time_ms, movie_id, kind, half_stars FROM users WHERE user_id = ? LIMIT ?",
            )
            .await?,
            events_after: of_users(
                "SELECT time_ms, movie_id, kind, half_stars FROM users \
                 WHERE user_id = ? AND (time_ms, movie_id, kind) < (?, ?, ?) LIMIT ?",
            )
            .await?,
            events_of_movie: of_users(
                "SELECT time_ms, movie_id, kind, half_stars FROM users \
                 WHERE user_id = ? AND movie_id = ? ALLOW FILTERING",
            )
            .await?,
            create_user: of_users("INSERT INTO users (user_id, created_ms) VALUES (?, ?)").await?,
            set_preferences: of_users(
                "INSERT INTO users (user_id, created_ms, preferred_genres, preferred_movies) VALUES (?, ?, ?, ?)",
            )
            .await?,
            insert_event: of_users(
                "INSERT INTO users (user_id, time_ms, movie_id, kind, half_stars) VALUES (?, ?, ?, ?, ?)",
            )
            .await?,
            delete_user: of_users("DELETE FROM users WHERE user_id = ?").await?,
            scan: prepare(
                session,
                &scans,
                "SELECT user_id, time_ms, movie_id, kind, half_stars FROM users \
                 WHERE token(user_id) > ? AND token(user_id) <= ?",
            )
            .await?,
            movie: of_users("SELECT movie_id FROM movies WHERE catalogue = 0 AND movie_id = ?").await?,
            put_movie: of_users(
                "INSERT INTO movies (catalogue, movie_id, title, genres, imdb, tmdb, tags) \
                 VALUES (0, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            movies: of_catalogue(
                "SELECT movie_id, title, genres, imdb, tmdb, tags FROM movies \
                 WHERE catalogue = 0 AND movie_id > ? LIMIT ?",
            )
            .await?,
            count_movies: of_catalogue("SELECT COUNT(*) FROM movies WHERE catalogue = 0").await?,
            note: of_users("SELECT value FROM notes WHERE key = ?").await?,
            put_note: of_users("INSERT INTO notes (key, value) VALUES (?, ?)").await?,
            ping: of_catalogue("SELECT key FROM system.local WHERE key = 'local'").await?,
        })
    }
}

async fn prepare(
    session: &Session,
    profile: &ExecutionProfileHandle,
    text: &str,
) -> Result<PreparedStatement, StoreError> {
    let mut statement = session.prepare(text).await.map_err(failed)?;
    statement.set_is_idempotent(true);
    statement.set_execution_profile_handle(Some(profile.clone()));
    statement.set_page_size(PAGE_ROWS);
    Ok(statement)
}
