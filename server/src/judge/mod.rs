//! What an objective costs and gains on the store's own newest events, beside the model's own lists.
//!
//! Of each user the newest movie is held back, and two lists are answered for the history before it: the model's own and
//! the objective's. The held-back movie says how accurate they are; the rest is told from the movies in them. All
//! differences are paired by user. `marquee_onnx evaluate` says the same of files.

mod figures;
mod lists;
mod live;
mod models;
mod verdict;

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use marquee_core::domain::{Interaction, MovieId, UserId};
use marquee_engine::{EngineError, Priority};
use marquee_ranking::{GenreShares, Objective};
use marquee_retrieval::Method;
use marquee_store::{Store, StoreError};

pub use figures::{Difference, Figure};
use lists::{List, Lists};
pub(crate) use live::{Live, METRICS};
pub use models::{Comparison, Models};
pub use verdict::{Bounds, Verdict};

use crate::catalog::{Catalog, Filter};
use crate::profiles::ConsistencyToken;
use crate::recommend::{Question, RecommendError, Recommender, RequestOptions, Source, Subject, taste_of};

/// Length of the lists.
const K: usize = 10;

/// Events of a user that are read, newest first.
const EVENTS: usize = 1000;

/// Fewest movies of a history before the one that is held back.
const MIN_HISTORY: usize = 1;

/// Why nothing was judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A list was not answered.
    #[error(transparent)]
    Recommend(#[from] RecommendError),
    /// There is no model.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// None of the users has two movies that the model knows.
    #[error("none of these users has a history that the model can be judged by; choose others")]
    Nobody,
}

/// What the judging looks at.
pub struct Judge<'a> {
    /// Answers the lists.
    pub recommender: &'a Recommender,
    /// Where the histories are.
    pub store: &'a dyn Store,
    /// What is known of the movies.
    pub catalog: &'a Catalog,
}

/// All figures of the two kinds of lists.
#[derive(Clone, Debug)]
pub struct Report {
    /// Users who were judged.
    pub users: usize,
    /// Each figure of the model's own lists, of the objective's, and their difference.
    pub rows: Vec<Row>,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Of the model's own lists.
    pub plain: Figure,
    /// Of the objective's.
    pub chosen: Figure,
    /// The second less the first, with 95% certainty between its bounds.
    pub difference: Difference,
}

/// A user's history without its newest movie.
struct Held {
    history: Vec<MovieId>,
    target: MovieId,
    /// Between the held-back event and the one before it.
    gap_ms: i64,
    year: i64,
}

