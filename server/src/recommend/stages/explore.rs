//! Places of a list for movies that the model was not trained on.
//!
//! Their rows are predicted, so their scores say which of them is better and not how good it is beside a trained one:
//! mixed in by score they would hardly ever be seen. They take the last places, for which something of the list's end
//! is given up, and who fills them is drawn, with a chance that is answered and logged: what comes of it can be
//! learnt from.

use marquee_ranking::new_movies::{Drawn, explore as draw};

use crate::recommend::context::RequestContext;
use crate::recommend::{Pick, Source};

/// Gives the last places to new movies, as many as there are, and none that a rule's pins have; to none where the model
/// found nothing.
pub(super) fn explore(context: &mut RequestContext<'_>) {
    let Some(exploration) = context.exploration else { return };
    let drawn = draw(candidates(context), exploration.places.min(context.room()), exploration.seed);
    // Popularity may have found them too, where the model left places.
    context.picks.retain(|pick| drawn.iter().all(|drawn| drawn.movie_id != pick.movie_id));
    context.picks.truncate(context.k - drawn.len());
    for drawn in drawn {
        emit(context, exploration.seed, &drawn);
        let Drawn { movie_id, score, propensity } = drawn;
        let (source, propensity) = (Source::Exploration, Some(propensity));
        context.picks.push(Pick {
            movie_id,
            score,
            parts: None,
            source,
            propensity,
            movie: None,
            rule: None,
        });
    }
}

/// Logs and counts that a movie has the next place; the line's span has the request's id.
fn emit(context: &RequestContext<'_>, seed: u64, drawn: &Drawn) {
    let Drawn { movie_id, score, propensity } = *drawn;
    let model = context.found.as_ref().map(|found| found.model.bundle().version());
    let place = context.picks.len() + 1;
    tracing::info!(movie_id, place, score, propensity, seed, model, "explored");
    context.parts.metrics.explored();
}

/// The new movies that may be answered, with their scores.
fn candidates(context: &RequestContext<'_>) -> Vec<(u32, f32)> {
    let (Some(found), Some(rows)) = (&context.found, context.parts.new_rows.load_full()) else {
        return Vec::new();
    };
    if !rows.is_of(&found.model) {
        return Vec::new();
    }
    let excluded = context.excluded_movies();
    rows.scored(&found.vector, |index, movie_id| {
        context.movies.at(index).is_some()
            && context.selection.as_ref().is_none_or(|selection| selection.contains(index))
            && !excluded.contains(movie_id)
    })
}
