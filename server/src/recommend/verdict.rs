//! The judgement of one movie: whether it would be answered, its place, and what keeps it out.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use marquee_core::domain::{Kind, MovieId};
use marquee_engine::{EngineError, Input, Want};
use marquee_ranking::Objective;
use marquee_retrieval::{ItemRow, Method, Query, Scored};
use roaring::RoaringBitmap;

use super::context::{Excluded, RequestContext};
use super::explain::{Probe, explanation, sentence_of};
use super::stage::Stage;
use super::stages::{self, candidates, profile, rerank, rules};
use super::{Explanation, Question, Reasons, RecommendError, Recommender, Source, Timings};
use crate::catalog::{Condition, Movie};
use crate::rules::{Action, Rule};

/// The judgement of one movie.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The movie.
    pub movie_id: MovieId,
    /// What the catalogue knows of it.
    pub movie: Option<Arc<Movie>>,
    /// Whether it would be answered.
    pub answered: bool,
    /// Where the model ranks it; `None` where it does not.
    pub place: Option<Place>,
    /// What keeps it out; nothing where it would be answered.
    pub obstacles: Vec<Obstacle>,
    /// Why it stands where it does: `movies` has this one.
    pub explanation: Explanation,
    /// Which path would answer.
    pub source: Source,
    /// The model version that answered; `None` if no model took part.
    pub model_version: Option<String>,
    /// Where the time went.
    pub timings: Timings,
    /// Movies of the request's own history that the model does not know.
    pub ignored: usize,
}

/// Where the model ranks a movie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The model's score.
    pub score: f32,
    /// From 1, among all movies that are allowed and itself.
    pub rank: usize,
    /// How many are allowed beside it.
    pub others: usize,
}

/// What keeps a movie out of an answer. Printed, it is a sentence without its full stop.
#[derive(Clone, Debug, PartialEq)]
pub enum Obstacle {
    /// The model does not know it.
    UnknownToModel,
    /// The model knows it and the catalogue does not have it.
    NotInCatalogue,
    /// It fails a condition of the filter.
    Filter(Condition),
    /// It is seen, and what is seen is left out.
    Seen(SeenAs),
    /// A rule takes it out, or pushes it down.
    Rule(Arc<Rule>),
    /// Others come before it; by its place, or by popularity where the model gives it none.
    Rank(Option<Place>),
}

/// How a movie came to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenAs {
    /// It stands in the request's own history.
    InHistory,
    /// The user disliked it.
    Disliked,
    /// The user hid it.
    Hidden,
    /// Anything else.
    Met,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownToModel => f.write_str("the model does not know it"),
            Self::NotInCatalogue => f.write_str("it is not in the catalogue"),
            Self::Filter(condition) => write!(f, "it {}", condition.failed()),
            Self::Seen(SeenAs::InHistory) => f.write_str("it stands in the history"),
            Self::Seen(SeenAs::Disliked) => f.write_str("the user disliked it"),
            Self::Seen(SeenAs::Hidden) => f.write_str("the user hid it"),
            Self::Seen(SeenAs::Met) => f.write_str("the user has seen it"),
            Self::Rule(rule) => {
                write!(f, "the rule {} ({}) ", rule.rule_id, rule.reason)?;
                match rule.action {
                    Action::Bury { penalty: Some(penalty), .. } => write!(f, "takes {penalty} off its value"),
                    _ => f.write_str("takes it out"),
                }
            }
            Self::Rank(Some(Place { rank, others, .. })) => {
                write!(f, "it is number {rank} of {}", others + 1)
            }
            Self::Rank(None) => f.write_str("others are more popular"),
        }
    }
}

/// A movie among all that are allowed.
struct Ranked {
    row: ItemRow,
    place: Place,
    /// The best of all, and the movie itself, best first.
    candidates: Vec<Scored>,
}

