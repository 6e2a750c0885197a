//! Live statistics: what each movie's ratings sum to, and the movies in order of popularity and trend.
//!
//! Every reply reads averages, so they are atomics; the two orders are read seldom and change with
//! every event, so they are trees behind one lock, exact at every moment: an event moves a movie in
//! about a microsecond, and nothing is ever sorted again as a whole.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering::Relaxed};

use marquee_core::Trend;
use marquee_core::domain::{MovieId, Rating, TimeMs};
use marquee_core::statistics::{MovieStats, RatingCounts};
use roaring::RoaringBitmap;

const CHUNK: usize = 4096;

/// A damped average counts so many ratings of the average of all movies.
const DAMPING: f64 = 10.0;

/// Each movie's ratings by dense index.
///
/// Clones share their counters, so that a snapshot that is about to be replaced still counts into
/// the next one; growing adds chunks and moves none.
#[derive(Clone, Default)]
pub(super) struct Ratings {
    chunks: Vec<Arc<[Cell]>>,
    total: Arc<Total>,
}

/// The ratings of one movie.
#[derive(Default)]
struct Cell {
    /// How many, and their sum: a [`RatingSum`].
    sum: AtomicU64,
    /// How many there are of each value; for a moment less than none, as the sum.
    counts: [AtomicI32; Rating::ALL.len()],
}

/// The ratings of all movies, removed ones among them.
#[derive(Default)]
struct Total {
    count: AtomicI64,
    half_stars: AtomicI64,
}

impl Total {
    /// Counts that one movie's ratings changed.
    fn changed(&self, before: RatingSum, now: RatingSum) {
        self.count.fetch_add(i64::from(now.count) - i64::from(before.count), Relaxed);
        self.half_stars.fetch_add(i64::from(now.half_stars) - i64::from(before.half_stars), Relaxed);
    }

    /// Their average in stars; 0 without ratings.
    fn average(&self) -> f64 {
        let count = self.count.load(Relaxed);
        if count > 0 { self.half_stars.load(Relaxed) as f64 / 2.0 / count as f64 } else { 0.0 }
    }
}

/// The ratings of one movie: how many, and their sum in half stars. Both fit one atomic word.
///
/// They are less than zero for a moment when a rating is taken out before the thread that recorded it
/// has counted it; then there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RatingSum {
    count: i32,
    half_stars: i32,
}

impl RatingSum {
    fn from_bits(bits: u64) -> Self {
        Self { count: (bits >> 32) as i32, half_stars: bits as i32 }
    }

    fn to_bits(self) -> u64 {
        u64::from(self.count as u32) << 32 | u64::from(self.half_stars as u32)
    }

    /// The sum after one user's rating changed.
    fn changed(self, before: Option<Rating>, now: Option<Rating>) -> Self {
        let half_stars = |rating: Option<Rating>| rating.map_or(0, |rating| i32::from(rating.half_stars()));
        Self {
            count: self.count + i32::from(now.is_some()) - i32::from(before.is_some()),
            half_stars: self.half_stars + half_stars(now) - half_stars(before),
        }
    }
}

impl Ratings {
    /// Makes room for `len` movies.
    pub(super) fn grow(&mut self, len: usize) {
        let chunks = len.div_ceil(CHUNK).max(self.chunks.len());
        self.chunks.resize_with(chunks, || (0..CHUNK).map(|_| Cell::default()).collect());
    }

