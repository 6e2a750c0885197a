//! The numbers of movies' keys: each key is given one, once, however many bring it in at the same time.
//!
//! Numbers are taken in blocks from a counter that changes by compare-and-set, and a key gets its number by an insert
//! that one alone can do. Whoever was slower takes the number that lies there; what it had taken itself stays unused.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use marquee_core::clock::now_ms;
use marquee_core::domain::{MovieId, MovieRecord};
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError};
use sha2::{Digest as _, Sha256};

/// The first number that is given. MovieLens' are far below; languages without unsigned numbers have these too.
pub const FIRST_KEYED_MOVIE: MovieId = 1 << 30;

/// The last one.
pub const LAST_KEYED_MOVIE: MovieId = END - 1;

const END: MovieId = 1 << 31;

/// Of a movie whose key has no number yet: an id that no movie has.
pub const UNNUMBERED: MovieId = 0;

/// Whether keys are given such numbers.
pub const fn is_keyed_movie(movie_id: MovieId) -> bool {
    FIRST_KEYED_MOVIE <= movie_id && movie_id < END
}

/// Keys that are asked about at once.
const AT_ONCE: usize = 64;

/// How often a block of numbers is tried for that others were faster to take.
const TRIES: usize = 1_000;

const NEXT: DocumentId<'static> = DocumentId { kind: DocumentKind::MovieNumber, part: "", key: "next" };

/// Why keys have no numbers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MovieKeysError {
    /// All have been given.
    #[error("there are no more numbers for the keys of movies")]
    None,
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Numbers the movies that have keys and no numbers.
///
/// # Errors
/// [`MovieKeysError`].
pub async fn number_movies(store: &dyn Store, movies: &mut [MovieRecord]) -> Result<(), MovieKeysError> {
    let unnumbered = || movies.iter().filter(|movie| movie.movie_id == UNNUMBERED);
    let keys: BTreeSet<String> = unnumbered().filter_map(|movie| movie.key.clone()).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let given = numbers_of_movies(store, keys.clone()).await?;
    let numbers: HashMap<_, _> = keys.into_iter().zip(given).collect();
    for movie in movies.iter_mut().filter(|movie| movie.movie_id == UNNUMBERED) {
        if let Some(number) = movie.key.as_deref().and_then(|key| numbers.get(key)) {
            movie.movie_id = *number;
        }
    }
    Ok(())
}

/// The numbers of these keys, in order; one that has none gets one. Each key stands there once.
///
/// # Errors
/// [`MovieKeysError`].
async fn numbers_of_movies(store: &dyn Store, keys: Vec<String>) -> Result<Vec<MovieId>, MovieKeysError> {
    let known = |key: String| async move { number_of(store, &key).await };
    let known: Vec<_> = stream::iter(keys.clone()).map(known).buffered(AT_ONCE).try_collect().await?;
    let missing = known.iter().filter(|number| number.is_none()).count();
    let mut free = taken(store, missing as MovieId).await?..END;
    let given = known.into_iter().zip(keys).map(|(known, key)| {
        let free = if known.is_none() { free.next() } else { None };
        async move {
            match (known, free) {
                (Some(number), _) => Ok(number),
                (None, Some(number)) => Ok(give(store, &key, number).await?),
                (None, None) => Err(MovieKeysError::None),
            }
        }
    });
    let given: Vec<_> = given.collect();
    stream::iter(given).buffered(AT_ONCE).try_collect().await
}

/// The number that a key was given.
async fn number_of(store: &dyn Store, key: &str) -> Result<Option<MovieId>, StoreError> {
    let part = part_of(key);
    let id = DocumentId { kind: DocumentKind::MovieKey, part: &part, key };
    store.documents().get(id, now_ms()).await?.map(|bytes| read(&bytes)).transpose()
}

/// Gives a key this number, or finds the one that another gave it.
async fn give(store: &dyn Store, key: &str, number: MovieId) -> Result<MovieId, StoreError> {
    let part = part_of(key);
    let id = DocumentId { kind: DocumentKind::MovieKey, part: &part, key };
    if store.documents().insert(id, &written(number), now_ms()).await? {
        return Ok(number);
    }
    let gone = || StoreError::Unavailable(format!("the number of the key {key:?} cannot be read"));
    number_of(store, key).await?.ok_or_else(gone)
}

/// The first of so many numbers that nobody else takes.
async fn taken(store: &dyn Store, count: MovieId) -> Result<MovieId, MovieKeysError> {
    if count == 0 {
        return Ok(END);
    }
    let documents = store.documents();
    for _ in 0..TRIES {
        let lying = documents.get(NEXT, now_ms()).await?;
        let first = lying.as_deref().map_or(Ok(FIRST_KEYED_MOVIE), read)?;
        let next = first.checked_add(count).filter(|next| *next <= END).ok_or(MovieKeysError::None)?;
        let is_ours = match &lying {
            None => documents.insert(NEXT, &written(next), now_ms()).await?,
            Some(lying) => documents.replace(NEXT, lying, &written(next), now_ms()).await?,
        };
        if is_ours {
            return Ok(first);
        }
    }
    Err(StoreError::Unavailable("others take numbers of movies all the time".to_owned()).into())
}

fn written(number: MovieId) -> Content {
    Content::lasting(number.to_string())
}

fn read(bytes: &[u8]) -> Result<MovieId, StoreError> {
    let number = str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| StoreError::Corrupt("the number of a movie's key is none".to_owned()))
}

/// One of 256 parts, so that no partition grows with the catalogue.
fn part_of(key: &str) -> String {
    hex::encode(&Sha256::digest(key.as_bytes())[..1])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use marquee_store::RedbStore;

    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_key_is_given_one_number_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(folder.path()).unwrap();
        let first = numbers_of_movies(&store, keys(&["heat", "ran"])).await.unwrap();
        assert_eq!(first, [FIRST_KEYED_MOVIE, FIRST_KEYED_MOVIE + 1]);
        let again = numbers_of_movies(&store, keys(&["ran", "dune", "heat"])).await.unwrap();
        assert_eq!(again, [first[1], FIRST_KEYED_MOVIE + 2, first[0]]);
        assert!(numbers_of_movies(&store, Vec::new()).await.unwrap().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn racing_importers_give_each_key_one_number_and_no_number_twice() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
        let importers = (0..4).map(|importer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let keys: Vec<_> =
                    (0..500).map(|number| format!("movie {}", (number + importer * 50) % 600)).collect();
                let mut given = Vec::new();
                for chunk in keys.chunks(25) {
                    given.extend(numbers_of_movies(store.as_ref(), chunk.to_vec()).await.unwrap());
                }
                keys.into_iter().zip(given).collect::<Vec<_>>()
            })
        });
        let importers: Vec<_> = importers.collect();
        let mut pairs = HashSet::new();
        for importer in importers {
            pairs.extend(importer.await.unwrap());
        }
        let (keys, numbers): (HashSet<_>, HashSet<_>) = pairs.iter().cloned().unzip();
        assert_eq!((pairs.len(), keys.len(), numbers.len()), (600, 600, 600));
    }
}
