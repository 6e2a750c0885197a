//! The nodes announce to each other whose profiles changed, over a Redis channel.
//!
//! A write waits until Redis has its announcement (25 ms at most), so that another node hears of it
//! about when its caller does. Announcements of writes that wait at the same time go out together.
//! [`liveness`] decides what a node may believe: lost messages, lag, reconnections and a Redis that does
//! not answer void what is remembered instead of leaving it stale.
//!
//! Together with the announcement, and before it, tombstones replace the users' entries in the
//! [shared cache](super::shared_cache).

mod liveness;
mod message;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _};
use fred::types::{Message as Received, Value};
use marquee_core::clock::now_ms;
use marquee_core::domain::UserId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use liveness::{CacheAction, HEARTBEAT_INTERVAL, PeerLiveness};
use message::{Body, Message, NodeId};

use super::shared_cache;
use crate::shared::redis::{Outage, Purpose, Redis, RedisError, keep_alive};

/// Announcements that may wait; with more the caches of all nodes are flushed instead.
const ANNOUNCEMENTS_WAITING: usize = 4096;

/// Announcements that go out together.
const TOGETHER: usize = 64;

/// Users of one message: as many tombstones go out with it.
const USERS_A_MESSAGE: usize = 256;

/// What other nodes' messages act on.
pub(super) trait Remembering: Send + Sync + 'static {
    /// These users' profiles changed.
    fn forget(&self, users: &[UserId]);

    /// Anything may have changed.
    fn forget_all(&self);
}

/// A node's place among the others.
pub(super) struct Peers {
    node: Arc<Node>,
    announcements: mpsc::Sender<Announcement>,
    tasks: Mutex<JoinSet<()>>,
}

struct Node {
    redis: Arc<Redis>,
    channel: String,
    liveness: Mutex<PeerLiveness>,
    remembering: Arc<dyn Remembering>,
}

struct Announcement {
    users: Vec<UserId>,
    done: oneshot::Sender<()>,
}

impl Peers {
    /// Joins the nodes that share this Redis and its namespace. PeerLiveness comes once the node hears itself.
    ///
    /// # Errors
    /// [`RedisError`] when the settings cannot be used.
    pub(super) fn join(redis: Arc<Redis>, remembering: Arc<dyn Remembering>) -> Result<Self, RedisError> {
        let subscriber = redis.subscriber()?;
        let channel = redis.name("profile", "changes");
        let liveness = Mutex::new(PeerLiveness::new(NodeId(rand::random()), now_ms()));
        let node = Arc::new(Node { redis, channel, liveness, remembering });
        let (announcements, waiting) = mpsc::channel(ANNOUNCEMENTS_WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_alive(subscriber.clone()));
        tasks.spawn(Arc::clone(&node).listen(subscriber));
        tasks.spawn(Arc::clone(&node).speak(waiting));
        Ok(Self { node, announcements, tasks: Mutex::new(tasks) })
    }

    /// The generation of what is remembered, if what is remembered can be believed now.
    pub(super) fn trusted_generation(&self) -> Option<u64> {
        let liveness = self.node.liveness();
        liveness.holds(Instant::now()).then(|| liveness.generation())
    }

    /// Tells all nodes that these users' profiles changed. When this returns, Redis has it, or nothing
    /// that is remembered of them counts any more.
    pub(super) async fn announce(&self, users: Vec<UserId>) {
        let (done, said) = oneshot::channel();
        match self.announcements.try_send(Announcement { users, done }) {
            Ok(()) => drop(said.await),
            Err(_) => self.node.renew("too many announcements wait"),
        }
    }

    /// Tells the others that they need not wait for this node any more. It announces nothing afterwards.
    pub(super) async fn leave(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        let goodbye = self.node.liveness().next(Body::Goodbye);
        let _said = self.node.publish(&goodbye).await;
    }
}

impl Node {
    fn liveness(&self) -> MutexGuard<'_, PeerLiveness> {
        self.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Voids what is remembered, here at once, elsewhere with this node's next message.
    fn renew(&self, cause: &'static str) {
        tracing::debug!(cause, "local profile cache invalidated");
        self.liveness().renew(now_ms());
        self.remembering.forget_all();
    }

