//! Live statistics: what each movie's ratings sum to, and the movies in order of popularity and trend.
//!
//! Every reply reads averages, so they are atomics; the two orders are read seldom and change with
//! every event, so they are trees behind one lock, exact at every moment: an event moves a movie in
//! about a microsecond, and nothing is ever sorted again as a whole.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use roaring::RoaringBitmap;

use crate::domain::{Interaction, MovieId, Rating, UserId};
use crate::store::{MovieStats, Recorded, Trend};

const CHUNK: usize = 4096;

/// Number and sum of each movie's ratings by dense index.
///
/// Clones share their counters, so that a snapshot that is about to be replaced still counts into
/// the next one; growing adds chunks and moves none.
#[derive(Clone, Default)]
pub(super) struct Ratings {
    chunks: Vec<Arc<[AtomicU64]>>,
}

/// The ratings of one movie: how many, and their sum in half stars. Both fit one atomic word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RatingSum {
    pub(super) count: u32,
    pub(super) half_stars: u32,
}

impl RatingSum {
    fn from_bits(bits: u64) -> Self {
        Self { count: (bits >> 32) as u32, half_stars: bits as u32 }
    }

    fn to_bits(self) -> u64 {
        u64::from(self.count) << 32 | u64::from(self.half_stars)
    }

    /// In stars; `None` without ratings.
    pub(super) fn average(self) -> Option<f64> {
        (self.count > 0).then(|| f64::from(self.half_stars) / 2.0 / f64::from(self.count))
    }

    /// The sum after one user's rating changed. Saturates instead of wrapping.
    fn changed(self, before: Option<Rating>, now: Option<Rating>) -> Self {
        let half_stars = |rating: Option<Rating>| rating.map_or(0, |rating| u32::from(rating.half_stars()));
        Self {
            count: (self.count + u32::from(now.is_some())).saturating_sub(u32::from(before.is_some())),
            half_stars: (self.half_stars + half_stars(now)).saturating_sub(half_stars(before)),
        }
    }
}

impl Ratings {
    /// Makes room for `len` movies.
    pub(super) fn grow(&mut self, len: usize) {
        let chunks = len.div_ceil(CHUNK).max(self.chunks.len());
        self.chunks.resize_with(chunks, || (0..CHUNK).map(|_| AtomicU64::new(0)).collect());
    }

    fn cell(&self, index: u32) -> &AtomicU64 {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// The sum of one movie.
    pub(super) fn get(&self, index: u32) -> RatingSum {
        RatingSum::from_bits(self.cell(index).load(Relaxed))
    }

    fn set(&self, index: u32, sum: RatingSum) {
        self.cell(index).store(sum.to_bits(), Relaxed);
    }

    /// Replaces one user's rating of a movie.
    pub(super) fn change(&self, index: u32, before: Option<Rating>, now: Option<Rating>) {
        let changed = |bits| Some(RatingSum::from_bits(bits).changed(before, now).to_bits());
        self.cell(index).fetch_update(Relaxed, Relaxed, changed).expect("the closure never declines");
    }
}

/// Where a page of an order goes on: after the movie that had this score and id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct After {
    /// The last movie's score.
    pub score: f64,
    /// The last movie's id.
    pub movie_id: MovieId,
}

/// A movie's place in an order: higher scores first, ties by ascending id.
#[derive(Clone, Copy, Debug)]
struct Place {
    score: f64,
    movie_id: MovieId,
    index: u32,
}

impl Place {
    fn key(&self) -> (f64, MovieId) {
        (self.score, self.movie_id)
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((score, id), (other_score, other_id)) = (self.key(), other.key());
        other_score.total_cmp(&score).then(id.cmp(&other_id))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

/// What a page of an order may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// Dense indexes; all when `None`.
    pub(super) selection: Option<&'a RoaringBitmap>,
    /// Movie ids that stay out.
    pub(super) exclude: &'a RoaringBitmap,
    pub(super) after: Option<After>,
    pub(super) limit: usize,
}

impl Page<'_> {
    fn allows(&self, place: &Place) -> bool {
        self.selection.is_none_or(|selection| selection.contains(place.index))
            && !self.exclude.contains(place.movie_id)
    }
}

/// All movies by one score.
#[derive(Debug, Default)]
struct Order {
    places: Vec<Place>,
    ranked: BTreeSet<Place>,
}

impl Order {
    fn new(places: Vec<Place>) -> Self {
        Self { ranked: places.iter().copied().collect(), places }
    }

    fn score(&self, index: u32) -> f64 {
        self.places[index as usize].score
    }

    fn push(&mut self, place: Place) {
        debug_assert_eq!(place.index as usize, self.places.len());
        self.places.push(place);
        self.ranked.insert(place);
    }

    fn set(&mut self, index: u32, score: f64) {
        let place = &mut self.places[index as usize];
        self.ranked.remove(place);
        place.score = score;
        self.ranked.insert(*place);
    }

