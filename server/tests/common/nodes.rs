//! The part of a server that writes and reads what users do, without its socket, so that several nodes can
//! share an embedded store.

use std::sync::Arc;
use std::time::Duration;

use marquee_core::domain::{Interaction, Kind, MovieId, UserId};
use marquee_server::catalog::Catalog;
use marquee_server::profiles::{ConsistencyToken, Profiles};
use marquee_server::shared::events::{EventLog as _, EventsError, Placed, Position, SharedEvents};
use marquee_server::shared::redis::Redis;
use marquee_server::writes::WriteCoordinator;
use marquee_store::{RedbStore, Store};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// Within which a node uses a Redis again that came back.
pub const RECOVERY: Duration = Duration::from_secs(5);

pub const USER: UserId = 1;
const NEWEST: usize = 100;

/// Waits until the condition holds.
pub async fn until<F: Future<Output = bool>>(what: &str, patience: Duration, mut holds: impl FnMut() -> F) {
    let polled = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, polled).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// The event that stands for a movie.
pub fn event(movie_id: MovieId) -> Interaction {
    Interaction { user_id: USER, movie_id, time_ms: movie_id.into(), kind: Kind::View, rating: None }
}

/// The part of a server that writes and reads what users do.
pub struct Node {
    pub coordinator: WriteCoordinator,
    pub profiles: Arc<Profiles>,
    pub events: Arc<SharedEvents>,
}

impl Node {
    /// A node that remembers and hears itself.
    pub async fn start(store: &Arc<dyn Store>, redis_url: &str) -> Self {
        let redis = Redis::connect(redis_url).await.expect("the settings are right");
        let profiles = Profiles::new(Arc::clone(store), 1 << 20, Some(&redis)).expect("the node joins");
        let profiles = Arc::new(profiles);
        let catalog = Arc::new(Catalog::new(Vec::new(), Vec::new()));
        let events = Arc::new(SharedEvents::new(redis));
        let coordinator = WriteCoordinator::new(
            Arc::clone(store),
            catalog,
            Arc::clone(&profiles),
            Arc::clone(&events) as _,
            Duration::ZERO,
        );
        let node = Self { coordinator, profiles, events };
        node.until_remembering(PATIENCE).await;
        node
    }

    pub async fn until_remembering(&self, patience: Duration) {
        until("the node remembers", patience, async || self.profiles.are_remembered()).await;
    }

    /// Writes an event; its consistency token.
    pub async fn write(&self, movie_id: MovieId) -> ConsistencyToken {
        let event = event(movie_id);
        let mut consistency_token = ConsistencyToken::default();
        consistency_token.add(&[event]);
        self.coordinator.record(vec![event]).await.expect("the store writes");
        consistency_token
    }

    pub async fn sees(&self, movie_id: MovieId, consistency_token: &ConsistencyToken) -> bool {
        self.sees_of(USER, movie_id, consistency_token).await
    }

    pub async fn sees_of(
        &self,
        user_id: UserId,
        movie_id: MovieId,
        consistency_token: &ConsistencyToken,
    ) -> bool {
        let profile =
            self.profiles.read(user_id, NEWEST, consistency_token).await.expect("the store answers");
        profile.is_some_and(|profile| profile.seen.contains(movie_id))
    }

    /// Deletes a user, again while Redis does not answer in time.
    pub async fn delete(&self, user_id: UserId) {
        let is_deleted = async || self.coordinator.delete_user(user_id).await.is_ok();
        until("the user is deleted", PATIENCE, is_deleted).await;
    }

    /// What stands in the stream after a position, asked for again while Redis does not answer in time.
    pub async fn next(&self, after: Position) -> Result<Vec<Placed>, EventsError> {
        let answered = async {
            loop {
                match self.events.next(after, 100).await {
                    Err(EventsError::Unavailable(_)) => tokio::task::yield_now().await,
                    answer => return answer,
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("the stream is answered in time")
    }

    pub async fn until_it_sees(&self, movie_id: MovieId) {
        until("the write is seen", PATIENCE, async || {
            self.sees(movie_id, &ConsistencyToken::default()).await
        })
        .await;
    }
}

/// Two nodes with one store; the first reaches Redis directly, the second by its own address.
pub struct Pair {
    pub here: Node,
    pub there: Node,
    pub _folder: TempDir,
}

impl Pair {
    /// Both have the user's profile in memory, with one event in it.
    pub async fn start(here: &str, there: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).expect("the store opens"));
        let (here, there) = (Node::start(&store, here).await, Node::start(&store, there).await);
        here.until_remembering(PATIENCE).await;
        here.write(1).await;
        for node in [&here, &there] {
            node.until_it_sees(1).await;
        }
        Self { here, there, _folder: folder }
    }
}

/// A namespace that no other test and no other run uses.
pub fn in_own_namespace(url: &str) -> String {
    format!("{url}?namespace=test-{:x}", rand::random::<u64>())
}