    /// Sends announcements as they come, and a heartbeat when none come.
    async fn speak(self: Arc<Self>, mut waiting: mpsc::Receiver<Announcement>) {
        let mut heartbeat = interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut together = Vec::with_capacity(TOGETHER);
        loop {
            tokio::select! {
                count = waiting.recv_many(&mut together, TOGETHER) => if count == 0 { return },
                _ = heartbeat.tick() => self.say(Body::Heartbeat).await,
            }
            let users: Vec<UserId> =
                together.iter().flat_map(|announcement| &announcement.users).copied().collect();
            for users in users.chunks(USERS_A_MESSAGE) {
                self.say(Body::Written(users.to_vec())).await;
            }
            for announcement in together.drain(..) {
                let _gone = announcement.done.send(());
            }
        }
    }

    async fn say(&self, body: Body) {
        let message = self.liveness().next(body);
        if let Err(outage) = self.publish(&message).await {
            tracing::trace!(%outage, "message to the other nodes not published");
            self.renew("a message could not be sent");
        }
    }

    /// Tombstones first, so that whoever reads Redis after the message finds them. The nodes of a cluster
    /// keep no order among them, so there the message waits for the tombstones.
    async fn publish(&self, message: &Message) -> Result<(), Outage> {
        let names: Vec<String> = match &message.body {
            Body::Written(users) => {
                users.iter().map(|user| shared_cache::key(&self.redis, *user).name).collect()
            }
            Body::Heartbeat | Body::Goodbye => Vec::new(),
        };
        let (channel, payload) = (self.channel.clone(), message.encode());
        let send = |client: Client| async move {
            let pipeline = client.pipeline();
            for name in names {
                shared_cache::write_tombstone(&pipeline, name).await?;
            }
            if client.is_clustered() {
                pipeline.all::<Value>().await?;
                return client.publish(channel, payload).await;
            }
            pipeline.publish::<(), _, _>(channel, payload).await?;
            pipeline.all::<Value>().await.map(drop)
        };
        self.redis.call(Purpose::Announce, send).await
    }

    /// Hears all nodes, itself included.
    async fn listen(self: Arc<Self>, subscriber: SubscriberClient) {
        let mut messages = subscriber.message_rx();
        let (mut connections, mut failures) = (subscriber.reconnect_rx(), subscriber.error_rx());
        let _connection = AbortOnDropHandle::new(subscriber.connect());
        let mut heartbeat = interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = failures.recv() => self.renew("the connection failed"),
                _ = connections.recv() => {
                    self.renew("the connection is new");
                    self.subscribe(&subscriber).await;
                }
                received = messages.recv() => match received {
                    Ok(received) => self.hear(&received),
                    Err(RecvError::Lagged(_)) => self.renew("messages came too fast"),
                    Err(RecvError::Closed) => break,
                },
                _ = heartbeat.tick() => self.look_for_the_silent(&subscriber).await,
            }
        }
    }

    fn hear(&self, received: &Received) {
        let payload: Option<Bytes> = received.value.as_bytes().map(Bytes::copy_from_slice);
        let Some(message) = payload.and_then(|payload| Message::decode(&payload)) else {
            return self.renew("another version of the program speaks");
        };
        let action = self.liveness().hear(&message, Instant::now(), now_ms());
        self.follow(action);
        if let Body::Written(users) = &message.body {
            self.remembering.forget(users);
        }
    }

    async fn look_for_the_silent(&self, subscriber: &SubscriberClient) {
        let (action, hears_itself) = {
            let mut liveness = self.liveness();
            (liveness.tick(Instant::now(), now_ms()), liveness.hears_itself())
        };
        self.follow(action);
        if !hears_itself {
            self.subscribe(subscriber).await;
        }
    }

    /// A subscription that fails is tried again when this node does not hear itself.
    async fn subscribe(&self, subscriber: &SubscriberClient) {
        if let Err(error) = subscriber.subscribe(self.channel.as_str()).await {
            tracing::debug!(%error, "not yet subscribed to the other nodes' messages");
        }
    }

    fn follow(&self, action: CacheAction) {
        if action == CacheAction::Flush {
            self.remembering.forget_all();
        }
    }
}
