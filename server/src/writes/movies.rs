//! Changes of movies that are there: of some of their fields, and their end.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use marquee_core::domain::{MovieId, MovieRecord};
use marquee_store::StoreError;
use tokio::task::spawn_blocking;

use super::{Parts, WriteCoordinator};

/// Movies that are read from the store at once.
const AT_ONCE: usize = 32;

/// A field of a movie that can be changed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovieField {
    /// The title.
    Title,
    /// The genres.
    Genres,
    /// The IMDb number.
    Imdb,
    /// The id at The Movie Database.
    Tmdb,
    /// The tags.
    Tags,
    /// The attributes, all of them.
    Attributes,
}

impl MovieField {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Title, Self::Genres, Self::Imdb, Self::Tmdb, Self::Tags, Self::Attributes];

    /// Its name in a mask.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Genres => "genres",
            Self::Imdb => "imdb_id",
            Self::Tmdb => "tmdb_id",
            Self::Tags => "tags",
            Self::Attributes => "attributes",
        }
    }

    /// Puts what one movie has in it into another.
    fn copy(self, from: &MovieRecord, to: &mut MovieRecord) {
        match self {
            Self::Title => to.title.clone_from(&from.title),
            Self::Genres => to.genres.clone_from(&from.genres),
            Self::Imdb => to.imdb = from.imdb,
            Self::Tmdb => to.tmdb = from.tmdb,
            Self::Tags => to.tags.clone_from(&from.tags),
            Self::Attributes => to.attributes.clone_from(&from.attributes),
        }
    }
}

/// What a movie is to have in some of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovieChange {
    /// The movie as it is to be, as far as these fields go.
    pub to: MovieRecord,
    /// The fields.
    pub fields: Vec<MovieField>,
}

/// Why movies were not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpdateMoviesError {
    /// One of them is not in the catalogue; none was changed.
    #[error("movie {0} is not in the catalogue")]
    UnknownMovie(MovieId),
    /// The store did not acknowledge them; some may be changed nevertheless.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WriteCoordinator {
    /// Changes fields of movies, each named once, all of them or none, and shows them.
    ///
    /// # Errors
    /// [`UpdateMoviesError`] when one is not there, or the store did not acknowledge them.
    pub async fn update_movies(&self, changes: Vec<MovieChange>) -> Result<(), UpdateMoviesError> {
        let alone = self.parts.catalog.alone().await;
        let parts = Arc::clone(&self.parts);
        self.to_its_end(async move {
            let movies = parts.changed(changes).await?;
            parts.put_movies(movies).await?;
            drop(alone);
            Ok(())
        })
        .await
    }

    /// Removes movies from store and catalogue, those that are there; how many that were. What users did with them stays.
    ///
    /// # Errors
    /// [`StoreError`] when the store did not acknowledge it; some may be gone nevertheless.
    pub async fn delete_movies(&self, movie_ids: Vec<MovieId>) -> Result<usize, StoreError> {
        let alone = self.parts.catalog.alone().await;
        let parts = Arc::clone(&self.parts);
        self.to_its_end(async move {
            parts.store.remove_movies(&movie_ids).await?;
            let catalog = Arc::clone(&parts.catalog);
            let removed = spawn_blocking(move || catalog.remove(&movie_ids)).await;
            drop(alone);
            removed.map_err(|error| StoreError::Unavailable(error.to_string()))
        })
        .await
    }
}

impl Parts {
    /// The movies as they are in the store, with these changes.
    async fn changed(&self, changes: Vec<MovieChange>) -> Result<Vec<MovieRecord>, UpdateMoviesError> {
        let changed = changes.into_iter().map(|MovieChange { to, fields }| async move {
            let mut movie = self.stored(to.movie_id).await?;
            for field in fields {
                field.copy(&to, &mut movie);
            }
            Ok::<_, UpdateMoviesError>(movie)
        });
        let changed: Vec<_> = changed.collect();
        stream::iter(changed).buffered(AT_ONCE).try_collect().await
    }

    async fn stored(&self, movie_id: MovieId) -> Result<MovieRecord, UpdateMoviesError> {
        let found = self.store.movies(movie_id.checked_sub(1), 1).await?;
        let movie = found.into_iter().find(|movie| movie.movie_id == movie_id);
        movie.ok_or(UpdateMoviesError::UnknownMovie(movie_id))
    }
}
