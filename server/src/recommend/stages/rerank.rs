//! Which of the candidates are answered, and in which order.
//!
//! What the model found is answered in the model's order. Whatever weighs candidates against each other, such as
//! diversity or freshness, belongs here, before the best k are taken.

use crate::recommend::Pick;
use crate::recommend::context::RequestContext;

/// Makes picks of what was found, if anything was.
pub(super) fn rerank(context: &mut RequestContext<'_>) {
    let Some(found) = &context.found else { return };
    let (vocabulary, source) = (&found.model.bundle().vocabulary, found.source);
    let best = found.items.iter().take(context.k);
    context.picks = best
        .map(|item| Pick { movie_id: vocabulary[item.row as usize], score: item.score, source, movie: None })
        .collect();
    context.source = source;
}
