//! Which of the candidates are answered, and in which order.
//!
//! Without an objective they are answered as the model ranks them; with one, or under rules that change values,
//! `marquee-ranking` chooses, and this says what is known of the candidates.

use std::sync::Arc;
use std::time::{Duration, Instant};

use marquee_core::clock;
use marquee_ranking::{Candidate, Choice, Chooser, GenreShares, Objective, show};
use marquee_retrieval::Scored;
use tokio::task::yield_now;

use crate::catalog::Movie;
use crate::recommend::context::{Found, RequestContext};
use crate::recommend::stage::Stage;
use crate::recommend::{Pick, taste};

/// How long a list is chosen before others run: 500 of 2,000 candidates take tens of milliseconds.
const SLICE: Duration = Duration::from_micros(100);

/// Makes picks of what was found, if anything was and no objective has chosen them.
pub(super) fn rerank(context: &mut RequestContext<'_>) {
    let Some(found) = &context.found else { return };
    if context.objective.is_none() {
        context.picks = found.items.iter().take(context.room()).map(|item| plain(found, *item)).collect();
        context.source = found.source;
    }
}

/// Picks what is best for the request's objective, if it has one.
pub(in crate::recommend) async fn by_objective(context: &mut RequestContext<'_>) {
    let (Some(objective), Some(found)) = (&context.objective, &context.found) else { return };
    let (began, source) = (Instant::now(), found.source);
    context.picks = chosen(context, found, &found.items, objective, context.room()).await;
    context.source = source;
    context.watch.lap(Stage::Rerank, began);
}

/// The list of `k` that is best for an objective, where the answer itself is the model's own.
pub(in crate::recommend) async fn best_for(
    context: &RequestContext<'_>,
    objective: &Objective,
    k: usize,
) -> Vec<Pick> {
    let Some(found) = &context.found else { return Vec::new() };
    let candidates = objective.candidates(k).min(found.items.len());
    chosen(context, found, &found.items[..candidates], objective, k).await
}

/// A candidate as the model ranks it.
fn plain(found: &Found, item: Scored) -> Pick {
    let movie_id = found.model.bundle().vocabulary[item.row as usize];
    Pick {
        movie_id,
        score: item.score,
        parts: None,
        propensity: None,
        source: found.source,
        movie: None,
        rule: None,
    }
}

/// The list of `k` of these items that is best for an objective.
async fn chosen(
    context: &RequestContext<'_>,
    found: &Found,
    items: &[Scored],
    objective: &Objective,
    k: usize,
) -> Vec<Pick> {
    let facts = Facts::of(context, found, items, objective);
    let candidates: Vec<_> = (0..items.len()).map(|place| facts.candidate(place)).collect();
    let year = u16::try_from(clock::year_of(clock::now_ms())).unwrap_or(u16::MAX);
    let wanted = wanted(context, objective);
    let mut choices = Vec::with_capacity(k.min(candidates.len()));
    let mut since = Instant::now();
    for choice in Chooser::new(&candidates, &wanted, objective, year).take(k) {
        choices.push(choice);
        if since.elapsed() > SLICE {
            yield_now().await;
            since = Instant::now();
        }
    }
    show(&mut choices);
    let pick = |Choice { place, parts }: &Choice| {
        let plain = plain(found, items[*place]);
        let rule = context.weights().and_then(|rules| rules.lifted_by(plain.movie_id)).cloned();
        Pick { score: parts.sum() as f32, parts: Some(*parts), rule, ..plain }
    };
    choices.iter().map(pick).collect()
}

/// The genres of the history, where they count.
fn wanted(context: &RequestContext<'_>, objective: &Objective) -> GenreShares {
    let taste = if objective.calibration > 0.0 { taste::without_repeats(&context.taste) } else { Vec::new() };
    let movies = taste.iter().filter_map(|movie_id| context.movies.get(*movie_id));
    GenreShares::of(movies.map(|movie| &*movie.genre_numbers), context.movies.genre_numbers())
}

/// What is known of the candidates.
struct Facts<'a> {
    found: &'a Found,
    items: &'a [Scored],
    /// `None` for a movie that the catalogue does not have.
    movies: Vec<Option<&'a Arc<Movie>>>,
    /// Empty where they do not count; so are the ratings, the genres, and what rules add.
    events: Vec<u64>,
    ratings: Vec<f64>,
    /// In lower case.
    told_genres: Vec<String>,
    rules: Vec<f64>,
}

impl<'a> Facts<'a> {
    /// Looks up what the objective asks for.
    fn of(
        context: &'a RequestContext<'_>,
        found: &'a Found,
        items: &'a [Scored],
        objective: &Objective,
    ) -> Self {
        let (movies, catalog) = (&context.movies, &context.parts.catalog);
        let vocabulary = &found.model.bundle().vocabulary;
        let indexes: Vec<_> =
            items.iter().map(|item| movies.index_of(vocabulary[item.row as usize])).collect();
        let mut facts = Self {
            found,
            items,
            movies: indexes.iter().map(|index| movies.at((*index)?)).collect(),
            events: Vec::new(),
            ratings: Vec::new(),
            told_genres: Vec::new(),
            rules: Vec::new(),
        };
        if objective.popularity_weight != 0.0 {
            facts.events = catalog.popularities(&indexes);
        }
        if objective.rating_weight != 0.0 {
            facts.ratings = catalog.damped_averages(&indexes);
        }
        if objective.told_genres_weight != 0.0 {
            let told = context.profile.preferences.genres.iter();
            facts.told_genres = told.map(|genre| genre.to_lowercase()).collect();
        }
        if let Some(rules) = context.weights() {
            let added = |item: &Scored| rules.added_to(vocabulary[item.row as usize]);
            facts.rules = items.iter().map(added).collect();
        }
        facts
    }

    /// The share of a movie's genres that the user told.
    fn told_share(&self, movie: &Movie) -> f64 {
        if self.told_genres.is_empty() || movie.genres.is_empty() {
            return 0.0;
        }
        let told = movie.genres.iter().filter(|genre| self.told_genres.contains(&genre.to_lowercase()));
        told.count() as f64 / movie.genres.len() as f64
    }

    /// The candidate at a place.
    fn candidate(&self, place: usize) -> Candidate<'a> {
        let (item, movie) = (&self.items[place], self.movies[place]);
        Candidate {
            score: item.score,
            vector: self.found.model.bundle().output_embedding(item.row),
            genres: movie.map_or(&[], |movie| &movie.genre_numbers),
            events: self.events.get(place).copied().unwrap_or_default(),
            year: movie.and_then(|movie| movie.year),
            rating: self.ratings.get(place).copied().unwrap_or_default(),
            told_genres: movie.map_or(0.0, |movie| self.told_share(movie)),
            rules: self.rules.get(place).copied().unwrap_or_default(),
        }
    }
}
