//! A home page in one call: rows of movies of which none stands there twice.
//!
//! The user is encoded once. The model's best few hundred movies are shared out over the rows ([`Page`]), in the order
//! in which the rows stand on the page, and each row takes the best that those before it left:
//!
//! 1. *For you*: the model's best.
//! 2. *Because you liked ...*: like one of the movies that were liked last, by who watched them and what is said of them.
//! 3. *New for you*: the model's best of the newest years.
//! 4. *Trending*, and 5. *Popular*: what others like, by recency and altogether.
//! 6. Genres and decades ([`facets`]), the most telling first.
//!
//! Who is unknown, or has nothing that the model reads, gets rows of the genres that were told at onboarding, trending
//! and popular movies, and what trends by genre and decade.

mod facets;
mod liked;
mod rows;

use std::sync::Arc;
use std::time::Instant;

use marquee_core::clock::{now_ms, year_of};
use marquee_ranking::Objective;
use marquee_retrieval::Method;
use roaring::RoaringBitmap;

use liked::newest_liked;
use rows::Page;
pub use rows::{Basis, HomeRow, Past, RowKind};

use super::context::{Excluded, RequestContext};
use super::similar_movies::Allowed;
use super::stage::Stage;
use super::stages::{self, candidates, profile, rerank};
use super::taste::without_repeats;
use super::{
    Pick, Question, RecommendError, Recommender, RequestOptions, SimilarityBasis, Source, Subject, Timings,
};
use crate::catalog::{Filter, Movies};
use crate::profiles::ConsistencyToken;

/// Movies that are shared out over the rows: a few times as many as a page of usual size shows, so that rows of a genre
/// that is not the user's first still find some.
const CANDIDATES: usize = 400;

/// Rows for movies that were liked.
const ROWS_OF_LIKED: usize = 2;

/// The catalogue's newest years, movies of which are new.
const NEW_YEARS: u16 = 3;

/// Asks for a home page.
#[derive(Clone, Debug)]
pub struct HomeQuestion {
    /// Whose.
    pub subject: Subject,
    /// Movies of a row, at most.
    pub row_size: usize,
    /// Rows, at most.
    pub rows: usize,
    /// How candidates are found.
    pub method: Method,
    /// What the row of the model's best is chosen for beside the model's score; it has these as they are when `None`.
    pub objective: Option<Objective>,
    /// Which movies may be shown.
    pub filter: Filter,
    /// Writes that the page must reflect.
    pub consistency_token: ConsistencyToken,
    /// Version, priority and deadline.
    pub options: RequestOptions,
}

/// A home page.
#[derive(Clone, Debug)]
pub struct HomePage {
    /// The rows in the order in which they are shown.
    pub rows: Vec<HomeRow>,
    /// The model version that answered; `None` if no model took part.
    pub model_version: Option<String>,
    /// Where the time went.
    pub timings: Timings,
}

impl Recommender {
    /// The home page of a subject, without what it has seen.
    ///
    /// # Errors
    /// [`RecommendError`]; an unknown user or an empty history is none.
    pub async fn home(&self, question: &HomeQuestion) -> Result<HomePage, RecommendError> {
        let wanted = Question {
            subject: question.subject.clone(),
            k: CANDIDATES,
            method: question.method,
            objective: None,
            exploration: None,
            filter: question.filter.clone(),
            exclude_seen: true,
            context: String::new(),
            consistency_token: question.consistency_token.clone(),
            explain_newest: None,
            options: question.options.clone(),
        };
        let mut context = RequestContext::new(self, wanted.k, &wanted.filter, &wanted.options)?;
        context.excluded = Excluded::of(&wanted);
        profile::profile(&mut context, &wanted.subject, &wanted.consistency_token).await?;
        candidates::for_taste(&mut context, &wanted).await?;
        let mut page = Page::new(question.row_size, question.rows);
        if context.found.is_some() {
            let similar = like_liked(&mut context, question).await?;
            context.run(&stages::HOME);
            let began = Instant::now();
            let for_you = for_you(&context, question).await;
            fill_personal(&context, &mut page, for_you, similar);
            context.watch.lap(Stage::Rerank, began);
        } else {
            let began = Instant::now();
            fill_impersonal(&context, &mut page);
            context.watch.lap(Stage::Fill, began);
        }
        self.metrics.answered(context.source);
        let (rows, answer) = (page.into_rows(), context.finish());
        Ok(HomePage { rows, model_version: answer.model_version, timings: answer.timings })
    }
}

/// The row of the model's best, which an objective may choose another way.
async fn for_you(context: &RequestContext<'_>, question: &HomeQuestion) -> Vec<Pick> {
    let objective = question.objective.and_then(|objective| objective.for_history(context.taste.len()));
    let Some(objective) = objective else { return context.picks.clone() };
    let mut picks = Box::pin(rerank::best_for(context, &objective, question.row_size)).await;
    for pick in &mut picks {
        pick.movie = context.movies.get(pick.movie_id).cloned();
    }
    picks
}

