//! The event stream of all nodes: a Redis Stream, `NAMESPACE:events:all`.
//!
//! Its entries have the fields `user_id`, `movie_id`, `time_ms`, `kind` (the number in the API),
//! `half_stars` (0 without a rating) and, of deleted events alone, `deleted` (1), so that other services read it with
//! consumer groups of their own.
//! It keeps about [`KEPT`] entries. An entry is sent once: what Redis does not take in time is dropped
//! and counted.
//!
//! An entry that is gone was cut off at the beginning, which a reader must know, or was a deleted user's,
//! which it must not notice. `{NAMESPACE:events:all}:kept` keeps them apart: its `from` is the position
//! from which on only entries of deleted users are gone, as long as `gone` entries are gone in all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{LuaInterface as _, StreamsInterface as _};
use fred::types::Value;
use marquee_core::domain::{Interaction, Kind, Rating, UserId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::{Change, Dropped, EventLog, EventsError, Placed, Position};
use crate::shared::redis::{Holds, Key, Outage, Purpose, Redis};

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

const FORGET: &str = concat!(include_str!("gone.lua"), include_str!("forget.lua"));
const KEPT_FROM: &str = concat!(include_str!("gone.lua"), include_str!("kept.lua"));

/// A stream in Redis.
pub struct SharedEvents {
    stream: Arc<Stream>,
    sending: mpsc::Sender<Order>,
    dropped: Arc<Dropped>,
    _sender: AbortOnDropHandle<()>,
}

/// What the sender does, in order.
enum Order {
    Add(Interaction, Change),
    Forget(UserId, oneshot::Sender<Result<(), Outage>>),
}

/// Where it is.
struct Stream {
    redis: Arc<Redis>,
    entries: Key,
    kept: Key,
}

/// An entry's id and fields, whoever wrote it.
type Entry = (String, HashMap<Bytes, Value>);

impl SharedEvents {
    /// The stream in this Redis and its namespace.
    pub fn new(redis: Arc<Redis>) -> Self {
        let entries = redis.key("events", "all", Holds::Events);
        let kept = entries.beside("kept", Holds::EventsKept);
        let stream = Arc::new(Stream { redis, entries, kept });
        let (sending, orders) = mpsc::channel(WAITING);
        let dropped = Arc::new(Dropped::default());
        let sender = Sender { stream: Arc::clone(&stream), dropped: Arc::clone(&dropped) };
        let sender = AbortOnDropHandle::new(tokio::spawn(sender.run(orders)));
        Self { stream, sending, dropped, _sender: sender }
    }
}

impl Stream {
    /// The oldest entry, and the first ones after a position.
    async fn page(&self, after: Position, limit: usize) -> Result<(Vec<Entry>, Vec<Entry>), Outage> {
        let (name, start) = (self.entries.name.as_str(), &format!("({after}"));
        let read = |client: Client| async move {
            let oldest = client.xrange_values(name, "-", "+", Some(1)).await?;
            let page = client.xrange_values(name, start.as_str(), "+", Some(limit as u64)).await?;
            Ok((oldest, page))
        };
        self.redis.call_on(Purpose::Follow, &[&self.entries], read).await
    }

    async fn newest(&self) -> Result<Option<Entry>, Outage> {
        let name = self.entries.name.as_str();
        let read = |client: Client| async move { client.xrevrange_values(name, "+", "-", Some(1)).await };
        let newest: Vec<Entry> = self.redis.call_on(Purpose::Follow, &[&self.entries], read).await?;
        Ok(newest.into_iter().next())
    }

    /// Whether everything after a position is still there, as the oldest entry has it.
    async fn check(&self, after: Position, oldest: Option<&Entry>) -> Result<(), EventsError> {
        let oldest = oldest.and_then(|(id, _)| id.parse::<Position>().ok());
        let is_behind = after != Position::START && oldest.is_some_and(|oldest| oldest > after);
        if is_behind && !self.is_kept_after(after).await.map_err(|outage| unavailable(&outage))? {
            return Err(EventsError::Lost(after));
        }
        Ok(())
    }

    /// Whether nothing but entries of deleted users is gone after a position that is gone itself.
    async fn is_kept_after(&self, after: Position) -> Result<bool, Outage> {
        let from = self.run(Purpose::Follow, KEPT_FROM, &[]).await?;
        Ok(from.and_then(|from| from.parse::<Position>().ok()).is_some_and(|from| from <= after))
    }

    async fn add(&self, events: &[(Interaction, Change)]) -> Result<(), Outage> {
        let name = self.entries.name.as_str();
        let add = |client: Client| async move {
            let pipeline = client.pipeline();
            for (event, change) in events {
                let cap = ("MAXLEN", "~", KEPT);
                pipeline.xadd::<(), _, _, _, _>(name, false, cap, "*", fields(event, *change)).await?;
            }
            pipeline.last::<String>().await.map(drop)
        };
        self.redis.call_on(Purpose::Follow, &[&self.entries], add).await
    }

    /// Takes the entries of a user out, a part of the stream after the other.
    async fn forget(&self, user_id: UserId) -> Result<(), Outage> {
        let (user, count) = (user_id.cast_signed().to_string(), SEARCHED_AT_ONCE.to_string());
        let mut start = "-".to_owned();
        while let Some(last) = self.run(Purpose::Remove, FORGET, &[&user, &start, &count]).await? {
            start = format!("({last}");
        }
        Ok(())
    }

    /// Runs a script on both keys; the position that it answers.
    async fn run(
        &self,
        purpose: Purpose,
        script: &'static str,
        arguments: &[&str],
    ) -> Result<Option<String>, Outage> {
        let keys = [&self.entries, &self.kept];
        let names = keys.map(|key| key.name.as_str());
        let run =
            |client: Client| async move { client.eval(script, names.to_vec(), arguments.to_vec()).await };
        self.redis.call_on(purpose, &keys, run).await
    }
}

#[async_trait]
impl EventLog for SharedEvents {
    fn publish(&self, events: &[Interaction], change: Change) {
        let is_taken = |event: &Interaction| self.sending.try_send(Order::Add(*event, change)).is_ok();
        let taken = events.iter().take_while(|event| is_taken(event)).count();
        if taken < events.len() {
            self.dropped.count(events.len() - taken);
        }
    }

    async fn newest(&self) -> Result<Position, EventsError> {
        let newest = self.stream.newest().await.map_err(|outage| unavailable(&outage))?;
        Ok(newest.and_then(|(id, _)| id.parse().ok()).unwrap_or(Position::START))
    }

    async fn check(&self, after: Position) -> Result<(), EventsError> {
        let (oldest, _) = self.stream.page(after, 1).await.map_err(|outage| unavailable(&outage))?;
        self.stream.check(after, oldest.first()).await
    }

    async fn next(&self, after: Position, limit: usize) -> Result<Vec<Placed>, EventsError> {
        let mut after = after;
        loop {
            let (oldest, page) =
                self.stream.page(after, limit).await.map_err(|outage| unavailable(&outage))?;
            self.stream.check(after, oldest.first()).await?;
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
    stream: Arc<Stream>,
    dropped: Arc<Dropped>,
}

impl Sender {
    async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut together = Vec::with_capacity(TOGETHER);
        while orders.recv_many(&mut together, TOGETHER).await > 0 {
            let mut events = Vec::with_capacity(together.len());
            for order in together.drain(..) {
                match order {
                    Order::Add(event, change) => events.push((event, change)),
                    Order::Forget(user_id, done) => {
                        self.add(std::mem::take(&mut events)).await;
                        let _gone = done.send(self.stream.forget(user_id).await);
                    }
                }
            }
            self.add(events).await;
        }
    }

    async fn add(&self, events: Vec<(Interaction, Change)>) {
        if events.is_empty() {
            return;
        }
        if let Err(outage) = self.stream.add(&events).await {
            tracing::debug!(%outage, count = events.len(), "events dropped: not written to the event stream");
            self.dropped.count(events.len());
        }
    }
}

fn fields(event: &Interaction, change: Change) -> Vec<(&'static str, i64)> {
    let half_stars = event.rating.map_or(0, Rating::half_stars);
    let mut fields = vec![
        ("user_id", event.user_id.cast_signed()),
        ("movie_id", event.movie_id.into()),
        ("time_ms", event.time_ms),
        ("kind", i64::from(event.kind as u8)),
        ("half_stars", half_stars.into()),
    ];
    if change == Change::Deleted {
        fields.push(("deleted", 1));
    }
    fields
}

/// The event of an entry; `None` for one that somebody else wrote.
fn placed((id, fields): &Entry) -> Option<Placed> {
    let field = |name: &str| fields.get(name.as_bytes())?.as_i64();
    let event = Interaction {
        user_id: field("user_id")?.cast_unsigned(),
        movie_id: field("movie_id")?.try_into().ok()?,
        time_ms: field("time_ms")?,
        kind: Kind::from_number(field("kind")?.try_into().ok()?)?,
        rating: Rating::from_half_stars(field("half_stars")?.try_into().ok()?),
    };
    let change = if field("deleted") == Some(1) { Change::Deleted } else { Change::Recorded };
    Some(Placed { position: id.parse().ok()?, event, change })
}
