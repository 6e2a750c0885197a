//! kill -9 at random moments: under writes, and in the middle of a first start.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::writers::{
    Sent, Writers, Wrong, compared, counted, import_movies, lost_movies, send_again, stored,
};
use super::{Field, Row, SAMPLE};
use crate::many_nodes::aims::Bound;
use crate::served::{Server, Started};

/// The shortest time that a server writes before it is killed.
const WRITTEN_FOR_AT_LEAST: Duration = Duration::from_millis(20);
/// A killed server starts again within this.
const STARTS_WITHIN_S: f64 = 10.0;

/// Kills servers and looks for what they acknowledged.
///
/// # Errors
/// When a server that was not harmed does not start.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![under_writes(field).await?];
    if field.extent.first_starts > 0 {
        rows.push(first_starts(field).await?);
    }
    Ok(rows)
}

/// What was found after all kills.
#[derive(Default)]
struct Seen {
    wrong: Wrong,
    lost_movies: usize,
    sent: Sent,
    slowest_start: Duration,
}

impl Seen {
    /// Looks at what a killed server acknowledged, sends again what got no answer, and looks once more.
    async fn check(&mut self, server: &Server, mut sent: Sent, round: u64) -> anyhow::Result<()> {
        let users = sent.users();
        self.wrong += compared(&sent, &stored(server, &users).await?);
        let movies: HashSet<u32> = sent.movies.iter().copied().collect();
        let movies: Vec<u32> = movies.into_iter().collect();
        self.lost_movies += lost_movies(server, &movies, round).await?;
        send_again(server, &sent.unanswered).await?;
        sent.acknowledged.append(&mut sent.unanswered);
        self.wrong += compared(&sent, &stored(server, &users).await?);
        self.sent.append(sent);
        Ok(())
    }
}

async fn under_writes(field: &Field) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let launch = field.launch(&folder.path().join("store"), &[]);
    let mut random = StdRng::seed_from_u64(field.seed);
    let mut seen = Seen::default();
    let mut server = launch.start().await?;
    import_movies(&server).await?;
    let kills = field.extent.kills;
    for round in 0..kills as u64 {
        let writers = Writers::start(&server, round).await?;
        tokio::time::sleep(random.random_range(WRITTEN_FOR_AT_LEAST..field.extent.written_for)).await;
        let sent = writers.kill(server).await?;
        let began = Instant::now();
        server = match launch.attempt().await? {
            Started::Serving(server) => server,
            Started::Ended { code, said } => {
                let row = row(field, kills, &seen);
                return Ok(row.sees(
                    "it starts again",
                    format!("{code:?} after kill {round}: {said}"),
                    false,
                ));
            }
        };
        seen.slowest_start = seen.slowest_start.max(began.elapsed());
        seen.check(&server, sent, round).await?;
    }
    let all = stored(&server, &seen.sent.users()).await?;
    seen.wrong += compared(&seen.sent, &all);
    let (counted, sent) = (counted(&server).await?, seen.sent.acknowledged.len() as u64);
    Ok(row(field, kills, &seen).sees("it starts again by itself", "it did", true).sees(
        "it counts as many events as were sent",
        format!("{counted} of {sent}"),
        counted == sent,
    ))
}

fn row(field: &Field, kills: usize, seen: &Seen) -> Row {
    let Seen { wrong, lost_movies, sent, slowest_start } = seen;
    let failed = sent.failed.first().map_or_else(String::new, |first| format!(", the first: {first}"));
    let events = sent.acknowledged.len();
    field
        .row(format!("{kills} kill -9 while 9 callers write ({events} events, {} movies)", sent.movies.len()))
        .figure("events", events as f64)
        .figure("movies", sent.movies.len() as f64)
        .none("acknowledged event lost", "lost", wrong.lost)
        .none("event doubled", "doubled", wrong.doubled)
        .none("event that nobody sent", "foreign", wrong.foreign)
        .none("imported movie lost", "lost_movies", *lost_movies)
        .sees(
            "no call failed before a kill",
            format!("{}{failed}", sent.failed.len()),
            sent.failed.is_empty(),
        )
        .timed(
            "the slowest start",
            "slowest_start_s",
            Bound::AtMost(STARTS_WITHIN_S),
            "s",
            Some(slowest_start.as_secs_f64()),
        )
}

/// First starts that are killed while they import the sample, each started once more.
async fn first_starts(field: &Field) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let options = ["--sample-data", SAMPLE];
    let began = Instant::now();
    let whole = counted(&field.launch(&folder.path().join("whole"), &options).start().await?).await?;
    let took = began.elapsed();
    let mut random = StdRng::seed_from_u64(field.seed);
    let mut partial = Vec::new();
    for start in 0..field.extent.first_starts {
        let launch = field.launch(&folder.path().join(format!("store-{start}")), &options);
        let server = launch.spawn()?;
        tokio::time::sleep(took.mul_f64(random.random_range(0.0..1.0))).await;
        server.kill()?;
        let found = match launch.attempt().await? {
            Started::Serving(server) => counted(&server).await?.to_string(),
            Started::Ended { code, said } => format!("{code:?}: {said}"),
        };
        if found != whole.to_string() {
            partial.push(found);
        }
    }
    let starts = field.extent.first_starts;
    let seen = if partial.is_empty() { whole.to_string() } else { partial.join(", ") };
    let expected = format!("the second start serves all {whole} events of the sample");
    Ok(field.row(format!("{starts} first starts killed while they import the sample")).sees(
        expected,
        seen,
        partial.is_empty(),
    ))
}
