//! Every statement, prepared once a session, with its execution profile.
//!
//! All but those of leases and documents are idempotent: writes name their whole key and all values, and the client
//! gives the time. So the driver may repeat them on another node. Of a slow read it sends a second one
//! as well; of a slow write it does not, because a cluster that is slow under writes would get twice
//! as many.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use super::retry::RepeatTimeouts;
use super::settings::ScyllaSettings;

/// Whole-table scans and leases: they may be slow, and nobody waits for them at the edge.
const SCAN_TIMEOUT: Duration = Duration::from_secs(30);
/// A statement that takes this long is sent to another replica too.
const SPECULATE_AFTER: Duration = Duration::from_millis(100);
/// Rows of a page: most users are one page.
const PAGE_ROWS: i32 = 5_000;

/// Whose data a statement is about, which decides its consistency and its patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// Read at the quorum of writes, so that a write is in the next read.
    Users,
    /// Written by whom somebody waits for.
    Writes,
    /// Read from the nearest replica.
    Catalogue,
    /// Users' data, read as a whole.
    Scan,
    /// Done by one writer or by none, for whom somebody waits: never repeated, because a repetition would find itself.
    Conditional,
    /// Taken by one node or by none: never repeated either.
    Lease,
}

/// One line a statement: its name, its label in metrics, its audience, its text.
macro_rules! statements {
    ($($name:ident = $label:literal, $audience:ident, $text:literal;)*) => {
        /// What is asked of the cluster. A closed set: it labels the metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Statement {
            $($name,)*
        }

        /// The labels of all statements in metrics.
        pub(super) const LABELS: &[&str] = &[$($label),*];

        /// In the order of [`Statement`].
        const ENTRIES: &[Entry] = &[$(Entry { label: $label, audience: Audience::$audience, text: $text },)*];
    };
}

statements! {
    User = "user", Users,
        "SELECT created_ms, preferred_genres, preferred_movies, \
         WRITETIME(preferred_genres), WRITETIME(half_stars) \
         FROM users WHERE user_id = ? LIMIT 1";
    Partition = "partition", Users,
        "SELECT created_ms, preferred_genres, preferred_movies, time_ms, movie_id, kind, half_stars \
         FROM users WHERE user_id = ?";
    Written = "written", Users,
        "SELECT WRITETIME(created_ms), WRITETIME(preferred_genres), WRITETIME(half_stars), \
         time_ms, movie_id, kind, half_stars FROM users WHERE user_id = ?";
    Events = "events", Users,
        "SELECT time_ms, movie_id, kind, half_stars FROM users WHERE user_id = ? LIMIT ?";
    EventsAfter = "events_after", Users,
        "SELECT time_ms, movie_id, kind, half_stars FROM users \
         WHERE user_id = ? AND (time_ms, movie_id, kind) < (?, ?, ?) LIMIT ?";
    EventsOfMovie = "events_of_movie", Users,
        "SELECT time_ms, movie_id, kind, half_stars FROM users \
         WHERE user_id = ? AND movie_id = ? ALLOW FILTERING";
    WrittenOfMovie = "written_of_movie", Users,
        "SELECT WRITETIME(half_stars), time_ms, movie_id, kind, half_stars FROM users \
         WHERE user_id = ? AND movie_id = ? ALLOW FILTERING";
    CreateUser = "create_user", Writes,
        "INSERT INTO users (user_id, created_ms) VALUES (?, ?) USING TIMESTAMP ?";
    SetPreferences = "set_preferences", Writes,
        "INSERT INTO users (user_id, preferred_genres, preferred_movies) VALUES (?, ?, ?) USING TIMESTAMP ?";
    InsertEvent = "insert_event", Writes,
        "INSERT INTO users (user_id, time_ms, movie_id, kind, half_stars) VALUES (?, ?, ?, ?, ?) \
         USING TIMESTAMP ?";
    DeleteEvent = "delete_event", Writes,
        "DELETE FROM users USING TIMESTAMP ? \
         WHERE user_id = ? AND time_ms = ? AND movie_id = ? AND kind = ?";
    DeleteUser = "delete_user", Writes,
        "DELETE FROM users USING TIMESTAMP ? WHERE user_id = ?";
    Scan = "scan", Scan,
        "SELECT user_id, time_ms, movie_id, kind, half_stars FROM users \
         WHERE token(user_id) > ? AND token(user_id) <= ?";
    FirstUsers = "first_users", Scan,
        "SELECT DISTINCT user_id FROM users LIMIT ?";
    UsersAfter = "users_after", Scan,
        "SELECT DISTINCT user_id FROM users WHERE token(user_id) > token(?) LIMIT ?";
    Movie = "movie", Users,
        "SELECT movie_id FROM movies WHERE catalogue = 0 AND movie_id = ?";
    PutMovie = "put_movie", Writes,
        "INSERT INTO movies (catalogue, movie_id, title, genres, imdb, tmdb, tags, movie_key, attributes) \
         VALUES (0, ?, ?, ?, ?, ?, ?, ?, ?)";
    RemoveMovie = "remove_movie", Writes,
        "DELETE FROM movies WHERE catalogue = 0 AND movie_id = ?";
    Movies = "movies", Users,
        "SELECT movie_id, title, genres, imdb, tmdb, tags, movie_key, attributes FROM movies \
         WHERE catalogue = 0 AND movie_id > ? LIMIT ?";
    CountMovies = "count_movies", Catalogue,
        "SELECT COUNT(*) FROM movies WHERE catalogue = 0";
    Rule = "rule", Users,
        "SELECT rule_id FROM rules WHERE catalogue = 0 AND rule_id = ?";
    PutRule = "put_rule", Writes,
        "INSERT INTO rules (catalogue, rule_id, body) VALUES (0, ?, ?)";
    RemoveRule = "remove_rule", Writes,
        "DELETE FROM rules WHERE catalogue = 0 AND rule_id = ?";
    Rules = "rules", Users,
        "SELECT rule_id, body FROM rules WHERE catalogue = 0";
    Document = "document", Users,
        "SELECT value, expires_ms FROM documents WHERE kind = ? AND part = ? AND key = ?";
    Documents = "documents", Users,
        "SELECT key, value, expires_ms FROM documents WHERE kind = ? AND part = ? AND key > ? LIMIT ?";
    FirstParts = "first_parts", Scan,
        "SELECT DISTINCT kind, part FROM documents LIMIT ?";
    PartsAfter = "parts_after", Scan,
        "SELECT DISTINCT kind, part FROM documents WHERE token(kind, part) > token(?, ?) LIMIT ?";
    WriteDocument = "write_document", Conditional,
        "UPDATE documents USING TTL ? SET value = ?, expires_ms = ? \
         WHERE kind = ? AND part = ? AND key = ? IF value = ?";
    RemoveDocument = "remove_document", Conditional,
        "DELETE FROM documents WHERE kind = ? AND part = ? AND key = ? IF EXISTS";
    Note = "note", Users,
        "SELECT value FROM notes WHERE key = ?";
    Notes = "notes", Scan,
        "SELECT key, value FROM notes";
    PutNote = "put_note", Writes,
        "INSERT INTO notes (key, value) VALUES (?, ?)";
    Revisions = "revisions", Users,
        "SELECT name, revision, summed_ms, parts, users, interactions, movies FROM revisions \
         WHERE catalogue = 0";
    PutRevision = "put_revision", Writes,
        "INSERT INTO revisions (catalogue, name, revision) VALUES (0, ?, ?)";
    PublishSums = "publish_sums", Writes,
        "INSERT INTO revisions \
         (catalogue, name, revision, summed_ms, parts, users, interactions, movies) \
         VALUES (0, 'statistics', ?, ?, ?, ?, ?, ?)";
    Sums = "sums", Users,
        "SELECT sums, ratings FROM movie_statistics WHERE snapshot = ?";
    PutSums = "put_sums", Writes,
        "INSERT INTO movie_statistics (snapshot, part, sums, ratings) VALUES (?, ?, ?, ?)";
    DropSums = "drop_sums", Writes,
        "DELETE FROM movie_statistics WHERE snapshot = ?";
    TakeLease = "take_lease", Lease,
        "INSERT INTO leases (name, owner) VALUES (?, ?) IF NOT EXISTS USING TTL 600";
    ReturnLease = "return_lease", Lease,
        "DELETE FROM leases WHERE name = ? IF owner = ?";
    Clock = "clock", Catalogue,
        "SELECT toUnixTimestamp(now()) FROM system.local";
    Ping = "ping", Catalogue,
        "SELECT key FROM system.local WHERE key = 'local'";
}