impl Recommender {
    /// Why a movie is answered to a question, or is not. The question is one that asks for reasons: else the model is
    /// not asked for the movie's place either.
    ///
    /// # Errors
    /// [`RecommendError`]; [`RecommendError::UnknownMovie`] when neither the catalogue nor the model knows the movie.
    pub async fn explain(&self, question: &Question, movie_id: MovieId) -> Result<Verdict, RecommendError> {
        let mut context = RequestContext::new(self, question.k, &question.filter, &question.options)?;
        require_known(&context, movie_id)?;
        context.excluded = Excluded::of(question);
        profile::profile(&mut context, &question.subject, &question.consistency_token).await?;
        rules::heed(&mut context, &question.context);
        candidates::for_taste(&mut context, question).await?;
        rerank::by_objective(&mut context).await;
        context.run(&stages::CHOOSE);
        let began = Instant::now();
        let ranked = rank(&context, movie_id).await?;
        let place = ranked.as_ref().map(|ranked| ranked.place);
        let obstacles = obstacles(&context, question, movie_id, place)?;
        let mut explanation = match ranked {
            Some(ranked) => reasons(&context, &ranked, question.explain_newest.unwrap_or_default()).await,
            None => Explanation { movies: vec![Reasons::default()], ..Explanation::default() },
        };
        let pick = context.picks.iter().find(|pick| pick.movie_id == movie_id);
        if let (Some(pick), [reasons]) = (pick, &mut explanation.movies[..]) {
            reasons.sentence = sentence_of(&context, question, pick, reasons.because.first());
        }
        self.metrics.reasons(explanation.tried, explanation.not_tried);
        context.watch.lap(Stage::Explain, began);
        let (answered, movie) = (pick.is_some(), context.movies.get(movie_id).cloned());
        let answer = context.finish();
        Ok(Verdict {
            movie_id,
            movie,
            answered,
            place,
            obstacles,
            explanation,
            source: answer.source,
            model_version: answer.model_version,
            timings: answer.timings,
            ignored: answer.ignored,
        })
    }
}

fn require_known(context: &RequestContext<'_>, movie_id: MovieId) -> Result<(), RecommendError> {
    let is_the_models = || {
        let model = context.model.as_ref().ok()?;
        context.index_of(model).row_of(model.bundle(), movie_id)
    };
    if context.movies.get(movie_id).is_none() && is_the_models().is_none() {
        return Err(RecommendError::UnknownMovie(movie_id));
    }
    Ok(())
}

/// The movie among all that are allowed, as if it was; `None` where the model does not rank it.
async fn rank(context: &RequestContext<'_>, movie_id: MovieId) -> Result<Option<Ranked>, RecommendError> {
    let (Some(found), Some(evidence)) = (&context.found, &context.evidence) else { return Ok(None) };
    let bundle = found.model.bundle();
    let Some(row) = context.index_of(&found.model).row_of(bundle, movie_id) else { return Ok(None) };
    let query = allowing(&evidence.query, row);
    let best = async |k: usize| {
        let (input, query) = (Input::Vector(Arc::clone(&found.vector)), Query { k, ..query.clone() });
        let answer = found.model.submit(context.options.job(input, Want::TopK(query))).await?;
        let rank = answer.items.iter().position(|item| item.row == row);
        Ok::<_, EngineError>((answer.items, rank))
    };
    let wanted = Objective::default().candidates(context.k);
    let (mut all, mut rank) = best(wanted).await?;
    if rank.is_none() {
        // To rank everything takes as long as many encodings, and few movies that somebody asks about need it.
        (all, rank) = best(bundle.items()).await?;
    }
    let Some(rank) = rank else { return Ok(None) };
    let others = allowed_by(&query, bundle.items()).saturating_sub(1);
    let (movie, place) = (all[rank], Place { score: all[rank].score, rank: rank + 1, others });
    all.truncate(wanted);
    if rank >= wanted {
        all.push(movie);
    }
    Ok(Some(Ranked { row, place, candidates: all }))
}

/// The exact query that may be answered by one more row.
fn allowing(query: &Query, row: ItemRow) -> Query {
    let mut query = Query { method: Method::Exact, ..query.clone() };
    if query.excluded.contains(row) {
        Arc::make_mut(&mut query.excluded).remove(row);
    }
    let is_allowed = |allowed: &Arc<RoaringBitmap>| allowed.contains(row);
    if let Some(allowed) = &mut query.allowed
        && !is_allowed(allowed)
    {
        Arc::make_mut(allowed).insert(row);
    }
    query
}

