//! Every write of a serving node goes through here, of what users do and of movies, so that all that
//! follows a write really follows it: the catalogue with its statistics, the remembered profiles of all
//! nodes, and the event stream.
//!
//! A write runs to its end even when its caller goes away: what is durable without having been made
//! known would be stale in every cache. So writes under way are bounded, and one more waits with its
//! caller. Movies are written by one write at a time, which takes all that wait: see `imports`.

mod accept;
mod imports;
mod movies;
mod persons;
mod recording;

use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::{EventTimes, now_ms};
use marquee_core::domain::{EventKey, Interaction, MovieId, MovieRecord, Preferences, User, UserId};
use marquee_store::{DocumentKind, Recorded, Store, StoreError, to_its_end};
use tokio::sync::{OwnedMutexGuard, Semaphore};

pub use self::accept::{EventError, SubmittedEvent};
pub use self::imports::Crowded;
use self::imports::{Batch, Imports};
pub use self::movies::{MovieChange, MovieField, UpdateMoviesError};
pub use self::persons::{UserIdError, is_persons, random_persons_id};
pub use self::recording::Recording;
use crate::catalog::{Catalog, CatalogError, Filter};
use crate::experiments::Experiments;
use crate::keys::{MovieKeysError, UserKeys, number_movies};
use crate::profiles::Profiles;
use crate::shared::events::{Change, EventLog};

/// Writes that may be under way at once.
const UNDER_WAY: usize = 1024;

