//! What a row of each table says.

use marquee_core::domain::{
    Interaction, Kind, MovieId, MovieRecord, UserId, imdb_number, showable, whole_number,
};

use super::row_error::RowError;
use super::rows::{Dialect, FIRST_FLAG_OF_100K, Fields, GENRES_OF_100K, Layout, Row};
use super::units::Units;
use crate::keys::{is_given, is_keyed_movie};

/// The genres of 100K in the order of their flags.
const FLAGS_OF_100K: [&str; GENRES_OF_100K] = [
    "",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// One user's tag for one movie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TagRow {
    pub(super) user_id: UserId,
    pub(super) movie_id: MovieId,
    /// In lower case; may be empty.
    pub(super) tag: String,
}

/// Where a movie stands elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkRow {
    pub(super) movie_id: MovieId,
    pub(super) imdb: Option<u32>,
    pub(super) tmdb: Option<u32>,
}

pub(super) fn rating(row: &Row<'_>, layout: &Layout, units: &Units) -> Result<Interaction, RowError> {
    let fields = row.read(layout)?;
    let (user_id, movie_id) = (fields.id(0, "userId")?, fields.id(1, "movieId")?);
    if is_given(user_id) {
        return Err(RowError::Given { column: "userId", number: user_id });
    }
    chosen(movie_id)?;
    Ok(Interaction {
        user_id,
        movie_id,
        rating: Some(units.rating(fields.text(2).trim())?),
        time_ms: units.time(fields.text(3).trim())?,
        kind: Kind::Rating,
    })
}

pub(super) fn movie(row: &Row<'_>, layout: &Layout) -> Result<MovieRecord, RowError> {
    let fields = row.read(layout)?;
    let movie_id = fields.id(0, "movieId")?;
    chosen(movie_id)?;
    let movie = match layout.dialect {
        Dialect::Pipe => MovieRecord::named(movie_id, &fields.text(1), flagged_genres(&fields)),
        _ => MovieRecord::named(movie_id, &fields.last_but_one(), [&*fields.last()]),
    };
    movie.map_err(RowError::Name)
}

/// Refuses a number that the server gives to keys.
fn chosen(movie_id: MovieId) -> Result<(), RowError> {
    if is_keyed_movie(movie_id) {
        return Err(RowError::Given { column: "movieId", number: movie_id.into() });
    }
    Ok(())
}

fn flagged_genres(fields: &Fields<'_>) -> impl Iterator<Item = &'static str> {
    let flags = FLAGS_OF_100K.iter().zip(fields.rest(FIRST_FLAG_OF_100K));
    flags.filter(|(_, flag)| *flag == b"1").map(|(name, _)| *name)
}

pub(super) fn tag(row: &Row<'_>, layout: &Layout) -> Result<TagRow, RowError> {
    let fields = row.read(layout)?;
    let tag = fields.last_but_one().trim().to_lowercase();
    showable(&tag).map_err(RowError::Tag)?;
    Ok(TagRow { user_id: fields.id(0, "userId")?, movie_id: fields.id(1, "movieId")?, tag })
}

pub(super) fn link(row: &Row<'_>, layout: &Layout) -> Result<LinkRow, RowError> {
    let fields = row.read(layout)?;
    Ok(LinkRow {
        movie_id: fields.id(0, "movieId")?,
        imdb: fields.foreign_id(1, "imdbId", imdb_number)?,
        tmdb: fields.foreign_id(2, "tmdbId", whole_number)?,
    })
}
