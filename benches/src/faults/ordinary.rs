//! An ordinary caller beside whatever else is going on, who asks for recommendations and is to be answered.

use std::time::{Duration, Instant};

use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::writers::connected;
use crate::many_nodes::{millis, quantile};
use crate::served::Server;

/// Time between two calls.
const INTERVAL: Duration = Duration::from_millis(20);
/// A call without an answer after this failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// A user of the sample.
const USER: u64 = 1;

/// The caller, until it is told to end.
pub(super) struct Ordinary {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Answered>,
}

/// How the caller was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    /// Latencies of answers, ascending after the end.
    latencies: Vec<Duration>,
    /// What it was told instead of an answer.
    pub(super) failures: Vec<String>,
}

impl Answered {
    /// The latency of the slowest hundredth in milliseconds; `None` when nothing was answered.
    pub(super) fn p99_ms(&self) -> Option<f64> {
        (!self.latencies.is_empty()).then(|| millis(quantile(&self.latencies, 0.99)))
    }

    /// How many answers there were.
    pub(super) fn answers(&self) -> usize {
        self.latencies.len()
    }
}

impl Ordinary {
    /// Begins to call, on a connection of its own.
    ///
    /// # Errors
    /// When nobody listens.
    pub(super) async fn start(server: &Server) -> anyhow::Result<Self> {
        let mut client = RecommendationServiceClient::new(connected(server).await?);
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut answered = Answered::default();
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = ticks.tick() => {}
                }
                let request =
                    v1::RecommendRequest { subject: Some(Subject::UserId(USER)), ..Default::default() };
                let began = Instant::now();
                match tokio::time::timeout(PATIENCE, client.recommend(request)).await {
                    Ok(Ok(_)) => answered.latencies.push(began.elapsed()),
                    Ok(Err(status)) => {
                        answered.failures.push(format!("{:?}: {}", status.code(), status.message()));
                    }
                    Err(_) => answered.failures.push(format!("no answer within {PATIENCE:?}")),
                }
            }
            answered.latencies.sort_unstable();
            answered
        });
        Ok(Self { stop, task })
    }

    /// Ends the calls.
    ///
    /// # Errors
    /// When its task panicked.
    pub(super) async fn end(self) -> anyhow::Result<Answered> {
        // It may have ended by itself only by a panic, which the task's result tells.
        let _ = self.stop.send(());
        Ok(self.task.await?)
    }
}
