//! Movies that callers bring or change, as the store keeps them.

use std::collections::HashSet;

use marquee_core::attributes::{Attribute, AttributeValue, attributes};
use marquee_core::domain::{MovieId, MovieRecord, NameError, imdb_number};
use marquee_proto::v1::attribute::Value;
use marquee_proto::v1::import_movies_request::Movie;
use marquee_proto::{is_key, v1};
use prost_types::FieldMask;

use super::ApiError;
use crate::keys::{FIRST_KEYED_MOVIE, LAST_KEYED_MOVIE, UNNUMBERED, is_keyed_movie};
use crate::writes::{MovieChange, MovieField};

/// The movie to store.
///
/// # Errors
/// [`ApiError::Invalid`] that names the field.
pub(super) fn record(movie: &v1::ImportMoviesRequest) -> Result<MovieRecord, ApiError> {
    let (movie_id, key) = match &movie.movie {
        Some(Movie::MovieId(movie_id)) if is_keyed_movie(*movie_id) || *movie_id == MovieId::MAX => {
            let described = format!(
                "is {movie_id}; from {FIRST_KEYED_MOVIE} to {LAST_KEYED_MOVIE} the server numbers movies that have keys, and \
                 the largest number is no movie's"
            );
            return Err(ApiError::invalid("movie_id", described));
        }
        Some(Movie::MovieId(movie_id)) => (*movie_id, None),
        Some(Movie::MovieKey(key)) if is_key(key) => (UNNUMBERED, Some(key.clone())),
        Some(Movie::MovieKey(_)) | None => {
            return Err(ApiError::no_key("movie_key"));
        }
    };
    let mut record = MovieRecord { movie_id, tmdb: movie.tmdb_id, key, ..MovieRecord::default() };
    let misnamed = |error| misnamed("", error);
    record.set_title(&movie.title).map_err(misnamed)?;
    record.set_genres(texts(&movie.genres)).map_err(misnamed)?;
    record.set_tags(texts(&movie.tags)).map_err(misnamed)?;
    record.imdb = imdb("", movie.imdb_id.as_deref())?;
    record.attributes = said("", &movie.attributes)?;
    Ok(record)
}

/// What is to be changed of which movies.
///
/// # Errors
/// [`ApiError::Invalid`] that names the field.
pub(super) fn changes(request: &v1::UpdateMoviesRequest) -> Result<Vec<MovieChange>, ApiError> {
    if request.movies.is_empty() {
        return Err(ApiError::invalid("movies", "has no movie; name those to change"));
    }
    let masked = masked(request.update_mask.as_ref())?;
    let mut named = HashSet::new();
    let changes = request.movies.iter().enumerate().map(|(place, movie)| {
        let at = format!("movies[{place}]");
        if !named.insert(movie.movie_id()) {
            return Err(ApiError::invalid(
                at,
                format!("is movie {} again; name each once", movie.movie_id()),
            ));
        }
        let fields = if masked.is_empty() { brought(movie) } else { masked.clone() };
        if fields.is_empty() {
            let described =
                "brings nothing to change; give it a field, or name in update_mask what is to be emptied";
            return Err(ApiError::invalid(at, described));
        }
        let to = change(&at, movie, &fields)?;
        Ok(MovieChange { to, fields })
    });
    changes.collect()
}

/// The movie as it is to be, as far as these fields go.
fn change(at: &str, movie: &v1::MovieUpdate, fields: &[MovieField]) -> Result<MovieRecord, ApiError> {
    let mut record =
        MovieRecord { movie_id: movie.movie_id(), tmdb: movie.tmdb_id, ..MovieRecord::default() };
    for field in fields {
        match field {
            MovieField::Title => record.set_title(&movie.title),
            MovieField::Genres => record.set_genres(texts(&movie.genres)),
            MovieField::Tags => record.set_tags(texts(&movie.tags)),
            MovieField::Imdb => {
                record.imdb = imdb(at, movie.imdb_id.as_deref())?;
                Ok(())
            }
            MovieField::Attributes => {
                record.attributes = said(at, &movie.attributes)?;
                Ok(())
            }
            MovieField::Tmdb => Ok(()),
        }
        .map_err(|error| misnamed(at, error))?;
    }
    Ok(record)
}

/// The fields that a mask names; none where there is none.
fn masked(mask: Option<&FieldMask>) -> Result<Vec<MovieField>, ApiError> {
    let paths = mask.into_iter().flat_map(|mask| &mask.paths);
    let field = |path: &String| {
        MovieField::ALL.into_iter().find(|field| field.name() == path).ok_or_else(|| {
            let known = MovieField::ALL.map(MovieField::name).join(", ");
            ApiError::invalid("update_mask", format!("has {path:?}; what can be changed is {known}"))
        })
    };
    paths.map(field).collect()
}

