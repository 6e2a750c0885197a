//! Callers who insist: each writes one event after the other, and each event until it is acknowledged; and one reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use marquee_proto::v1;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::user_service_client::UserServiceClient;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use super::writers::{Event, Sent, connected};
use crate::served::Server;

/// How many write, each for a user of its own.
pub(super) const WRITERS: u64 = 4;
/// A refused writer tries again after this.
const RETRY: Duration = Duration::from_millis(500);
/// What is waited for is there within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something holds; whether it did in time.
pub(super) async fn until(holds: impl AsyncFn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if holds().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// What callers were answered.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) sent: Sent,
    /// Writes that were refused.
    pub(super) refused: usize,
    /// Refusals that are not UNAVAILABLE, or do not say when to try again.
    pub(super) other: Vec<String>,
    pub(super) failed_reads: Vec<String>,
}

/// Callers who write, and one who reads, until they are told to end.
pub(super) struct Callers {
    tasks: JoinSet<Answers>,
    stop: Arc<AtomicBool>,
    /// What became of the newest write.
    accepting: Arc<AtomicBool>,
}

impl Callers {
    /// Begins to call, each on a connection of its own, for the users from this one on, for whom nobody else writes.
    ///
    /// # Errors
    /// When nobody listens.
    pub(super) async fn start(server: &Server, first_user: u64) -> anyhow::Result<Self> {
        let (stop, accepting) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let mut tasks = JoinSet::new();
        for user_id in first_user..first_user + WRITERS {
            let channel = connected(server).await?;
            tasks.spawn(write(channel, user_id, Arc::clone(&stop), Arc::clone(&accepting)));
        }
        tasks.spawn(read(connected(server).await?, first_user, Arc::clone(&stop)));
        Ok(Self { tasks, stop, accepting })
    }

    /// Whether the newest write was acknowledged.
    pub(super) fn are_accepted(&self) -> bool {
        self.accepting.load(Ordering::SeqCst)
    }

    /// Until a write is refused they count as accepted.
    pub(super) fn expect_refusals(&self) {
        self.accepting.store(true, Ordering::SeqCst);
    }

    /// Until a write is acknowledged they count as refused.
    pub(super) fn expect_acceptance(&self) {
        self.accepting.store(false, Ordering::SeqCst);
    }

    /// Ends the calls.
    ///
    /// # Errors
    /// When a task panicked.
    pub(super) async fn end(mut self) -> anyhow::Result<Answers> {
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
async fn read(channel: Channel, user_id: u64, stop: Arc<AtomicBool>) -> Answers {
    let mut client = UserServiceClient::new(channel);
    let mut answers = Answers::default();
    while !stop.load(Ordering::SeqCst) {
        let request = v1::ListHistoryRequest {
            user: Some(user_id.into()),
            page_size: Some(50),
            page_token: String::new(),
        };
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
