//! A usearch index that changes while it serves: a vector for each key, the nearest by the cosine.
//!
//! usearch loses and invents entries when it is changed while it is searched, so here one caller at a time has it, and
//! others wait: on an async runtime, calls belong on a thread of their own. What is found is scored in full precision,
//! like the candidates of [`AnnIndex`](crate::AnnIndex).

use std::sync::{Mutex, MutexGuard, PoisonError};

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::RetrievalError;
use super::table::{cosine, inverse_norm};
use crate::query::Method;

/// Up to so many vectors all are compared, so that none is missed.
const EXACT_UP_TO: usize = 10_000;
/// Vectors that there is room for at first; it doubles.
const FIRST_CAPACITY: usize = 1024;
/// Neighbours of a vector, and candidates that an insertion and a search look at. Half of what a model's table has
/// ([`AnnOptions`](crate::AnnOptions)): vectors come and go here, and an insertion is paid for each.
const CONNECTIVITY: usize = 16;
const EXPANSION_ADD: usize = 128;
const EXPANSION_SEARCH: usize = 256;

/// The index.
pub struct LiveIndex {
    dimension: usize,
    index: Mutex<Index>,
}

/// What is near a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// Keys with their cosines, the nearest first, ties by ascending key.
    pub keys: Vec<(u64, f32)>,
    /// How they were found.
    pub method: Method,
}

impl LiveIndex {
    /// An empty index of vectors of so many numbers.
    ///
    /// # Errors
    /// [`RetrievalError::Index`] when usearch refuses, for want of memory for example; so do the other methods.
    pub fn new(dimension: usize) -> Result<Self, RetrievalError> {
        let index = Index::new(&IndexOptions {
            dimensions: dimension,
            metric: MetricKind::Cos,
            quantization: ScalarKind::F32,
            connectivity: CONNECTIVITY,
            expansion_add: EXPANSION_ADD,
            expansion_search: EXPANSION_SEARCH,
            multi: false,
        })
        .map_err(RetrievalError::index)?;
        index.reserve_capacity_and_threads(FIRST_CAPACITY, 1).map_err(RetrievalError::index)?;
        Ok(Self { dimension, index: Mutex::new(index) })
    }

    /// How many numbers a vector has.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.index().size()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives a key this vector, in the place of the one before. A vector without direction is near none, and is not
    /// kept.
    ///
    /// # Errors
    /// [`RetrievalError::Shape`] for a vector of another dimension, too.
    pub fn put(&self, key: u64, vector: &[f32]) -> Result<(), RetrievalError> {
        self.check(vector)?;
        let index = self.index();
        index.remove(key).map_err(RetrievalError::index)?;
        if inverse_norm(vector) == 0.0 {
            return Ok(());
        }
        if index.size() >= index.capacity() {
            index.reserve_capacity_and_threads(2 * index.capacity(), 1).map_err(RetrievalError::index)?;
        }
        index.add(key, vector).map_err(RetrievalError::index)
    }

    /// Takes a key out, if it is there.
    ///
    /// # Errors
    /// [`RetrievalError::Index`].
    pub fn remove(&self, key: u64) -> Result<(), RetrievalError> {
        self.index().remove(key).map(drop).map_err(RetrievalError::index)
    }

    /// The `k` keys whose vectors are nearest to one by the cosine: all of them up to 10,000 vectors, beyond that nearly.
    ///
    /// # Errors
    /// [`RetrievalError::Shape`] for a vector of another dimension, too.
    pub fn nearest(&self, vector: &[f32], k: usize) -> Result<Nearest, RetrievalError> {
        self.check(vector)?;
        let index = self.index();
        let wanted = k.min(index.size());
        let method = if index.size() <= EXACT_UP_TO { Method::Exact } else { Method::Ann };
        if wanted == 0 {
            return Ok(Nearest { keys: Vec::new(), method });
        }
        let found = match method {
            Method::Exact => index.exact_search(vector, wanted),
            Method::Ann | Method::Auto => index.search(vector, wanted),
        };
        let mut keys = Vec::with_capacity(wanted);
        let mut other = vec![0.0; self.dimension];
        for key in found.map_err(RetrievalError::index)?.keys {
            if index.get(key, &mut other).map_err(RetrievalError::index)? > 0 {
                keys.push((key, cosine(vector, &other)));
            }
        }
        keys.sort_by(|(one, near), (other, nearer)| nearer.total_cmp(near).then(one.cmp(other)));
        Ok(Nearest { keys, method })
    }

