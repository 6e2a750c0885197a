//! Movies that are alike: what the same users watch, and what is said of the movies.
//!
//! What the model knows is what follows in a history, which is another thing: a film of the same series is watched years
//! later. So the blend adds up
//!
//! ```text
//! shrunk cosine of who watched them + 1/4 genres, less for years between + 3/4 words of the title + 1/20 popularity
//! ```
//!
//! and the model's vectors are left out of it, since they made it worse on the groups of movies that it is judged by. The
//! first part is a table that is built in idle time ([`crate::similar`]); what has no place in it yet, such as a movie
//! that was imported a moment ago, is found by the others.

use std::sync::Arc;
use std::time::Instant;

use marquee_core::domain::MovieId;
use marquee_engine::EngineError;
use marquee_ranking::keep_best;
use roaring::RoaringBitmap;
use tokio::task::spawn_blocking;

use super::context::RequestContext;
use super::stage::Stage;
use super::stages::{self, candidates};
use super::{Pick, RecommendError, Recommended, Recommender, SimilarQuestion, SimilarityBasis, Source};
use crate::catalog::{Catalog, Movie, Movies};
use crate::similar::Table;

/// What the most popular movie is worth beside one that nobody knows.
const POPULARITY: f32 = 0.05;

/// Movies that are alike to one.
#[derive(Clone, Debug)]
pub struct Similar {
    /// The movies.
    pub movies: Recommended,
    /// By what they were found: content, where the blend was asked for and nothing is known yet of who watched what.
    pub basis: SimilarityBasis,
}

/// Which movies may be answered.
pub(super) struct Allowed {
    /// Catalogue indexes; all when `None`.
    pub(super) selection: Option<RoaringBitmap>,
    /// Movie ids that may not.
    pub(super) excluded: RoaringBitmap,
}

impl Recommender {
    /// The movies most like one movie, itself left out.
    ///
    /// # Errors
    /// [`RecommendError::UnknownMovie`] when the catalogue does not have the movie, or by its vectors the model.
    pub async fn similar(&self, question: &SimilarQuestion) -> Result<Similar, RecommendError> {
        let mut context = RequestContext::new(self, question.k, &question.filter, &question.options)?;
        let basis = match question.basis {
            SimilarityBasis::Blend if !self.knows_who_watched() => SimilarityBasis::Content,
            basis => basis,
        };
        if basis == SimilarityBasis::Model {
            candidates::like_movie(&mut context, question).await?;
            context.run(&stages::SIMILAR);
            context.run(&stages::SHOW);
        } else {
            let began = Instant::now();
            let movie = context.movies.get(question.movie_id).cloned();
            let movie = movie.ok_or(RecommendError::UnknownMovie(question.movie_id))?;
            let allowed = Allowed { selection: context.selection.take(), excluded: RoaringBitmap::new() };
            context.picks = self.alike(&context.movies, &movie, basis, question.k, allowed).await?;
            context.source = Source::Similarity;
            context.watch.lap(Stage::Score, began);
        }
        Ok(Similar { movies: context.finish(), basis })
    }

    /// The movies that are alike to one by who watched them, where `basis` is the blend, and by what is said of them,
    /// itself left out; the likest first. Only those that have something in common with it.
    ///
    /// # Errors
    /// [`RecommendError`] when the process ends.
    pub(super) async fn alike(
        &self,
        movies: &Arc<Movies>,
        movie: &Arc<Movie>,
        basis: SimilarityBasis,
        k: usize,
        allowed: Allowed,
    ) -> Result<Vec<Pick>, RecommendError> {
        let table = if basis == SimilarityBasis::Blend { self.similar.load_full() } else { None };
        let (catalog, movies, movie) = (Arc::clone(&self.catalog), Arc::clone(movies), Arc::clone(movie));
        let found = spawn_blocking(move || {
            let of_table = table.as_deref();
            let likeness = likeness(&catalog, &movies, &movie, of_table);
            best(&catalog, &movies, movie.movie_id, &likeness, k, &allowed)
        });
        found.await.map_err(|_| EngineError::ShuttingDown.into())
    }

    /// Whether there is a table of who watched what.
    fn knows_who_watched(&self) -> bool {
        self.similar.load().as_ref().is_some_and(|table| !table.is_empty())
    }
}

/// How much each movie, by catalogue index, has in common with one.
fn likeness(catalog: &Catalog, movies: &Movies, movie: &Movie, table: Option<&Table>) -> Vec<f32> {
    let mut likeness = catalog.likeness(movie);
    // The catalogue may have more or fewer movies by now than this request's.
    likeness.resize(movies.end() as usize, 0.0);
    for (neighbour, value) in table.into_iter().flat_map(|table| table.neighbours(movie.movie_id)) {
        if let Some(index) = movies.index_of(neighbour) {
            likeness[index as usize] += value;
        }
    }
    likeness
}

