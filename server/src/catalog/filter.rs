//! Which movies may be answered, as a bitmap of dense indexes.
//!
//! Conditions on genres, tags, attributes and years are operations on stored bitmaps. Conditions on ratings change
//! with every event, so they are read last, for the movies that the other conditions left over.

use marquee_core::domain::MovieId;
use marquee_core::text;
use roaring::{MultiOps, RoaringBitmap};
use serde::{Deserialize, Serialize};

use super::CatalogError;
use super::attributes::{AttributeCondition, AttributeTest};
use super::movies::Movies;
use super::stats::Ratings;

/// Bytes of the genres that a refusal names.
const SHOWN_GENRES_BYTES: usize = 600;

/// Which movies may be answered. Every condition that is set must hold; an empty filter allows all. Its names are those of
/// stored rules too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// What attributes must be. One that a movie lacks fails every condition but that it is not there.
    pub attributes: Vec<AttributeCondition>,
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

/// One of a filter's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// [`Filter::genres_any`].
    GenresAny,
    /// [`Filter::genres_all`].
    GenresAll,
    /// [`Filter::genres_none`].
    GenresNone,
    /// [`Filter::tags_any`].
    TagsAny,
    /// [`Filter::year_min`].
    YearMin,
    /// [`Filter::year_max`].
    YearMax,
    /// [`Filter::average_rating_min`].
    AverageRatingMin,
    /// [`Filter::ratings_min`].
    RatingsMin,
    /// [`Filter::allow_movie_ids`].
    AllowMovieIds,
    /// [`Filter::deny_movie_ids`].
    DenyMovieIds,
    /// [`Filter::attributes`].
    Attributes,
}

impl Condition {
    /// All of them, in the order of the filter.
    pub const ALL: [Self; 11] = [
        Self::GenresAny,
        Self::GenresAll,
        Self::GenresNone,
        Self::TagsAny,
        Self::YearMin,
        Self::YearMax,
        Self::AverageRatingMin,
        Self::RatingsMin,
        Self::AllowMovieIds,
        Self::DenyMovieIds,
        Self::Attributes,
    ];

    /// Its field in the filter.
    pub const fn field(self) -> &'static str {
        match self {
            Self::GenresAny => "genres_any",
            Self::GenresAll => "genres_all",
            Self::GenresNone => "genres_none",
            Self::TagsAny => "tags_any",
            Self::YearMin => "year_min",
            Self::YearMax => "year_max",
            Self::AverageRatingMin => "average_rating_min",
            Self::RatingsMin => "ratings_min",
            Self::AllowMovieIds => "allow_movie_ids",
            Self::DenyMovieIds => "deny_movie_ids",
            Self::Attributes => "attributes",
        }
    }

    /// What is the matter with a movie that fails it, to be read after "it".
    pub const fn failed(self) -> &'static str {
        match self {
            Self::GenresAny => "has none of the genres of which it must have one",
            Self::GenresAll => "lacks a genre that it must have",
            Self::GenresNone => "has a genre that it must not have",
            Self::TagsAny => "has none of the tags of which it must have one",
            Self::YearMin => "is older than it may be, or its year is not known",
            Self::YearMax => "is newer than it may be, or its year is not known",
            Self::AverageRatingMin => "has no ratings, or a lower average than it must have",
            Self::RatingsMin => "has fewer ratings than it must have",
            Self::AllowMovieIds => "is not among the movies that are allowed",
            Self::DenyMovieIds => "is among the movies that are denied",
            Self::Attributes => "lacks an attribute that it must have, or has it with another value",
        }
    }
}

impl Filter {
    /// The filter with one of its conditions alone, which selects this movie where it passes, and few others.
    pub(super) fn only(&self, condition: Condition, movie_id: MovieId) -> Self {
        let mut only = Self { allow_movie_ids: vec![movie_id], ..Self::default() };
        match condition {
            Condition::GenresAny => only.genres_any.clone_from(&self.genres_any),
            Condition::GenresAll => only.genres_all.clone_from(&self.genres_all),
            Condition::GenresNone => only.genres_none.clone_from(&self.genres_none),
            Condition::TagsAny => only.tags_any.clone_from(&self.tags_any),
            Condition::YearMin => only.year_min = self.year_min,
            Condition::YearMax => only.year_max = self.year_max,
            Condition::AverageRatingMin => only.average_rating_min = self.average_rating_min,
            Condition::RatingsMin => only.ratings_min = self.ratings_min,
            Condition::AllowMovieIds => only.allow_movie_ids.clone_from(&self.allow_movie_ids),
            Condition::DenyMovieIds => only.deny_movie_ids.clone_from(&self.deny_movie_ids),
            Condition::Attributes => only.attributes.clone_from(&self.attributes),
        }
        only
    }

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
        let mut selected = required.unwrap_or_else(|| movies.indexes().clone());
        for name in &self.genres_none {
            selected -= genre(movies, GenreList::None, name)?;
        }
        for AttributeCondition { name, test } in &self.attributes {
            if *test == AttributeTest::Exists(false) {
                selected -= movies.attributes().having(name);
            }
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
        for AttributeCondition { name, test } in &self.attributes {
            match test {
                AttributeTest::AnyOf(texts) => required.push(movies.attributes().any_of(name, texts)),
                AttributeTest::Range { min, max } => {
                    required.push(movies.attributes().within(name, *min, *max));
                }
                AttributeTest::Exists(true) => required.push(movies.attributes().having(name)),
                AttributeTest::Exists(false) => {}
            }
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

    /// Whether it has conditions whose movies change with every event.
    pub(crate) fn asks_for_ratings(&self) -> bool {
        self.average_rating_min.is_some() || self.ratings_min.is_some()
    }

    fn passes_ratings(&self, ratings: &Ratings, index: u32) -> bool {
        let enough = self.ratings_min.is_none_or(|min| u64::from(ratings.count(index)) >= min);
        let good = |min| ratings.average(index).is_some_and(|average| average >= min);
        enough && self.average_rating_min.is_none_or(good)
    }
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