/// Why movies were not written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutMoviesError {
    /// More wait than may; nothing of these is kept.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// Their keys have no numbers.
    #[error(transparent)]
    Keys(#[from] MovieKeysError),
    /// The store did not acknowledge them; they may be there nevertheless.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why preferences were not written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PreferencesError {
    /// The catalogue has no such movie.
    #[error("movie {0} is not in the catalogue")]
    UnknownMovie(MovieId),
    /// The catalogue has no such genre.
    #[error(transparent)]
    Genres(#[from] CatalogError),
    /// The store did not acknowledge them; they may be there nevertheless.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The one door for writes.
#[derive(Clone)]
pub struct WriteCoordinator {
    parts: Arc<Parts>,
    experiments: Option<Arc<Experiments>>,
    under_way: Arc<Semaphore>,
}

struct Parts {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    profiles: Arc<Profiles>,
    events: Arc<dyn EventLog>,
    user_keys: UserKeys,
    imports: Imports,
    /// How far the times of events may be ahead of the clock.
    max_clock_skew: Duration,
}

impl WriteCoordinator {
    /// A door to these parts, for events whose times are ahead of the clock by `max_clock_skew` at most.
    pub fn new(
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        profiles: Arc<Profiles>,
        events: Arc<dyn EventLog>,
        max_clock_skew: Duration,
    ) -> Self {
        let imports = Imports::default();
        let user_keys = UserKeys::new(Arc::clone(&store));
        let parts = Parts { store, catalog, profiles, events, user_keys, imports, max_clock_skew };
        let parts = Arc::new(parts);
        Self { parts, experiments: None, under_way: Arc::new(Semaphore::new(UNDER_WAY)) }
    }

    /// The same door, whose writes are told to these experiments.
    #[must_use]
    pub fn told_to(self, experiments: Arc<Experiments>) -> Self {
        Self { experiments: Some(experiments), ..self }
    }

    /// The store that is written to.
    pub(crate) fn store(&self) -> &dyn Store {
        self.parts.store.as_ref()
    }

    /// The catalogue that movies are written to.
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.parts.catalog
    }

    /// The keys of the users that are written about.
    pub(crate) fn user_keys(&self) -> &UserKeys {
        &self.parts.user_keys
    }

    /// The event, once it is sure that the store may have it.
    ///
    /// # Errors
    /// [`EventError`] that says what is wrong with it.
    pub fn accept(&self, event: SubmittedEvent) -> Result<Interaction, EventError> {
        let now_ms = now_ms();
        let times = EventTimes::at(now_ms, self.parts.max_clock_skew);
        event.checked(now_ms, times, &self.parts.catalog.movies())
    }

    /// Nothing recorded yet, of events that are counted together.
    pub fn recording(&self) -> Recording {
        Recording::through(self.clone())
    }

    /// Records events durably; one outcome for each, in order.
    ///
    /// # Errors
    /// [`StoreError`] when the store did not acknowledge them; they may be there nevertheless.
    pub async fn record(&self, events: Vec<Interaction>) -> Result<Vec<Recorded>, StoreError> {
        let users = events.iter().map(|event| event.user_id).collect();
        let experiments = self.experiments.clone();
        self.write(users, async move |parts| {
            let recorded = parts.store.record(&events, now_ms()).await?;
            let mut new = Vec::with_capacity(events.len());
            for (event, recorded) in events.iter().zip(&recorded) {
                parts.catalog.apply(event, recorded);
                if !recorded.duplicate {
                    new.push(*event);
                }
            }
            parts.events.publish(&new, Change::Recorded);
            if let Some(experiments) = experiments {
                experiments.touched(new.iter().map(|event| event.user_id));
            }
            Ok(recorded)
        })
        .await
    }

    /// Removes one event of a user; whether it was there.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn delete_event(&self, user_id: UserId, key: EventKey) -> Result<bool, StoreError> {
        let experiments = self.experiments.clone();
        self.write(vec![user_id], async move |parts| {
            let deleted = parts.store.delete_event(user_id, key).await?;
            if let Some(deleted) = &deleted {
                parts.catalog.take_back(deleted);
                parts.events.publish(&[deleted.event], Change::Deleted);
                if let Some(experiments) = experiments {
                    experiments.touched([user_id].into_iter());
                }
            }
            Ok(deleted.is_some())
        })
        .await
    }

    /// Creates the user if needed; whether it was created.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn register(&self, user_id: UserId) -> Result<(User, bool), StoreError> {
        self.write(vec![user_id], async move |parts| parts.store.register(user_id, now_ms()).await).await
    }

    /// Replaces the user's preferences and creates the user if needed. All that they name is in the catalogue.
    ///
    /// # Errors
    /// [`PreferencesError`] when something is not, or as [`Self::record`].
    pub async fn set_preferences(
        &self,
        user_id: UserId,
        preferences: Preferences,
    ) -> Result<User, PreferencesError> {
        self.parts.check(&preferences)?;
        let write =
            async move |parts: Arc<Parts>| parts.store.set_preferences(user_id, preferences, now_ms()).await;
        Ok(self.write(vec![user_id], write).await?)
    }

    /// Removes everything of the user; how many events there were.
    ///
    /// # Errors
    /// As [`Self::record`], and when the event stream cannot be reached; repeating the call ends it.
    pub async fn delete_user(&self, user_id: UserId) -> Result<u64, StoreError> {
        let experiments = self.experiments.clone();
        self.write(vec![user_id], async move |parts| {
            let removed = parts.store.delete_user(user_id).await?;
            // After the user: a salt is kept for a user that there is.
            parts.store.documents().remove_part(DocumentKind::AuditSalt, &user_id.to_string()).await?;
            parts.user_keys.forget(user_id).await?;
            parts.catalog.forget(&removed);
            if let Some(experiments) = experiments {
                experiments.forget(user_id, now_ms()).await?;
            }
            parts.events.forget(user_id).await.map_err(|error| {
                StoreError::Unavailable(format!("the user's events are still in the stream: {error}"))
            })?;
            Ok(removed.len() as u64)
        })
        .await
    }

    /// Adds or replaces movies and shows them, together with those of all who wait; how many were new. A movie that
    /// is replaced keeps its tags and its key when it brings none; one with a key and no number gets the key's.
    /// Movies whose caller goes away before a write has taken them are not written.
    ///
    /// # Errors
    /// [`PutMoviesError`] when too many wait, or the store did not acknowledge them.
    pub async fn put_movies(&self, mut movies: Vec<MovieRecord>) -> Result<u64, PutMoviesError> {
        number_movies(self.parts.store.as_ref(), &mut movies).await?;
        let mut reply = self.parts.imports.join(self.parts.catalog.completed(movies))?;
        let added = tokio::select! {
            biased;
            // Another caller's write took them along.
            added = &mut reply => added,
            alone = self.parts.catalog.alone() => {
                self.write_movies(alone).await?;
                reply.await
            }
        };
        Ok(added.map_err(|_| StoreError::Unavailable("the write of movies broke off".to_owned()))??)
    }

    /// Stores and shows all movies that wait, and answers their callers.
    async fn write_movies(&self, alone: OwnedMutexGuard<()>) -> Result<(), StoreError> {
        let parts = Arc::clone(&self.parts);
        self.to_its_end(async move {
            let Batch { movies, callers } = parts.imports.take();
            let outcome = if movies.is_empty() { Ok(Vec::new()) } else { parts.put_movies(movies).await };
            callers.answer(&outcome);
            drop(alone);
            Ok(())
        })
        .await
    }

    /// Runs a write of what users do to its end and makes it known, whatever came of it.
    async fn write<T, F>(
        &self,
        users: Vec<UserId>,
        write: impl FnOnce(Arc<Parts>) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (parts, written) = (Arc::clone(&self.parts), write(Arc::clone(&self.parts)));
        self.to_its_end(async move {
            let outcome = written.await;
            parts.profiles.changed(users).await;
            outcome
        })
        .await
    }

    /// Runs a write to its end once there is room for one more, even when its caller goes away then.
    async fn to_its_end<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        write: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        let permit = Arc::clone(&self.under_way).acquire_owned().await;
        let permit = permit.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        to_its_end(async move {
            let outcome = write.await;
            drop(permit);
            outcome
        })
        .await
    }
}

