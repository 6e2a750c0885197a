//! Keys of callers become numbers here, before anything else is asked of a request.

use std::sync::Arc;

use marquee_core::domain::{MovieId, UserId};
use marquee_proto::{Keyed, Names, Numbers, Validate, is_key};
use tonic::Request;

use super::{ApiError, Asker, checked};
use crate::catalog::{Catalog, Movies};
use crate::keys::{UserKeys, user_of_key};
use crate::writes::WriteCoordinator;

/// What stands for a movie of a list that nobody knows: the largest number, which no movie of a catalogue has.
const NOBODYS: MovieId = MovieId::MAX;

/// The most keys of movies in a list, as the protos have it.
const LISTED_KEYS: usize = 1_000;

/// Who knows which numbers keys have.
#[derive(Clone)]
pub(crate) struct KeyNumbers {
    catalog: Arc<Catalog>,
    users: UserKeys,
}

impl KeyNumbers {
    /// The keys of the catalogue and of the users that a coordinator writes.
    pub(crate) fn of(coordinator: &WriteCoordinator) -> Self {
        Self { catalog: Arc::clone(coordinator.catalog()), users: coordinator.user_keys().clone() }
    }

    /// The message of a call with numbers in the place of keys, once its caller may ask for that and its constraints hold. A
    /// movie of a list that nobody knows gets a number that no movie has.
    ///
    /// # Errors
    /// [`ApiError`] when something of it is refused, or nobody knows the movie that it is about.
    pub(super) async fn valid<M: Keyed + Names + Validate>(
        &self,
        request: Request<M>,
    ) -> Result<M, ApiError> {
        let asker = Asker::of(request.extensions());
        self.read(&asker, request.into_inner()).await
    }

    /// The same for a message of a stream or of a batch.
    ///
    /// # Errors
    /// As [`Self::valid`].
    pub(super) async fn read<M: Keyed + Names + Validate>(
        &self,
        asker: &Asker,
        message: M,
    ) -> Result<M, ApiError> {
        let Numbered { message, users, .. } = self.numbered(asker, message)?;
        self.check(&users).await?;
        Ok(message)
    }

    /// The same for a call about a user who may be unknown, and what it called the user.
    ///
    /// # Errors
    /// As [`Self::valid`].
    pub(super) async fn about<M: Keyed + Names + Validate>(
        &self,
        request: Request<M>,
    ) -> Result<(M, UsersByKey), ApiError> {
        let asker = Asker::of(request.extensions());
        let Numbered { message, users, .. } = self.numbered(&asker, request.into_inner())?;
        self.check(&users).await?;
        Ok((message, users))
    }

    /// The same for what is kept: a movie of a list that nobody knows is refused.
    ///
    /// # Errors
    /// As [`Self::valid`].
    pub(super) async fn known<M: Keyed + Names + Validate>(
        &self,
        request: Request<M>,
    ) -> Result<M, ApiError> {
        let asker = Asker::of(request.extensions());
        let Numbered { message, users, unlisted } = self.numbered(&asker, request.into_inner())?;
        unlisted.map_or(Ok(()), |key| Err(ApiError::UnknownMovieKey(key)))?;
        self.check(&users).await?;
        Ok(message)
    }

    /// The same for a call that creates its users, whose keys are to be kept before anything is written about them.
    ///
    /// # Errors
    /// As [`Self::valid`].
    pub(super) fn creating<M: Keyed + Names + Validate>(
        &self,
        request: Request<M>,
    ) -> Result<(M, UsersByKey), ApiError> {
        let asker = Asker::of(request.extensions());
        self.created(&asker, request.into_inner())
    }

    /// The same for a message of a stream.
    ///
    /// # Errors
    /// As [`Self::valid`].
    pub(super) fn created<M: Keyed + Names + Validate>(
        &self,
        asker: &Asker,
        message: M,
    ) -> Result<(M, UsersByKey), ApiError> {
        let Numbered { message, users, unlisted } = self.numbered(asker, message)?;
        unlisted.map_or(Ok((message, users)), |key| Err(ApiError::UnknownMovieKey(key)))
    }

    /// Refuses keys whose numbers are other keys'.
    async fn check(&self, users: &UsersByKey) -> Result<(), ApiError> {
        for (user_id, key) in &users.0 {
            self.users.check(*user_id, key).await?;
        }
        Ok(())
    }

    /// Keeps the keys of users with them, now that nothing else is wrong with what is to be written.
    ///
    /// # Errors
    /// [`ApiError`] when a number is another key's, or the store cannot be asked.
    pub(super) async fn keep(&self, users: UsersByKey) -> Result<(), ApiError> {
        for (user_id, key) in users.0 {
            self.users.keep(user_id, &key).await?;
        }
        Ok(())
    }

    /// The key of a user, empty for one who has none.
    ///
    /// # Errors
    /// [`ApiError::Store`] when the store cannot be asked.
    pub(super) async fn of_user(&self, user_id: UserId) -> Result<String, ApiError> {
        Ok(self.users.key_of(user_id).await?.map(|key| key.to_string()).unwrap_or_default())
    }

