//! Values as bytes: little-endian numbers, and text and lists after their length.
//!
//! The layouts belong to the schema version in [`super::schema`]; changing one is a migration.

use marquee_core::Trend;
use marquee_core::attributes::{Attribute, AttributeValue};
use marquee_core::domain::{MovieRecord, Preferences, Rating};
use marquee_core::statistics::{MovieStats, RatingCounts};

use crate::StoreError;

/// Reads a value from its beginning on.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| StoreError::Corrupt("a record ends early".to_owned()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| StoreError::Corrupt("a record ends early".to_owned()))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, StoreError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, StoreError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, StoreError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, StoreError> {
        let len = self.u32()? as usize;
        let bytes = self.bytes(len)?;
        let text =
            str::from_utf8(bytes).map_err(|_| StoreError::Corrupt("a text is not UTF-8".to_owned()))?;
        Ok(text.to_owned())
    }

    fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let len = self.u32()?;
        (0..len).map(|_| one(self)).collect()
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], mut one: impl FnMut(&mut Vec<u8>, &T)) {
    out.extend((items.len() as u32).to_le_bytes());
    for item in items {
        one(out, item);
    }
}

/// No bytes stand for no preferences.
pub(super) fn encode_preferences(preferences: &Preferences) -> Vec<u8> {
    let mut out = Vec::new();
    if *preferences != Preferences::default() {
        put_list(&mut out, &preferences.genres, |out, genre| put_text(out, genre));
        put_list(&mut out, &preferences.movie_ids, |out, id| out.extend(id.to_le_bytes()));
    }
    out
}

pub(super) fn decode_preferences(bytes: &[u8]) -> Result<Preferences, StoreError> {
    if bytes.is_empty() {
        return Ok(Preferences::default());
    }
    let mut reader = Reader(bytes);
    Ok(Preferences { genres: reader.list(Reader::text)?, movie_ids: reader.list(Reader::u32)? })
}

/// MovieLens links are positive numbers, so 0 stands for none.
pub(super) fn encode_movie(movie: &MovieRecord) -> Vec<u8> {
    let mut out = Vec::new();
    put_text(&mut out, &movie.title);
    put_list(&mut out, &movie.genres, |out, genre| put_text(out, genre));
    out.extend(movie.imdb.unwrap_or(0).to_le_bytes());
    out.extend(movie.tmdb.unwrap_or(0).to_le_bytes());
    put_list(&mut out, &movie.tags, |out, (tag, users)| {
        put_text(out, tag);
        out.extend(users.to_le_bytes());
    });
    // What was written before there were keys ends here, and so does what has none and no attributes. No key is empty.
    if movie.key.is_some() || !movie.attributes.is_empty() {
        put_text(&mut out, movie.key.as_deref().unwrap_or_default());
    }
    // What was written before there were attributes ends here, and so does what has none.
    if !movie.attributes.is_empty() {
        put_list(&mut out, &movie.attributes, put_attribute);
    }
    out
}

/// The first byte of an attribute's value.
const TEXT: u8 = 0;
const NUMBER: u8 = 1;
const TEXTS: u8 = 2;

fn put_attribute(out: &mut Vec<u8>, attribute: &Attribute) {
    put_text(out, &attribute.name);
    match &attribute.value {
        AttributeValue::Text(text) => {
            out.push(TEXT);
            put_text(out, text);
        }
        AttributeValue::Number(number) => {
            out.push(NUMBER);
            out.extend(number.to_bits().to_le_bytes());
        }
        AttributeValue::Texts(texts) => {
            out.push(TEXTS);
            put_list(out, texts, |out, text| put_text(out, text));
        }
    }
}

fn attribute(reader: &mut Reader<'_>) -> Result<Attribute, StoreError> {
    let name = reader.text()?;
    let value = match reader.bytes(1)?[0] {
        TEXT => AttributeValue::Text(reader.text()?),
        NUMBER => AttributeValue::Number(f64::from_bits(reader.u64()?)),
        TEXTS => AttributeValue::Texts(reader.list(Reader::text)?),
        _ => return Err(StoreError::Corrupt(format!("the attribute {name:?} has no known value"))),
    };
    Ok(Attribute { name, value })
}

pub(super) fn decode_movie(movie_id: u32, bytes: &[u8]) -> Result<MovieRecord, StoreError> {
    let mut reader = Reader(bytes);
    Ok(MovieRecord {
        movie_id,
        title: reader.text()?,
        genres: reader.list(Reader::text)?,
        imdb: Some(reader.u32()?).filter(|id| *id != 0),
        tmdb: Some(reader.u32()?).filter(|id| *id != 0),
        tags: reader.list(|reader| Ok((reader.text()?, reader.u32()?)))?,
        key: if reader.0.is_empty() { None } else { Some(reader.text()?).filter(|key| !key.is_empty()) },
        attributes: if reader.0.is_empty() { Vec::new() } else { reader.list(attribute)? },
    })
}

pub(super) fn encode_stats(stats: &MovieStats) -> Vec<u8> {
    let numbers = || std::iter::once(stats.popularity).chain(stats.ratings.iter().map(|(_, count)| count));
    let mut out = Vec::with_capacity(size_of::<u64>() * numbers().count() + Trend::BYTES);
    for number in numbers() {
        out.extend(number.to_le_bytes());
    }
    out.extend(stats.trend.to_bytes());
    out
}

pub(super) fn decode_stats(movie_id: u32, bytes: &[u8]) -> Result<MovieStats, StoreError> {
    let mut reader = Reader(bytes);
    let popularity = reader.u64()?;
    let mut counts = [0; Rating::ALL.len()];
    for count in &mut counts {
        *count = reader.u64()?;
    }
    Ok(MovieStats {
        movie_id,
        popularity,
        ratings: RatingCounts::new(counts),
        trend: Trend::from_bytes(reader.array()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movie_with_everything_comes_back() {
        let movie = MovieRecord {
            movie_id: 7,
            title: "Amélie (2001)".to_owned(),
            genres: vec!["Comedy".to_owned(), "Romance".to_owned()],
            imdb: Some(211_915),
            tmdb: None,
            tags: vec![("paris".to_owned(), 12), ("été".to_owned(), 1)],
            key: Some("le-fabuleux-destin".to_owned()),
            attributes: vec![
                Attribute {
                    name: "cast".to_owned(),
                    value: AttributeValue::Texts(vec!["Tautou".to_owned(), "Kassovitz".to_owned()]),
                },
                Attribute { name: "director".to_owned(), value: AttributeValue::Text("Jeunet".to_owned()) },
                Attribute { name: "minutes".to_owned(), value: AttributeValue::Number(122.5) },
            ],
        };
        assert_eq!(decode_movie(7, &encode_movie(&movie)).expect("it was encoded"), movie);
        let without_key = MovieRecord { key: None, ..movie };
        assert_eq!(decode_movie(7, &encode_movie(&without_key)).expect("it was encoded"), without_key);
    }

    #[test]
    fn a_record_that_ends_early_is_an_error() {
        let bytes = encode_movie(&MovieRecord { title: "Heat (1995)".to_owned(), ..MovieRecord::default() });
        for len in 0..bytes.len() {
            assert!(matches!(decode_movie(1, &bytes[..len]), Err(StoreError::Corrupt(_))));
        }
    }
}
