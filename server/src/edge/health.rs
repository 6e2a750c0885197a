//! What `grpc.health.v1` says of each service.
//!
//! All wait for the model and end with the server. While the store takes no writes, because a disk is full or no
//! node of a cluster answers, the services whose calls are writes are out of service as well; the others, and the
//! server as a whole, go on with what they read.

use std::sync::Arc;
use std::time::Duration;

use marquee_store::Store;
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How often the store is asked whether it takes writes.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The services by name, the server as a whole first, and whether they are there to write.
pub(super) const SERVICES: [(&str, Does); 14] = [
    ("", Does::Read),
    ("marquee.v1.RecommendationService", Does::Read),
    ("marquee.v1.CatalogService", Does::Read),
    ("marquee.v1.VectorService", Does::Read),
    ("marquee.v1.UserService", Does::Write),
    ("marquee.v1.InteractionService", Does::Write),
    ("marquee.v1.RuleService", Does::Write),
    ("marquee.v1.ModelService", Does::Read),
    ("marquee.v1.OperationsService", Does::Read),
    ("marquee.v1.AccessService", Does::Write),
    ("marquee.v1.AccountService", Does::Write),
    ("marquee.v1.AuditService", Does::Read),
    ("marquee.v1.ExperimentService", Does::Write),
    ("marquee.v1.JobService", Does::Write),
];

/// What a service is there for. The catalogue's one write is for those who fill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Read,
    Write,
}

/// What decides.
#[derive(Clone, Copy)]
struct Condition {
    serves: bool,
    takes_writes: bool,
}

/// The health of a running server.
pub(crate) struct Health {
    pub(super) reporter: HealthReporter,
    condition: Mutex<Condition>,
    serving: watch::Sender<bool>,
}

impl Default for Health {
    /// Of a server that does not serve yet.
    fn default() -> Self {
        let condition = Mutex::new(Condition { serves: false, takes_writes: true });
        Self { reporter: HealthReporter::new(), condition, serving: watch::Sender::new(false) }
    }
}

impl Health {
    /// The server serves, or does not.
    pub(crate) async fn set_serving(&self, serves: bool) {
        self.change(|condition| condition.serves = serves).await;
    }

    /// Whether the server as a whole serves, for probes that do not speak gRPC.
    pub(crate) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// The store takes writes, or does not.
    async fn set_takes_writes(&self, takes_writes: bool) {
        self.change(|condition| condition.takes_writes = takes_writes).await;
    }

    async fn change(&self, change: impl FnOnce(&mut Condition)) {
        let mut condition = self.condition.lock().await;
        change(&mut condition);
        self.serving.send_replace(condition.serves);
        for (service, does) in SERVICES {
            let serves = condition.serves && (condition.takes_writes || does == Does::Read);
            let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Asks the store until it is aborted.
    pub(crate) async fn follow(self: Arc<Self>, store: Arc<dyn Store>) {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut took_writes = true;
        loop {
            ticks.tick().await;
            let takes_writes = store.ping().await.is_ok();
            if takes_writes != took_writes {
                self.set_takes_writes(takes_writes).await;
                took_writes = takes_writes;
            }
        }
    }
}
