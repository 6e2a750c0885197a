//! The catalogue in memory: movies, bitmap filters, statistics and title search.
//!
//! Movies change seldom, so they are one immutable snapshot that [`Catalog::put`] replaces; readers
//! take it without a lock. Statistics change with every event and are counted in place.

mod attributes;
mod content;
mod filter;
mod follower;
mod lexicon;
mod listing;
mod movies;
mod numbers;
mod search;
mod stats;
mod suggest;
#[cfg(test)]
mod tests;
mod text;
mod typo;

use std::collections::HashMap;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;
use marquee_core::Trend;
use marquee_core::domain::{Interaction, MovieId, MovieRecord};
use marquee_core::statistics::{MovieStats, Opinion, RatingCounts, opinions};
use marquee_store::{Deleted, Recorded};
use roaring::RoaringBitmap;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

pub use self::attributes::{AttributeCondition, AttributeTest};
use self::content::ContentIndex;
pub use self::filter::{Condition, Filter, GenreList};
pub use self::follower::{Follower, Reread, reread};
pub use self::listing::{Listing, Order};
pub use self::movies::{Movie, Movies};
pub use self::search::Hit;
use self::search::Titles;
pub use self::stats::After;
use self::stats::{Orders, Page, Ratings};
pub use self::suggest::Suggestion;

/// What the catalogue cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// A filter names a genre that no movie has.
    #[error("there is no genre {name:?}; the genres are {known}")]
    UnknownGenre {
        /// Where it stands in the filter.
        list: GenreList,
        /// The name in the filter.
        name: String,
        /// All genres, or the first and how many more there are.
        known: String,
    },
}

/// What [`Catalog::put`] replaces as one.
struct Snapshot {
    movies: Arc<Movies>,
    titles: Arc<Titles>,
    content: Arc<ContentIndex>,
    ratings: Ratings,
}

/// The catalogue. All methods may be called from many threads at once.
pub struct Catalog {
    snapshot: ArcSwap<Snapshot>,
    orders: RwLock<Orders>,
    put: Mutex<()>,
    /// See [`Catalog::alone`].
    changes: Arc<AsyncMutex<()>>,
    #[cfg(test)]
    index_builds: AtomicU64,
}

impl Catalog {
    /// A catalogue of these movies. Statistics of movies that are not among them are kept for when they come.
    pub fn new(movies: Vec<MovieRecord>, stats: Vec<MovieStats>) -> Self {
        let mut movies = Movies::new(movies);
        for stats in &stats {
            movies.hold(stats.movie_id);
        }
        let movies = Arc::new(movies);
        let by_index = by_index(&movies, stats);
        let mut ratings = Ratings::default();
        ratings.grow(movies.end() as usize);
        for (index, (_, stats)) in (0..).zip(&by_index) {
            ratings.load(index, stats);
        }
        let titles = Arc::new(Titles::new(&movies));
        let content = Arc::new(ContentIndex::new(&movies));
        let orders = RwLock::new(Orders::new(&by_index, movies.indexes()));
        Self {
            snapshot: ArcSwap::from_pointee(Snapshot { movies, titles, content, ratings }),
            orders,
            put: Mutex::new(()),
            changes: Arc::default(),
            #[cfg(test)]
            index_builds: AtomicU64::new(1),
        }
    }

