//! Who took which new movie, as far as rows depend on it: sums of vectors.

use std::collections::HashMap;

use marquee_core::domain::{Interaction, MovieId, UserId};
use marquee_ranking::new_movies::Content;
use rustc_hash::FxHashSet;

use crate::recommend::metrics::Folded;

/// After so many users a movie's row does not move any more: one of them counts for less than a hundredth of the first.
const MOST_USERS: usize = 1000;

/// Sums of the vectors of users, each as it was before the user took the movie.
#[derive(Debug, Default)]
pub(super) struct Folds {
    of_movies: HashMap<MovieId, Fold>,
    /// Of all movies.
    sum: Vec<f64>,
    users: usize,
}

/// Those of one movie.
#[derive(Debug, Default)]
struct Fold {
    sum: Vec<f64>,
    users: FxHashSet<UserId>,
}

impl Folds {
    /// Those of these events that tell something new, of each user and movie the first.
    pub(super) fn without_those_it_has(&self, events: impl Iterator<Item = Interaction>) -> Vec<Interaction> {
        let mut met = FxHashSet::default();
        events
            .filter(|event| {
                let fold = self.of_movies.get(&event.movie_id);
                fold.is_none_or(|fold| fold.has_room_for(event.user_id))
                    && met.insert((event.user_id, event.movie_id))
            })
            .collect()
    }

    /// Adds the vector of who took a movie.
    pub(super) fn add(&mut self, event: &Interaction, vector: &[f32]) -> Folded {
        let fold = self.of_movies.entry(event.movie_id).or_default();
        if !fold.has_room_for(event.user_id) {
            return Folded::Full;
        }
        fold.users.insert(event.user_id);
        add(&mut fold.sum, vector);
        add(&mut self.sum, vector);
        self.users += 1;
        Folded::Moved
    }

    /// The row of a movie, predicted as `content`, after what is known of it; `None` where nothing is.
    pub(super) fn row(&self, movie_id: MovieId, predicted: &[f64], content: &Content) -> Option<Vec<f64>> {
        let fold = self.of_movies.get(&movie_id)?;
        let centre: Vec<f64> = self.sum.iter().map(|sum| sum / self.users as f64).collect();
        Some(content.fold_in(predicted, &fold.sum, fold.users.len(), &centre))
    }
}

impl Fold {
    fn has_room_for(&self, user_id: UserId) -> bool {
        self.users.len() < MOST_USERS && !self.users.contains(&user_id)
    }
}

/// Adds a vector to a sum, which is empty before the first.
fn add(sum: &mut Vec<f64>, vector: &[f32]) {
    sum.resize(vector.len(), 0.0);
    for (sum, number) in sum.iter_mut().zip(vector) {
        *sum += f64::from(*number);
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::Kind;
    use marquee_ranking::new_movies::Known;

    use super::*;

    fn event(user_id: UserId, movie_id: MovieId) -> Interaction {
        Interaction { user_id, movie_id, time_ms: 1, kind: Kind::View, rating: None }
    }

    #[test]
    fn a_user_counts_once_for_a_movie() {
        let mut folds = Folds::default();
        let asked = [event(1, 7), event(1, 7), event(2, 7), event(1, 8)];
        assert_eq!(folds.without_those_it_has(asked.into_iter()), [event(1, 7), event(2, 7), event(1, 8)]);
        assert_eq!(folds.add(&event(1, 7), &[1.0]), Folded::Moved);
        assert_eq!(folds.add(&event(1, 7), &[1.0]), Folded::Full);
        assert_eq!(folds.without_those_it_has(asked.into_iter()), [event(2, 7), event(1, 8)]);
        assert_eq!(folds.users, 1);
    }

    #[test]
    fn a_row_moves_towards_who_took_the_movie_and_away_from_who_takes_any() {
        let rows = [[1.0, 0.0], [-1.0, 0.5]];
        let known = rows.each_ref().map(|row| Known { features: Vec::new(), row });
        let content = Content::fit(&known, 2, &|steps, step| (0..steps).for_each(step));
        let mut folds = Folds::default();
        assert_eq!(folds.row(7, &[0.0, 0.0], &content), None);
        folds.add(&event(1, 7), &[1.0, 0.0]);
        folds.add(&event(2, 8), &[-1.0, 0.0]);
        let expected = content.fold_in(&[0.0, 0.0], &[1.0, 0.0], 1, &[0.0, 0.0]);
        assert_eq!(folds.row(7, &[0.0, 0.0], &content), Some(expected.clone()));
        assert!(expected[0] > 0.0);
        assert!(folds.row(8, &[0.0, 0.0], &content).is_some_and(|row| row[0] < 0.0));
    }
}
