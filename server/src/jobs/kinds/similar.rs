//! `similar`: the table of similar movies, built anew from what users did.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::job::Outcome;
use super::super::kind::{Failure, Kind};
use super::super::run::Run;
use crate::similar::Keeper;

/// The kind.
pub(super) struct Similar {
    keeper: Arc<Keeper>,
}

impl Similar {
    pub(super) fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper }
    }
}

#[async_trait]
impl Kind for Similar {
    fn name(&self) -> &'static str {
        "similar"
    }

    fn about(&self) -> &'static str {
        "Builds the table of similar movies anew on the node that runs it, and keeps it in the data folder."
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        run.reached(0, 0, "counting which movies the same users watch");
        let table = self.keeper.build().await.map_err(Failure::of)?;
        let said =
            format!("the neighbours of {} movies, by what {} users did", table.len(), table.from.users);
        Ok(Outcome::said(said)
            .figure("movies", table.len() as f64)
            .figure("users", table.from.users as f64)
            .figure("interactions", table.from.interactions as f64))
    }
}