impl Judge<'_> {
    /// Judges an objective by these users; those without a history are passed over.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub async fn judge(
        &self,
        users: impl IntoIterator<Item = UserId>,
        objective: &Objective,
    ) -> Result<Report, JudgeError> {
        let at_once = self.recommender.at_once();
        let (mut plain, mut chosen) = (Lists::default(), Lists::default());
        let answers = stream::iter(users).map(|user_id| self.pair(user_id, objective)).buffered(at_once);
        let mut answers = Box::pin(answers);
        while let Some(pair) = answers.try_next().await? {
            if let Some((without, with)) = pair {
                plain.push(without);
                chosen.push(with);
            }
        }
        if plain.is_empty() {
            return Err(JudgeError::Nobody);
        }
        let rows =
            self.figures(&plain).into_iter().zip(self.figures(&chosen)).map(
                |((name, plain), (_, chosen))| Row { name, difference: chosen.less(&plain), plain, chosen },
            );
        Ok(Report { users: plain.len(), rows: rows.collect() })
    }

    /// The model's own lists, a user after another.
    pub fn lists(&self) -> OwnLists<'_> {
        OwnLists { judge: self, lists: Lists::default() }
    }

    /// The lists of two versions, a user after another.
    pub fn models<'b>(&'b self, in_service: &'b str, candidate: &'b str) -> Models<'b> {
        Models::new(self, in_service, candidate)
    }

    /// Every figure of these lists by its name.
    fn figures(&self, lists: &Lists) -> Vec<(&'static str, Figure)> {
        let movies = self.catalog.movies();
        let popularity = self.catalog.popularities(&(0..movies.end()).map(Some).collect::<Vec<_>>());
        lists.figures(&popularity)
    }

    /// The two lists of a user; `None` for one whom the model cannot be judged by.
    async fn pair(&self, user_id: UserId, objective: &Objective) -> Result<Option<(List, List)>, JudgeError> {
        let Some(held) = self.held(user_id).await? else { return Ok(None) };
        let Some(plain) = self.list(&held, None, None).await? else { return Ok(None) };
        let chosen = self.list(&held, Some(*objective), None).await?;
        Ok(chosen.map(|chosen| (plain, chosen)))
    }

    async fn held(&self, user_id: UserId) -> Result<Option<Held>, StoreError> {
        let profile = self.store.profile(user_id, EVENTS).await?;
        Ok(profile.and_then(|profile| held_back(&profile.newest)))
    }

    /// One list, of the active model or of a version; `None` where the model does not answer.
    async fn list(
        &self,
        held: &Held,
        objective: Option<Objective>,
        version: Option<&str>,
    ) -> Result<Option<List>, JudgeError> {
        let model_version = version.map(str::to_owned);
        let question = Question {
            subject: Subject::History(held.history.clone()),
            k: K,
            method: Method::Exact,
            objective,
            filter: Filter::default(),
            exclude_seen: true,
            context: String::new(),
            consistency_token: ConsistencyToken::default(),
            exploration: None,
            explain_newest: None,
            options: RequestOptions { model_version, priority: Priority::Bulk, ..RequestOptions::default() },
        };
        let answer = self.recommender.recommend(&question).await?;
        if answer.source != Source::Model {
            return Ok(None);
        }
        let model = self.recommender.model_of(version)?;
        let movies = self.catalog.movies();
        let genres_of = |movie_id: &MovieId| movies.get(*movie_id).map(|movie| movie.genre_numbers.to_vec());
        let history: Vec<_> = held.history.iter().filter_map(genres_of).collect();
        let wanted = GenreShares::of(history.iter().map(Vec::as_slice), movies.genre_numbers());
        let mut list = List { wanted, year: held.year, gap_ms: held.gap_ms, ..List::default() };
        for (rank, pick) in answer.picks.iter().enumerate() {
            if pick.movie_id == held.target {
                list.rank = Some(rank);
            }
            list.indexes.push(movies.index_of(pick.movie_id));
            list.movies.push(movies.get(pick.movie_id).map(Arc::clone));
            let row = model.bundle().row_of(pick.movie_id);
            list.vectors.push(row.map(|row| model.bundle().output_embedding(row).to_vec()));
        }
        Ok(Some(list))
    }
}

/// The model's own lists of users, as they are asked for.
pub struct OwnLists<'a> {
    judge: &'a Judge<'a>,
    lists: Lists,
}

impl OwnLists<'_> {
    /// Adds the list of a user; one without a history is passed over.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub async fn add(&mut self, user_id: UserId) -> Result<(), JudgeError> {
        if let Some(held) = self.judge.held(user_id).await?
            && let Some(list) = self.judge.list(&held, None, None).await?
        {
            self.lists.push(list);
        }
        Ok(())
    }

    /// Of how many users they are.
    pub fn users(&self) -> usize {
        self.lists.len()
    }

    /// Every figure by its name.
    ///
    /// # Errors
    /// [`JudgeError::Nobody`] when there are no lists.
    pub fn figures(&self) -> Result<Vec<(&'static str, Figure)>, JudgeError> {
        if self.lists.is_empty() {
            return Err(JudgeError::Nobody);
        }
        Ok(self.judge.figures(&self.lists))
    }
}

/// Holds back the newest movie that counts as taste.
fn held_back(events: &[Interaction]) -> Option<Held> {
    let taste = taste_of(events);
    let (target, history) = taste.split_last()?;
    if history.len() < MIN_HISTORY {
        return None;
    }
    let time_of = |movie_id: MovieId| {
        events.iter().rev().find(|event| event.movie_id == movie_id).map(|event| event.time_ms)
    };
    let (held, before) = (time_of(*target)?, time_of(*history.last()?)?);
    Some(Held {
        history: history.to_vec(),
        target: *target,
        gap_ms: held.saturating_sub(before),
        year: marquee_core::clock::year_of(held),
    })
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{Kind, Rating};

    use super::*;

    fn liked(movie_id: MovieId, time_ms: i64) -> Interaction {
        Interaction { user_id: 1, movie_id, time_ms, kind: Kind::Like, rating: Rating::from_half_stars(0) }
    }

    #[test]
    fn the_newest_movie_is_held_back_with_the_time_since_the_one_before() {
        let held = held_back(&[liked(1, 0), liked(2, 5_000), liked(3, 65_000)]).unwrap();
        assert_eq!((held.history, held.target, held.gap_ms, held.year), (vec![1, 2], 3, 60_000, 1970));
        assert!(held_back(&[liked(1, 0)]).is_none());
    }
}
