//! The event stream of one node: a ring of the newest events in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use marquee_core::domain::{Interaction, TimeMs, UserId};
use tokio::sync::watch;

use super::{Change, EventLog, EventsError, Placed, Position};

/// Events that are kept: some 3 MB.
const KEPT: usize = 1 << 16;

/// A ring of events. Its positions are the time of its start and the number of the event, from 1.
pub struct LocalEvents {
    start_ms: u64,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

/// `None` where the event of a deleted user was.
#[derive(Default)]
struct Ring {
    events: VecDeque<Option<(Interaction, Change)>>,
    /// Events that were pushed out at the front.
    gone: u64,
}

impl Ring {
    fn newest(&self) -> u64 {
        self.gone + self.events.len() as u64
    }
}

impl LocalEvents {
    /// An empty ring.
    pub fn new(now_ms: TimeMs) -> Self {
        let (newest, _) = watch::channel(0);
        Self { start_ms: now_ms.max(1).cast_unsigned(), ring: Mutex::default(), newest }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self, number: u64) -> Position {
        Position { major: self.start_ms, minor: number }
    }

    /// The number that a position stands for, if nothing after it is gone.
    fn number_of(&self, position: Position) -> Result<u64, EventsError> {
        let ring = self.ring();
        if position == Position::START {
            return Ok(ring.gone);
        }
        let is_kept =
            position.major == self.start_ms && (ring.gone..=ring.newest()).contains(&position.minor);
        if is_kept { Ok(position.minor) } else { Err(EventsError::Lost(position)) }
    }

    /// The events after a number, deleted users' left out.
    fn page(&self, after: u64, limit: usize) -> Vec<Placed> {
        let ring = self.ring();
        let skipped = after.saturating_sub(ring.gone) as usize;
        let numbered = (ring.gone + 1..).zip(&ring.events).skip(skipped);
        let placed = numbered.filter_map(|(number, news)| {
            let (event, change) = (*news)?;
            Some(Placed { position: self.position(number), event, change })
        });
        placed.take(limit).collect()
    }
}

#[async_trait]
impl EventLog for LocalEvents {
    fn publish(&self, events: &[Interaction], change: Change) {
        let mut ring = self.ring();
        ring.events.extend(events.iter().map(|event| Some((*event, change))));
        let over = ring.events.len().saturating_sub(KEPT);
        ring.events.drain(..over);
        ring.gone += over as u64;
        self.newest.send_replace(ring.newest());
    }

    async fn newest(&self) -> Result<Position, EventsError> {
        Ok(self.position(self.ring().newest()))
    }

    async fn check(&self, after: Position) -> Result<(), EventsError> {
        self.number_of(after).map(drop)
    }

    async fn next(&self, after: Position, limit: usize) -> Result<Vec<Placed>, EventsError> {
        let mut newest = self.newest.subscribe();
        loop {
            newest.mark_unchanged();
            let page = self.page(self.number_of(after)?, limit);
            if !page.is_empty() {
                return Ok(page);
            }
            if newest.changed().await.is_err() {
                return Err(EventsError::Unavailable("the server ends".to_owned()));
            }
        }
    }

    async fn forget(&self, user_id: UserId) -> Result<(), EventsError> {
        for news in &mut self.ring().events {
            if news.is_some_and(|(event, _)| event.user_id == user_id) {
                *news = None;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{Kind, MovieId};

    use super::*;

    fn event(user_id: UserId, movie_id: MovieId) -> Interaction {
        Interaction { user_id, movie_id, time_ms: 1, kind: Kind::View, rating: None }
    }

    async fn movies(events: &LocalEvents, after: Position) -> Vec<MovieId> {
        let page = events.next(after, 100).await.unwrap();
        page.iter().map(|placed| placed.event.movie_id).collect()
    }

    #[tokio::test]
    async fn a_reader_goes_on_after_its_position() {
        let events = LocalEvents::new(5);
        events.publish(&[event(1, 10), event(1, 20), event(1, 30)], Change::Recorded);
        let first = events.next(Position::START, 2).await.unwrap();
        assert_eq!(first.iter().map(|placed| placed.event.movie_id).collect::<Vec<_>>(), [10, 20]);
        assert_eq!(movies(&events, first[1].position).await, [30]);
    }

    #[tokio::test]
    async fn a_reader_at_the_end_waits_for_the_next_event() {
        let events = LocalEvents::new(5);
        events.publish(&[event(1, 10)], Change::Recorded);
        let newest = events.newest().await.unwrap();
        let mut next = std::pin::pin!(events.next(newest, 10));
        assert!(futures::poll!(&mut next).is_pending());
        events.publish(&[event(1, 20)], Change::Recorded);
        assert_eq!(next.await.unwrap()[0].event.movie_id, 20);
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_is_told_so() {
        let events = LocalEvents::new(5);
        events.publish(&[event(1, 10), event(1, 20)], Change::Recorded);
        let slow = events.next(Position::START, 1).await.unwrap()[0].position;
        events.publish(&vec![event(1, 30); KEPT - 1], Change::Recorded);
        assert_eq!(events.next(slow, 1).await.unwrap()[0].event.movie_id, 20);
        events.publish(&[event(1, 40)], Change::Recorded);
        assert!(matches!(events.next(slow, 1).await, Err(EventsError::Lost(position)) if position == slow));
    }

    #[tokio::test]
    async fn a_position_of_another_run_is_lost() {
        let (before, after) = (LocalEvents::new(5), LocalEvents::new(6));
        before.publish(&[event(1, 10)], Change::Recorded);
        let position = before.newest().await.unwrap();
        assert!(matches!(after.next(position, 1).await, Err(EventsError::Lost(_))));
    }

    #[tokio::test]
    async fn a_deleted_users_events_are_gone_and_positions_stay() {
        let events = LocalEvents::new(5);
        events.publish(&[event(1, 10), event(2, 20), event(1, 30), event(2, 40)], Change::Recorded);
        let first = events.next(Position::START, 1).await.unwrap()[0].position;
        events.forget(1).await.unwrap();
        assert_eq!(movies(&events, Position::START).await, [20, 40]);
        assert_eq!(movies(&events, first).await, [20, 40]);
    }

    #[tokio::test]
    async fn a_deletion_is_news_after_the_event_and_goes_with_its_user() {
        let events = LocalEvents::new(5);
        events.publish(&[event(1, 10), event(2, 20)], Change::Recorded);
        events.publish(&[event(1, 10)], Change::Deleted);
        let page = events.next(Position::START, 100).await.unwrap();
        let news: Vec<_> = page.iter().map(|placed| (placed.event.movie_id, placed.change)).collect();
        assert_eq!(news, [(10, Change::Recorded), (20, Change::Recorded), (10, Change::Deleted)]);
        events.forget(1).await.unwrap();
        assert_eq!(movies(&events, Position::START).await, [20]);
    }
}
