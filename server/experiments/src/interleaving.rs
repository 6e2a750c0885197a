//! Two rankings in one answer: whose movies are taken?
//!
//! Every user sees both, so that what users differ in cancels out, and far fewer are needed than when half of them sees
//! one and half the other. It says which ranking is preferred, and not by how much a metric changes.

use std::cmp::Ordering;

/// Whose movie it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Team {
    /// The first ranking.
    A,
    /// The second.
    B,
}

/// A movie of the merged list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The movie.
    pub movie_id: u32,
    /// Who chose it.
    pub team: Team,
}

/// The first `k` of two rankings merged, each without repetitions: in every round both choose their best movie that is
/// not chosen yet, and the coin says who goes first, `true` for A (team draft: Radlinski, Kurup and Joachims 2008).
///
/// Where both begin alike, that is chosen by either with the same chance and tells nothing.
pub fn team_draft(a: &[u32], b: &[u32], k: usize, mut coin: impl FnMut() -> bool) -> Vec<Draft> {
    let (mut a, mut b) = (a.iter(), b.iter());
    let mut drafted: Vec<Draft> = Vec::with_capacity(k);
    while drafted.len() < k {
        let before = drafted.len();
        for team in if coin() { [Team::A, Team::B] } else { [Team::B, Team::A] } {
            let ranking = match team {
                Team::A => &mut a,
                Team::B => &mut b,
            };
            let is_new = |movie_id: &&u32| drafted.iter().all(|draft| draft.movie_id != **movie_id);
            if let Some(&movie_id) = ranking.find(is_new).filter(|_| drafted.len() < k) {
                drafted.push(Draft { movie_id, team });
            }
        }
        if drafted.len() == before {
            break;
        }
    }
    drafted
}

/// How many movies of each team were taken from answers to one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Those of A.
    pub a: u64,
    /// Those of B.
    pub b: u64,
}

impl Credit {
    /// The credit for taking these movies of a list.
    pub fn of(list: &[Draft], taken: &[u32]) -> Self {
        let mut credit = Self::default();
        for draft in list.iter().filter(|draft| taken.contains(&draft.movie_id)) {
            match draft.team {
                Team::A => credit.a += 1,
                Team::B => credit.b += 1,
            }
        }
        credit
    }

    /// What of an answer B won, 0 to 1: a half where both gave as much; `None` where nothing was taken.
    pub fn won(&self) -> Option<f64> {
        (*self != Self::default()).then(|| match self.b.cmp(&self.a) {
            Ordering::Greater => 1.0,
            Ordering::Equal => 0.5,
            Ordering::Less => 0.0,
        })
    }

    /// How much the unit prefers B, -1 to 1; 0 for one that took nothing. The mean over units is above 0 where B is
    /// better.
    pub fn preference(&self) -> f64 {
        let all = self.a + self.b;
        if all == 0 { 0.0 } else { (self.b as f64 - self.a as f64) / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(list: &[Draft]) -> Vec<u32> {
        list.iter().map(|draft| draft.movie_id).collect()
    }

    #[test]
    fn teams_take_turns_and_no_movie_twice() {
        let list = team_draft(&[1, 2, 3], &[2, 1, 4], 4, || true);
        assert_eq!(ids(&list), [1, 2, 3, 4]);
        assert_eq!(
            list.iter().map(|draft| draft.team).collect::<Vec<_>>(),
            [Team::A, Team::B, Team::A, Team::B]
        );
        assert_eq!(ids(&team_draft(&[1, 2, 3], &[2, 1, 4], 3, || false)), [2, 1, 4]);
    }

    #[test]
    fn credit_is_who_chose_what_was_taken() {
        let list = team_draft(&[1, 2, 3], &[4, 5, 6], 6, || true);
        assert_eq!(Credit::of(&list, &[2, 5, 6, 99]), Credit { a: 1, b: 2 });
        assert_eq!(Credit { a: 1, b: 3 }.preference(), 0.5);
        assert_eq!(Credit::default().preference(), 0.0);
        let won = [(2, 1), (1, 1), (0, 1), (0, 0)].map(|(a, b)| Credit { a, b }.won());
        assert_eq!(won, [Some(0.0), Some(0.5), Some(1.0), None]);
    }

    proptest! {
        #[test]
        fn a_list_has_k_movies_where_there_are_as_many_and_teams_differ_by_one(
            a in proptest::sample::subsequence((0..40_u32).collect::<Vec<_>>(), 10..40),
            b in proptest::sample::subsequence((20..60_u32).collect::<Vec<_>>(), 10..40),
            coins in proptest::collection::vec(any::<bool>(), 64),
            k in 1..10_usize,
        ) {
            let mut coins = coins.into_iter().cycle();
            let list = team_draft(&a, &b, k, || coins.next().unwrap());
            prop_assert_eq!(list.len(), k);
            let of_a = list.iter().filter(|draft| draft.team == Team::A).count();
            prop_assert!(of_a.abs_diff(k - of_a) <= 1);
            let mut unique = ids(&list);
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), k);
        }
    }
}