/// How many of a model's items may answer a query.
fn allowed_by(query: &Query, items: usize) -> usize {
    let allowed = match &query.allowed {
        Some(allowed) => allowed.difference_len(&query.excluded),
        None => (items as u64).saturating_sub(query.excluded.len()),
    };
    allowed as usize
}

async fn reasons(context: &RequestContext<'_>, ranked: &Ranked, newest: usize) -> Explanation {
    let (Some(found), Some(evidence)) = (&context.found, &context.evidence) else {
        return Explanation::default();
    };
    let probe = Probe::new(&found.model, context.options.deadline);
    let findings = probe.find(&[Some(ranked.row)], evidence, &ranked.candidates, newest).await;
    explanation(context, &found.model, &[Some(ranked.row)], &findings, ranked.candidates.len())
}

/// All that keeps a movie out of the answer.
fn obstacles(
    context: &RequestContext<'_>,
    question: &Question,
    movie_id: MovieId,
    place: Option<Place>,
) -> Result<Vec<Obstacle>, RecommendError> {
    let mut obstacles = Vec::new();
    if context.picks.iter().any(|pick| pick.movie_id == movie_id) {
        return Ok(obstacles);
    }
    if place.is_none() && context.found.is_some() {
        obstacles.push(Obstacle::UnknownToModel);
    }
    if !context.movies.is_empty() && context.movies.get(movie_id).is_none() {
        obstacles.push(Obstacle::NotInCatalogue);
    }
    let failed = context.parts.catalog.failed_conditions(&question.filter, movie_id)?;
    obstacles.extend(failed.into_iter().map(Obstacle::Filter));
    obstacles.extend(seen_as(context, movie_id).map(Obstacle::Seen));
    let rule = context.rules.as_ref().and_then(|rules| rules.against(movie_id));
    obstacles.extend(rule.cloned().map(Obstacle::Rule));
    if obstacles.is_empty() || place.is_some_and(|place| place.rank > context.k) {
        obstacles.push(Obstacle::Rank(place));
    }
    Ok(obstacles)
}

/// How the movie is seen; `None` where it is not, or may be answered all the same.
fn seen_as(context: &RequestContext<'_>, movie_id: MovieId) -> Option<SeenAs> {
    match context.excluded {
        Excluded::Nothing => None,
        Excluded::History(movie_ids) => movie_ids.contains(&movie_id).then_some(SeenAs::InHistory),
        Excluded::Seen => context.profile.seen.contains(movie_id).then(|| {
            let mut newest = context.profile.newest.iter().rev();
            match newest.find(|event| event.movie_id == movie_id).map(|event| event.kind) {
                Some(Kind::Dislike) => SeenAs::Disliked,
                Some(Kind::Hide) => SeenAs::Hidden,
                _ => SeenAs::Met,
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movie_that_may_not_be_answered_is_ranked_as_if_it_might() {
        let rows = |rows: &[u32]| Arc::new(rows.iter().copied().collect::<RoaringBitmap>());
        let query = Query { allowed: Some(rows(&[1, 2])), excluded: rows(&[2, 3]), ..Query::exact(10) };
        let ranked = allowing(&query, 3);
        assert_eq!(allowed_by(&ranked, 50), 2);
        assert_eq!((ranked.allowed, ranked.excluded), (Some(rows(&[1, 2, 3])), rows(&[2])));
        let unbounded = allowing(&Query { allowed: None, ..query }, 2);
        assert_eq!(allowed_by(&unbounded, 50), 49);
        assert_eq!((unbounded.allowed, unbounded.excluded), (None, rows(&[3])));
    }

    #[test]
    fn obstacles_are_said_in_words() {
        let place = Place { score: 1.5, rank: 57, others: 99 };
        assert_eq!(Obstacle::Rank(Some(place)).to_string(), "it is number 57 of 100");
        let young = Obstacle::Filter(Condition::YearMax).to_string();
        assert_eq!(young, "it is newer than it may be, or its year is not known");
        assert_eq!(Obstacle::Seen(SeenAs::Hidden).to_string(), "the user hid it");
    }
}
