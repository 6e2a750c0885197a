//! What the model finds: one job of the engine.

use std::sync::Arc;

use marquee_engine::{Answer, Input, Model, Want};
use marquee_retrieval::{Method, Metric, Query};
use roaring::RoaringBitmap;

use crate::recommend::context::{Excluded, Found, RequestContext};
use crate::recommend::history::{EncodableHistory, bitmap_of};
use crate::recommend::{Question, RecommendError, Served, SimilarQuestion, Source, Usage, taste};

/// The best movies for the subject's taste; where it has none, for the movies of its preferences. Nothing is found
/// for who has neither, or nothing that the model knows.
pub(in crate::recommend) async fn for_taste(
    context: &mut RequestContext<'_>,
    question: &Question,
) -> Result<(), RecommendError> {
    let source = if context.taste.is_empty() { Source::Preferences } else { Source::Model };
    if source == Source::Preferences {
        context.taste = taste::without_repeats(&context.profile.preferences.movie_ids).into();
    }
    if context.taste.is_empty() {
        return Ok(());
    }
    let model = context.model.clone()?;
    let index = context.index_of(&model);
    let encodable = EncodableHistory::of(&model, &index, &question.subject, &context.taste);
    context.ignored = encodable.ignored;
    if encodable.rows.is_empty() {
        return Ok(());
    }
    let sequence = encodable.newest(&model);
    let query = Query {
        k: context.k,
        allowed: context.allowed_rows(&index),
        excluded: Arc::new(excluded_rows(context, &model, encodable.history)),
        method: question.method,
        metric: Metric::InnerProduct,
    };
    let answer = context.parts.run_sequence(&model, sequence, Want::TopK(query), context.options).await?;
    Usage::of(&model).count(Served::Recommendation, context.options.model_version.as_deref());
    found(context, model, answer, source);
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
        excluded: Arc::new(RoaringBitmap::from_iter([row])),
        method: Method::Exact,
        metric: Metric::Cosine,
    };
    let input = Input::Vector(model.bundle().output_embedding(row).into());
    let answer = model.submit(context.options.job(input, Want::TopK(query))).await?;
    Usage::of(&model).count(Served::SimilarMovies, context.options.model_version.as_deref());
    found(context, model, answer, Source::Model);
    Ok(())
}

/// The rows of the movies that must not be answered; `history` has those of a request's own.
fn excluded_rows(
    context: &RequestContext<'_>,
    model: &Model,
    history: Option<RoaringBitmap>,
) -> RoaringBitmap {
    let rows_of = |movie_ids: &RoaringBitmap| {
        bitmap_of(movie_ids.iter().filter_map(|movie_id| model.bundle().row_of(movie_id)).collect())
    };
    match context.excluded {
        Excluded::Nothing => RoaringBitmap::new(),
        Excluded::History(_) => history.unwrap_or_default(),
        Excluded::Seen => rows_of(&context.profile.seen),
    }
}

fn found(context: &mut RequestContext<'_>, model: Arc<Model>, answer: Answer, source: Source) {
    context.watch.engine(answer.timings);
    context.found = Some(Found { model, items: answer.items, method: answer.method, source });
}
