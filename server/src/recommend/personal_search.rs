//! Movies that were found by their titles, in the order of one user.
//!
//! What was typed decides, and taste among what fits alike: the model's score of a movie is measured in standard
//! deviations among the movies that were found, and each is worth [`TASTE`] beside how well the title fits
//! ([`Hit`](crate::catalog::Hit)). That is as much as a factor of e in ratings, and less than a word of the query.

use marquee_core::domain::{MovieId, UserId};
use marquee_ranking::dot;

use super::{RecommendError, Recommender, RequestOptions, Subject};

/// What a standard deviation of the model's scores is worth, and how many count at most.
const TASTE: f32 = 0.02;
const MOST_DEVIATIONS: f32 = 2.0;

impl Recommender {
    /// Movies with how well they fit what the user typed, best first, by that and the user's vector. Movies that the
    /// model does not know stand as if the user liked them as much as the average of the others. `None` when nothing
    /// is known of the user, and while no model answers: there is an order without one.
    ///
    /// # Errors
    /// [`RecommendError`] when the user cannot be read.
    pub async fn order_for(
        &self,
        user_id: UserId,
        found: &[(MovieId, f32)],
        options: &RequestOptions,
    ) -> Result<Option<Vec<MovieId>>, RecommendError> {
        let encoded = match self.encode(&Subject::User(user_id), options).await {
            Ok(encoded) => encoded,
            Err(RecommendError::NothingToEncode(_) | RecommendError::Engine(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(model) = self.engine.model(Some(&encoded.model_version)) else { return Ok(None) };
        let (index, bundle) = (self.rows.get(&model, &self.catalog.movies()), model.bundle());
        let score = |movie_id: MovieId| {
            let row = index.row_of(bundle, movie_id)?;
            Some(dot(bundle.output_embedding(row), &encoded.vector))
        };
        let scores: Vec<Option<f32>> = found.iter().map(|(movie_id, _)| score(*movie_id)).collect();
        let tastes = in_deviations(&scores);
        let total = |place: usize| found[place].1 + TASTE * tastes[place];
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|a, b| total(*b).total_cmp(&total(*a)));
        Ok(Some(order.into_iter().map(|place| found[place].0).collect()))
    }
}

/// How many standard deviations each score is from the mean of those that there are; 0 for one that is not there.
fn in_deviations(scores: &[Option<f32>]) -> Vec<f32> {
    let known = || scores.iter().flatten();
    let count = known().count().max(1) as f32;
    let mean = known().sum::<f32>() / count;
    let deviation = (known().map(|score| (score - mean).powi(2)).sum::<f32>() / count).sqrt();
    let measured = |score: f32| ((score - mean) / deviation).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS);
    let taste = |score: &Option<f32>| score.filter(|_| deviation > 0.0).map_or(0.0, measured);
    scores.iter().map(taste).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tastes_are_measured_among_the_movies_that_the_model_knows() {
        let tastes = in_deviations(&[Some(3.0), None, Some(1.0)]);
        assert_eq!(tastes.iter().map(|taste| taste.round() as i32).collect::<Vec<_>>(), [1, 0, -1]);
    }

    #[test]
    fn nobody_stands_out_among_equals_nor_without_bound() {
        let zeros = |scores: &[Option<f32>]| in_deviations(scores).iter().all(|taste| taste.to_bits() == 0);
        assert!(zeros(&[Some(2.0), Some(2.0)]) && zeros(&[Some(2.0)]) && zeros(&[None]) && zeros(&[]));
        let mut scores = vec![Some(0.0); 99];
        scores.push(Some(1_000.0));
        assert!(in_deviations(&scores).iter().all(|taste| taste.abs() <= MOST_DEVIATIONS));
    }
}
