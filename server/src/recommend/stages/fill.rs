//! Answers without the model: preferred genres first, then popularity with decay.

use marquee_ranking::{GenreRoom, MAX_CANDIDATES, Parts};
use roaring::RoaringBitmap;

use crate::catalog::{Filter, Movie};
use crate::recommend::context::RequestContext;
use crate::recommend::{Pick, Source};
use crate::rules::Effects;

/// The logarithm of the weight of what nobody watched, where that of the most popular is 0: so little that no sum knows
/// of it, and yet something that a rule can lift.
const NOBODYS: f64 = -150.0;

/// Fills an answer up to k with popular movies: of the preferred genres first, where no taste is
/// known, then of all that is allowed.
pub(super) fn fill(context: &mut RequestContext<'_>) {
    let room = context.room();
    if context.picks.len() >= room {
        return;
    }
    let mut excluded = context.excluded_movies();
    excluded.extend(context.picks.iter().map(|pick| pick.movie_id));
    if context.picks.is_empty() && !context.profile.preferences.genres.is_empty() {
        let preferred = of_preferred_genres(context);
        let picks = popular(context, Some(&preferred), &mut excluded, room, Source::Preferences);
        if !picks.is_empty() {
            context.source = Source::Preferences;
        }
        context.picks = picks;
    }
    let missing = room.saturating_sub(context.picks.len());
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
    let found = match context.weights() {
        Some(rules) => under_rules(context, rules, selection, excluded, look_at.max(context.candidates())),
        None => plain(context, selection, excluded, look_at),
    };
    let picks = found.into_iter().filter(|found| takes(room.as_mut(), found.movie));
    let picks: Vec<Pick> = picks.take(limit).map(|found| found.pick(context, source)).collect();
    excluded.extend(picks.iter().map(|pick| pick.movie_id));
    picks
}

/// A popular movie.
struct Popular<'a> {
    movie: &'a Movie,
    score: f32,
    parts: Option<Parts>,
}

impl Popular<'_> {
    fn pick(&self, context: &RequestContext<'_>, source: Source) -> Pick {
        let Self { movie, score, parts } = *self;
        let movie_id = movie.movie_id;
        let rule = context.weights().and_then(|rules| rules.lifted_by(movie_id)).cloned();
        Pick { movie_id, score, parts, propensity: None, source, movie: None, rule }
    }
}

/// The most trending movies, each with its share of the weight of the first.
fn plain<'a>(
    context: &'a RequestContext<'_>,
    selection: Option<&RoaringBitmap>,
    excluded: &RoaringBitmap,
    limit: usize,
) -> Vec<Popular<'a>> {
    let found = context.parts.catalog.trending(selection, excluded, None, limit);
    let top = found.first().map_or(f64::NEG_INFINITY, |(_, score)| *score);
    let share = |score: f64| if score.is_finite() { (score - top).exp2() as f32 } else { 0.0 };
    let popular = |(index, score): (u32, f64)| {
        Some(Popular { movie: context.movies.at(index)?, score: share(score), parts: None })
    };
    found.into_iter().filter_map(popular).collect()
}

/// The best by the logarithm of their share of the weight of all candidates and by what rules add to it. The candidates
/// are the most trending movies, and the most trending of those that rules lift.
fn under_rules<'a>(
    context: &'a RequestContext<'_>,
    rules: &Effects,
    selection: Option<&RoaringBitmap>,
    excluded: &RoaringBitmap,
    limit: usize,
) -> Vec<Popular<'a>> {
    let catalog = &context.parts.catalog;
    let mut found = catalog.trending(selection, excluded, None, limit);
    let known: RoaringBitmap = found.iter().map(|(index, _)| *index).collect();
    let mut lifted: RoaringBitmap =
        rules.lifted().iter().filter_map(|movie_id| context.movies.index_of(movie_id)).collect();
    lifted -= known;
    if let Some(selection) = selection {
        lifted &= selection;
    }
    found.extend(catalog.trending(Some(&lifted), excluded, None, limit));
    let top = found.iter().fold(f64::NEG_INFINITY, |top, (_, score)| top.max(*score));
    // The score is a logarithm to the base of 2.
    let weight = |score: f64| {
        if score.is_finite() { ((score - top) * std::f64::consts::LN_2).max(NOBODYS) } else { NOBODYS }
    };
    let all = found.iter().map(|(_, score)| weight(*score).exp()).sum::<f64>().ln();
    let popular = |(index, score): (u32, f64)| {
        let movie = context.movies.at(index)?;
        let log_probability = weight(score) - all;
        let parts = Parts { log_probability, rules: rules.added_to(movie.movie_id), ..Parts::default() };
        Some(Popular { movie, score: parts.sum() as f32, parts: Some(parts) })
    };
    let mut popular: Vec<_> = found.into_iter().filter_map(popular).collect();
    popular.sort_by(|one, other| value(other).total_cmp(&value(one)));
    popular
}

fn value(popular: &Popular<'_>) -> f64 {
    popular.parts.map_or(f64::NEG_INFINITY, |parts| parts.sum())
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
