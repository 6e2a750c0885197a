//! What the model finds: one job of the engine.

use std::sync::Arc;

use marquee_core::domain::MovieId;
use marquee_engine::{Answer, EngineError, Input, Model, Want};
use marquee_retrieval::{Method, Metric, Query, Scored};
use roaring::RoaringBitmap;

use crate::recommend::context::{Evidence, Excluded, Found, RequestContext};
use crate::recommend::history::{EncodableHistory, bitmap_of};
use crate::recommend::{
    Question, RecommendError, Served, SimilarQuestion, Source, Usage, VectorQuestion, taste,
};

/// The best movies for the subject's taste; where it has none, for the movies of its preferences. Nothing is found
/// for who has neither, or nothing that the model knows.
pub(in crate::recommend) async fn for_taste(
    context: &mut RequestContext<'_>,
    question: &Question,
) -> Result<(), RecommendError> {
    context.choose_for(question.objective, context.taste.len());
    let source = if context.taste.is_empty() { Source::Preferences } else { Source::Model };
    if source == Source::Preferences {
        // Without taste, the newest event of a movie says that it is not wanted.
        let refused =
            |movie_id: &MovieId| context.profile.newest.iter().any(|event| event.movie_id == *movie_id);
        let mut wanted = taste::without_repeats(&context.profile.preferences.movie_ids);
        wanted.retain(|movie_id| !refused(movie_id));
        context.taste = wanted.into();
    }
    if context.taste.is_empty() {
        return Ok(());
    }
    let model = context.model.clone()?;
    let index = context.index_of(&model);
    let encodable = EncodableHistory::of(&model, &index, &question.subject, &context.taste);
    context.ignored = encodable.ignored;
    context.choose_for(question.objective, encodable.rows.len());
    if encodable.rows.is_empty() {
        return Ok(());
    }
    let sequence = encodable.newest(&model);
    let query = Query {
        k: context.candidates(),
        allowed: context.allowed_rows(&index),
        excluded: Arc::new(excluded_rows(context, &model, encodable.history)),
        method: question.method,
        metric: Metric::InnerProduct,
    };
    let evidence = || Box::new(Evidence { history: encodable.rows, query: query.clone() });
    context.evidence = question.explain_newest.map(|_| evidence());
    let lifted = lifted(context, &model, &query);
    let wanted = Want::TopK(query);
    let mut answer = context.parts.run_sequence(&model, sequence, wanted, context.options).await?;
    if let Some(lifted) = lifted {
        // Most requests have none, and none shall carry the future of it.
        Box::pin(add(context, &model, &mut answer, lifted)).await?;
    }
    Usage::of(&model).count(Served::Recommendation, context.options.model_version.as_deref());
    found(context, model, answer, source);
    Ok(())
}

/// The best of the movies that rules lift, however far behind the others; `None` where rules lift none.
fn lifted(context: &RequestContext<'_>, model: &Model, query: &Query) -> Option<Query> {
    let mut rows = rows_of(model, &context.weights()?.lifted());
    if let Some(allowed) = &query.allowed {
        rows &= &**allowed;
    }
    let query = Query { allowed: Some(Arc::new(rows)), method: Method::Exact, ..query.clone() };
    query.allowed.as_ref().is_some_and(|rows| !rows.is_empty()).then_some(query)
}

/// Adds to an answer what another query finds for its vector, best first.
async fn add(
    context: &mut RequestContext<'_>,
    model: &Model,
    answer: &mut Answer,
    query: Query,
) -> Result<(), EngineError> {
    let input = Input::Vector(Arc::clone(&answer.vector));
    let more = model.submit(context.options.job(input, Want::TopK(query))).await?;
    context.watch.engine(more.timings);
    let known: RoaringBitmap = answer.items.iter().map(|item| item.row).collect();
    answer.items.extend(more.items.into_iter().filter(|item| !known.contains(item.row)));
    let movie_id = |item: &Scored| model.bundle().vocabulary[item.row as usize];
    answer.items.sort_by(|one, other| {
        other.score.total_cmp(&one.score).then_with(|| movie_id(one).cmp(&movie_id(other)))
    });
    Ok(())
}

/// The movies whose output embeddings are nearest to that of one movie by the cosine, itself left out. By the inner
/// product popular movies would come first, whose embeddings are long.
pub(in crate::recommend) async fn like_movie(
    context: &mut RequestContext<'_>,
    question: &SimilarQuestion,
) -> Result<(), RecommendError> {
    let model = context.model.clone()?;
    let index = context.index_of(&model);
    let unknown = RecommendError::UnknownMovie(question.movie_id);
    let row = index.row_of(model.bundle(), question.movie_id).ok_or(unknown)?;
    let query = Query {
        k: context.k,
        allowed: context.allowed_rows(&index),
        excluded: Arc::new(RoaringBitmap::from([row])),
        method: Method::Exact,
        metric: Metric::Cosine,
    };
    let input = Input::Vector(model.bundle().output_embedding(row).into());
    let answer = model.submit(context.options.job(input, Want::TopK(query))).await?;
    Usage::of(&model).count(Served::SimilarMovies, context.options.model_version.as_deref());
    found(context, model, answer, Source::Model);
    Ok(())
}

/// The movies that are best for a vector of the request's own.
pub(in crate::recommend) async fn for_vector(
    context: &mut RequestContext<'_>,
    model: Arc<Model>,
    question: &VectorQuestion,
) -> Result<(), EngineError> {
    let query = Query {
        k: context.k,
        allowed: context.allowed_rows(&context.index_of(&model)),
        excluded: Arc::default(),
        method: question.method,
        metric: question.metric,
    };
    let input = Input::Vector(Arc::clone(&question.vector));
    let answer = model.submit(context.options.job(input, Want::TopK(query))).await?;
    found(context, model, answer, Source::Model);
    Ok(())
}

/// The rows of these movies, as far as the model knows them.
fn rows_of(model: &Model, movie_ids: &RoaringBitmap) -> RoaringBitmap {
    bitmap_of(movie_ids.iter().filter_map(|movie_id| model.bundle().row_of(movie_id)).collect())
}

/// The rows of the movies that must not be answered; `history` has those of a request's own.
fn excluded_rows(
    context: &RequestContext<'_>,
    model: &Model,
    history: Option<RoaringBitmap>,
) -> RoaringBitmap {
    let mut rows = match context.excluded {
        Excluded::Nothing => RoaringBitmap::new(),
        Excluded::History(_) => history.unwrap_or_default(),
        Excluded::Seen => rows_of(model, &context.profile.seen),
    };
    if let Some(rules) = &context.rules {
        rows |= rows_of(model, &rules.withheld());
    }
    rows
}

fn found(context: &mut RequestContext<'_>, model: Arc<Model>, answer: Answer, source: Source) {
    context.watch.engine(answer.timings);
    context.found =
        Some(Found { model, vector: answer.vector, items: answer.items, method: answer.method, source });
}
