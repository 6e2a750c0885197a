//! Between the catalogue's indexes and a model's rows.
//!
//! A model knows some of the catalogue's movies, and the catalogue may lack some of the model's. The
//! map between the two is made once for a model and a catalogue snapshot, and remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use roaring::RoaringBitmap;

use crate::catalog::Movies;
use crate::engine::{ItemRow, Model};

/// No row.
const NONE: u32 = u32::MAX;

/// The map of one model and one catalogue snapshot.
pub(super) struct RowMap {
    movies: Arc<Movies>,
    row_of_index: Vec<ItemRow>,
    servable: Option<Arc<RoaringBitmap>>,
}

impl RowMap {
    fn new(model: &Model, movies: Arc<Movies>) -> Self {
        let bundle = model.bundle();
        let row_of_index: Vec<ItemRow> =
            movies.iter().map(|movie| bundle.row_of(movie.movie_id).unwrap_or(NONE)).collect();
        let known: RoaringBitmap = row_of_index.iter().copied().filter(|row| *row != NONE).collect();
        let all_known = known.len() == bundle.items() as u64;
        let servable = (!movies.is_empty() && !all_known).then(|| Arc::new(known));
        Self { movies, row_of_index, servable }
    }

    /// The rows whose movies the catalogue has; `None` when it has all of them. An empty catalogue
    /// restricts nothing: the server is then used for its model alone, and answers ids without titles.
    pub(super) fn servable(&self) -> Option<Arc<RoaringBitmap>> {
        self.servable.clone()
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

/// The maps in use, by model version.
#[derive(Default)]
pub(super) struct RowMaps {
    maps: Mutex<HashMap<String, Arc<RowMap>>>,
}

impl RowMaps {
    /// The map of this model and this snapshot.
    pub(super) fn get(&self, model: &Model, movies: &Arc<Movies>) -> Arc<RowMap> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let version = model.bundle().version();
        if let Some(map) = maps.get(version).filter(|map| Arc::ptr_eq(&map.movies, movies)) {
            return Arc::clone(map);
        }
        let map = Arc::new(RowMap::new(model, Arc::clone(movies)));
        maps.insert(version.to_owned(), Arc::clone(&map));
        map
    }
}
