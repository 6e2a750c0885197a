//! Keeps the catalogue in memory beside a store that other nodes write to.
//!
//! Every few seconds a node asks the store whether movies, statistics or rules have another revision than
//! those it has read, and reads what changed. One node at a time sums the statistics up anew; which
//! one, the store decides. Over a store of its own a node finds nothing to do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_store::{Revision, Store, StoreError, all_movies};
use tokio::time::{MissedTickBehavior, interval};

use super::Catalog;

const ASK_EVERY: Duration = Duration::from_secs(5);

/// What else is read from the store, and held in memory.
#[async_trait]
pub trait Reread: Send + Sync {
    /// Reads it anew.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read: what was held is held on.
    async fn reread(&self) -> Result<(), StoreError>;
}

/// Brings what the store's other nodes did into a catalogue.
pub struct Follower {
    /// What is followed.
    pub store: Arc<dyn Store>,
    /// What follows it.
    pub catalog: Arc<Catalog>,
    /// What is read anew when rules have changed.
    pub rules: Arc<dyn Reread>,
    /// What the catalogue and the rules were read from.
    pub revision: Revision,
    /// How old the statistics may become.
    pub interval: Duration,
}

impl Follower {
    /// Follows until it is aborted.
    pub async fn run(mut self) {
        let mut ticks = interval(self.interval.clamp(Duration::from_millis(1), ASK_EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.step(now_ms()).await {
                tracing::debug!(%error, "changes of other nodes not read; trying again");
            }
        }
    }

    async fn step(&mut self, now_ms: TimeMs) -> Result<(), StoreError> {
        if self.store.sum_up(self.interval, now_ms).await? {
            tracing::info!("computed the statistics of all nodes");
        }
        let revision = self.store.revision().await?;
        if revision.rules != self.revision.rules {
            self.rules.reread().await?;
            self.revision.rules = revision.rules;
        }
        if revision == self.revision {
            return Ok(());
        }
        let movies = if revision.movies == self.revision.movies {
            Vec::new()
        } else {
            all_movies(self.store.as_ref()).await?
        };
        let stats = self.store.movie_stats().await?;
        let catalog = Arc::clone(&self.catalog);
        let shown = tokio::task::spawn_blocking(move || {
            if !movies.is_empty() {
                catalog.put(movies);
            }
            catalog.set_stats(stats);
        });
        shown.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.revision = revision;
        Ok(())
    }
}
