//! Which movies may be answered, as a bitmap of dense indexes.
//!
//! Conditions on genres, tags and years are operations on stored bitmaps. Conditions on ratings change
//! with every event, so they are read last, for the movies that the other conditions left over.

use marquee_core::domain::MovieId;
use marquee_core::text;
use roaring::{MultiOps, RoaringBitmap};

use super::CatalogError;
use super::movies::Movies;
use super::stats::Ratings;

/// Bytes of the genres that a refusal names.
const SHOWN_GENRES_BYTES: usize = 600;

/// Which movies may be answered. Every condition that is set must hold; an empty filter allows all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// At least one of these genres, without regard to case.
    pub genres_any: Vec<String>,
    /// All of these genres.
    pub genres_all: Vec<String>,
    /// None of these genres.
    pub genres_none: Vec<String>,
    /// At least one of these tags, without regard to case. Unknown tags are nobody's.
    pub tags_any: Vec<String>,
    /// First year of release. A movie without a year fails any condition on it.
    pub year_min: Option<u16>,
    /// Last year of release.
    pub year_max: Option<u16>,
    /// Smallest average rating in stars. A movie without ratings fails it.
    pub average_rating_min: Option<f64>,
    /// Smallest number of ratings.
    pub ratings_min: Option<u64>,
    /// Only these movies; all when empty.
    pub allow_movie_ids: Vec<MovieId>,
    /// None of these movies.
    pub deny_movie_ids: Vec<MovieId>,
}

/// One of a filter's lists of genres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenreList {
    /// [`Filter::genres_any`].
    Any,
    /// [`Filter::genres_all`].
    All,
    /// [`Filter::genres_none`].
    None,
}

impl Filter {
    /// Whether every movie passes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The dense indexes that pass; `None` when nothing is asked, so that all do.
    ///
    /// # Errors
    /// [`CatalogError::UnknownGenre`] for a genre that no movie has.
    pub(super) fn select(
        &self,
        movies: &Movies,
        ratings: &Ratings,
    ) -> Result<Option<RoaringBitmap>, CatalogError> {
        if self.is_empty() {
            return Ok(None);
        }
        let required = self.required(movies)?.into_iter().reduce(|all, one| all & one);
        let mut selected = required.unwrap_or_else(|| all(movies));
        for name in &self.genres_none {
            selected -= genre(movies, GenreList::None, name)?;
        }
        selected -= indexes(movies, &self.deny_movie_ids);
        if self.asks_for_ratings() {
            let passing = selected.iter().filter(|index| self.passes_ratings(ratings, *index));
            selected = RoaringBitmap::from_sorted_iter(passing).expect("a bitmap iterates in order");
        }
        Ok(Some(selected))
    }

    /// The bitmaps that a movie must stand in, small ones first where that is known.
    fn required(&self, movies: &Movies) -> Result<Vec<RoaringBitmap>, CatalogError> {
        let mut required = Vec::new();
        if !self.allow_movie_ids.is_empty() {
            required.push(indexes(movies, &self.allow_movie_ids));
        }
        if !self.tags_any.is_empty() {
            required.push(self.tags_any.iter().filter_map(|tag| movies.tag(tag)).union());
        }
        for name in &self.genres_all {
            required.push(genre(movies, GenreList::All, name)?.clone());
        }
        if !self.genres_any.is_empty() {
            let any = self.genres_any.iter().map(|name| genre(movies, GenreList::Any, name));
            required.push(any.collect::<Result<Vec<_>, _>>()?.union());
        }
        if self.year_min.is_some() || self.year_max.is_some() {
            required.push(movies.years(self.year_min.unwrap_or(0)..=self.year_max.unwrap_or(u16::MAX)));
        }
        Ok(required)
    }

    fn asks_for_ratings(&self) -> bool {
        self.average_rating_min.is_some() || self.ratings_min.is_some()
    }

    fn passes_ratings(&self, ratings: &Ratings, index: u32) -> bool {
        let enough = self.ratings_min.is_none_or(|min| u64::from(ratings.count(index)) >= min);
        let good = |min| ratings.average(index).is_some_and(|average| average >= min);
        enough && self.average_rating_min.is_none_or(good)
    }
}

fn all(movies: &Movies) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    all.insert_range(0..movies.len() as u32);
    all
}

fn genre<'a>(movies: &'a Movies, list: GenreList, name: &str) -> Result<&'a RoaringBitmap, CatalogError> {
    movies.genre(name).ok_or_else(|| CatalogError::UnknownGenre {
        list,
        name: name.to_owned(),
        known: text::list(movies.genres().map(|(known, _)| known), ", ", SHOWN_GENRES_BYTES),
    })
}

fn indexes(movies: &Movies, movie_ids: &[MovieId]) -> RoaringBitmap {
    movie_ids.iter().filter_map(|id| movies.index_of(*id)).collect()
}