impl Parts {
    /// Whether the catalogue has what preferences name.
    fn check(&self, preferences: &Preferences) -> Result<(), PreferencesError> {
        let movies = self.catalog.movies();
        if let Some(unknown) = preferences.movie_ids.iter().find(|id| movies.index_of(**id).is_none()) {
            return Err(PreferencesError::UnknownMovie(*unknown));
        }
        let filter = Filter { genres_any: preferences.genres.clone(), ..Filter::default() };
        self.catalog.select(&filter)?;
        Ok(())
    }

    /// Stores movies and shows them; for each whether it was new.
    async fn put_movies(&self, movies: Vec<MovieRecord>) -> Result<Vec<bool>, StoreError> {
        let new = self.store.put_movies(&movies).await?;
        let catalog = Arc::clone(&self.catalog);
        let shown = tokio::task::spawn_blocking(move || catalog.put(movies)).await;
        shown.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::Kind;
    use marquee_store::RedbStore;

    use super::*;
    use crate::profiles::ConsistencyToken;
    use crate::shared::events::LocalEvents;

    fn view(movie_id: u32, time_ms: i64) -> Interaction {
        Interaction { user_id: 1, movie_id, time_ms, kind: Kind::View, rating: None }
    }

    fn movie(movie_id: u32, title: &str) -> MovieRecord {
        MovieRecord { movie_id, title: title.to_owned(), ..MovieRecord::default() }
    }

    /// The title of a movie in the store and in the catalogue.
    async fn titles(coordinator: &WriteCoordinator, movie_id: u32) -> (String, String) {
        let stored = coordinator.parts.store.movies(Some(movie_id - 1), 1).await.unwrap().remove(0);
        let shown = coordinator.parts.catalog.movies().get(movie_id).unwrap().title.to_string();
        (stored.title, shown)
    }

    /// A coordinator over a store of its own, its profiles remembered.
    fn coordinator(folder: &tempfile::TempDir) -> (WriteCoordinator, Arc<Profiles>) {
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
        let profiles = Arc::new(Profiles::new(Arc::clone(&store), 1 << 20, None).unwrap());
        let catalog = Arc::new(Catalog::new(Vec::new(), Vec::new()));
        let events = Arc::new(LocalEvents::new(1));
        (WriteCoordinator::new(store, catalog, Arc::clone(&profiles), events, Duration::ZERO), profiles)
    }

    async fn newest(profiles: &Profiles) -> Vec<u32> {
        let profile = profiles.read(1, 10, &ConsistencyToken::default()).await.unwrap();
        profile.map_or_else(Vec::new, |profile| profile.newest.iter().map(|event| event.movie_id).collect())
    }

    #[tokio::test]
    async fn every_write_is_in_the_next_read() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, profiles) = coordinator(&folder);
        assert!(newest(&profiles).await.is_empty());
        for movie_id in 1..=5 {
            coordinator.record(vec![view(movie_id, movie_id.into())]).await.unwrap();
            assert_eq!(newest(&profiles).await, (1..=movie_id).collect::<Vec<_>>());
        }
        coordinator.put_movies(vec![movie(7, "Seven (1995)")]).await.unwrap();
        let preferences = Preferences { movie_ids: vec![7], ..Preferences::default() };
        coordinator.set_preferences(1, preferences.clone()).await.unwrap();
        let profile = profiles.read(1, 10, &ConsistencyToken::default()).await.unwrap().unwrap();
        assert_eq!(profile.preferences, preferences);
        assert_eq!(coordinator.delete_user(1).await.unwrap(), 5);
        assert_eq!(profiles.read(1, 10, &ConsistencyToken::default()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn preferences_for_what_the_catalogue_lacks_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _) = coordinator(&folder);
        coordinator.put_movies(vec![movie(7, "Seven (1995)")]).await.unwrap();
        let movies = Preferences { movie_ids: vec![7, 8], ..Preferences::default() };
        let refused = coordinator.set_preferences(1, movies).await;
        assert!(matches!(refused, Err(PreferencesError::UnknownMovie(8))), "{refused:?}");
        let genres = Preferences { genres: vec!["Opera".to_owned()], ..Preferences::default() };
        let refused = coordinator.set_preferences(1, genres).await;
        assert!(matches!(refused, Err(PreferencesError::Genres(_))), "{refused:?}");
        assert_eq!(coordinator.parts.store.user(1).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_movie_that_is_replaced_keeps_its_tags() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _) = coordinator(&folder);
        let tagged = MovieRecord { tags: vec![("heist".to_owned(), 3)], ..movie(1, "Heat (1995)") };
        coordinator.put_movies(vec![tagged]).await.unwrap();
        coordinator.put_movies(vec![movie(1, "Heat (1996)")]).await.unwrap();
        let stored = coordinator.parts.store.movies(None, 1).await.unwrap().remove(0);
        assert_eq!((&*stored.title, stored.tags), ("Heat (1996)", vec![("heist".to_owned(), 3)]));
    }

