//! Keeps the catalogue in memory beside a store that other nodes write to.
//!
//! Four times a second a node asks the store whether movies, statistics or rules have another revision than those it has read,
//! which is one small read, and reads them then, so that a movie is everywhere within a second. Who reads long rests long.
//! One node at a time sums the statistics up anew; which one, the store decides. Over a store of its own a node finds
//! nothing to do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquee_core::clock::now_ms;
use marquee_core::domain::{MovieRecord, TimeMs};
use marquee_store::{Revision, Store, StoreError, all_movies};
use roaring::RoaringBitmap;
use tokio::time::{Instant, sleep};

use super::Catalog;

/// How often it is asked whether something has changed.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// How often it is asked whether the statistics are old.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// What was read for a while is not read again for so many times as long: a node that others import into goes on serving.
const REST: u32 = 4;

/// How often the store is read until nobody has written meanwhile.
const REREADS: usize = 5;

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
        let shortest = Duration::from_millis(1);
        let ask_every = self.interval.clamp(shortest, ASK_EVERY);
        let sum_up_every = self.interval.clamp(shortest, SUM_UP_EVERY);
        let mut sum_up_at = Instant::now();
        loop {
            let began = Instant::now();
            let outcome = if began >= sum_up_at {
                sum_up_at = began + sum_up_every;
                self.sum_up(now_ms()).await
            } else {
                Ok(())
            };
            let outcome = outcome.and(self.step().await);
            if let Err(error) = outcome {
                tracing::debug!(%error, "changes of other nodes not read; trying again");
            }
            sleep(ask_every.max(began.elapsed() * REST)).await;
        }
    }

    async fn sum_up(&self, now_ms: TimeMs) -> Result<(), StoreError> {
        if self.store.sum_up(self.interval, now_ms).await? {
            tracing::info!("computed the statistics of all nodes");
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), StoreError> {
        let revision = self.store.revision().await?;
        if revision.rules != self.revision.rules {
            self.rules.reread().await?;
            self.revision.rules = revision.rules;
        }
        if revision == self.revision {
            return Ok(());
        }
        let alone = self.catalog.alone().await;
        let movies = if revision.movies == self.revision.movies {
            None
        } else {
            Some(all_movies(self.store.as_ref()).await?)
        };
        show(self.store.as_ref(), &self.catalog, movies).await?;
        drop(alone);
        self.revision = revision;
        Ok(())
    }
}

/// Reads movies and statistics of the store into a catalogue, whatever it has; again, while others write. Of what is
/// written in the last moment the catalogue may count some twice or not at all.
///
/// # Errors
/// [`StoreError`] when they cannot be read: the catalogue is as it was.
pub async fn reread(store: &dyn Store, catalog: &Arc<Catalog>) -> Result<(), StoreError> {
    let _alone = catalog.alone().await;
    for _ in 0..REREADS {
        let before = store.stats().await?;
        let movies = all_movies(store).await?;
        show(store, catalog, Some(movies)).await?;
        if store.stats().await? == before {
            break;
        }
    }
    Ok(())
}

/// Shows the movies that there are, if they may be others than before, and the statistics of now.
async fn show(
    store: &dyn Store,
    catalog: &Arc<Catalog>,
    movies: Option<Vec<MovieRecord>>,
) -> Result<(), StoreError> {
    let stats = store.movie_stats().await?;
    let catalog = Arc::clone(catalog);
    let shown = tokio::task::spawn_blocking(move || {
        if let Some(mut movies) = movies {
            let before = catalog.movies();
            let stored: RoaringBitmap = movies.iter().map(|movie| movie.movie_id).collect();
            let ids = before.iter().map(|movie| movie.movie_id);
            let gone: Vec<_> = ids.filter(|movie_id| !stored.contains(*movie_id)).collect();
            catalog.remove(&gone);
            movies.retain(|movie| !before.has(movie));
            if !movies.is_empty() {
                catalog.put(movies);
            }
        }
        catalog.set_stats(stats);
    });
    shown.await.map_err(|error| StoreError::Unavailable(error.to_string()))
}
