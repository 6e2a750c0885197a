//! What is known of a user, for who asks about one: the store knows what they did, the catalogue which movies these
//! are.

use std::sync::Arc;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use marquee_core::domain::{EventKey, Interaction, Rating, User, UserId};
use marquee_store::{Store, StoreError, UserStats};
use serde_json::{Value, json};

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

/// A part of the users, in the store's order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UsersPage {
    /// The users.
    pub(crate) users: Vec<User>,
    /// After whom the next page goes on, if there is one.
    pub(crate) next: Option<UserId>,
}

/// Users of a page that are read at once.
const AT_ONCE: usize = 32;

/// Events of a user that are read at once.
const EXPORTED: usize = 1_000;

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

    /// The users after one of them, at most `size`; one who goes meanwhile is left out.
    pub(crate) async fn list(&self, after: Option<UserId>, size: usize) -> Result<UsersPage, StoreError> {
        // One more says whether there is a next page.
        let mut ids = self.store.users(after, size + 1).await?;
        let more = ids.len() > size;
        ids.truncate(size);
        let next = ids.last().copied().filter(|_| more);
        let store = &self.store;
        let find = |user_id| async move { store.user(user_id).await };
        let found: Vec<Option<User>> = stream::iter(ids).map(find).buffered(AT_ONCE).try_collect().await?;
        Ok(UsersPage { users: found.into_iter().flatten().collect(), next })
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

    /// Everything that is held about a user, who is known by a key where it is not empty, an object of JSON each: the profile, the statistics, and the events, newest
    /// first, which are read while the stream is.
    pub(crate) async fn lines(
        &self,
        user_id: UserId,
        user_key: &str,
    ) -> Result<Option<impl Stream<Item = Result<Value, StoreError>> + Send + use<>>, StoreError> {
        let (Some(user), Some(summary)) = (self.find(user_id).await?, self.summary(user_id).await?) else {
            return Ok(None);
        };
        let first = stream::iter([Ok(profile_line(&user, user_key)), Ok(statistics_line(&summary))]);
        let pages = stream::try_unfold((self.clone(), Some(None)), move |(users, after)| async move {
            let Some(after) = after else { return Ok::<_, StoreError>(None) };
            let page = users.history(user_id, after, EXPORTED).await?;
            let Some(HistoryPage { events, next }) = page else { return Ok(None) };
            let lines: Vec<_> =
                events.iter().map(|(event, movie)| event_line(event, movie.as_deref())).collect();
            Ok(Some((stream::iter(lines).map(Ok), (users, next.map(Some)))))
        });
        Ok(Some(first.chain(pages.try_flatten())))
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

fn profile_line(user: &User, user_key: &str) -> Value {
    json!({
        "kind": "profile",
        // As the API's JSON has it: a number of a script has no room for ids of people.
        "user_id": user.user_id.to_string(),
        "user_key": (!user_key.is_empty()).then_some(user_key),
        "created_ms": user.created_ms,
        "preferences": { "genres": user.preferences.genres, "movie_ids": user.preferences.movie_ids },
    })
}

fn statistics_line(summary: &UserSummary) -> Value {
    let genres = summary.genres.iter().map(|(genre, movies)| json!({ "genre": &**genre, "movies": movies }));
    json!({
        "kind": "statistics",
        "interactions": summary.stats.interactions,
        "ratings": summary.stats.ratings,
        "average_rating": summary.average_rating,
        "genres": genres.collect::<Vec<_>>(),
    })
}

fn event_line(event: &Interaction, movie: Option<&Movie>) -> Value {
    json!({
        "kind": "interaction",
        "movie_id": event.movie_id,
        "movie_key": movie.and_then(|movie| movie.key.as_deref()),
        "title": movie.map(|movie| &*movie.title),
        "time_ms": event.time_ms,
        "what": event.kind.name(),
        "rating": event.rating.map(Rating::stars),
    })
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
    async fn users_are_listed_in_pages_until_there_is_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let users = users(&folder).await;
        users.store.register(7, 1).await.unwrap();
        users.store.register(9, 1).await.unwrap();
        let ids = |page: &UsersPage| page.users.iter().map(|user| user.user_id).collect::<Vec<_>>();
        let first = users.list(None, 2).await.unwrap();
        assert_eq!((ids(&first), first.next), (vec![1, 7], Some(7)));
        let last = users.list(first.next, 2).await.unwrap();
        assert_eq!((ids(&last), last.next), (vec![9], None));
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
