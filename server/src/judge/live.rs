//! What is answered right now is like, told from the answers that the pipeline sets aside.
//!
//! The newest [`KEPT`] of them are looked at four times a minute on a thread of their own, so that the cost is bounded,
//! whatever is asked. Figures of lists are those of [`super::lists`]; none needs to know what users did afterwards.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::{now_ms, year_of};
use marquee_core::domain::MovieId;
use marquee_core::meters::Metric;
use marquee_core::metrics;
use marquee_ranking::jaccard;
use opentelemetry::metrics::Gauge;
use tokio::sync::mpsc::Receiver;
use tokio::time::{MissedTickBehavior, interval};

use super::lists::{FRESH_YEARS, mean_of_pairs};
use crate::catalog::{Catalog, Movie, Movies};
use crate::recommend::{Recommender, Sample};

/// Answers that the figures are of.
const KEPT: usize = 1_000;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(15);

metrics! {
    pub(crate) METRICS;
    LISTS = Metric::gauge(
        "marquee.quality.lists",
        "{list}",
        &[],
        "The answers that the other figures are of: the newest of one in 64 to interactive callers, at most 1000",
    );
    COVERAGE = Metric::gauge(
        "marquee.quality.coverage",
        "1",
        &[],
        "The part of the catalogue that is in at least one of these lists of ten; grows with their number",
    );
    NOVELTY = Metric::gauge(
        "marquee.quality.novelty",
        "",
        &[],
        "How little known the movies of these lists are: the mean self-information of their shares of all events, in bits",
    );
    DIVERSITY = Metric::gauge(
        "marquee.quality.diversity",
        "1",
        &[],
        "How unlike each other the movies of a list are by their genres, 0 to 1; the mean over these lists",
    );
    FRESHNESS = Metric::gauge(
        "marquee.quality.freshness",
        "1",
        &[],
        "The part of the movies of these lists that came out within the last five years",
    );
    DRIFT = Metric::gauge(
        "marquee.quality.input_drift",
        "1",
        &[],
        "How far the genres of the histories of these requests are from those of all events: the Jensen-Shannon \
         divergence, 0 where they are alike, 1 where they have nothing in common",
    );
    UNKNOWN = Metric::gauge(
        "marquee.quality.input_unknown",
        "1",
        &[],
        "The part of the movies of these histories that the active model does not know",
    );
}

/// Looks at what is answered, for as long as there is somebody who answers.
pub(crate) struct Live {
    recommender: Arc<Recommender>,
    catalog: Arc<Catalog>,
    samples: Receiver<Sample>,
    newest: VecDeque<Sample>,
    shown: Shown,
}

impl Live {
    pub(crate) fn new(
        recommender: Arc<Recommender>,
        catalog: Arc<Catalog>,
        samples: Receiver<Sample>,
    ) -> Self {
        Self { recommender, catalog, samples, newest: VecDeque::new(), shown: Shown::new() }
    }

    /// Takes what comes and shows what it is like.
    pub(crate) async fn run(mut self) {
        let mut looks = interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_new = false;
        loop {
            tokio::select! {
                sample = self.samples.recv() => {
                    let Some(sample) = sample else { return };
                    if self.newest.len() == KEPT {
                        self.newest.pop_front();
                    }
                    self.newest.push_back(sample);
                    is_new = true;
                }
                _ = looks.tick(), if is_new => {
                    is_new = false;
                    self = match tokio::task::spawn_blocking(move || { self.look(); self }).await {
                        Ok(live) => live,
                        Err(error) => {
                            tracing::error!(%error, "figures of what is answered are no longer shown");
                            return;
                        }
                    };
                }
            }
        }
    }

    fn look(&self) {
        let movies = self.catalog.movies();
        let events = self.catalog.popularities(&(0..movies.end()).map(Some).collect::<Vec<_>>());
        let mut figures = figures(&self.newest, &movies, &events, year_of(now_ms()));
        if let Ok(model) = self.recommender.model() {
            let history = self.newest.iter().flat_map(|sample| &sample.history);
            figures.unknown = mean(history.map(|id| f64::from(model.bundle().row_of(*id).is_none())));
        }
        self.shown.show(&figures);
    }
}

/// What lists and histories are like; NaN where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    lists: usize,
    coverage: f64,
    novelty: f64,
    diversity: f64,
    freshness: f64,
    drift: f64,
    unknown: f64,
}

impl Figures {
    fn all(&self) -> [f64; 6] {
        [self.coverage, self.novelty, self.diversity, self.freshness, self.drift, self.unknown]
    }
}