    #[tokio::test]
    async fn events_of_a_call_are_counted_with_their_duplicates() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _) = coordinator(&folder);
        let mut recording = coordinator.recording();
        recording.record(vec![view(1, 1), view(2, 2)]).await.unwrap();
        recording.record(Vec::new()).await.unwrap();
        recording.record(vec![view(2, 2), view(3, 3)]).await.unwrap();
        assert_eq!((recording.accepted, recording.duplicates), (4, 1));
        let mut all = ConsistencyToken::default();
        all.add(&[view(3, 3)]);
        assert_eq!(recording.consistency_token, all);
    }

    #[tokio::test]
    async fn a_write_whose_caller_went_away_is_in_the_next_reads() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, profiles) = coordinator(&folder);
        coordinator.record(vec![view(1, 1)]).await.unwrap();
        assert_eq!(newest(&profiles).await, [1]);
        {
            let mut write = std::pin::pin!(coordinator.record(vec![view(2, 2)]));
            assert!(futures::poll!(&mut write).is_pending());
        }
        // All permits are free again once the write has ended.
        let _ended = coordinator.under_way.acquire_many(UNDER_WAY as u32).await.unwrap();
        assert_eq!(newest(&profiles).await, [1, 2]);
    }

    #[tokio::test]
    async fn movies_whose_caller_went_away_during_the_write_are_in_the_catalogue_as_in_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _) = coordinator(&folder);
        coordinator.put_movies(vec![movie(1, "Before")]).await.unwrap();
        {
            let mut write = std::pin::pin!(coordinator.put_movies(vec![movie(1, "After")]));
            assert!(futures::poll!(&mut write).is_pending());
            // The write has begun once other tasks had their turn.
            tokio::task::yield_now().await;
        }
        // All permits are free again once the write has ended.
        let _ended = coordinator.under_way.acquire_many(UNDER_WAY as u32).await.unwrap();
        assert_eq!(titles(&coordinator, 1).await, ("After".to_owned(), "After".to_owned()));
    }

    #[tokio::test]
    async fn movies_whose_caller_went_away_before_the_write_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _) = coordinator(&folder);
        coordinator.put_movies(vec![movie(1, "Before")]).await.unwrap();
        let builds = coordinator.parts.catalog.index_builds();
        {
            let mut write = std::pin::pin!(coordinator.put_movies(vec![movie(1, "After")]));
            assert!(futures::poll!(&mut write).is_pending());
        }
        let _ended = coordinator.under_way.acquire_many(UNDER_WAY as u32).await.unwrap();
        assert_eq!(titles(&coordinator, 1).await, ("Before".to_owned(), "Before".to_owned()));
        assert_eq!(coordinator.parts.catalog.index_builds(), builds);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hundred_imports_that_wait_are_one_write_and_one_index() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _) = coordinator(&folder);
        let writer = coordinator.parts.catalog.alone().await;
        let mut writes: Vec<_> =
            (1..=100).map(|id| Box::pin(coordinator.put_movies(vec![movie(id, "Title (1999)")]))).collect();
        for write in &mut writes {
            assert!(futures::poll!(write).is_pending());
        }
        let builds = coordinator.parts.catalog.index_builds();
        drop(writer);
        for added in futures::future::join_all(writes).await {
            assert_eq!(added.unwrap(), 1);
        }
        assert_eq!(coordinator.parts.catalog.index_builds(), builds + 1);
        assert_eq!(coordinator.parts.catalog.search("title", None, 200).len(), 100);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn writers_of_one_movie_at_once_leave_it_the_same_in_catalogue_and_store() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _) = coordinator(&folder);
        let writes = (0..50).map(|round| {
            let coordinator = coordinator.clone();
            tokio::spawn(
                async move { coordinator.put_movies(vec![movie(1, &format!("Title {round}"))]).await },
            )
        });
        for write in futures::future::join_all(writes).await {
            write.unwrap().unwrap();
        }
        let (stored, shown) = titles(&coordinator, 1).await;
        assert_eq!(stored, shown);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn readers_and_a_writer_at_once_never_see_less_than_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, profiles) = coordinator(&folder);
        let acknowledged = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (profiles, acknowledged) = (Arc::clone(&profiles), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    loop {
                        let at_least = acknowledged.load(std::sync::atomic::Ordering::Acquire);
                        let profile = profiles.read(1, 1000, &ConsistencyToken::default()).await.unwrap();
                        let found = profile.map_or(0, |profile| profile.newest.len() as u32);
                        assert!(found >= at_least, "{found} of {at_least}");
                        if at_least == 300 {
                            return;
                        }
                        // A read from memory never waits, and the writer needs a thread too.
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for movie_id in 1..=300 {
            coordinator.record(vec![view(movie_id, movie_id.into())]).await.unwrap();
            acknowledged.store(movie_id, std::sync::atomic::Ordering::Release);
        }
        for reader in readers {
            reader.await.unwrap();
        }
    }
}
