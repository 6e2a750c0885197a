//! Two rankings merged in one answer: who goes first in each round, and which answers each won.

use marquee_core::domain::{Interaction, MovieId, TimeMs, UserId};
use marquee_experiments::{Amount, Credit, Draft, Team};
use rustc_hash::FxHashMap;

use super::records::{Answer, MERGED_BUCKET_MS};

/// The coins of the answers to a user within a minute, `true` where the first ranking goes first. A list that is asked for
/// again at once is merged as it was, which is what its record says.
pub fn coins(experiment: &str, user_id: UserId, time_ms: TimeMs) -> impl FnMut() -> bool {
    let seed = format!("{experiment}/{user_id}/{}", time_ms / MERGED_BUCKET_MS);
    let mut rounds = 0_u64..;
    move || xxhash_rust::xxh3::xxh3_64_with_seed(seed.as_bytes(), rounds.next().unwrap_or_default()) & 1 == 1
}

/// How many answers of a user the second ranking won, and of how many something was taken. What was done counts for the
/// newest answer before it that has the movie.
pub(super) fn won(events: &[&Interaction], answers: &[Answer]) -> (Amount, Amount) {
    let mut showing: FxHashMap<MovieId, Vec<usize>> = FxHashMap::default();
    for (place, answer) in answers.iter().enumerate() {
        for (movie_id, _) in &answer.items {
            showing.entry(*movie_id).or_default().push(place);
        }
    }
    let mut taken: Vec<Vec<MovieId>> = vec![Vec::new(); answers.len()];
    for event in events {
        let shown = showing.get(&event.movie_id).into_iter().flatten().copied();
        let before = shown.filter(|place| answers[*place].time_ms <= event.time_ms);
        if let Some(newest) = before.max_by_key(|place| answers[*place].time_ms) {
            taken[newest].push(event.movie_id);
        }
    }
    let of_answers =
        answers.iter().zip(&taken).filter_map(|(answer, taken)| Credit::of(&drafts(answer), taken).won());
    let (won, count) = of_answers.fold((0.0, 0.0), |(won, count), share| (won + share, count + 1.0));
    (Amount::new(won), Amount::new(count))
}

fn drafts(answer: &Answer) -> Vec<Draft> {
    let draft = |((movie_id, _), arm): (&(MovieId, Option<f64>), &Option<usize>)| {
        let team = if (*arm)? == 0 { Team::A } else { Team::B };
        Some(Draft { movie_id: *movie_id, team })
    };
    answer.items.iter().zip(&answer.arms).filter_map(draft).collect()
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::Kind;

    use super::*;

    fn answer(time_ms: TimeMs, places: &[(MovieId, Option<usize>)]) -> Answer {
        let items = places.iter().map(|(movie_id, _)| (*movie_id, None)).collect();
        let arms = places.iter().map(|(_, arm)| *arm).collect();
        Answer { time_ms, items, arms, took_us: None, failed: false }
    }

    fn won_of(events: &[(MovieId, TimeMs)], answers: &[Answer]) -> (f64, f64) {
        let view = |(movie_id, time_ms): &(MovieId, TimeMs)| Interaction {
            user_id: 1,
            movie_id: *movie_id,
            time_ms: *time_ms,
            kind: Kind::View,
            rating: None,
        };
        let events: Vec<Interaction> = events.iter().map(view).collect();
        let (value, count) = won(&events.iter().collect::<Vec<_>>(), answers);
        (value.value(), count.value())
    }

    #[test]
    fn who_gave_more_of_what_was_taken_wins_the_answer() {
        let shown = [answer(10, &[(1, Some(0)), (2, Some(1)), (3, Some(1)), (9, None)])];
        assert_eq!(won_of(&[(2, 11)], &shown), (1.0, 1.0));
        assert_eq!(won_of(&[(1, 11)], &shown), (0.0, 1.0));
        assert_eq!(won_of(&[(1, 11), (2, 12)], &shown), (0.5, 1.0));
        assert_eq!(won_of(&[(1, 11), (1, 12), (2, 12), (3, 13)], &shown), (1.0, 1.0));
    }

    #[test]
    fn what_was_pinned_or_not_shown_or_done_before_counts_for_nobody() {
        let shown = [answer(10, &[(1, Some(0)), (9, None)])];
        assert_eq!(won_of(&[(9, 11), (5, 11), (1, 9)], &shown), (0.0, 0.0));
    }

    #[test]
    fn the_newest_answer_with_the_movie_is_the_one_it_was_taken_of() {
        let shown = [answer(10, &[(1, Some(0))]), answer(20, &[(1, Some(1))]), answer(30, &[(2, Some(0))])];
        assert_eq!(won_of(&[(1, 15)], &shown), (0.0, 1.0));
        assert_eq!(won_of(&[(1, 40)], &shown), (1.0, 1.0));
    }

    #[test]
    fn coins_fall_alike_within_a_minute_and_either_way_over_many() {
        let minute = |user_id, time_ms| {
            let mut coin = coins("lists", user_id, time_ms);
            (0..8).map(|_| coin()).collect::<Vec<_>>()
        };
        assert_eq!(minute(1, 60_000), minute(1, 119_999));
        let heads = (0..1_000).filter(|user_id| minute(*user_id, 0)[0]).count();
        assert!((400..600).contains(&heads), "{heads} of 1,000 first coins are heads");
    }
}