    fn cell(&self, index: u32) -> &Cell {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    fn get(&self, index: u32) -> RatingSum {
        RatingSum::from_bits(self.cell(index).sum.load(Relaxed))
    }

    /// How many users rated the movie.
    pub(super) fn count(&self, index: u32) -> u32 {
        u32::try_from(self.get(index).count).unwrap_or(0)
    }

    /// Their average in stars; `None` without ratings.
    pub(super) fn average(&self, index: u32) -> Option<f64> {
        let sum = self.get(index);
        (sum.count > 0).then(|| f64::from(sum.half_stars) / 2.0 / f64::from(sum.count))
    }

    /// How many there are of each value.
    pub(super) fn counts(&self, index: u32) -> RatingCounts {
        let counts = self.cell(index).counts.each_ref();
        RatingCounts::new(counts.map(|count| u64::try_from(count.load(Relaxed)).unwrap_or(0)))
    }

    /// Their average in stars with ten ratings more of the average of all movies.
    pub(super) fn damped_average(&self, index: u32) -> f64 {
        let sum = self.get(index);
        let (count, stars) = (f64::from(sum.count.max(0)), f64::from(sum.half_stars.max(0)) / 2.0);
        (stars + DAMPING * self.total.average()) / (count + DAMPING)
    }

    /// Sets what the store says.
    pub(super) fn load(&self, index: u32, stats: &MovieStats) {
        let clamped = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        let (count, half_stars) = (clamped(stats.ratings.total()), clamped(stats.ratings.half_stars()));
        let (cell, sum) = (self.cell(index), RatingSum { count, half_stars });
        for (count, (_, stored)) in cell.counts.iter().zip(stats.ratings.iter()) {
            count.store(clamped(stored), Relaxed);
        }
        let before = RatingSum::from_bits(cell.sum.swap(sum.to_bits(), Relaxed));
        self.total.changed(before, sum);
    }

    /// Replaces one user's rating of a movie.
    pub(super) fn replace(&self, index: u32, before: Option<Rating>, now: Option<Rating>) {
        if before == now {
            return;
        }
        let cell = self.cell(index);
        for (rating, change) in now.into_iter().zip([1]).chain(before.into_iter().zip([-1])) {
            cell.counts[rating.place()].fetch_add(change, Relaxed);
        }
        let changed = |bits| Some(RatingSum::from_bits(bits).changed(before, now).to_bits());
        let bits = cell.sum.fetch_update(Relaxed, Relaxed, changed).expect("the closure never declines");
        let sum = RatingSum::from_bits(bits);
        self.total.changed(sum, sum.changed(before, now));
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
    /// An order of those of the places that are `shown`.
    fn new(places: Vec<Place>, shown: &RoaringBitmap) -> Self {
        let ranked = places.iter().filter(|place| shown.contains(place.index)).copied().collect();
        Self { places, ranked }
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
        let is_shown = self.ranked.remove(place);
        place.score = score;
        if is_shown {
            self.ranked.insert(*place);
        }
    }

    fn hide(&mut self, index: u32) {
        self.ranked.remove(&self.places[index as usize]);
    }

    fn show(&mut self, index: u32) {
        self.ranked.insert(self.places[index as usize]);
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

/// The movies by the number of users to whose taste they are, and by trend.
#[derive(Debug, Default)]
pub(super) struct Orders {
    popular: Order,
    trending: Order,
    trends: Vec<Trend>,
}

impl Orders {
    /// Orders of movies at the dense indexes 0, 1, ... as far as they are `shown`.
    pub(super) fn new(movies: &[(MovieId, MovieStats)], shown: &RoaringBitmap) -> Self {
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
                shown,
            )
        };
        Self {
            popular: order(|stats| stats.popularity as f64),
            trending: order(|stats| stats.trend.score()),
            trends: movies.iter().map(|(_, stats)| stats.trend).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.popular.places.len()
    }

    /// Appends a movie that nobody has interacted with.
    pub(super) fn push(&mut self, movie_id: MovieId) {
        let (index, trend) = (self.len() as u32, Trend::default());
        self.popular.push(Place { score: 0.0, movie_id, index });
        self.trending.push(Place { score: trend.score(), movie_id, index });
        self.trends.push(trend);
    }

    /// Takes a movie that was removed out of the orders, where it keeps what is counted.
    pub(super) fn hide(&mut self, index: u32) {
        self.popular.hide(index);
        self.trending.hide(index);
    }

    /// Puts a movie that came again where it stands by what was counted.
    pub(super) fn show(&mut self, index: u32) {
        self.popular.show(index);
        self.trending.show(index);
    }

    pub(super) fn popular(&self, page: Page<'_>) -> Vec<(u32, f64)> {
        self.popular.page(page)
    }

    pub(super) fn trending(&self, page: Page<'_>) -> Vec<(u32, f64)> {
        self.trending.page(page)
    }

    /// The users to whose taste a movie is.
    pub(super) fn popularity(&self, index: u32) -> u64 {
        self.popular.score(index) as u64
    }

    pub(super) fn trend(&self, index: u32) -> Trend {
        self.trends[index as usize]
    }

    /// Moves a movie to where one user's taste since some time, in the place of one before, puts it.
    pub(super) fn replace(&mut self, index: u32, before: Option<TimeMs>, now: Option<TimeMs>) {
        if before == now {
            return;
        }
        let change = f64::from(now.is_some()) - f64::from(before.is_some());
        self.popular.set(index, self.popular.score(index) + change);
        let trend = &mut self.trends[index as usize];
        now.inspect(|time_ms| trend.add(*time_ms));
        before.inspect(|time_ms| trend.remove(*time_ms));
        self.trending.set(index, trend.score());
    }
}
