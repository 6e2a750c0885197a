//! A disk that is full for a while: writes are refused, nothing else is, and only for as long as it is full.
//!
//! The server's process is forbidden to write beyond a small offset of any file, which Linux refuses as it
//! refuses a write to a full disk. That needs no rights, and is taken back in a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use marquee_proto::v1;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::user_service_client::UserServiceClient;
use rustix::process::Resource;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::writers::{Event, Sent, compared, connected, counted, import_movies, stored};
use super::{Field, Row};
use crate::many_nodes::aims::Bound;
use crate::served::Server;

/// The offset beyond which nothing can be written while the disk is full; the log has so much room too.
const ROOM: u64 = 64 << 10;
const WRITERS: u64 = 4;
/// A refused writer tries again after this.
const RETRY: Duration = Duration::from_millis(500);
/// How long the disk is full, and how long it has room, in one round.
const FULL_FOR: Duration = Duration::from_secs(1);
const ROOM_FOR: Duration = Duration::from_millis(500);
/// What is waited for is there within this: the server tries again every 5 s at most.
const PATIENCE: Duration = Duration::from_secs(20);
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
    let callers = Callers::start(&server).await?;
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
        callers.accepting.store(true, Ordering::SeqCst);
        set_full(server, true)?;
        self.refused += usize::from(until(async || !callers.accepting.load(Ordering::SeqCst)).await);
        let turned = until(async || health(server).await == Some([false, false, true])).await;
        self.health_turned += usize::from(turned);
        tokio::time::sleep(FULL_FOR).await;
        set_full(server, false)?;
        let began = Instant::now();
        let recovered = until(async || callers.accepting.load(Ordering::SeqCst)).await
            && until(async || health(server).await == Some([true; 3])).await;
        self.recovered += usize::from(recovered);
        self.slowest = self.slowest.max(began.elapsed());
        Ok(())
    }
}

/// Waits until something holds; whether it did in time.
async fn until(holds: impl AsyncFn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if holds().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
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

/// What callers were answered.
#[derive(Default)]
struct Answers {
    sent: Sent,
    refused: usize,
    /// Refusals of another kind than a full disk's.
    other: Vec<String>,
    failed_reads: Vec<String>,
}

/// Callers who write, and one who reads, until they are told to end.
struct Callers {
    tasks: JoinSet<Answers>,
    stop: Arc<AtomicBool>,
    /// What became of the newest write.
    accepting: Arc<AtomicBool>,
}

impl Callers {
    async fn start(server: &Server) -> anyhow::Result<Self> {
        let (stop, accepting) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let mut tasks = JoinSet::new();
        for user_id in 1..=WRITERS {
            let channel = connected(server).await?;
            tasks.spawn(write(channel, user_id, Arc::clone(&stop), Arc::clone(&accepting)));
        }
        tasks.spawn(read(connected(server).await?, Arc::clone(&stop)));
        Ok(Self { tasks, stop, accepting })
    }

    async fn end(mut self) -> anyhow::Result<Answers> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Answers::default();
        while let Some(answers) = self.tasks.join_next().await {
            let mut answers = answers?;
            all.sent.append(answers.sent);
            all.refused += answers.refused;
            all.other.append(&mut answers.other);
            all.failed_reads.append(&mut answers.failed_reads);
        }
        Ok(all)
    }
}

/// Writes one event after the other, each until it is acknowledged.
async fn write(channel: Channel, user_id: u64, stop: Arc<AtomicBool>, accepting: Arc<AtomicBool>) -> Answers {
    let mut client = InteractionServiceClient::new(channel);
    let mut answers = Answers::default();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let event = Event { user_id, number };
        match client.record_interaction(event.request()).await {
            Ok(_) => {
                answers.sent.acknowledged.push(event);
                number += 1;
                accepting.store(true, Ordering::SeqCst);
            }
            Err(status) => {
                answers.refused += 1;
                let retry = status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some());
                if status.code() != Code::Unavailable || !retry {
                    answers.other.push(format!("{:?}: {}", status.code(), status.message()));
                }
                accepting.store(false, Ordering::SeqCst);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    answers
}

/// Reads the history of a user who has one, all the time.
async fn read(channel: Channel, stop: Arc<AtomicBool>) -> Answers {
    let mut client = UserServiceClient::new(channel);
    let mut answers = Answers::default();
    while !stop.load(Ordering::SeqCst) {
        let request =
            v1::ListHistoryRequest { user: Some(1.into()), page_size: Some(50), page_token: String::new() };
        match client.list_history(request).await {
            Ok(_) => {}
            // Before the first write.
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => answers.failed_reads.push(status.to_string()),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    answers
}
