//! What the catalogue knows of the answered movies.

use crate::recommend::context::RequestContext;

/// Gives each pick its movie.
pub(super) fn hydrate(context: &mut RequestContext<'_>) {
    for pick in &mut context.picks {
        pick.movie = context.movies.get(pick.movie_id).cloned();
    }
}