    fn check(&self, vector: &[f32]) -> Result<(), RetrievalError> {
        let (values, dimension) = (vector.len(), self.dimension);
        if values == dimension { Ok(()) } else { Err(RetrievalError::Shape { values, items: 1, dimension }) }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for LiveIndex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LiveIndex").field("dimension", &self.dimension).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const DIMENSION: usize = 8;

    fn vector(random: &mut StdRng) -> Vec<f32> {
        (0..DIMENSION).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    fn keys(nearest: &Nearest) -> Vec<u64> {
        nearest.keys.iter().map(|(key, _)| *key).collect()
    }

    #[test]
    fn the_nearest_by_direction_come_first_and_a_key_has_its_newest_vector() {
        let index = LiveIndex::new(2).unwrap();
        for (key, vector) in [(1, [1.0, 0.0]), (2, [5.0, 5.0]), (3, [0.0, 1.0]), (3, [-1.0, 0.0])] {
            index.put(key, &vector).unwrap();
        }
        let nearest = index.nearest(&[2.0, 0.0], 9).unwrap();
        assert_eq!(nearest.keys, [(1, 1.0), (2, 0.5_f32.sqrt()), (3, -1.0)]);
        assert_eq!((index.len(), nearest.method), (3, Method::Exact));
    }

    #[test]
    fn what_was_removed_or_has_no_direction_is_not_found() {
        let index = LiveIndex::new(2).unwrap();
        index.put(1, &[1.0, 0.0]).unwrap();
        index.put(2, &[1.0, 0.0]).unwrap();
        index.remove(1).unwrap();
        index.remove(7).unwrap();
        index.put(2, &[0.0, 0.0]).unwrap();
        assert!(index.is_empty());
        assert_eq!(index.nearest(&[1.0, 0.0], 5).unwrap().keys, []);
    }

    #[test]
    fn a_vector_of_another_dimension_is_refused() {
        let index = LiveIndex::new(2).unwrap();
        assert!(matches!(index.put(1, &[1.0]), Err(RetrievalError::Shape { values: 1, .. })));
        assert!(matches!(index.nearest(&[1.0], 1), Err(RetrievalError::Shape { values: 1, .. })));
    }

    /// Twelve thousand vectors of which every one is replaced or removed some time, beside a map that is told the same.
    #[test]
    fn after_many_changes_it_finds_nearly_what_there_is_and_nothing_else() {
        let mut random = StdRng::seed_from_u64(7);
        let (index, mut plain) = (LiveIndex::new(DIMENSION).unwrap(), BTreeMap::new());
        for change in 0..36_000 {
            let key = random.random_range(0..13_000);
            if change % 12 == 0 {
                index.remove(key).unwrap();
                plain.remove(&key);
            } else {
                let vector = vector(&mut random);
                index.put(key, &vector).unwrap();
                plain.insert(key, vector);
            }
        }
        assert_eq!(index.len(), plain.len());
        assert!(index.len() > EXACT_UP_TO, "{} vectors are searched exactly", index.len());
        let (mut found, mut wanted) = (0, 0);
        for _ in 0..50 {
            let query = vector(&mut random);
            let mut expected: Vec<(u64, f32)> =
                plain.iter().map(|(key, vector)| (*key, cosine(&query, vector))).collect();
            expected.sort_by(|(_, near), (_, nearer)| nearer.total_cmp(near));
            let nearest = index.nearest(&query, 10).unwrap();
            assert_eq!(nearest.method, Method::Ann);
            assert!(nearest.keys.iter().all(|(key, _)| plain.contains_key(key)));
            wanted += 10;
            found += expected[..10].iter().filter(|(key, _)| keys(&nearest).contains(key)).count();
        }
        assert!(found * 100 >= wanted * 95, "{found} of {wanted}");
    }
}