struct Entry {
    label: &'static str,
    audience: Audience,
    text: &'static str,
}

impl Statement {
    /// Its name in metrics.
    pub(super) fn label(self) -> &'static str {
        self.entry().label
    }

    /// How long one page or write of it may take, waiting for a permit not included.
    pub(super) fn timeout(self, settings: &ScyllaSettings) -> Duration {
        match self.entry().audience {
            Audience::Users | Audience::Writes | Audience::Catalogue | Audience::Conditional => {
                settings.timeout
            }
            Audience::Scan | Audience::Lease => SCAN_TIMEOUT,
        }
    }

    fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }
}

/// What a session prepared.
pub(super) struct Statements(Vec<PreparedStatement>);

impl Statements {
    pub(super) async fn prepare(session: &Session, settings: &ScyllaSettings) -> Result<Self, PrepareError> {
        let profile = |consistency, timeout| {
            ExecutionProfile::builder()
                .consistency(consistency)
                .request_timeout(Some(timeout))
                .retry_policy(Arc::new(RepeatTimeouts))
        };
        let speculation = Arc::new(SimpleSpeculativeExecutionPolicy {
            max_retry_count: 1,
            retry_interval: SPECULATE_AFTER,
        });
        let users = profile(settings.consistency, settings.timeout)
            .speculative_execution_policy(Some(speculation.clone()))
            .build()
            .into_handle();
        let catalogue = profile(Consistency::LocalOne, settings.timeout)
            .speculative_execution_policy(Some(speculation))
            .build()
            .into_handle();
        let writes = profile(settings.consistency, settings.timeout).build().into_handle();
        let scans = profile(settings.consistency, SCAN_TIMEOUT).build().into_handle();
        let prepared = ENTRIES.iter().map(|Entry { audience, text, .. }| {
            let profile = match audience {
                Audience::Users => &users,
                Audience::Writes | Audience::Conditional => &writes,
                Audience::Catalogue => &catalogue,
                Audience::Scan | Audience::Lease => &scans,
            };
            let is_idempotent = !matches!(audience, Audience::Lease | Audience::Conditional);
            prepare(session, profile, text, is_idempotent)
        });
        Ok(Self(try_join_all(prepared).await?))
    }

    pub(super) fn get(&self, statement: Statement) -> &PreparedStatement {
        &self.0[statement as usize]
    }
}

async fn prepare(
    session: &Session,
    profile: &ExecutionProfileHandle,
    text: &str,
    is_idempotent: bool,
) -> Result<PreparedStatement, PrepareError> {
    let mut statement = session.prepare(text).await?;
    statement.set_is_idempotent(is_idempotent);
    statement.set_execution_profile_handle(Some(profile.clone()));
    statement.set_page_size(PAGE_ROWS);
    Ok(statement)
}
