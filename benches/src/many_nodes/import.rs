//! The import of a generated release into the CQL store, beside the bare driver writing the same rows.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use marquee_core::domain::{Interaction, MovieId, Rating};
use marquee_server::import::{ImportOptions, Silent, import};
use scylla::client::session::Session;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;

use super::remote::{Keyspace, prepare};
use super::{Extent, synthetic_users};
use crate::figures::Figures;

/// Ratings of every user: the average of ML-32M.
const EVENTS: usize = 160;
/// Movies of the release. Few, so that ratings are what is measured.
const MOVIES: MovieId = 500;
const NOW_MS: i64 = 1_760_000_000_000;
/// Rows of a batch and batches at once of the bare loop: what was fastest for it.
const BATCH_ROWS: usize = 50;
const BATCHES_AT_ONCE: usize = 64;

const CREATE_USER: &str = "INSERT INTO users (user_id, created_ms) VALUES (?, ?)";
const INSERT_EVENT: &str =
    "INSERT INTO users (user_id, time_ms, movie_id, kind, half_stars) VALUES (?, ?, ?, ?, ?)";
type EventValues = (i64, i64, i64, i8, i8);

/// Imports a release and writes the same rows by the bare driver, each into a keyspace of its own.
///
/// # Errors
/// When the cluster fails or rows are missing.
pub async fn measure(figures: &mut Figures, extent: Extent, cluster: &str) -> anyhow::Result<()> {
    let users = extent.import_rows / EVENTS as u64;
    let movies: Vec<MovieId> = (1..=MOVIES).collect();
    let events = synthetic_users::histories(1..=users, EVENTS, &movies);
    let folder = tempfile::tempdir()?;
    write_release(folder.path(), &movies, &events)?;
    eprintln!("CQL store, import: a round that does not count, so that the server has compiled its paths");
    store_import(cluster, folder.path(), events.len()).await?;
    for round in 0..extent.rounds {
        eprintln!("CQL store, import of {} rows: round {} of {}", events.len(), round + 1, extent.rounds);
        // Every second round begins with the other one.
        let (ours, bare) = if round % 2 == 0 {
            let bare = bare_import(cluster, &events).await?;
            (store_import(cluster, folder.path(), events.len()).await?, bare)
        } else {
            (store_import(cluster, folder.path(), events.len()).await?, bare_import(cluster, &events).await?)
        };
        figures.add("cql_import_rows_per_s", ours);
        figures.add("cql_bare_import_rows_per_s", bare);
        figures.add("cql_import_over_bare", ours / bare);
    }
    Ok(())
}

/// A MovieLens folder with these ratings.
fn write_release(folder: &Path, movies: &[MovieId], events: &[Interaction]) -> anyhow::Result<()> {
    let mut text = String::from("movieId,title,genres\n");
    for movie_id in movies {
        writeln!(text, "{movie_id},Movie {movie_id} (1999),Drama")?;
    }
    fs::write(folder.join("movies.csv"), text)?;
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for event in events {
        let stars = event.rating.map_or(0.0, Rating::stars);
        writeln!(text, "{},{},{stars:.1},{}", event.user_id, event.movie_id, event.time_ms / 1000)?;
    }
    fs::write(folder.join("ratings.csv"), text)?;
    Ok(())
}

/// Rows a second of the server's own import.
async fn store_import(cluster: &str, release: &Path, rows: usize) -> anyhow::Result<f64> {
    let keyspace = Keyspace::make(cluster).await?;
    let store = keyspace.store().await?;
    let began = Instant::now();
    let report = import(release, &store, ImportOptions::new(NOW_MS), &Silent).await?;
    let took = began.elapsed();
    anyhow::ensure!(report.ratings == rows as u64, "{} of {rows} ratings were imported", report.ratings);
    drop(store);
    keyspace.drop().await?;
    Ok(rows as f64 / took.as_secs_f64())
}

/// Rows a second of the bare driver: a statement for each user, and one for each batch of a user's rows.
async fn bare_import(cluster: &str, events: &[Interaction]) -> anyhow::Result<f64> {
    let keyspace = Keyspace::make(cluster).await?;
    let session = keyspace.session().await?;
    let (user, event) = (prepare(&session, CREATE_USER).await?, prepare(&session, INSERT_EVENT).await?);
    let began = Instant::now();
    let users = events.chunk_by(|a, b| a.user_id == b.user_id);
    let writes = users.flat_map(|of_user| {
        let batches = of_user.chunks(BATCH_ROWS).map(Write::Events);
        [Write::User(of_user[0].user_id as i64)].into_iter().chain(batches)
    });
    stream::iter(writes)
        .map(|write| write.run(&session, &user, &event))
        .buffer_unordered(BATCHES_AT_ONCE)
        .try_collect::<()>()
        .await?;
    let took = began.elapsed();
    keyspace.drop().await?;
    Ok(events.len() as f64 / took.as_secs_f64())
}

/// One statement of the bare loop.
enum Write<'a> {
    User(i64),
    Events(&'a [Interaction]),
}

impl Write<'_> {
    async fn run(
        self,
        session: &Session,
        user: &PreparedStatement,
        event: &PreparedStatement,
    ) -> anyhow::Result<()> {
        match self {
            Self::User(user_id) => {
                session.execute_unpaged(user, (user_id, NOW_MS)).await?;
            }
            Self::Events(events) => {
                let mut batch = Batch::new(BatchType::Unlogged);
                batch.set_is_idempotent(true);
                for _ in events {
                    batch.append_statement(event.clone());
                }
                let values: Vec<EventValues> = events.iter().map(values).collect();
                session.batch(&batch, &values).await?;
            }
        }
        Ok(())
    }
}

fn values(event: &Interaction) -> EventValues {
    let half_stars = event.rating.map_or(0, |rating| rating.half_stars() as i8);
    let kind = event.kind as u8 as i8;
    (event.user_id as i64, event.time_ms, i64::from(event.movie_id), kind, half_stars)
}