/// What is like the movies that the subject liked last, for each of them.
async fn like_liked(
    context: &mut RequestContext<'_>,
    question: &HomeQuestion,
) -> Result<Vec<(RowKind, Vec<Pick>)>, RecommendError> {
    let (liked, past) = match &question.subject {
        Subject::User(_) => (newest_liked(&context.profile.newest), Past::Liked),
        Subject::History(movie_ids) => {
            (without_repeats(movie_ids).into_iter().rev().collect(), Past::Watched)
        }
    };
    let known = liked.into_iter().filter_map(|movie_id| context.movies.get(movie_id).cloned());
    let known: Vec<_> = known.take(ROWS_OF_LIKED).collect();
    // As many as the rows before may take, and a row.
    let k = (1 + ROWS_OF_LIKED) * question.row_size;
    let began = Instant::now();
    let excluded = context.excluded_movies();
    let mut similar = Vec::with_capacity(known.len());
    for movie in known {
        let allowed = Allowed { selection: context.selection.clone(), excluded: excluded.clone() };
        let (parts, basis) = (context.parts, SimilarityBasis::Blend);
        let picks = parts.alike(&context.movies, &movie, basis, k, allowed).await?;
        similar.push((RowKind::Because { past, movie }, picks));
    }
    context.watch.lap(Stage::Score, began);
    Ok(similar)
}

/// Rows for somebody whom the model knows.
fn fill_personal(
    context: &RequestContext<'_>,
    page: &mut Page,
    for_you: Vec<Pick>,
    similar: Vec<(RowKind, Vec<Pick>)>,
) {
    let best = &context.picks;
    page.add(RowKind::ForYou, for_you);
    for (kind, picks) in similar {
        page.add(kind, picks);
    }
    if let Some(newest) = newest_year(&context.movies) {
        let new = |pick: &&Pick| {
            let year = pick.movie.as_ref().and_then(|movie| movie.year);
            year.is_some_and(|year| (newest.saturating_sub(NEW_YEARS - 1)..=newest).contains(&year))
        };
        page.add(RowKind::New, best.iter().filter(new).cloned());
    }
    add_trending(context, page);
    add_popular(context, page);
    for facet in facets::most_telling(best, &context.movies) {
        let kind = facet.kind(Basis::Taste);
        page.add(kind, best.iter().filter(|pick| facet.holds(pick)).cloned());
    }
}

/// Rows for somebody of whom no more is known than what was told at onboarding.
fn fill_impersonal(context: &RequestContext<'_>, page: &mut Page) {
    for genre in &context.profile.preferences.genres {
        // One that the catalogue lost is nobody's.
        let Some(name) = context.movies.genre_name(genre) else { continue };
        let filter = Filter { genres_any: vec![genre.clone()], ..Filter::default() };
        let Ok(Some(mut members)) = context.parts.catalog.select(&filter) else { continue };
        if let Some(selection) = &context.selection {
            members &= selection;
        }
        let picks = trending(context, Some(&members), page.shown(), page.row_size());
        page.add(RowKind::Genre { by: Basis::Taste, name: Arc::clone(name) }, picks);
    }
    add_trending(context, page);
    add_popular(context, page);
    let pool = trending(context, context.selection.as_ref(), page.shown(), CANDIDATES);
    for facet in facets::most_frequent(&pool) {
        let kind = facet.kind(Basis::Popularity);
        page.add(kind, pool.iter().filter(|pick| facet.holds(pick)).cloned());
    }
}

fn add_trending(context: &RequestContext<'_>, page: &mut Page) {
    let picks = trending(context, context.selection.as_ref(), page.shown(), page.row_size());
    page.add(RowKind::Trending, picks);
}

fn add_popular(context: &RequestContext<'_>, page: &mut Page) {
    let excluded = page.shown() | context.excluded_movies();
    let found = context.parts.catalog.popular(context.selection.as_ref(), &excluded, None, page.row_size());
    let most = found.first().map_or(0.0, |(_, users)| *users);
    let picks = found.into_iter().filter_map(|(index, users)| {
        let share = if most > 0.0 { users / most } else { 0.0 };
        pick_at(context, index, share as f32)
    });
    page.add(RowKind::Popular, picks);
}

/// The most trending unseen movies of a selection, `shown` left out; each scores its share of the first one's weight.
fn trending(
    context: &RequestContext<'_>,
    selection: Option<&RoaringBitmap>,
    shown: &RoaringBitmap,
    limit: usize,
) -> Vec<Pick> {
    let excluded = shown | context.excluded_movies();
    let found = context.parts.catalog.trending(selection, &excluded, None, limit);
    let top = found.first().map_or(f64::NEG_INFINITY, |(_, score)| *score);
    let share = |score: f64| if score.is_finite() { (score - top).exp2() as f32 } else { 0.0 };
    found.into_iter().filter_map(|(index, score)| pick_at(context, index, share(score))).collect()
}

fn pick_at(context: &RequestContext<'_>, index: u32, score: f32) -> Option<Pick> {
    let movie = context.movies.at(index)?;
    let (movie_id, movie) = (movie.movie_id, Some(Arc::clone(movie)));
    Some(Pick {
        movie_id,
        score,
        parts: None,
        propensity: None,
        source: Source::Popularity,
        movie,
        rule: None,
    })
}

/// The newest year of which the catalogue has movies, those of the future aside.
fn newest_year(movies: &Movies) -> Option<u16> {
    let this_year = year_of(now_ms());
    movies.year_counts().map(|(year, _)| year).filter(|year| i64::from(*year) <= this_year).last()
}
