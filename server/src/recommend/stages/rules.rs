//! What the rules of the business do to a recommendation.
//!
//! Which of them hold is found once, when the profile is there. What they remove or pin is then no candidate of any
//! path; what they lift or bury has its value changed where candidates are compared, in [`rerank`](super::rerank) and
//! [`fill`](super::fill); and [`pin`] puts in front what they pin.

use std::time::Instant;

use marquee_core::clock;
use marquee_core::domain::MovieId;

use crate::recommend::context::{Excluded, RequestContext};
use crate::recommend::stage::Stage;
use crate::recommend::{Pick, Source};

/// Finds what the rules do to this request. What its filter or the history keeps out is not pinned either.
pub(in crate::recommend) fn heed(context: &mut RequestContext<'_>, said: &str) {
    let began = Instant::now();
    let Some(rules) = &context.parts.rules else { return };
    let Some(mut effects) = rules.effects(said, clock::now_ms) else { return };
    effects.pins.retain(|pinned| may_be_answered(context, pinned.movie_id));
    effects.pins.truncate(context.k);
    context.rules = Some(Box::new(effects));
    context.watch.lap(Stage::Rerank, began);
}

/// Puts the pinned movies before all others.
pub(super) fn pin(context: &mut RequestContext<'_>) {
    let Some(rules) = &context.rules else { return };
    let pick = |pinned: &crate::rules::Pinned| Pick {
        movie_id: pinned.movie_id,
        score: 0.0,
        parts: None,
        source: Source::Rule,
        propensity: None,
        movie: None,
        rule: Some(pinned.rule.clone()),
    };
    context.picks.splice(..0, rules.pins.iter().map(pick));
}

fn may_be_answered(context: &RequestContext<'_>, movie_id: MovieId) -> bool {
    let Some(index) = context.movies.index_of(movie_id) else { return false };
    let is_seen = match context.excluded {
        Excluded::Nothing => false,
        Excluded::History(movie_ids) => movie_ids.contains(&movie_id),
        Excluded::Seen => context.profile.seen.contains(movie_id),
    };
    !is_seen && context.selection.as_ref().is_none_or(|selection| selection.contains(index))
}
