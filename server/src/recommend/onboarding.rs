//! What to ask a new user about.
//!
//! Asking about the most popular movies says little: who likes one of them likes the next. So they are chosen by
//! maximal marginal relevance ([`MarginalRelevance`]): as popular as possible, since an answer needs a movie that was
//! seen, and unlike those before them by the model's output embeddings, whose directions say whom a movie is for.
//!
//! It is computed anew for each call, so it is as fresh as the statistics: 20 of 200 candidates of dimension 64 take 62
//! us, 100 of 1,000 of dimension 256 3.7 ms (one core of a Xeon, 29 November 2026). Between two choices, of which none
//! took more than 50 us, others run.

use marquee_core::domain::MovieId;
use marquee_engine::Model;
use marquee_ranking::MarginalRelevance;
use roaring::RoaringBitmap;
use tokio::task::yield_now;

use super::context::RequestContext;
use super::{RecommendError, Recommender, RequestOptions};
use crate::catalog::Filter;

/// Candidates for each movie that is wanted, and the fewest of them, as in the trials of `onnx/RANKING.md`: movies far
/// down the list are not known to most people, however unlike they are.
const CANDIDATES_FOR_EACH: usize = 5;
const FEWEST_CANDIDATES: usize = 100;

/// Asks for movies to ask a new user about.
#[derive(Clone, Debug)]
pub struct OnboardingQuestion {
    /// How many.
    pub k: usize,
    /// Which may be answered.
    pub filter: Filter,
    /// The model version; the rest does not matter.
    pub options: RequestOptions,
}

/// Movies to ask a new user about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onboarding {
    /// The movies, in the order in which to ask.
    pub movie_ids: Vec<MovieId>,
    /// The model version whose vectors they are unlike by; `None` if no model took part.
    pub model_version: Option<String>,
}

impl Recommender {
    /// Movies to ask a new user about: among the popular ones that the model knows those that are unlike each other.
    /// Where the model knows none that may be answered, or there is none, the most popular.
    ///
    /// # Errors
    /// [`RecommendError`] for a filter that cannot be used, and a pinned model that is not there.
    pub async fn onboarding(&self, question: &OnboardingQuestion) -> Result<Onboarding, RecommendError> {
        let context = RequestContext::new(self, question.k, &question.filter, &question.options)?;
        if let Ok(model) = &context.model {
            let pool = known_and_popular(&context, model);
            if !pool.is_empty() {
                let movie_ids = choose(&context, model, &pool).await;
                return Ok(Onboarding {
                    movie_ids,
                    model_version: Some(model.bundle().version().to_owned()),
                });
            }
        }
        let popular =
            self.catalog.popular(context.selection.as_ref(), &RoaringBitmap::new(), None, context.k);
        let movie_ids = popular.into_iter().filter_map(|(index, _)| context.movie_id_at(index)).collect();
        Ok(Onboarding { movie_ids, model_version: None })
    }
}

/// The most popular movies that may be answered and that the model knows, each with its popularity, most first.
fn known_and_popular(context: &RequestContext<'_>, model: &Model) -> Vec<(MovieId, f64)> {
    let mut known = context.index_of(model).known();
    if let Some(selection) = &context.selection {
        known &= selection;
    }
    let candidates = FEWEST_CANDIDATES.max(CANDIDATES_FOR_EACH * context.k);
    let popular = context.parts.catalog.popular(Some(&known), &RoaringBitmap::new(), None, candidates);
    popular.into_iter().filter_map(|(index, users)| Some((context.movie_id_at(index)?, users))).collect()
}

/// The movies of `pool` that shall be asked about.
async fn choose(context: &RequestContext<'_>, model: &Model, pool: &[(MovieId, f64)]) -> Vec<MovieId> {
    let bundle = model.bundle();
    let relevance = relevance_of(pool.iter().map(|(_, users)| *users));
    let known = pool.iter().zip(relevance).filter_map(|((movie_id, _), relevance)| {
        let row = bundle.row_of(*movie_id)?;
        Some((*movie_id, (bundle.output_embedding(row), relevance)))
    });
    let (movie_ids, candidates): (Vec<MovieId>, Vec<_>) = known.unzip();
    let mut best = MarginalRelevance::new(bundle.dimension(), candidates);
    let mut chosen = Vec::with_capacity(context.k);
    while chosen.len() < context.k
        && let Some(candidate) = best.next()
    {
        chosen.push(movie_ids[candidate]);
        yield_now().await;
    }
    chosen
}

/// These numbers of users as parts of the greatest; all 1 where nobody knows any of the movies.
fn relevance_of(users: impl Iterator<Item = f64>) -> Vec<f32> {
    let users: Vec<f64> = users.collect();
    let most = users.iter().copied().fold(0.0, f64::max);
    users.into_iter().map(|users| if most > 0.0 { (users / most) as f32 } else { 1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relevance_is_popularity_as_a_part_of_the_greatest() {
        assert_eq!(relevance_of([8.0, 4.0, 1.0].into_iter()), [1.0, 0.5, 0.125]);
        assert_eq!(relevance_of([0.0].into_iter()), [1.0]);
        assert_eq!(relevance_of(std::iter::empty()), [0.0_f32; 0]);
    }
}
