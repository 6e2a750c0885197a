//! Between the catalogue's indexes and a model's rows.
//!
//! A model knows some of the catalogue's movies, and the catalogue may lack some of the model's. The
//! map between the two is made once for a model and a catalogue snapshot, and kept with the model: it goes when the
//! model is unloaded, and keeps no catalogue from going. A model that does not belong to the catalogue ([`Fit`])
//! knows none of its movies.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use marquee_core::domain::MovieId;
use marquee_engine::{Bundle, Model};
use marquee_retrieval::ItemRow;
use roaring::RoaringBitmap;

use super::fit::Fit;
use crate::catalog::Movies;

/// No row.
const NONE: u32 = u32::MAX;

/// The map of one model and one catalogue snapshot.
pub(super) struct ModelIndex {
    movies: Weak<Movies>,
    fit: Fit,
    is_used: bool,
    row_of_index: Vec<ItemRow>,
    servable: Option<Arc<RoaringBitmap>>,
}

impl ModelIndex {
    fn new(bundle: &Bundle, movies: &Arc<Movies>, mismatch: Mismatch) -> Self {
        let fit = Fit::of(bundle, movies);
        let is_used = fit.belongs() || mismatch == Mismatch::Allowed;
        let row_of = |movie_id| if is_used { bundle.row_of(movie_id) } else { None };
        let row_of_index: Vec<ItemRow> = movies
            .slots()
            .map(|movie| movie.and_then(|movie| row_of(movie.movie_id)).unwrap_or(NONE))
            .collect();
        let known: RoaringBitmap = row_of_index.iter().copied().filter(|row| *row != NONE).collect();
        let all_known = known.len() == bundle.items() as u64;
        let servable = (!movies.is_empty() && !all_known).then(|| Arc::new(known));
        Self { movies: Arc::downgrade(movies), fit, is_used, row_of_index, servable }
    }

    /// How the two fit.
    pub(super) fn fit(&self) -> Fit {
        self.fit
    }

    /// Whether the model is used for the catalogue.
    pub(super) fn is_used(&self) -> bool {
        self.is_used
    }

    /// The row of a movie, whether or not the catalogue has it.
    pub(super) fn row_of(&self, bundle: &Bundle, movie_id: MovieId) -> Option<ItemRow> {
        if self.is_used { bundle.row_of(movie_id) } else { None }
    }

    fn say(&self, version: &str) {
        let fit = self.fit;
        if !self.is_used {
            tracing::warn!(
                version,
                "the model does not belong to this catalogue and is not used: {fit}; serve a bundle that was trained \
                 on these movies, or start with --allow-mismatched-model"
            );
        } else if fit.is_doubtful() {
            tracing::warn!(version, "the model may not belong to this catalogue: {fit}");
        } else {
            tracing::info!(version, "model and catalogue: {fit}");
        }
    }

    /// The rows whose movies the catalogue has; `None` when it has all of them. An empty catalogue
    /// restricts nothing: the server is then used for its model alone, and answers ids without titles.
    pub(super) fn servable(&self) -> Option<Arc<RoaringBitmap>> {
        self.servable.clone()
    }

    /// The catalogue indexes of the movies that the model knows.
    pub(super) fn known(&self) -> RoaringBitmap {
        let known = (0..).zip(&self.row_of_index).filter(|(_, row)| **row != NONE).map(|(index, _)| index);
        RoaringBitmap::from_sorted_iter(known).expect("indexes ascend")
    }

    /// The rows of these catalogue indexes.
    pub(super) fn rows_of(&self, indexes: &RoaringBitmap) -> RoaringBitmap {
        indexes
            .iter()
            .filter_map(|index| self.row_of_index.get(index as usize).copied())
            .filter(|row| *row != NONE)
            .collect()
    }
}

/// What becomes of a model that does not belong to the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mismatch {
    /// It is not used.
    #[default]
    Refused,
    /// It is used: its ids are taken at their word.
    Allowed,
}

/// Makes the maps.
#[derive(Default)]
pub(super) struct ModelIndexes {
    pub(super) mismatch: Mismatch,
}

/// The newest map of a model.
#[derive(Default)]
struct Newest(Mutex<Option<Arc<ModelIndex>>>);

impl ModelIndexes {
    /// The map of this model and this snapshot.
    pub(super) fn get(&self, model: &Model, movies: &Arc<Movies>) -> Arc<ModelIndex> {
        let newest = model.extension(Newest::default);
        let mut newest = newest.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |map: &&Arc<ModelIndex>| std::ptr::eq(map.movies.as_ptr(), Arc::as_ptr(movies));
        if let Some(map) = newest.as_ref().filter(is_of) {
            return Arc::clone(map);
        }
        let map = Arc::new(ModelIndex::new(model.bundle(), movies, self.mismatch));
        let before = newest.replace(Arc::clone(&map));
        // Movies come in many parts, each of which makes a snapshot.
        if before.is_none_or(|before| before.is_used != map.is_used) {
            map.say(model.bundle().version());
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use marquee_engine::{Device, Engine, EngineOptions, Precision};
    use marquee_retrieval::{ExactScorer, RetrievalError, Scorer};

    use super::*;

    fn exact(bundle: &Arc<Bundle>) -> Result<Arc<dyn Scorer>, RetrievalError> {
        let table = bundle.output_embeddings();
        Ok(Arc::new(ExactScorer::build(table, bundle.dimension(), &bundle.vocabulary)?))
    }

    async fn loaded() -> (Engine, Arc<Model>) {
        let engine = Engine::start(EngineOptions { workers: 1, ..EngineOptions::default() });
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx/fixtures/tiny");
        let model = engine.load(&fixture, Device::Cpu, Precision::Fp32, exact).await.unwrap();
        (engine, model)
    }

    #[tokio::test]
    async fn a_map_is_made_once_for_a_snapshot_and_keeps_no_snapshot_from_going() {
        let (_engine, model) = loaded().await;
        let indexes = ModelIndexes::default();
        let movies = Arc::new(Movies::default());
        let map = indexes.get(&model, &movies);
        assert!(Arc::ptr_eq(&map, &indexes.get(&model, &movies)));
        assert!(!Arc::ptr_eq(&map, &indexes.get(&model, &Arc::new(Movies::default()))));
        let snapshot = Arc::downgrade(&movies);
        drop(movies);
        assert_eq!(snapshot.strong_count(), 0);
    }

    #[tokio::test]
    async fn the_map_of_an_unloaded_model_goes_with_it() {
        let (engine, model) = loaded().await;
        let movies = Arc::new(Movies::default());
        let map = Arc::downgrade(&ModelIndexes::default().get(&model, &movies));
        assert_eq!(map.strong_count(), 1);
        engine.unload(model.bundle().version()).unwrap();
        drop(model);
        while map.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
