//! Movies that wait to be written.
//!
//! Whatever brings movies in has the title index built anew, which takes as long for one movie as for
//! thousands. So while one write is under way all that comes gathers here, and the next takes it as one. A
//! caller that goes away before that takes its movies along.
//!
//! What waits is held in memory, so it is bounded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use marquee_core::domain::{MovieId, MovieRecord};
use marquee_store::StoreError;
use tokio::sync::oneshot;

/// Bytes of movies that may wait: those of some 300,000 usual ones.
const MAX_BYTES: usize = 64 << 20;

/// What a caller that waits takes beside its movies.
const CALLER_BYTES: usize = 4 << 10;

/// How many of a caller's movies were new.
type Added = Result<u64, StoreError>;

/// More waits than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MAX_BYTES} bytes of movies wait to be imported already; wait for the time in RetryInfo, and import many at once"
)]
pub struct Crowded;

/// The line.
#[derive(Default)]
pub(super) struct Imports {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    imports: Vec<Import>,
    bytes: usize,
}

/// What one caller brought.
struct Import {
    movies: Vec<MovieRecord>,
    bytes: usize,
    reply: oneshot::Sender<Added>,
}

impl Imports {
    /// Puts movies at the end of the line. They leave it when the receiver is dropped.
    pub(super) fn join(&self, movies: Vec<MovieRecord>) -> Result<oneshot::Receiver<Added>, Crowded> {
        let (reply, added) = oneshot::channel();
        let bytes = CALLER_BYTES + movies.iter().map(MovieRecord::bytes).sum::<usize>();
        let mut waiting = self.waiting();
        if !waiting.has_room(bytes) {
            waiting.forget_the_gone();
        }
        if !waiting.has_room(bytes) {
            return Err(Crowded);
        }
        waiting.bytes += bytes;
        waiting.imports.push(Import { movies, bytes, reply });
        Ok(added)
    }

    /// Everything that waits and whose caller is still there.
    pub(super) fn take(&self) -> Batch {
        let waiting = std::mem::take(&mut *self.waiting());
        waiting.imports.into_iter().filter(Import::is_wanted).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// A caller that waits alone may bring more than the bound.
    fn has_room(&self, bytes: usize) -> bool {
        self.imports.is_empty() || self.bytes.saturating_add(bytes) <= MAX_BYTES
    }

    fn forget_the_gone(&mut self) {
        self.imports.retain(Import::is_wanted);
        self.bytes = self.imports.iter().map(|import| import.bytes).sum();
    }
}

impl Import {
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }
}

/// Several imports as one write.
#[derive(Default)]
pub(super) struct Batch {
    /// Each movie once: of several with one id the one that came last.
    pub(super) movies: Vec<MovieRecord>,
    pub(super) callers: Callers,
}

/// The callers of a batch.
#[derive(Default)]
pub(super) struct Callers {
    /// For each movie the number of the caller who brought it first.
    first: Vec<usize>,
    replies: Vec<oneshot::Sender<Added>>,
}

impl FromIterator<Import> for Batch {
    fn from_iter<I: IntoIterator<Item = Import>>(imports: I) -> Self {
        let mut batch = Self::default();
        let mut places: HashMap<MovieId, usize> = HashMap::new();
        for import in imports {
            for movie in import.movies {
                match places.entry(movie.movie_id) {
                    Entry::Occupied(place) => batch.movies[*place.get()] = movie,
                    Entry::Vacant(place) => {
                        place.insert(batch.movies.len());
                        batch.movies.push(movie);
                        batch.callers.first.push(batch.callers.replies.len());
                    }
                }
            }
            batch.callers.replies.push(import.reply);
        }
        batch
    }
}

impl Callers {
    /// Answers each how many of its movies were new; `outcome` says it of every movie of the batch.
    pub(super) fn answer(self, outcome: &Result<Vec<bool>, StoreError>) {
        let mut added = vec![0; self.replies.len()];
        for (caller, is_new) in self.first.iter().zip(outcome.iter().flatten()) {
            added[*caller] += u64::from(*is_new);
        }
        for (reply, added) in self.replies.into_iter().zip(added) {
            // A caller that went away has no use for it.
            let _ = reply.send(outcome.as_ref().map(|_| added).map_err(StoreError::clone));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movie(movie_id: MovieId, title: &str) -> MovieRecord {
        MovieRecord { movie_id, title: title.to_owned(), ..MovieRecord::default() }
    }

    fn titles(batch: &Batch) -> Vec<&str> {
        batch.movies.iter().map(|movie| &*movie.title).collect()
    }

    #[test]
    fn of_several_movies_with_one_id_the_last_is_written_and_the_first_was_new() {
        let imports = Imports::default();
        let mut first = imports.join(vec![movie(1, "A"), movie(2, "B"), movie(1, "C")]).unwrap();
        let mut second = imports.join(vec![movie(2, "D"), movie(3, "E")]).unwrap();
        let batch = imports.take();
        assert_eq!(titles(&batch), ["C", "D", "E"]);
        batch.callers.answer(&Ok(vec![true, true, false]));
        assert_eq!(first.try_recv().unwrap().unwrap(), 2);
        assert_eq!(second.try_recv().unwrap().unwrap(), 0);
        assert!(imports.take().movies.is_empty());
    }

    #[test]
    fn movies_whose_caller_went_away_are_not_taken() {
        let imports = Imports::default();
        drop(imports.join(vec![movie(1, "Gone")]).unwrap());
        let _there = imports.join(vec![movie(2, "There")]).unwrap();
        assert_eq!(titles(&imports.take()), ["There"]);
    }

    #[test]
    fn every_caller_hears_of_a_failure() {
        let imports = Imports::default();
        let mut added = imports.join(vec![movie(1, "A")]).unwrap();
        imports.take().callers.answer(&Err(StoreError::Timeout));
        assert!(matches!(added.try_recv().unwrap(), Err(StoreError::Timeout)));
    }

    #[test]
    fn what_waits_is_bounded_and_what_nobody_waits_for_does_not_count() {
        let imports = Imports::default();
        let half = || vec![movie(1, &"x".repeat(MAX_BYTES / 2 - 2 * CALLER_BYTES))];
        let (first, _second) = (imports.join(half()).unwrap(), imports.join(half()).unwrap());
        assert_eq!(imports.join(half()).unwrap_err(), Crowded);
        drop(first);
        let _third = imports.join(half()).unwrap();
    }

    #[test]
    fn an_import_larger_than_the_bound_waits_alone() {
        let imports = Imports::default();
        let _alone = imports.join(vec![movie(1, &"x".repeat(MAX_BYTES))]).unwrap();
        assert_eq!(imports.join(vec![movie(2, "B")]).unwrap_err(), Crowded);
    }
}
