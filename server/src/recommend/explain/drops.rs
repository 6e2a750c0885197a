//! What movies lose among the candidates when the history changes.

use marquee_retrieval::{ItemRow, Scored};
use rustc_hash::FxHashMap;

/// What one movie loses; more than 0 where it loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Loss {
    /// Of the log-softmax of its score over the candidates, in nats.
    pub(super) score: f64,
    /// Of its rank among them, in places.
    pub(super) rank: i64,
}

/// Where a movie stands among the candidates.
#[derive(Clone, Copy, Debug)]
struct Standing {
    log_share: f64,
    rank: usize,
}

/// Where some movies stand among the candidates, by the whole history.
#[derive(Debug)]
pub(super) struct Baseline {
    /// The places of the movies in [`Baseline::standings`].
    places: FxHashMap<ItemRow, usize>,
    standings: Vec<Option<Standing>>,
}

impl Baseline {
    /// Of the movies with these rows; one without a row, or outside the candidates, stands nowhere. `candidates` are
    /// best first.
    pub(super) fn new(rows: &[Option<ItemRow>], candidates: &[Scored]) -> Self {
        let places = rows.iter().enumerate().filter_map(|(place, row)| Some(((*row)?, place))).collect();
        let mut baseline = Self { places, standings: vec![None; rows.len()] };
        baseline.standings = baseline.standings_among(candidates);
        baseline
    }

    /// What each movie loses where the same candidates have these scores; they are best first.
    pub(super) fn drops(&self, candidates: &[Scored]) -> Vec<Option<Loss>> {
        let now = self.standings_among(candidates);
        let drop = |(before, now): (&Option<Standing>, Option<Standing>)| {
            let (before, now) = ((*before)?, now?);
            let rank = now.rank as i64 - before.rank as i64;
            Some(Loss { score: before.log_share - now.log_share, rank })
        };
        self.standings.iter().zip(now).map(drop).collect()
    }

    fn standings_among(&self, candidates: &[Scored]) -> Vec<Option<Standing>> {
        let mut standings = vec![None; self.standings.len()];
        let Some(best) = candidates.first() else { return standings };
        let above_best = |item: &Scored| f64::from(item.score) - f64::from(best.score);
        let log_sum = candidates.iter().map(|item| above_best(item).exp()).sum::<f64>().ln();
        for (rank, item) in candidates.iter().enumerate() {
            if let Some(place) = self.places.get(&item.row) {
                standings[*place] = Some(Standing { log_share: above_best(item) - log_sum, rank });
            }
        }
        standings
    }
}

/// The candidates without any history: nothing speaks for one of them more than for another.
pub(super) fn all_equal(candidates: &[Scored]) -> Vec<Scored> {
    candidates.iter().map(|item| Scored { score: 0.0, ..*item }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(scores: &[(ItemRow, f32)]) -> Vec<Scored> {
        scores.iter().map(|(row, score)| Scored { row: *row, score: *score }).collect()
    }

    #[test]
    fn a_movie_loses_log_softmax_and_places_among_the_candidates() {
        let before = scored(&[(7, 2.0), (8, 1.0), (9, 0.0)]);
        let after = scored(&[(8, 1.0), (9, 0.5), (7, 0.0)]);
        let drops = Baseline::new(&[Some(7), Some(9)], &before).drops(&after);
        let log_share = |score: f64, all: [f64; 3]| score - all.iter().map(|one| one.exp()).sum::<f64>().ln();
        let of_7 = log_share(2.0, [2.0, 1.0, 0.0]) - log_share(0.0, [1.0, 0.5, 0.0]);
        let of_9 = log_share(0.0, [2.0, 1.0, 0.0]) - log_share(0.5, [1.0, 0.5, 0.0]);
        let (first, second) = (drops[0].unwrap(), drops[1].unwrap());
        assert!((first.score - of_7).abs() < 1e-12 && (second.score - of_9).abs() < 1e-12);
        assert_eq!((first.rank, second.rank), (2, -1));
    }

    #[test]
    fn what_all_scores_have_in_common_is_no_drop() {
        let before = scored(&[(7, 2.0), (8, 1.0)]);
        let drops = Baseline::new(&[Some(7)], &before).drops(&scored(&[(7, -98.0), (8, -99.0)]));
        assert_eq!(drops, [Some(Loss { score: 0.0, rank: 0 })]);
    }

    #[test]
    fn scores_beyond_what_an_exponential_can_hold_have_finite_drops() {
        let before = scored(&[(7, 3000.0), (8, -3000.0)]);
        let drop = Baseline::new(&[Some(8)], &before).drops(&scored(&[(8, 1.0), (7, 1.0)]))[0].unwrap();
        assert!((drop.score - (2_f64.ln() - 6000.0)).abs() < 1e-9, "{drop:?}");
    }

    #[test]
    fn a_movie_without_a_row_or_outside_the_candidates_has_no_drop() {
        let candidates = scored(&[(7, 2.0), (8, 1.0)]);
        let baseline = Baseline::new(&[None, Some(5), Some(8)], &candidates);
        let drops = baseline.drops(&candidates);
        assert_eq!(drops, [None, None, Some(Loss { score: 0.0, rank: 0 })]);
        assert_eq!(baseline.drops(&[]), [None; 3]);
    }

    #[test]
    fn without_any_history_every_candidate_has_the_same_share_and_keeps_its_place() {
        let candidates = scored(&[(7, 2.0), (8, 1.0)]);
        let drop = Baseline::new(&[Some(7)], &candidates).drops(&all_equal(&candidates))[0].unwrap();
        let share = 2_f64.exp() / (2_f64.exp() + 1_f64.exp());
        assert!((drop.score - (share.ln() - 0.5_f64.ln())).abs() < 1e-12);
        assert_eq!(drop.rank, 0);
    }
}