/// Of these answers of this year; `events` are those of each movie by its dense index.
fn figures(samples: &VecDeque<Sample>, movies: &Movies, events: &[u64], year: i64) -> Figures {
    let known = |ids: &[MovieId]| -> Vec<Arc<Movie>> {
        ids.iter().filter_map(|id| movies.get(*id).map(Arc::clone)).collect()
    };
    let lists: Vec<Vec<Arc<Movie>>> = samples.iter().map(|sample| known(&sample.movies)).collect();
    let histories = samples.iter().flat_map(|sample| known(&sample.history));
    let shown: HashSet<MovieId> = lists.iter().flatten().map(|movie| movie.movie_id).collect();
    let total = (events.iter().sum::<u64>() + events.len() as u64) as f64;
    let novelty = |movie: &Movie| {
        let count = movies.index_of(movie.movie_id).and_then(|index| events.get(index as usize));
        -((count.copied().unwrap_or_default() as f64 + 1.0) / total).log2()
    };
    let is_fresh =
        |movie: &Movie| movie.year.is_some_and(|released| i64::from(released) > year - FRESH_YEARS);
    let diversity = |list: &Vec<Arc<Movie>>| {
        let list: Vec<Option<Arc<Movie>>> = list.iter().cloned().map(Some).collect();
        mean_of_pairs(&list, |one, other| 1.0 - jaccard(&one.genre_numbers, &other.genre_numbers))
    };
    let all = || lists.iter().flatten();
    let of_input = genres(histories.map(|movie| (movie, 1)), movies);
    let of_events = genres(
        movies.slots().zip(events).filter_map(|(movie, events)| Some((Arc::clone(movie?), *events))),
        movies,
    );
    Figures {
        lists: lists.len(),
        coverage: shown.len() as f64 / movies.len() as f64,
        novelty: mean(all().map(|movie| novelty(movie))),
        diversity: mean(lists.iter().map(diversity)),
        freshness: mean(all().map(|movie| f64::from(is_fresh(movie)))),
        drift: jensen_shannon(&of_input, &of_events),
        unknown: f64::NAN,
    }
}

/// How often each genre is met, by its number.
fn genres(met: impl Iterator<Item = (Arc<Movie>, u64)>, movies: &Movies) -> Vec<f64> {
    let mut counts = vec![0.0; movies.genre_numbers()];
    for (movie, times) in met {
        for number in &movie.genre_numbers {
            if let Some(count) = counts.get_mut(*number as usize) {
                *count += times as f64;
            }
        }
    }
    counts
}

/// The divergence of two distributions, in bits; NaN where one of them is empty.
fn jensen_shannon(one: &[f64], other: &[f64]) -> f64 {
    let (ones, others): (f64, f64) = (one.iter().sum(), other.iter().sum());
    if ones == 0.0 || others == 0.0 {
        return f64::NAN;
    }
    let part = |share: f64, middle: f64| if share > 0.0 { share * (share / middle).log2() } else { 0.0 };
    let shares = one.iter().zip(other).map(|(one, other)| (one / ones, other / others));
    shares
        .map(|(one, other)| {
            let middle = f64::midpoint(one, other);
            f64::midpoint(part(one, middle), part(other, middle))
        })
        .sum()
}

/// Of what is a number; NaN of none.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values
        .filter(|value| !value.is_nan())
        .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

/// The instruments; those of figures in the order of [`Figures::all`].
struct Shown {
    lists: Gauge<u64>,
    figures: [Gauge<f64>; 6],
}

impl Shown {
    fn new() -> Self {
        let figures = [COVERAGE, NOVELTY, DIVERSITY, FRESHNESS, DRIFT, UNKNOWN];
        Self { lists: LISTS.u64_gauge(), figures: figures.map(|figure| figure.f64_gauge()) }
    }

    /// Those that say nothing stay as they were.
    fn show(&self, figures: &Figures) {
        self.lists.record(figures.lists as u64, &[]);
        for (gauge, value) in self.figures.iter().zip(figures.all()) {
            if value.is_finite() {
                gauge.record(value, &[]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::MovieRecord;

    use super::*;

    /// Movies 1 to 4, two of Drama and two of War, each of its year.
    fn movies() -> Arc<Movies> {
        let record = |movie_id: MovieId, year: u16, genre: &str| MovieRecord {
            movie_id,
            title: format!("Movie {movie_id} ({year})"),
            genres: vec![genre.to_owned()],
            ..MovieRecord::default()
        };
        let records = vec![
            record(1, 1990, "Drama"),
            record(2, 2024, "Drama"),
            record(3, 1990, "War"),
            record(4, 1990, "War"),
        ];
        Catalog::new(records, Vec::new()).movies()
    }

    fn sample(movies: &[MovieId], history: &[MovieId]) -> Sample {
        Sample { movies: movies.to_vec(), history: history.to_vec() }
    }

    fn is(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-12
    }

    #[test]
    fn lists_and_histories_are_told_as_they_are_defined() {
        let samples = VecDeque::from([sample(&[1, 3], &[1]), sample(&[2, 1], &[2, 99])]);
        let told = figures(&samples, &movies(), &[6, 0, 0, 6], 2025);
        assert_eq!((told.lists, told.coverage, told.freshness), (2, 0.75, 0.25));
        // One list is of two genres, one of one.
        assert!(is(told.diversity, 0.5));
        let bits = |events: f64| -((events + 1.0) / 16.0).log2();
        assert!(is(told.novelty, (2.0 * bits(6.0) + 2.0 * bits(0.0)) / 4.0));
        // All histories are of Drama, half of the events are.
        assert!(is(told.drift, jensen_shannon(&[1.0, 0.0], &[0.5, 0.5])));
    }

    #[test]
    fn distributions_that_are_alike_do_not_diverge_and_foreign_ones_by_a_bit() {
        assert!(is(jensen_shannon(&[1.0, 3.0], &[2.0, 6.0]), 0.0));
        assert!(is(jensen_shannon(&[1.0, 0.0], &[0.0, 5.0]), 1.0));
        assert!(jensen_shannon(&[0.0], &[1.0]).is_nan());
    }

    #[test]
    fn of_no_histories_and_an_empty_catalogue_nothing_is_said() {
        let told = figures(&VecDeque::from([sample(&[], &[])]), &Movies::default(), &[], 2025);
        assert!(told.drift.is_nan() && told.novelty.is_nan() && told.coverage.is_nan());
    }
}
