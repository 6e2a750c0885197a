//! Answers without the model: preferred genres first, then popularity with decay.

use marquee_ranking::{GenreRoom, MAX_CANDIDATES};
use roaring::RoaringBitmap;

use crate::catalog::{Filter, Movie};
use crate::recommend::context::RequestContext;
use crate::recommend::{Pick, Source};

/// Fills an answer up to k with popular movies: of the preferred genres first, where no taste is
/// known, then of all that is allowed.
pub(super) fn fill(context: &mut RequestContext<'_>) {
    if context.picks.len() >= context.k {
        return;
    }
    let mut excluded = context.excluded_movies();
    excluded.extend(context.picks.iter().map(|pick| pick.movie_id));
    if context.picks.is_empty() && !context.profile.preferences.genres.is_empty() {
        let preferred = of_preferred_genres(context);
        let picks = popular(context, Some(&preferred), &mut excluded, context.k, Source::Preferences);
        if !picks.is_empty() {
            context.source = Source::Preferences;
        }
        context.picks = picks;
    }
    let missing = context.k.saturating_sub(context.picks.len());
    let picks = popular(context, context.selection.as_ref(), &mut excluded, missing, Source::Popularity);
    context.picks.extend(picks);
}

/// The allowed movies of any of the preferred genres; genres that the catalogue lost are nobody's.
fn of_preferred_genres(context: &RequestContext<'_>) -> RoaringBitmap {
    let mut preferred = RoaringBitmap::new();
    for genre in &context.profile.preferences.genres {
        let filter = Filter { genres_any: vec![genre.clone()], ..Filter::default() };
        if let Ok(Some(indexes)) = context.parts.catalog.select(&filter) {
            preferred |= indexes;
        }
    }
    match &context.selection {
        Some(selection) => preferred & selection,
        None => preferred,
    }
}

/// The most trending movies of a selection, of any genre no more than the objective allows; excludes them from what
/// follows.
fn popular(
    context: &RequestContext<'_>,
    selection: Option<&RoaringBitmap>,
    excluded: &mut RoaringBitmap,
    limit: usize,
    source: Source,
) -> Vec<Pick> {
    if limit == 0 {
        return Vec::new();
    }
    let mut room = room_of_genres(context);
    let look_at = if room.is_some() { MAX_CANDIDATES } else { limit };
    let found = context.parts.catalog.trending(selection, excluded, None, look_at);
    let top = found.first().map_or(f64::NEG_INFINITY, |(_, score)| *score);
    let picks: Vec<Pick> = found
        .into_iter()
        .filter_map(|(index, score)| {
            let share = if score.is_finite() { (score - top).exp2() as f32 } else { 0.0 };
            let movie = context.movies.at(index)?;
            if !takes(room.as_mut(), movie) {
                return None;
            }
            Some(Pick {
                movie_id: movie.movie_id,
                score: share,
                parts: None,
                propensity: None,
                source,
                movie: None,
            })
        })
        .take(limit)
        .collect();
    excluded.extend(picks.iter().map(|pick| pick.movie_id));
    picks
}

/// What the objective leaves of each genre beside the movies that are picked; `None` where it sets no bound.
fn room_of_genres(context: &RequestContext<'_>) -> Option<GenreRoom> {
    let most = context.objective?.max_per_genre?;
    let mut room = GenreRoom::new(most, context.movies.genre_numbers());
    let picked = context.picks.iter().filter_map(|pick| context.movies.get(pick.movie_id));
    picked.for_each(|movie| room.take(&movie.genre_numbers));
    Some(room)
}

/// Takes a place in all of a movie's genres, if there is one.
fn takes(room: Option<&mut GenreRoom>, movie: &Movie) -> bool {
    let Some(room) = room else { return true };
    let allowed = room.allows(&movie.genre_numbers);
    if allowed {
        room.take(&movie.genre_numbers);
    }
    allowed
}
