//! What is known of a user, for who asks about one: the store knows what they did, the catalogue which movies these
//! are.

use std::sync::Arc;

use marquee_core::domain::{EventKey, Interaction, User, UserId};
use marquee_store::{Store, StoreError, UserStats};

use crate::catalog::{Catalog, Movie};

/// Answers questions about users.
#[derive(Clone)]
pub(crate) struct Users {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
}

/// What a user's events add up to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserSummary {
    /// How many there are of which, from when to when.
    pub(crate) stats: UserStats,
    /// The average of the ratings in stars; `None` without ratings.
    pub(crate) average_rating: Option<f64>,
    /// The genres of the movies with their numbers of movies, most first.
    pub(crate) genres: Vec<(Arc<str>, u32)>,
}

/// A part of a user's history, newest first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistoryPage {
    /// Each event, and its movie if the catalogue has it.
    pub(crate) events: Vec<(Interaction, Option<Arc<Movie>>)>,
    /// After which event the next page goes on, if there is one.
    pub(crate) next: Option<EventKey>,
}

impl Users {
    /// Answers from a store, and the catalogue that follows it.
    pub(crate) fn new(store: Arc<dyn Store>, catalog: Arc<Catalog>) -> Self {
        Self { store, catalog }
    }

    /// The user; `None` for one who is unknown, as for the other questions.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read, as for the other questions.
    pub(crate) async fn find(&self, user_id: UserId) -> Result<Option<User>, StoreError> {
        self.store.user(user_id).await
    }

    /// What the user's events add up to.
    pub(crate) async fn summary(&self, user_id: UserId) -> Result<Option<UserSummary>, StoreError> {
        let Some(stats) = self.store.user_stats(user_id).await? else { return Ok(None) };
        let Some(profile) = self.store.profile(user_id, 0).await? else { return Ok(None) };
        let average = stats.half_stars as f64 / 2.0 / stats.ratings as f64;
        Ok(Some(UserSummary {
            average_rating: (stats.ratings > 0).then_some(average),
            genres: self.catalog.movies().genre_counts(&profile.seen),
            stats,
        }))
    }

    /// The user's events after one of them, at most `size`.
    pub(crate) async fn history(
        &self,
        user_id: UserId,
        after: Option<EventKey>,
        size: usize,
    ) -> Result<Option<HistoryPage>, StoreError> {
        // One more says whether there is a next page.
        let Some(mut events) = self.store.history(user_id, after, size + 1).await? else { return Ok(None) };
        let more = events.len() > size;
        events.truncate(size);
        let next = events.last().filter(|_| more).map(EventKey::from);
        let movies = self.catalog.movies();
        let with_movie = |event: Interaction| (event, movies.get(event.movie_id).cloned());
        Ok(Some(HistoryPage { events: events.into_iter().map(with_movie).collect(), next }))
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::{Kind, MovieRecord, Rating};
    use marquee_store::RedbStore;

    use super::*;

    /// Users over a store in which user 1 rated movie 1 four stars, and saw movies 2 and 3.
    async fn users(folder: &tempfile::TempDir) -> Users {
        let store = RedbStore::open(folder.path()).unwrap();
        let event = |movie_id, rating: Option<f64>| Interaction {
            user_id: 1,
            movie_id,
            time_ms: movie_id.into(),
            kind: if rating.is_some() { Kind::Rating } else { Kind::View },
            rating: rating.and_then(Rating::from_stars),
        };
        store.record(&[event(1, Some(4.0)), event(2, None), event(3, None)], 1).await.unwrap();
        let heat = MovieRecord::named(1, "Heat (1995)", ["Crime"]).unwrap();
        Users::new(Arc::new(store), Arc::new(Catalog::new(vec![heat], Vec::new())))
    }

    #[tokio::test]
    async fn a_summary_joins_what_the_store_and_the_catalogue_know() {
        let folder = tempfile::tempdir().unwrap();
        let users = users(&folder).await;
        let summary = users.summary(1).await.unwrap().unwrap();
        assert_eq!((summary.stats.interactions, summary.average_rating), (3, Some(4.0)));
        assert_eq!(summary.genres, [("Crime".into(), 1)]);
        assert_eq!(users.summary(2).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_history_goes_on_where_its_page_ended_until_there_is_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let users = users(&folder).await;
        let first = users.history(1, None, 2).await.unwrap().unwrap();
        let ids =
            |page: &HistoryPage| page.events.iter().map(|(event, _)| event.movie_id).collect::<Vec<_>>();
        assert_eq!(ids(&first), [3, 2]);
        let last = users.history(1, first.next, 2).await.unwrap().unwrap();
        assert_eq!((ids(&last), last.next), (vec![1], None));
        assert_eq!(last.events[0].1.as_ref().map(|movie| &*movie.title), Some("Heat (1995)"));
        assert_eq!(users.history(2, None, 2).await.unwrap(), None);
    }
}
