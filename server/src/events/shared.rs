//! The event stream of all nodes: a Redis Stream, `NAMESPACE:events:all`.
//!
//! Its entries have the fields `user_id`, `movie_id`, `time_ms`, `kind` (the number in the API) and
//! `half_stars` (0 without a rating), so that other services read it with consumer groups of their own.
//! It keeps about [`KEPT`] entries. An entry is sent once: what Redis does not take in time is dropped
//! and counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::StreamsInterface as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::{Dropped, EventSink, EventsError, Placed, Position};
use crate::domain::{Interaction, Kind, Rating, UserId};
use crate::redis::{Outage, Purpose, Redis};

/// Entries that are kept; Redis cuts a little later, where it is cheap.
const KEPT: i64 = 100_000;

/// Events that may wait to be sent; one more is dropped.
const WAITING: usize = 1 << 14;

/// Events that are sent together.
const TOGETHER: usize = 256;

/// How often a reader that has read everything looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Entries that are searched at once for those of a deleted user.
const SEARCHED_AT_ONCE: u64 = 1000;

/// A stream in Redis.
pub struct SharedEvents {
    redis: Arc<Redis>,
    name: String,
    sending: mpsc::Sender<Order>,
    dropped: Arc<Dropped>,
    _sender: AbortOnDropHandle<()>,
}

/// What the sender does, in order.
enum Order {
    Add(Interaction),
    Forget(UserId, oneshot::Sender<Result<(), Outage>>),
}

/// An entry's id and fields.
type Entry = (String, HashMap<String, i64>);

impl SharedEvents {
    /// The stream in this Redis and its namespace.
    pub fn new(redis: Arc<Redis>) -> Self {
        let name = redis.key("events", "all");
        let (sending, orders) = mpsc::channel(WAITING);
        let dropped = Arc::new(Dropped::default());
        let sender = Sender { redis: Arc::clone(&redis), name: name.clone(), dropped: Arc::clone(&dropped) };
        let sender = AbortOnDropHandle::new(tokio::spawn(sender.run(orders)));
        Self { redis, name, sending, dropped, _sender: sender }
    }

    /// The oldest entry, and the first ones after a position.
    async fn page(&self, after: Position, limit: usize) -> Result<(Vec<Entry>, Vec<Entry>), Outage> {
        let (name, start) = (self.name.clone(), format!("({after}"));
        let read = |client: Client| async move {
            let oldest = client.xrange_values(name.as_str(), "-", "+", Some(1)).await?;
            let page = client.xrange_values(name, start, "+", Some(limit as u64)).await?;
            Ok((oldest, page))
        };
        self.redis.call(Purpose::Follow, read).await
    }
}

#[async_trait]
impl EventSink for SharedEvents {
    fn publish(&self, events: &[Interaction]) {
        let taken =
            events.iter().take_while(|event| self.sending.try_send(Order::Add(**event)).is_ok()).count();
        if taken < events.len() {
            self.dropped.count(events.len() - taken);
        }
    }

    async fn newest(&self) -> Result<Position, EventsError> {
        let name = self.name.clone();
        let read = |client: Client| async move {
            client.xrevrange_values::<String, String, i64, _, _, _>(name, "+", "-", Some(1)).await
        };
        let newest = self.redis.call(Purpose::Follow, read).await.map_err(|outage| unavailable(&outage))?;
        Ok(newest.first().and_then(|(id, _)| id.parse().ok()).unwrap_or(Position::START))
    }