/// The fields that a movie brings.
fn brought(movie: &v1::MovieUpdate) -> Vec<MovieField> {
    let is_brought = |field: &MovieField| match field {
        MovieField::Title => !movie.title.is_empty(),
        MovieField::Genres => !movie.genres.is_empty(),
        MovieField::Imdb => movie.imdb_id.is_some(),
        MovieField::Tmdb => movie.tmdb_id.is_some(),
        MovieField::Tags => !movie.tags.is_empty(),
        MovieField::Attributes => !movie.attributes.is_empty(),
    };
    MovieField::ALL.into_iter().filter(is_brought).collect()
}

/// The attributes as they are kept.
fn said(at: &str, said: &[v1::Attribute]) -> Result<Vec<Attribute>, ApiError> {
    let value = |value: &Value| match value {
        Value::Text(text) => AttributeValue::Text(text.clone()),
        Value::Number(number) => AttributeValue::Number(*number),
        Value::Texts(texts) => AttributeValue::Texts(texts.texts.clone()),
    };
    let said = said.iter().filter_map(|attribute| {
        Some(Attribute { name: attribute.name.clone(), value: value(attribute.value.as_ref()?) })
    });
    attributes(said).map_err(|error| ApiError::invalid(within(at, "attributes"), error.to_string()))
}

/// The attributes of a movie as replies have them.
pub(super) fn shown(attributes: &[Attribute]) -> Vec<v1::Attribute> {
    let value = |value: &AttributeValue| match value {
        AttributeValue::Text(text) => Value::Text(text.clone()),
        AttributeValue::Number(number) => Value::Number(*number),
        AttributeValue::Texts(texts) => Value::Texts(v1::AttributeTexts { texts: texts.clone() }),
    };
    let attribute = |attribute: &Attribute| v1::Attribute {
        name: attribute.name.clone(),
        value: Some(value(&attribute.value)),
    };
    attributes.iter().map(attribute).collect()
}

fn texts(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().map(String::as_str)
}

fn imdb(at: &str, id: Option<&str>) -> Result<Option<u32>, ApiError> {
    let number = |id: &str| {
        imdb_number(id).ok_or_else(|| {
            let described = format!("is {id:?}; tt and a number, such as tt0114709, is accepted");
            ApiError::invalid(within(at, "imdb_id"), described)
        })
    };
    id.map(number).transpose()
}

fn misnamed(at: &str, error: NameError) -> ApiError {
    let (field, described) = match error {
        NameError::NoTitle => ("title", "holds only spaces; a title is needed".to_owned()),
        NameError::Title(error) => ("title", error.to_string()),
        NameError::Genres(error) => ("genres", error.to_string()),
        NameError::Tags(error) => ("tags", error.to_string()),
    };
    ApiError::invalid(within(at, field), described)
}

/// A field of a message that stands there, or of the request itself.
fn within(at: &str, field: &str) -> String {
    if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(movie_id: u32) -> v1::MovieUpdate {
        v1::MovieUpdate { movie: Some(movie_id.into()), ..v1::MovieUpdate::default() }
    }

    fn request(movies: Vec<v1::MovieUpdate>, paths: &[&str]) -> v1::UpdateMoviesRequest {
        let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
        v1::UpdateMoviesRequest { movies, update_mask: Some(FieldMask { paths }) }
    }

    fn refused(request: &v1::UpdateMoviesRequest) -> String {
        match changes(request).expect_err("it is refused") {
            ApiError::Invalid(violations) => violations[0].field.clone(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_mask_says_what_is_changed_and_what_is_emptied() {
        let titled = v1::MovieUpdate { title: " Ran (1985)".to_owned(), tmdb_id: Some(11), ..update(5) };
        let changed = changes(&request(vec![titled.clone()], &["title", "tags"])).expect("it is good");
        assert_eq!(changed[0].fields, [MovieField::Title, MovieField::Tags]);
        assert_eq!((changed[0].to.title.as_str(), changed[0].to.tags.len()), ("Ran (1985)", 0));
        let unmasked = changes(&request(vec![titled], &[])).expect("it is good");
        assert_eq!(unmasked[0].fields, [MovieField::Title, MovieField::Tmdb]);
    }

    #[test]
    fn what_cannot_be_changed_is_named() {
        assert_eq!(refused(&request(vec![update(5)], &["title", "movie_id"])), "update_mask");
        assert_eq!(refused(&request(vec![], &["title"])), "movies");
        assert_eq!(refused(&request(vec![update(5)], &[])), "movies[0]");
        assert_eq!(refused(&request(vec![update(5)], &["title"])), "movies[0].title");
        assert_eq!(refused(&request(vec![update(5), update(5)], &["tags"])), "movies[1]");
        let unnamed = v1::Attribute { name: "a".to_owned(), value: Some(Value::Number(f64::NAN)) };
        let said = v1::MovieUpdate { attributes: vec![unnamed], ..update(5) };
        assert_eq!(refused(&request(vec![said], &[])), "movies[0].attributes");
        let linked = v1::MovieUpdate { imdb_id: Some("no".to_owned()), ..update(6) };
        assert_eq!(refused(&request(vec![update(5), linked], &["imdb_id"])), "movies[1].imdb_id");
    }
}
