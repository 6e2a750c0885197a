//! `sync`: do the catalogue in memory, the store and the model's index say the same?
//!
//! The figure `drift` is the larger of the shares that differ: movies that only one of catalogue and store has, and what
//! their statistics differ by. `unknown_to_model` is the share of movies that no index finds, which a new model mends.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use marquee_core::domain::MovieId;
use marquee_store::{Store, all_movies};

use super::super::job::Outcome;
use super::super::kind::{Failure, Kind};
use super::super::run::Run;
use crate::catalog::Catalog;
use crate::recommend::Recommender;

/// The kind.
pub(super) struct Sync {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    recommender: Arc<Recommender>,
}

impl Sync {
    pub(super) fn new(store: Arc<dyn Store>, catalog: Arc<Catalog>, recommender: Arc<Recommender>) -> Self {
        Self { store, catalog, recommender }
    }

    /// The share of the interactions of all movies by which catalogue and store differ.
    async fn statistics(&self) -> Result<f64, Failure> {
        let stored = self.store.movie_stats().await.map_err(Failure::of)?;
        let stored: HashMap<MovieId, u64> =
            stored.iter().map(|stats| (stats.movie_id, stats.popularity)).collect();
        let movies = self.catalog.movies();
        let (mut differing, mut all) = (0, 0);
        for index in movies.indexes() {
            let expected = stored.get(&movies.movie_id(index)).copied().unwrap_or_default();
            differing += self.catalog.popularity(index).abs_diff(expected);
            all += expected;
        }
        Ok(share(differing as usize, all as usize))
    }
}

#[async_trait]
impl Kind for Sync {
    fn name(&self) -> &'static str {
        "sync"
    }

    fn about(&self) -> &'static str {
        "Compares the catalogue of the node that runs it with the store and with what the model knows; the figure drift \
         is 0 where they agree."
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        run.reached(0, 3, "movies of the store");
        let stored = all_movies(self.store.as_ref()).await.map_err(Failure::of)?;
        run.breathe().await;
        let movies = self.catalog.movies();
        let unseen = stored.iter().filter(|movie| movies.get(movie.movie_id).is_none()).count();
        let is_stored = |movie_id: &MovieId| stored.binary_search_by_key(movie_id, |it| it.movie_id).is_ok();
        let unstored = movies.iter().filter(|movie| !is_stored(&movie.movie_id)).count();
        let of_movies = share(unseen + unstored, stored.len().max(movies.len()));
        run.reached(1, 3, "statistics");
        let of_statistics = self.statistics().await?;
        run.breathe().await;
        run.reached(2, 3, "what the model knows");
        let unknown = self.recommender.model().ok().map(|model| {
            movies.iter().filter(|movie| model.bundle().row_of(movie.movie_id).is_none()).count()
        });
        let of_model = unknown.map(|unknown| share(unknown, movies.len()));
        run.reached(3, 3, "done");
        let drift = of_movies.max(of_statistics);
        let said = format!(
            "{unseen} movies are in the store alone, {unstored} in the catalogue alone; their statistics differ by {:.4} \
             %; the model knows all but {}",
            100.0 * of_statistics,
            unknown.map_or("none: there is no model".to_owned(), |unknown| format!("{unknown} movies")),
        );
        Ok(Outcome::said(said)
            .figure("drift", drift)
            .figure("movies_drift", of_movies)
            .figure("statistics_drift", of_statistics)
            .figure("unknown_to_model", of_model.unwrap_or(f64::NAN)))
    }
}

/// The share of so many; none of none.
fn share(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}
