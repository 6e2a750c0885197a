//! What a row of each table says.

use super::rows::{Dialect, Fields, Layout, Row, RowError};
use crate::domain::{Interaction, Kind, MovieId, MovieRecord, Rating, TimeMs, UserId};

/// The genres of 100K in the order of their flags; the first one is "unknown".
const GENRES_OF_100K: [&str; 19] = [
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
/// The first flag's field in a row of 100K.
const FIRST_FLAG_OF_100K: usize = 5;

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

pub(super) fn rating(row: &Row<'_>, layout: &Layout) -> Result<Interaction, RowError> {
    let fields = row.read(layout)?;
    let rating = fields.number::<f64>(2).and_then(Rating::from_stars);
    Ok(Interaction {
        user_id: fields.id(0, "userId")?,
        movie_id: fields.id(1, "movieId")?,
        time_ms: time(&fields)?,
        kind: Kind::Rating,
        rating: Some(rating.ok_or_else(|| RowError::Rating(fields.text(2).into_owned()))?),
    })
}

fn time(fields: &Fields<'_>) -> Result<TimeMs, RowError> {
    let seconds = fields.number::<i64>(3).filter(|seconds| *seconds >= 0);
    let time_ms = seconds.and_then(|seconds| seconds.checked_mul(1000));
    time_ms.ok_or_else(|| RowError::Time(fields.text(3).into_owned()))
}

pub(super) fn movie(row: &Row<'_>, layout: &Layout) -> Result<MovieRecord, RowError> {
    let fields = row.read(layout)?;
    let (title, genres) = match layout.dialect {
        Dialect::Pipe => (fields.text(1), flagged_genres(&fields)),
        _ => (fields.last_but_one(), named_genres(&fields.last())),
    };
    let title = title.trim().to_owned();
    if title.is_empty() {
        return Err(RowError::NoTitle);
    }
    Ok(MovieRecord { movie_id: fields.id(0, "movieId")?, title, genres, ..MovieRecord::default() })
}

fn named_genres(genres: &str) -> Vec<String> {
    let named = genres.split('|').map(str::trim);
    named.filter(|name| !name.is_empty() && *name != "(no genres listed)").map(str::to_owned).collect()
}

fn flagged_genres(fields: &Fields<'_>) -> Vec<String> {
    let flags = GENRES_OF_100K.iter().zip(fields.rest(FIRST_FLAG_OF_100K));
    flags
        .filter(|(name, flag)| !name.is_empty() && *flag == b"1")
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

pub(super) fn tag(row: &Row<'_>, layout: &Layout) -> Result<TagRow, RowError> {
    let fields = row.read(layout)?;
    Ok(TagRow {
        user_id: fields.id(0, "userId")?,
        movie_id: fields.id(1, "movieId")?,
        tag: fields.last_but_one().trim().to_lowercase(),
    })
}

pub(super) fn link(row: &Row<'_>, layout: &Layout) -> Result<LinkRow, RowError> {
    let fields = row.read(layout)?;
    Ok(LinkRow { movie_id: fields.id(0, "movieId")?, imdb: fields.number(1), tmdb: fields.number(2) })
}