/// The best of the allowed ones, those that are popular a little before others.
fn best(
    catalog: &Catalog,
    movies: &Movies,
    itself: MovieId,
    likeness: &[f32],
    k: usize,
    allowed: &Allowed,
) -> Vec<Pick> {
    let is_allowed = |index: u32| {
        let movie_id = movies.movie_id(index);
        movie_id != itself
            && movies.at(index).is_some()
            && !allowed.excluded.contains(movie_id)
            && allowed.selection.as_ref().is_none_or(|selection| selection.contains(index))
    };
    let alike = (0..).zip(likeness).filter(|(index, value)| **value > 0.0 && is_allowed(*index));
    let mut alike: Vec<(u32, f32)> = alike.map(|(index, value)| (index, *value)).collect();
    leave_out_hopeless(&mut alike, k);
    let indexes: Vec<Option<u32>> = alike.iter().map(|(index, _)| Some(*index)).collect();
    let most = catalog.popular(None, &RoaringBitmap::new(), None, 1);
    let most = most.first().map_or(0.0, |(_, users)| users.ln_1p());
    for ((_, value), users) in alike.iter_mut().zip(catalog.popularities(&indexes)) {
        let share = if most > 0.0 { (users as f64).ln_1p() / most } else { 0.0 };
        *value += POPULARITY * share as f32;
    }
    keep_best(&mut alike, k, |one, other| {
        other.1.total_cmp(&one.1).then_with(|| movies.movie_id(one.0).cmp(&movies.movie_id(other.0)))
    });
    let pick = |(index, score): (u32, f32)| Pick {
        movie_id: movies.movie_id(index),
        score,
        parts: None,
        source: Source::Similarity,
        propensity: None,
        movie: movies.at(index).cloned(),
        rule: None,
    };
    alike.into_iter().map(pick).collect()
}

/// Leaves those that popularity can bring among the `k` best.
fn leave_out_hopeless(alike: &mut Vec<(u32, f32)>, k: usize) {
    if (1..alike.len()).contains(&k) {
        let (_, (_, least), _) = alike.select_nth_unstable_by(k - 1, |one, other| other.1.total_cmp(&one.1));
        let least = *least - POPULARITY;
        alike.retain(|(_, value)| *value >= least);
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::MovieRecord;
    use marquee_core::statistics::MovieStats;

    use super::*;
    use crate::similar::{BuiltFrom, of_histories};

    fn catalog() -> Catalog {
        let record = |(movie_id, title): (u32, &str)| MovieRecord {
            movie_id,
            title: title.to_owned(),
            genres: vec![if movie_id == 50 { "Musical" } else { "Crime" }.to_owned()],
            ..MovieRecord::default()
        };
        let movies = [
            (10, "Heat Wave (1990)"),
            (20, "Heat Wave 2 (1992)"),
            (30, "Quiet (1990)"),
            (40, "Still (1990)"),
            (50, "Song (1950)"),
        ];
        let popular = MovieStats { popularity: 100, ..MovieStats::none(40) };
        Catalog::new(movies.map(record).into(), vec![popular])
    }

    fn found(catalog: &Catalog, table: Option<&Table>, k: usize, allowed: &Allowed) -> Vec<MovieId> {
        let movies = catalog.movies();
        let likeness = likeness(catalog, &movies, movies.get(10).unwrap(), table);
        best(catalog, &movies, 10, &likeness, k, allowed).iter().map(|pick| pick.movie_id).collect()
    }

    fn anything() -> Allowed {
        Allowed { selection: None, excluded: RoaringBitmap::new() }
    }

    #[test]
    fn content_finds_the_same_words_then_the_same_genre_popular_ones_first() {
        assert_eq!(found(&catalog(), None, 10, &anything()), [20, 40, 30]);
        assert_eq!(found(&catalog(), None, 2, &anything()), [20, 40]);
        assert_eq!(found(&catalog(), None, 0, &anything()), [0; 0]);
    }

    #[test]
    fn what_the_same_users_watch_is_alike_whatever_is_said_of_it() {
        let histories = vec![vec![10, 50]; 90];
        let table = of_histories(BuiltFrom::default(), &histories);
        assert_eq!(found(&catalog(), Some(&table), 2, &anything()), [20, 50]);
        assert_eq!(found(&catalog(), None, 2, &anything()), [20, 40]);
    }

    #[test]
    fn nothing_is_answered_that_is_not_allowed() {
        let excluded = RoaringBitmap::from([20]);
        assert_eq!(found(&catalog(), None, 10, &Allowed { excluded, ..anything() }), [40, 30]);
        let selection = Some(RoaringBitmap::from([1, 2]));
        assert_eq!(found(&catalog(), None, 10, &Allowed { selection, ..anything() }), [20, 30]);
    }
}
