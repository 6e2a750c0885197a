//! A disk that is full for a while: writes are refused, nothing else is, and only for as long as it is full.
//!
//! The server's process is forbidden to write beyond a small offset of any file, which Linux refuses as it
//! refuses a write to a full disk. That needs no rights, and is taken back in a moment.

use std::time::{Duration, Instant};

use rustix::process::Resource;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::callers::{Callers, WRITERS, until};
use super::writers::{compared, connected, counted, import_movies, stored};
use super::{Field, Row};
use crate::many_nodes::aims::Bound;
use crate::served::Server;

/// The offset beyond which nothing can be written while the disk is full; the log has so much room too.
const ROOM: u64 = 64 << 10;
/// How long the disk is full, and how long it has room, in one round.
const FULL_FOR: Duration = Duration::from_secs(1);
const ROOM_FOR: Duration = Duration::from_millis(500);
const RECOVERS_WITHIN_S: f64 = 8.0;
/// The services that need the store to take writes, and the name of all.
const WRITING: [&str; 2] = ["marquee.v1.UserService", "marquee.v1.InteractionService"];
const WHOLE: &str = "";

/// Fills the disk and gives it room again.
///
/// # Errors
/// When the server does not start, or this system has no such limit.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let launch = field.launch(&folder.path().join("store"), &[]);
    let server = launch.start().await?;
    import_movies(&server).await?;
    let callers = Callers::start(&server, 1).await?;
    let mut seen = Seen::default();
    for _ in 0..field.extent.full_disks {
        tokio::time::sleep(ROOM_FOR).await;
        seen.round(&server, &callers).await?;
    }
    let log = server.log();
    let said = ["write to disk failed: refusing writes", "accepting writes again"]
        .map(|line| log.matches(line).count());
    let answers = callers.end().await?;
    server.kill()?;
    let server = launch.start().await?;
    let all = stored(&server, &answers.sent.users()).await?;
    let wrong = compared(&answers.sent, &all);
    let (counted, sent) = (counted(&server).await?, answers.sent.acknowledged.len() as u64);
    let rounds = field.extent.full_disks;
    Ok(vec![
        field
            .row(format!("a full disk, {rounds} times, while {WRITERS} callers write ({sent} events)"))
            .figure("events", sent as f64)
            .figure("refused", answers.refused as f64)
            .sees("writes are refused each time", format!("{}", seen.refused), seen.refused == rounds)
            .sees(
                "each refusal is UNAVAILABLE and says when to try again",
                answers.other.first().cloned().unwrap_or_else(|| format!("{} did", answers.refused)),
                answers.other.is_empty(),
            )
            .none("read that failed", "failed_reads", answers.failed_reads.len())
            .sees(
                "health of the two writing services turns, of the whole server does not",
                format!("{} times", seen.health_turned),
                seen.health_turned == rounds,
            )
            .sees(
                "it takes writes again by itself",
                format!("{} times", seen.recovered),
                seen.recovered == rounds,
            )
            .timed(
                "the longest time until then",
                "slowest_recovery_s",
                Bound::AtMost(RECOVERS_WITHIN_S),
                "s",
                Some(seen.slowest.as_secs_f64()),
            )
            .none("acknowledged event lost", "lost", wrong.lost)
            .none("event doubled", "doubled", wrong.doubled)
            .none("event that nobody sent", "foreign", wrong.foreign)
            .sees("it counts as many events", counted.to_string(), counted == sent)
            .sees(
                "the log says once a time that it began and ended",
                format!("{} and {}", said[0], said[1]),
                said == [rounds; 2],
            ),
    ])
}

/// Lets the process write little, or all again.
fn set_full(server: &Server, full: bool) -> anyhow::Result<()> {
    let room = ROOM + server.log().len() as u64;
    server.process().limit(Resource::Fsize, full.then_some(room))
}

/// What was seen over all rounds.
#[derive(Default)]
struct Seen {
    refused: usize,
    health_turned: usize,
    recovered: usize,
    slowest: Duration,
}

impl Seen {
    async fn round(&mut self, server: &Server, callers: &Callers) -> anyhow::Result<()> {
        callers.expect_refusals();
        set_full(server, true)?;
        self.refused += usize::from(until(async || !callers.are_accepted()).await);
        let turned = until(async || health(server).await == Some([false, false, true])).await;
        self.health_turned += usize::from(turned);
        tokio::time::sleep(FULL_FOR).await;
        set_full(server, false)?;
        let began = Instant::now();
        let recovered = until(async || callers.are_accepted()).await
            && until(async || health(server).await == Some([true; 3])).await;
        self.recovered += usize::from(recovered);
        self.slowest = self.slowest.max(began.elapsed());
        Ok(())
    }
}

/// Whether the writing services and the whole server are healthy; `None` when nobody answers.
async fn health(server: &Server) -> Option<[bool; 3]> {
    let mut client = HealthClient::new(connected(server).await.ok()?);
    let mut healthy = [false; 3];
    for (healthy, service) in healthy.iter_mut().zip([WRITING[0], WRITING[1], WHOLE]) {
        let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await.ok()?;
        *healthy = answer.into_inner().status() == ServingStatus::Serving;
    }
    Some(healthy)
}
