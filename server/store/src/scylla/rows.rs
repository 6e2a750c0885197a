//! Rows as the driver gives them, and the words they stand for.
//!
//! Ids are `bigint`: a movie id has 32 bits without a sign, a user id is the same 64 bits.

use marquee_core::Trend;
use marquee_core::attributes::{Attribute, AttributeValue};
use marquee_core::domain::{Interaction, Kind, MovieRecord, Preferences, Rating, User, UserId};
use marquee_core::statistics::{MovieStats, RatingCounts};

use crate::{RuleRecord, StoreError};

/// Time, movie, kind, half stars; nothing in a partition that has a user and no events.
pub(super) type EventRow = (Option<i64>, Option<i64>, Option<i8>, Option<i8>);
/// Creation time, preferred genres and movies, when these and when the newest event were written.
pub(super) type UserRow = (Option<i64>, Option<Vec<String>>, Option<Vec<i64>>, Option<i64>, Option<i64>);
/// When creation time, preferences and event were written, and an [`EventRow`].
pub(super) type WrittenRow =
    (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i8>, Option<i8>);
/// When an event was written, and its [`EventRow`].
pub(super) type WrittenEventRow = (Option<i64>, Option<i64>, Option<i64>, Option<i8>, Option<i8>);
/// Creation time, preferred genres and movies, and an [`EventRow`].
pub(super) type PartitionRow =
    (Option<i64>, Option<Vec<String>>, Option<Vec<i64>>, Option<i64>, Option<i64>, Option<i8>, Option<i8>);
/// A user id and an [`EventRow`].
pub(super) type ScanRow = (i64, Option<i64>, Option<i64>, Option<i8>, Option<i8>);
/// Name, and a text, a number or several texts.
pub(super) type AttributeRow = (Option<String>, Option<String>, Option<f64>, Option<Vec<String>>);
/// Movie id, title, genres, IMDb, TMDB, tags, key, attributes.
pub(super) type MovieRow = (
    i64,
    Option<String>,
    Option<Vec<String>>,
    Option<i64>,
    Option<i64>,
    Option<Vec<(Option<String>, Option<i64>)>>,
    Option<String>,
    Option<Vec<AttributeRow>>,
);

/// A rule's name and what it says.
pub(super) type RuleRow = (String, Option<Vec<u8>>);

/// Movie id, popularity, ratings, half stars, the trend's bytes. What the ratings by value say too is for programs of before
/// these were kept.
pub(super) type SumRow = (i64, i64, i64, i64, Vec<u8>);
/// The number of a movie's ratings of each value, the lowest first.
pub(super) type CountsRow = Vec<i64>;
/// A part of a snapshot; without ratings where a program of before these were kept wrote it.
pub(super) type PartRow = (Vec<SumRow>, Option<Vec<CountsRow>>);
/// Name and number of a revision; for the statistics also when they were summed up, in how many
/// parts they are, and the numbers of users, interactions and movies.
pub(super) type RevisionRow = (String, i64, Option<i64>, Option<i32>, Option<i64>, Option<i64>, Option<i64>);

pub(super) fn sum_rows(stats: MovieStats) -> (SumRow, CountsRow) {
    let MovieStats { movie_id, popularity, ratings, trend } = stats;
    let (total, half_stars) = (ratings.total() as i64, ratings.half_stars() as i64);
    let sums = (i64::from(movie_id), popularity as i64, total, half_stars, trend.to_bytes().to_vec());
    (sums, ratings.iter().map(|(_, count)| count as i64).collect())
}