    /// The keys of those of the movies that have any, in their order; of no more movies than a request may name by keys.
    pub(super) fn of_movies(&self, movie_ids: &[MovieId]) -> Vec<String> {
        let movies = self.catalog.movies();
        let key_of = |movie_id: &MovieId| movies.get(*movie_id).and_then(|movie| movie.key.as_deref());
        movie_ids.iter().filter_map(key_of).take(LISTED_KEYS).map(str::to_owned).collect()
    }

    /// The key of a movie, empty for one that has none or that the catalogue lacks.
    pub(super) fn of_movie(&self, movie_id: MovieId) -> String {
        let movies = self.catalog.movies();
        movies.get(movie_id).and_then(|movie| movie.key.as_deref()).unwrap_or_default().to_owned()
    }

    fn numbered<M: Keyed + Names + Validate>(
        &self,
        asker: &Asker,
        mut message: M,
    ) -> Result<Numbered<M>, ApiError> {
        let mut found = Found::of(&self.catalog);
        message.number_keys(&mut found);
        let Found { users, unlisted, fault, .. } = found;
        asker.may(&message)?;
        let message = checked(message)?;
        fault.map_or(Ok(Numbered { message, users: UsersByKey(users), unlisted }), Err)
    }
}

/// The users whom a message names by keys.
pub(super) struct UsersByKey(Vec<(UserId, String)>);

impl UsersByKey {
    /// Why nothing is answered about a user whom nobody knows, by what the message called the user.
    pub(super) fn unknown(&self, user_id: UserId) -> ApiError {
        let by_key = self.0.iter().find(|(number, _)| *number == user_id);
        by_key.map_or(ApiError::UnknownUser(user_id), |(_, key)| ApiError::UnknownUserKey(key.clone()))
    }
}

/// A message without keys, and what they were.
struct Numbered<M> {
    message: M,
    users: UsersByKey,
    /// The first movie of a list that nobody knows.
    unlisted: Option<String>,
}

/// The numbers of one message's keys, and what is wrong with them.
struct Found<'a> {
    catalog: &'a Catalog,
    /// Taken when the first key of a movie is met.
    movies: Option<Arc<Movies>>,
    users: Vec<(UserId, String)>,
    unlisted: Option<String>,
    fault: Option<ApiError>,
    /// The messages around the keys that follow, as fields and places in lists.
    within: Vec<(&'static str, Option<usize>)>,
}

impl<'a> Found<'a> {
    fn of(catalog: &'a Catalog) -> Self {
        Self { catalog, movies: None, users: Vec::new(), unlisted: None, fault: None, within: Vec::new() }
    }

    fn known(&mut self, key: &str) -> Option<MovieId> {
        self.movies.get_or_insert_with(|| self.catalog.movies()).id_of_key(key)
    }

    /// Whether the text may be a key; remembers it as a fault if not.
    fn is_key(&mut self, field: &'static str, index: Option<usize>, text: &str) -> bool {
        if !is_key(text) && self.fault.is_none() {
            self.fault = Some(ApiError::no_key(self.path(field, index)));
        }
        is_key(text)
    }

    /// Where a field stands, such as `requests[3].filter.deny_movie_keys[0]`.
    fn path(&self, field: &'static str, index: Option<usize>) -> String {
        let steps = self.within.iter().copied().chain([(field, index)]);
        let step = |(field, index): (&str, Option<usize>)| match index {
            Some(index) => format!("{field}[{index}]"),
            None => field.to_owned(),
        };
        steps.map(step).collect::<Vec<_>>().join(".")
    }

    fn user_of(&mut self, key: &str) -> UserId {
        let user_id = user_of_key(key);
        self.users.push((user_id, key.to_owned()));
        user_id
    }
}

impl Numbers for Found<'_> {
    fn user(&mut self, field: &'static str, key: &str) -> Option<UserId> {
        self.is_key(field, None, key).then(|| self.user_of(key))
    }

    fn movie(&mut self, field: &'static str, key: &str) -> Option<MovieId> {
        if !self.is_key(field, None, key) {
            return None;
        }
        let known = self.known(key);
        if known.is_none() {
            self.fault.get_or_insert_with(|| ApiError::UnknownMovieKey(key.to_owned()));
        }
        known
    }

    fn listed_user(&mut self, field: &'static str, index: usize, key: &str) -> UserId {
        if self.is_key(field, Some(index), key) { self.user_of(key) } else { UserId::MAX }
    }

    fn listed_movie(&mut self, field: &'static str, index: usize, key: &str) -> MovieId {
        if !self.is_key(field, Some(index), key) {
            return NOBODYS;
        }
        self.known(key).unwrap_or_else(|| {
            self.unlisted.get_or_insert_with(|| key.to_owned());
            NOBODYS
        })
    }

    fn enter(&mut self, field: &'static str, index: Option<usize>) {
        self.within.push((field, index));
    }

    fn leave(&mut self) {
        self.within.pop();
    }
}