    async fn next(&self, after: Position, limit: usize) -> Result<Vec<Placed>, EventsError> {
        let mut after = after;
        loop {
            let (oldest, page) = self.page(after, limit).await.map_err(|outage| unavailable(&outage))?;
            let oldest = oldest.first().and_then(|(id, _)| id.parse::<Position>().ok());
            if after != Position::START && oldest.is_some_and(|oldest| oldest > after) {
                return Err(EventsError::Lost(after));
            }
            let placed: Vec<Placed> = page.iter().filter_map(placed).collect();
            if !placed.is_empty() {
                return Ok(placed);
            }
            match page.last().and_then(|(id, _)| id.parse().ok()) {
                Some(last_of_others) => after = last_of_others,
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    async fn forget(&self, user_id: UserId) -> Result<(), EventsError> {
        let closed = || EventsError::Unavailable("the server ends".to_owned());
        let (done, forgotten) = oneshot::channel();
        self.sending.send(Order::Forget(user_id, done)).await.map_err(|_| closed())?;
        forgotten.await.map_err(|_| closed())?.map_err(|outage| unavailable(&outage))
    }
}

fn unavailable(outage: &Outage) -> EventsError {
    EventsError::Unavailable(outage.to_string())
}

/// Sends to Redis, behind the callers' backs.
struct Sender {
    redis: Arc<Redis>,
    name: String,
    dropped: Arc<Dropped>,
}

impl Sender {
    async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut together = Vec::with_capacity(TOGETHER);
        while orders.recv_many(&mut together, TOGETHER).await > 0 {
            let mut events = Vec::with_capacity(together.len());
            for order in together.drain(..) {
                match order {
                    Order::Add(event) => events.push(event),
                    Order::Forget(user_id, done) => {
                        self.add(std::mem::take(&mut events)).await;
                        let _gone = done.send(self.forget(user_id).await);
                    }
                }
            }
            self.add(events).await;
        }
    }

    async fn add(&self, events: Vec<Interaction>) {
        if events.is_empty() {
            return;
        }
        let (count, name) = (events.len(), self.name.clone());
        let add = |client: Client| async move {
            let pipeline = client.pipeline();
            for event in events {
                let cap = ("MAXLEN", "~", KEPT);
                pipeline.xadd::<(), _, _, _, _>(name.as_str(), false, cap, "*", fields(&event)).await?;
            }
            pipeline.last::<String>().await.map(drop)
        };
        if let Err(outage) = self.redis.call(Purpose::Follow, add).await {
            tracing::debug!(%outage, count, "events are missing in the stream");
            self.dropped.count(count);
        }
    }

    /// Takes the entries of a user out, a part of the stream after the other.
    async fn forget(&self, user_id: UserId) -> Result<(), Outage> {
        let mut start = "-".to_owned();
        loop {
            let name = self.name.clone();
            let search = |client: Client| async move {
                let entries: Vec<Entry> =
                    client.xrange_values(name.as_str(), start, "+", Some(SEARCHED_AT_ONCE)).await?;
                let of_user: Vec<&str> =
                    entries.iter().filter(|entry| is_of(user_id, entry)).map(|(id, _)| id.as_str()).collect();
                if !of_user.is_empty() {
                    client.xdel::<(), _, _>(name, of_user).await?;
                }
                Ok::<_, Error>(entries.last().map(|(id, _)| id.clone()))
            };
            let Some(last) = self.redis.call(Purpose::Remove, search).await? else { return Ok(()) };
            start = format!("({last}");
        }
    }
}

fn fields(event: &Interaction) -> Vec<(&'static str, i64)> {
    let half_stars = event.rating.map_or(0, Rating::half_stars);
    vec![
        ("user_id", event.user_id.cast_signed()),
        ("movie_id", event.movie_id.into()),
        ("time_ms", event.time_ms),
        ("kind", i64::from(event.kind as u8)),
        ("half_stars", half_stars.into()),
    ]
}

fn is_of(user_id: UserId, (_, fields): &Entry) -> bool {
    fields.get("user_id") == Some(&user_id.cast_signed())
}

/// The event of an entry; `None` for one that somebody else wrote.
fn placed((id, fields): &Entry) -> Option<Placed> {
    let field = |name| fields.get(name).copied();
    let event = Interaction {
        user_id: field("user_id")?.cast_unsigned(),
        movie_id: field("movie_id")?.try_into().ok()?,
        time_ms: field("time_ms")?,
        kind: Kind::from_number(field("kind")?.try_into().ok()?)?,
        rating: Rating::from_half_stars(field("half_stars")?.try_into().ok()?),
    };
    Some(Placed { position: id.parse().ok()?, event })
}
