//! `statistics`: the sums over what all users did, made anew, and read into the catalogue where it differs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquee_core::clock::now_ms;
use marquee_store::Store;

use super::super::job::Outcome;
use super::super::kind::{Failure, Kind};
use super::super::run::Run;
use crate::catalog::{Catalog, reread};

/// The kind.
pub(super) struct Statistics {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
}

impl Statistics {
    pub(super) fn new(store: Arc<dyn Store>, catalog: Arc<Catalog>) -> Self {
        Self { store, catalog }
    }
}

#[async_trait]
impl Kind for Statistics {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn about(&self) -> &'static str {
        "Sums up what all users did, and reads movies and sums into the catalogue of the node that runs it; the others \
         follow by themselves."
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        run.reached(0, 2, "summing up");
        self.store.sum_up(Duration::ZERO, now_ms()).await.map_err(Failure::of)?;
        run.breathe().await;
        run.reached(1, 2, "reading into the catalogue");
        reread(self.store.as_ref(), &self.catalog).await.map_err(Failure::of)?;
        let stats = self.store.stats().await.map_err(Failure::of)?;
        run.reached(2, 2, "done");
        let said =
            format!("{} movies, {} users, {} interactions", stats.movies, stats.users, stats.interactions);
        Ok(Outcome::said(said)
            .figure("movies", stats.movies as f64)
            .figure("users", stats.users as f64)
            .figure("interactions", stats.interactions as f64))
    }
}
