//! `clean`: what is over and kept longer than the settings say is removed from the store.
//!
//! What expires by itself, such as sessions and records of the audit, goes with the next change of its part; caches have
//! bounds of their own.

use std::sync::Arc;

use async_trait::async_trait;
use marquee_core::clock::now_ms;

use super::super::job::Outcome;
use super::super::kind::{Failure, Kind};
use super::super::ledger::Ledger;
use super::super::run::Run;

/// The kind.
pub(super) struct Clean {
    ledger: Arc<Ledger>,
}

impl Clean {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

#[async_trait]
impl Kind for Clean {
    fn name(&self) -> &'static str {
        "clean"
    }

    fn about(&self) -> &'static str {
        "Removes jobs that are over and kept longer than the settings say."
    }

    async fn run(&self, _: &Run) -> Result<Outcome, Failure> {
        let removed = self.ledger.sweep(now_ms()).await.map_err(Failure::of)?;
        Ok(Outcome::said(format!("removed {removed} jobs")).figure("jobs", removed as f64))
    }
}
