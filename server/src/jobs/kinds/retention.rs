//! `retention`: events that are older than the settings say are removed, as if their users had taken them back.

use std::sync::Arc;

use async_trait::async_trait;
use marquee_core::clock::now_ms;
use marquee_core::domain::{EventKey, Kind as EventKind, TimeMs, UserId};
use marquee_store::Store;

use super::super::job::{Arguments, Outcome};
use super::super::kind::{Failure, Kind, Restart};
use super::super::run::Run;
use crate::writes::WriteCoordinator;

const DAY_MS: TimeMs = 24 * 60 * 60 * 1_000;

/// Users of a page, and events of a user that are read at once.
const USERS: usize = 500;
const EVENTS: usize = 500;

/// The kind.
pub(super) struct Retention {
    store: Arc<dyn Store>,
    coordinator: WriteCoordinator,
    days: u32,
}

impl Retention {
    /// Keeps events for so many days; 0 for ever.
    pub(super) fn new(store: Arc<dyn Store>, coordinator: WriteCoordinator, days: u32) -> Self {
        Self { store, coordinator, days }
    }

    /// Removes the events of a user from before a time; how many.
    async fn of_user(&self, user_id: UserId, before_ms: TimeMs, run: &Run) -> Result<u64, Failure> {
        let mut removed = 0;
        // Newest first, what comes after this is older.
        let bound = EventKey { time_ms: before_ms, movie_id: 0, kind: EventKind::Rating };
        loop {
            let events = self.store.history(user_id, Some(bound), EVENTS).await.map_err(Failure::of)?;
            let events = events.unwrap_or_default();
            if events.is_empty() {
                return Ok(removed);
            }
            for event in events {
                let key = EventKey::from(&event);
                removed += u64::from(self.coordinator.delete_event(user_id, key).await.map_err(Failure::of)?);
                run.breathe().await;
            }
        }
    }
}

#[async_trait]
impl Kind for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn about(&self) -> &'static str {
        "Removes events that are older than the setting event-retention-days says."
    }

    fn check(&self, _: &Arguments) -> Result<(), String> {
        if self.days > 0 {
            return Ok(());
        }
        Err("change nothing: events are kept for ever, as event-retention-days is 0".to_owned())
    }

    fn restart(&self) -> Restart {
        Restart::Resumes
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let before_ms = now_ms() - TimeMs::from(self.days) * DAY_MS;
        let mut last = run.checkpoint().and_then(|user_id| user_id.parse().ok());
        let total = self.store.stats().await.map_err(Failure::of)?.users;
        let (mut looked_at, mut removed) = (0, 0);
        loop {
            let users = self.store.users(last, USERS).await.map_err(Failure::of)?;
            if users.is_empty() {
                break;
            }
            for user_id in users {
                removed += self.of_user(user_id, before_ms, run).await?;
                looked_at += 1;
                last = Some(user_id);
                run.keep(user_id.to_string());
                run.reached(looked_at, total, format!("{removed} events removed"));
                run.breathe().await;
            }
        }
        Ok(Outcome::said(format!("removed {removed} events of {looked_at} users"))
            .figure("events", removed as f64)
            .figure("users", looked_at as f64))
    }
}