    /// Lets one alone change movies, in the store and here, or read them from the store to show them: so of two changes the
    /// catalogue has the one that the store has, and none is undone by what was read before it.
    pub(crate) async fn alone(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.changes).lock_owned().await
    }

    /// The movies as they are now.
    pub fn movies(&self) -> Arc<Movies> {
        self.snapshot.load().movies.clone()
    }

    /// The dense indexes that pass a filter; `None` when the filter is empty, so that all do.
    ///
    /// # Errors
    /// [`CatalogError::UnknownGenre`] for a genre that no movie has.
    pub fn select(&self, filter: &Filter) -> Result<Option<RoaringBitmap>, CatalogError> {
        let snapshot = self.snapshot.load();
        filter.select(&snapshot.movies, &snapshot.ratings)
    }

    /// The conditions of a filter that a movie fails; none when it passes, or the catalogue does not have it.
    ///
    /// # Errors
    /// [`CatalogError::UnknownGenre`] for a genre that no movie has.
    pub fn failed_conditions(
        &self,
        filter: &Filter,
        movie_id: MovieId,
    ) -> Result<Vec<Condition>, CatalogError> {
        let mut failed = Vec::new();
        let Some(index) = self.movies().index_of(movie_id) else { return Ok(failed) };
        for condition in Condition::ALL {
            let selected = self.select(&filter.only(condition, movie_id))?;
            if selected.is_some_and(|indexes| !indexes.contains(index)) {
                failed.push(condition);
            }
        }
        Ok(failed)
    }

    /// Movies by the number of users to whose taste they are, most first, ties by ascending id, each
    /// as its dense index and that number.
    ///
    /// `selection` holds dense indexes, `exclude` movie ids. Movies that nobody knows come last
    /// rather than not at all. A page goes on after the score and id of the last one before it.
    pub fn popular(
        &self,
        selection: Option<&RoaringBitmap>,
        exclude: &RoaringBitmap,
        after: Option<After>,
        limit: usize,
    ) -> Vec<(u32, f64)> {
        self.orders().popular(Page { selection, exclude, after, limit })
    }

    /// Like [`Catalog::popular`], by recency; the score is [`Trend::score`], which compares without a
    /// clock.
    pub fn trending(
        &self,
        selection: Option<&RoaringBitmap>,
        exclude: &RoaringBitmap,
        after: Option<After>,
        limit: usize,
    ) -> Vec<(u32, f64)> {
        self.orders().trending(Page { selection, exclude, after, limit })
    }

    /// Dense indexes of the movies whose titles fit a query best, best first. `selection` holds
    /// dense indexes.
    pub fn search(&self, query: &str, selection: Option<&RoaringBitmap>, limit: usize) -> Vec<u32> {
        self.hits(query, selection, limit).into_iter().map(|hit| hit.index).collect()
    }

    fn hits(&self, query: &str, selection: Option<&RoaringBitmap>, limit: usize) -> Vec<Hit> {
        let snapshot = self.snapshot.load();
        // Titles of movies that were removed stay in their index until it is built anew.
        let there = snapshot.movies.has_gaps().then(|| snapshot.movies.indexes());
        snapshot.titles.search(query, selection.or(there), limit, |index| snapshot.ratings.count(index))
    }

    /// How much each movie, by dense index, has in common with one, by what is said of them: 0 to 1. The movies are
    /// those of now, or of before.
    pub(crate) fn likeness(&self, movie: &Movie) -> Vec<f32> {
        self.snapshot.load().content.likeness(movie)
    }

    /// The average of the users' latest ratings in stars; `None` without ratings.
    ///
    /// # Panics
    /// When `index` is not of this catalogue; so do the other methods that take one.
    pub fn average(&self, index: u32) -> Option<f64> {
        self.snapshot.load().ratings.average(index)
    }

    /// How many users rated the movie.
    pub fn ratings(&self, index: u32) -> u64 {
        u64::from(self.snapshot.load().ratings.count(index))
    }

    /// How many of a movie's ratings there are of each value; of all movies' when none is named.
    pub fn rating_counts(&self, index: Option<u32>) -> RatingCounts {
        let snapshot = self.snapshot.load();
        if let Some(index) = index {
            return snapshot.ratings.counts(index);
        }
        let mut all = RatingCounts::default();
        snapshot.movies.indexes().iter().for_each(|index| all.merge(&snapshot.ratings.counts(index)));
        all
    }

    /// The average of each of the movies in stars, with ten ratings more of the average of all movies: what a movie of
    /// few ratings is taken for. Of one that is not there, 0.
    pub(crate) fn damped_averages(&self, indexes: &[Option<u32>]) -> Vec<f64> {
        let snapshot = self.snapshot.load();
        let average = |index: &Option<u32>| index.map_or(0.0, |index| snapshot.ratings.damped_average(index));
        indexes.iter().map(average).collect()
    }

    /// To how many users' taste each of the movies is; one that is not there to nobody's.
    pub(crate) fn popularities(&self, indexes: &[Option<u32>]) -> Vec<u64> {
        let orders = self.orders();
        indexes.iter().map(|index| index.map_or(0, |index| orders.popularity(index))).collect()
    }

    /// To how many users' taste the movie is.
    pub fn popularity(&self, index: u32) -> u64 {
        self.orders().popularity(index)
    }

    /// The movie's popularity weighted by recency.
    pub fn trend(&self, index: u32) -> Trend {
        self.orders().trend(index)
    }

    /// Counts a recorded event, of a movie that was removed too. Duplicates and unknown movies change nothing.
    pub fn apply(&self, event: &Interaction, recorded: &Recorded) {
        if recorded.before != recorded.now {
            self.replace([(event.movie_id, recorded.before, recorded.now)]);
        }
    }

    /// Takes what a deleted event was to its user's opinion out of the statistics.
    pub fn take_back(&self, deleted: &Deleted) {
        self.replace([(deleted.event.movie_id, Some(deleted.before), deleted.now)]);
    }

    /// Takes the events of deleted users out of the statistics; `events` holds all of each user's.
    pub fn forget(&self, events: &[Interaction]) {
        let opinions = opinions(events);
        self.replace(opinions.into_iter().map(|((_, movie_id), opinion)| (movie_id, Some(opinion), None)));
    }

    /// Puts users' opinions of movies in the places of those before.
    fn replace(&self, changes: impl IntoIterator<Item = (MovieId, Option<Opinion>, Option<Opinion>)>) {
        let snapshot = self.snapshot.load();
        let mut orders = self.orders_mut();
        for (movie_id, before, now) in changes {
            if let Some(index) = snapshot.movies.place_of(movie_id) {
                let rating = |opinion: Option<Opinion>| opinion.and_then(|opinion| opinion.rating());
                let taste = |opinion: Option<Opinion>| opinion.and_then(|opinion| opinion.taste());
                snapshot.ratings.replace(index, rating(before), rating(now));
                orders.replace(index, taste(before), taste(now));
            }
        }
    }

    /// Adds or replaces movies; statistics stay. For any other title than before the title index is built anew,
    /// and for other genres that of what is said of movies, so bring many at once.
    pub fn put(&self, records: Vec<MovieRecord>) {
        let _one_at_a_time = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot.load();
        let mut movies = Movies::clone(&before.movies);
        let (mut same_titles, mut same_content) = (true, true);
        let mut come = Vec::new();
        for record in records {
            let (movie_id, before) = (record.movie_id, movies.get(record.movie_id).cloned());
            movies.upsert(record);
            come.extend(movies.index_of(movie_id).filter(|_| before.is_none()));
            let now = movies.get(movie_id);
            let is_same = |of: fn(&Movie, &Movie) -> bool| {
                before.as_ref().zip(now).is_some_and(|(before, now)| of(before, now))
            };
            same_titles &= is_same(|before, now| before.title == now.title);
            same_content &= is_same(|before, now| before.genre_numbers == now.genre_numbers);
        }
        let mut ratings = before.ratings.clone();
        ratings.grow(movies.end() as usize);
        let titles = if same_titles {
            Arc::clone(&before.titles)
        } else {
            #[cfg(test)]
            self.index_builds.fetch_add(1, Relaxed);
            Arc::new(Titles::new(&movies))
        };
        let content = if same_titles && same_content {
            Arc::clone(&before.content)
        } else {
            Arc::new(ContentIndex::new(&movies))
        };
        let mut orders = self.orders_mut();
        for index in orders.len() as u32..movies.end() {
            orders.push(movies.movie_id(index));
        }
        for index in come {
            orders.show(index);
        }
        // Under the lock, so that whoever got an index from the orders finds it in the snapshot.
        self.snapshot.store(Arc::new(Snapshot { movies: Arc::new(movies), titles, content, ratings }));
    }

    /// Takes movies out, and keeps their statistics for when they come again; how many were there.
    pub fn remove(&self, movie_ids: &[MovieId]) -> usize {
        let _one_at_a_time = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot.load();
        let mut movies = Movies::clone(&before.movies);
        let gone: Vec<u32> = movie_ids.iter().filter_map(|movie_id| movies.remove(*movie_id)).collect();
        if !gone.is_empty() {
            let (titles, content) = (Arc::clone(&before.titles), Arc::clone(&before.content));
            let mut orders = self.orders_mut();
            for index in &gone {
                orders.hide(*index);
            }
            let (movies, ratings) = (Arc::new(movies), before.ratings.clone());
            self.snapshot.store(Arc::new(Snapshot { movies, titles, content, ratings }));
        }
        gone.len()
    }

    /// The movies with the tags, the attributes and the keys that they have here where they bring none: tags are the users',
    /// attributes are seldom where titles are, and a key is for good, so a movie that is replaced keeps them.
    pub(crate) fn completed(&self, mut records: Vec<MovieRecord>) -> Vec<MovieRecord> {
        let movies = self.movies();
        for record in &mut records {
            let Some(before) = movies.get(record.movie_id) else { continue };
            if record.tags.is_empty() {
                record.tags = before.tags.iter().map(|(tag, users)| (tag.to_string(), *users)).collect();
            }
            if record.attributes.is_empty() {
                record.attributes = before.attributes.to_vec();
            }
            if record.key.is_none() {
                record.key = before.key.as_ref().map(ToString::to_string);
            }
        }
        records
    }

    /// How often the title index was built.
    #[cfg(test)]
    pub(crate) fn index_builds(&self) -> u64 {
        self.index_builds.load(Relaxed)
    }

    /// Replaces all statistics, which the nodes of a shared store do with those that one of them summed
    /// up. What is counted while these were summed up may be missing in them until the next ones.
    pub(crate) fn set_stats(&self, stats: Vec<MovieStats>) {
        let _one_at_a_time = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot.load();
        let by_index = by_index(&snapshot.movies, stats);
        let replaced = Orders::new(&by_index, snapshot.movies.indexes());
        let mut orders = self.orders_mut();
        for (index, (_, stats)) in (0..).zip(&by_index) {
            snapshot.ratings.load(index, stats);
        }
        *orders = replaced;
    }

    fn orders(&self) -> RwLockReadGuard<'_, Orders> {
        self.orders.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders_mut(&self) -> RwLockWriteGuard<'_, Orders> {
        self.orders.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statistics of each movie, there or not, in the order of the dense indexes.
fn by_index(movies: &Movies, stats: Vec<MovieStats>) -> Vec<(MovieId, MovieStats)> {
    let stats: HashMap<MovieId, MovieStats> =
        stats.into_iter().map(|stats| (stats.movie_id, stats)).collect();
    let of = |movie_id: MovieId| stats.get(&movie_id).copied().unwrap_or_default();
    (0..movies.end()).map(|index| movies.movie_id(index)).map(|movie_id| (movie_id, of(movie_id))).collect()
}
