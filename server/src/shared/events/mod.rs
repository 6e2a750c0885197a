//! What users do, as a stream for others to follow: jobs, other services, `WatchInteractions`.
//!
//! Off the way of a write: handing an event over never waits, and what cannot be taken is dropped and
//! counted, for the store is the truth and this only the news. Nor is anything buffered for a reader:
//! it asks for what comes after its position, and is told when that is no longer kept.

mod local;
mod shared;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Stream, TryStreamExt as _, stream};
use marquee_core::domain::{Interaction, UserId};
use marquee_core::meters::Metric;
use marquee_core::metrics;
use opentelemetry::metrics::Counter;

pub use local::LocalEvents;
pub use shared::SharedEvents;

metrics! {
    pub(crate) METRICS;
    DROPPED = Metric::counter(
        "marquee.events.dropped",
        "{event}",
        &[],
        "Interactions that are stored and missing in the event stream, since it took no more",
    );
}

/// A place in the stream, written `A-B` as Redis does. Positions ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    major: u64,
    minor: u64,
}

impl Position {
    /// Before everything that is kept.
    pub const START: Self = Self { major: 0, minor: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.major, self.minor)
    }
}

/// The text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a position of the stream; send back one that a reply had, or 0-0 for the oldest kept")]
pub struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let number = |digits: &str| digits.parse().map_err(|_| NotAPosition);
        let (major, minor) = text.split_once('-').ok_or(NotAPosition)?;
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in its user's history.
    Recorded,
    /// It is there no more.
    Deleted,
}

/// An event in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where it stands.
    pub position: Position,
    /// Which event.
    pub event: Interaction,
    /// What became of it.
    pub change: Change,
}

/// Why the stream cannot be followed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EventsError {
    /// The reader was too slow, or away for too long.
    #[error(
        "what came after position {0} is no longer kept; begin again from now on, or from 0-0 for the oldest kept"
    )]
    Lost(Position),
    /// Redis does not answer.
    #[error("the event stream cannot be reached: {0}; go on from the last position")]
    Unavailable(String),
}

/// Takes events and gives them out in order.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Hands over what became of events. Never waits.
    fn publish(&self, events: &[Interaction], change: Change);

    /// The newest position: what comes after it is new.
    async fn newest(&self) -> Result<Position, EventsError>;

    /// Whether everything after a position is still kept, so that a reader may go on from there.
    async fn check(&self, after: Position) -> Result<(), EventsError>;

    /// The next events after a position, oldest first, at most `limit`; waits until there is one.
    async fn next(&self, after: Position, limit: usize) -> Result<Vec<Placed>, EventsError>;

    /// Takes all events of a user out.
    async fn forget(&self, user_id: UserId) -> Result<(), EventsError>;
}

/// Events that a reader takes at once.
const TAKEN_AT_ONCE: usize = 256;

/// Everything after a position, read as fast as it is taken; ends with the first error.
pub fn follow(
    events: Arc<dyn EventLog>,
    after: Position,
) -> impl Stream<Item = Result<Placed, EventsError>> + Send {
    let pages = stream::try_unfold(after, move |after| {
        let events = Arc::clone(&events);
        async move {
            let page = events.next(after, TAKEN_AT_ONCE).await?;
            let last = page.last().map_or(after, |placed| placed.position);
            Ok::<_, EventsError>(Some((stream::iter(page.into_iter().map(Ok)), last)))
        }
    });
    pages.try_flatten()
}

/// Counts the events that were dropped.
struct Dropped(Counter<u64>);

impl Default for Dropped {
    fn default() -> Self {
        Self(DROPPED.u64_counter())
    }
}

impl Dropped {
    fn count(&self, events: usize) {
        self.0.add(events as u64, &[]);
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use marquee_core::domain::Kind;

    use super::*;

    #[tokio::test]
    async fn what_is_followed_comes_in_order_from_its_position_on() {
        let events = Arc::new(LocalEvents::new(1));
        let start = events.newest().await.unwrap();
        let view =
            |movie_id| Interaction { user_id: 1, movie_id, time_ms: 1, kind: Kind::View, rating: None };
        events.publish(&(1..=600).map(view).collect::<Vec<_>>(), Change::Recorded);
        let followed: Vec<_> = follow(events, start).take(600).try_collect().await.unwrap();
        let movies: Vec<_> = followed.iter().map(|placed| placed.event.movie_id).collect();
        assert_eq!(movies, (1..=600).collect::<Vec<_>>());
    }

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let position = Position { major: 1_700_000_000_000, minor: 3 };
        assert_eq!(position.to_string().parse(), Ok(position));
        assert_eq!("0-0".parse(), Ok(Position::START));
        for text in ["", "1", "-", "1-x", "1-2-3"] {
            assert_eq!(text.parse::<Position>(), Err(NotAPosition), "{text}");
        }
    }
}