    /// The best allowed movies. Walks the order where many are allowed, ranks the allowed ones
    /// where few are, whichever is expected to touch fewer movies.
    fn page(&self, page: Page<'_>) -> Vec<(u32, f64)> {
        let after = page.after.map(|after| Place { score: after.score, movie_id: after.movie_id, index: 0 });
        let few = page.selection.filter(|selection| {
            selection.len().saturating_mul(selection.len()) < (page.limit * self.places.len()) as u64
        });
        let best = match few {
            Some(selection) => self.rank_selected(selection, &page, after),
            None => self.walk(&page, after),
        };
        best.iter().map(|place| (place.index, place.score)).collect()
    }

    fn walk(&self, page: &Page<'_>, after: Option<Place>) -> Vec<Place> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.ranked.range((from, Bound::Unbounded));
        places.filter(|place| page.allows(place)).take(page.limit).copied().collect()
    }

    fn rank_selected(&self, selection: &RoaringBitmap, page: &Page<'_>, after: Option<Place>) -> Vec<Place> {
        let places = selection.iter().filter_map(|index| self.places.get(index as usize));
        let mut best: Vec<_> = places
            .filter(|place| page.allows(place) && after.is_none_or(|after| **place > after))
            .copied()
            .collect();
        best.sort_unstable();
        best.truncate(page.limit);
        best
    }
}

/// The movies by number of users and by trend.
#[derive(Debug, Default)]
pub(super) struct Orders {
    popular: Order,
    trending: Order,
}

impl Orders {
    /// Orders of movies at the dense indexes 0, 1, ...
    pub(super) fn new(movies: &[(MovieId, MovieStats)]) -> Self {
        let order = |score: fn(&MovieStats) -> f64| {
            let places = movies.iter().zip(0..);
            Order::new(
                places
                    .map(|((movie_id, stats), index)| Place {
                        score: score(stats),
                        movie_id: *movie_id,
                        index,
                    })
                    .collect(),
            )
        };
        Self { popular: order(|stats| stats.users as f64), trending: order(|stats| stats.trend.0) }
    }

    pub(super) fn len(&self) -> usize {
        self.popular.places.len()
    }

    /// Appends a movie that nobody has interacted with.
    pub(super) fn push(&mut self, movie_id: MovieId) {
        let index = self.len() as u32;
        self.popular.push(Place { score: 0.0, movie_id, index });
        self.trending.push(Place { score: Trend::default().0, movie_id, index });
    }

    pub(super) fn popular(&self, page: Page<'_>) -> Vec<(u32, f64)> {
        self.popular.page(page)
    }

    pub(super) fn trending(&self, page: Page<'_>) -> Vec<(u32, f64)> {
        self.trending.page(page)
    }

    pub(super) fn users(&self, index: u32) -> u64 {
        self.popular.score(index) as u64
    }

    pub(super) fn trend(&self, index: u32) -> Trend {
        Trend(self.trending.score(index))
    }

    /// Counts an event; `first` when it is the user's first with this movie.
    pub(super) fn count(&mut self, index: u32, event: &Interaction, first: bool) {
        if first {
            self.popular.set(index, self.popular.score(index) + 1.0);
        }
        self.trending.set(index, self.trend(index).with_event(event.time_ms).0);
    }

    /// Takes all events of one user with one movie out again.
    pub(super) fn forget(&mut self, index: u32, events: &[&Interaction]) {
        let users = (self.popular.score(index) - 1.0).max(0.0);
        self.popular.set(index, users);
        let trend = match users {
            0.0 => Trend::default(),
            _ => events.iter().fold(self.trend(index), |trend, event| trend.without_event(event.time_ms)),
        };
        self.trending.set(index, trend.0);
    }
}

/// The events of deleted users, by user and movie.
pub(super) fn by_user_and_movie(events: &[Interaction]) -> HashMap<(UserId, MovieId), Vec<&Interaction>> {
    let mut groups: HashMap<_, Vec<_>> = HashMap::new();
    for event in events {
        groups.entry((event.user_id, event.movie_id)).or_default().push(event);
    }
    groups
}

/// The rating that counts among the events of one user with one movie: the latest.
pub(super) fn latest_rating(events: &[&Interaction]) -> Option<Rating> {
    let rated = events.iter().filter(|event| event.rating.is_some());
    rated.max_by_key(|event| event.time_ms).and_then(|event| event.rating)
}

impl Ratings {
    /// Sets what the store says.
    pub(super) fn load(&self, index: u32, stats: &MovieStats) {
        let sum = RatingSum {
            count: u32::try_from(stats.ratings).unwrap_or(u32::MAX),
            half_stars: u32::try_from(stats.half_stars).unwrap_or(u32::MAX),
        };
        self.set(index, sum);
    }

    /// Counts what one recorded event changed.
    pub(super) fn apply(&self, index: u32, recorded: Recorded) {
        if recorded.rating_before != recorded.rating_now {
            self.change(index, recorded.rating_before, recorded.rating_now);
        }
    }
}