pub(super) fn sums(row: SumRow, counts: &[i64]) -> Result<MovieStats, StoreError> {
    let (movie_id, popularity, _, _, trend) = row;
    let counts: [i64; Rating::ALL.len()] = counts.try_into().map_err(|_| {
        StoreError::Corrupt(format!("the ratings of movie {movie_id} have not {} values", Rating::ALL.len()))
    })?;
    let trend = trend.try_into().map_err(|_| {
        StoreError::Corrupt(format!("the trend of movie {movie_id} has not {} bytes", Trend::BYTES))
    })?;
    Ok(MovieStats {
        movie_id: movie_id as u32,
        popularity: popularity as u64,
        ratings: RatingCounts::new(counts.map(|count| count as u64)),
        trend: Trend::from_bytes(trend),
    })
}

pub(super) fn event(user_id: UserId, row: EventRow) -> Result<Option<Interaction>, StoreError> {
    let (Some(time_ms), Some(movie_id), Some(kind), half_stars) = row else {
        return Ok(None);
    };
    let kind = Kind::from_number(kind as u8)
        .ok_or_else(|| StoreError::Corrupt(format!("an event of user {user_id} has no known kind")))?;
    let rating = Rating::from_half_stars(half_stars.unwrap_or(0) as u8);
    Ok(Some(Interaction { user_id, movie_id: movie_id as u32, time_ms, kind, rating }))
}

/// A user who is there.
pub(super) struct Found {
    pub(super) user: User,
    /// The timestamp of the write that the creation time was taken from, where no row says it: of a user
    /// who was deleted while somebody who had seen them wrote.
    pub(super) undated_since: Option<i64>,
    /// The timestamp of the preferences.
    pub(super) preferred_at: Option<i64>,
}

pub(super) fn found(user_id: UserId, row: UserRow) -> Found {
    let (created_ms, genres, movies, preferred_at, recorded_at) = row;
    let first_write = preferred_at.into_iter().chain(recorded_at).min();
    let undated_since = first_write.filter(|_| created_ms.is_none());
    let created_ms = created_ms.or(undated_since.map(|timestamp| timestamp / 1000)).unwrap_or_default();
    let user = User { user_id, created_ms, preferences: preferences(genres, movies) };
    Found { user, undated_since, preferred_at }
}

pub(super) fn preferences(genres: Option<Vec<String>>, movie_ids: Option<Vec<i64>>) -> Preferences {
    Preferences {
        genres: genres.unwrap_or_default(),
        movie_ids: movie_ids.unwrap_or_default().into_iter().map(|id| id as u32).collect(),
    }
}

pub(super) fn rule((rule_id, body): RuleRow) -> RuleRecord {
    RuleRecord { rule_id, body: body.unwrap_or_default() }
}

pub(super) fn movie(row: MovieRow) -> MovieRecord {
    let (movie_id, title, genres, imdb, tmdb, tags, key, attributes) = row;
    let tag = |(tag, users): (Option<String>, Option<i64>)| {
        (tag.unwrap_or_default(), users.unwrap_or_default() as u32)
    };
    MovieRecord {
        movie_id: movie_id as u32,
        title: title.unwrap_or_default(),
        genres: genres.unwrap_or_default(),
        imdb: imdb.map(|id| id as u32),
        tmdb: tmdb.map(|id| id as u32),
        tags: tags.unwrap_or_default().into_iter().map(tag).collect(),
        key,
        attributes: attributes.unwrap_or_default().into_iter().map(attribute).collect(),
    }
}

pub(super) fn attribute_row(attribute: &Attribute) -> AttributeRow {
    let name = Some(attribute.name.clone());
    match &attribute.value {
        AttributeValue::Text(text) => (name, Some(text.clone()), None, None),
        AttributeValue::Number(number) => (name, None, Some(*number), None),
        AttributeValue::Texts(texts) => (name, None, None, Some(texts.clone())),
    }
}

fn attribute((name, text, number, texts): AttributeRow) -> Attribute {
    let value = match (text, number) {
        (Some(text), _) => AttributeValue::Text(text),
        (None, Some(number)) => AttributeValue::Number(number),
        (None, None) => AttributeValue::Texts(texts.unwrap_or_default()),
    };
    Attribute { name: name.unwrap_or_default(), value }
}
