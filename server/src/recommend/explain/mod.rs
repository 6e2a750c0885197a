//! Why a movie is answered, or is not.
//!
//! A movie of the history is a reason for an answered one as far as the model says so: it is taken out, the history
//! without it is encoded anew, and what the answered movie loses among the request's candidates is measured. Attention
//! weights or likeness would be cheaper, and name other movies than those whose absence changes the answer.
//!
//! [`probe`] asks the engine, [`drops`] is the arithmetic, [`sentence`] the words that are shown. The stage of the
//! pipeline is `stages/explain.rs`, the judgement of one movie `verdict.rs`.

mod drops;
mod probe;
mod sentence;

use marquee_engine::Model;
use marquee_retrieval::{ItemRow, Scored};
pub(super) use probe::{Findings, Probe};

use self::drops::Loss;
use self::sentence::{Facts, FoundBy, sentence};
use super::context::RequestContext;
use super::{Because, Explanation, Pick, Question, Reasons, SimilarTo};

/// The most reasons that are named for a movie: more are noise to who reads them.
const MOST_REASONS: usize = 3;

/// Says what was found of the movies of these rows, in their order, among so many candidates.
pub(super) fn explanation(
    context: &RequestContext<'_>,
    model: &Model,
    rows: &[Option<ItemRow>],
    findings: &Findings,
    candidates: usize,
) -> Explanation {
    let named = |row: ItemRow| {
        let movie_id = model.bundle().vocabulary[row as usize];
        (movie_id, context.movies.get(movie_id).cloned())
    };
    let because = |(row, drop): (ItemRow, Loss)| {
        let (movie_id, movie) = named(row);
        Because { movie_id, movie, score_drop: drop.score, rank_drop: drop.rank }
    };
    let similar_to = |nearest: &Scored| {
        let (movie_id, movie) = named(nearest.row);
        SimilarTo { movie_id, movie, cosine: nearest.score }
    };
    let reasons = |(place, nearest): (usize, &Option<Scored>)| Reasons {
        because: greatest(&findings.drops, place, rows[place]).map(because).collect(),
        similar_to: nearest.as_ref().map(similar_to),
        sentence: String::new(),
    };
    Explanation {
        tried: findings.drops.len(),
        not_tried: findings.not_tried,
        candidates,
        movies: findings.nearest.iter().enumerate().map(reasons).collect(),
    }
}

/// Those movies of the history, itself left out, whose absence costs the movie at this place most, the greatest drop
/// first; of equal ones the newer first.
fn greatest(
    drops: &[(ItemRow, Vec<Option<Loss>>)],
    place: usize,
    itself: Option<ItemRow>,
) -> impl Iterator<Item = (ItemRow, Loss)> {
    let others = drops.iter().filter(|(row, _)| itself != Some(*row));
    let mut drops: Vec<(ItemRow, Loss)> =
        others.filter_map(|(row, drops)| Some((*row, drops[place]?))).collect();
    drops.retain(|(_, drop)| drop.score > 0.0);
    drops.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    drops.into_iter().take(MOST_REASONS)
}

/// The facts of an answered movie as a sentence.
pub(super) fn sentence_of(
    context: &RequestContext<'_>,
    question: &Question,
    pick: &Pick,
    because: Option<&Because>,
) -> String {
    let genres = context.movies.get(pick.movie_id).map_or(&[][..], |movie| &movie.genres);
    let is_the_models = context.found.as_ref().is_some_and(|found| found.source == pick.source);
    let found_by = if is_the_models { FoundBy::Model } else { FoundBy::Popularity };
    sentence(&Facts::new(pick, found_by, genres, because, &context.profile, &question.filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_drops_are_the_reasons_and_what_is_no_drop_is_none() {
        let drop = |score| Some(Loss { score, rank: 1 });
        let drops = [
            (10, vec![drop(0.5), drop(0.0)]),
            (11, vec![drop(2.0), drop(-1.0)]),
            (12, vec![drop(0.5), None]),
            (13, vec![drop(1.0), drop(0.1)]),
            (14, vec![drop(0.1), drop(-0.1)]),
        ];
        let rows = |place, itself| greatest(&drops, place, itself).map(|(row, _)| row).collect::<Vec<_>>();
        assert_eq!(rows(0, None), [11, 13, 10]);
        assert_eq!(rows(0, Some(13)), [11, 10, 12], "no movie is a reason for itself");
        assert_eq!(rows(1, None), [13]);
    }
}
