//! What becomes of the events of one call, which may come in many parts.

use marquee_core::domain::Interaction;
use marquee_store::StoreError;

use super::WriteCoordinator;
use crate::profiles::ConsistencyToken;

/// Records events and counts them.
pub struct Recording {
    coordinator: WriteCoordinator,
    /// Events that the store has.
    pub accepted: u64,
    /// Of these, events that it had before.
    pub duplicates: u64,
    /// What a later read has to show to reflect all of them.
    pub consistency_token: ConsistencyToken,
}

impl Recording {
    pub(super) fn through(coordinator: WriteCoordinator) -> Self {
        Self { coordinator, accepted: 0, duplicates: 0, consistency_token: ConsistencyToken::default() }
    }

    /// Records further events durably.
    ///
    /// # Errors
    /// As [`WriteCoordinator::record`].
    pub async fn record(&mut self, events: Vec<Interaction>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.consistency_token.add(&events);
        let recorded = self.coordinator.record(events).await?;
        self.accepted += recorded.len() as u64;
        self.duplicates += recorded.iter().filter(|recorded| recorded.duplicate).count() as u64;
        Ok(())
    }
}
