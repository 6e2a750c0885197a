//! What a row says: an event, and something of its item.

use std::collections::BTreeMap;

use marquee_core::attributes::{Attribute, AttributeValue, attributes};
use marquee_core::domain::{Kind, MovieRecord, Rating, TimeMs, UserId, showable};

use super::column_map::{AttributeColumn, ColumnMap, IdKind, ItemColumns, ItemsMap, MapError};
use crate::import::{RowError, Units};
use crate::keys::{is_given, is_keyed_movie, user_of_key};

/// The most bytes of a key.
const MAX_KEY_BYTES: usize = 256;

/// An event as a file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedEvent {
    /// Who: a key or a number.
    pub user: String,
    /// With what: a key or a number.
    pub item: String,
    /// When.
    pub time_ms: TimeMs,
    /// What happened.
    pub kind: Kind,
    /// The stars of a rating.
    pub rating: Option<Rating>,
}

/// What is said of an item; nothing of what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) title: Option<String>,
    pub(super) genres: Vec<String>,
    pub(super) attributes: Vec<Attribute>,
}

/// Columns that are read, each once, and where each stands.
#[derive(Default)]
struct Columns<'a>(Vec<&'a str>);

impl<'a> Columns<'a> {
    fn add(&mut self, column: &'a str) -> usize {
        self.0.iter().position(|other| *other == column).unwrap_or_else(|| {
            self.0.push(column);
            self.0.len() - 1
        })
    }

    fn add_some(&mut self, column: Option<&'a str>) -> Option<usize> {
        column.map(|column| self.add(column))
    }
}

/// Where the facts of an item stand.
struct FactPlaces<'a> {
    title: Option<usize>,
    year: Option<usize>,
    genres: Option<usize>,
    separator: &'a str,
    attributes: Vec<(usize, &'a AttributeColumn)>,
}

impl<'a> FactPlaces<'a> {
    fn of(named: ItemColumns<'a>, columns: &mut Columns<'a>) -> Self {
        Self {
            title: columns.add_some(named.title),
            year: columns.add_some(named.year),
            genres: columns.add_some(named.genres),
            separator: named.genre_separator,
            attributes: named.attributes.iter().map(|(column, of)| (columns.add(column), of)).collect(),
        }
    }

    fn read(&self, texts: &[String]) -> Result<Facts, RowError> {
        let text =
            |place: Option<usize>| place.map(|place| texts[place].as_str()).filter(|it| !it.is_empty());
        let title = text(self.title).map(|title| match text(self.year).and_then(year) {
            Some(year) if !title.ends_with(&format!("({year})")) => format!("{title} ({year})"),
            _ => title.to_owned(),
        });
        let genres = text(self.genres).into_iter().flat_map(|text| text.split(self.separator));
        let genres: Vec<_> =
            genres.map(str::trim).filter(|genre| !genre.is_empty()).map(str::to_owned).collect();
        if let Some(title) = &title {
            bounded("title", title, MAX_TITLE)?;
            MovieRecord::named(1, title, genres.iter().map(String::as_str)).map_err(RowError::Name)?;
        }
        genres.iter().try_for_each(|genre| bounded("genre", genre, MAX_GENRE))?;
        if genres.len() > MAX_GENRES {
            return Err(RowError::TooManyGenres(genres.len()));
        }
        let said = self.attributes.iter().filter(|(place, _)| !texts[*place].is_empty());
        let said = said.map(|(place, column)| attribute(column, &texts[*place]));
        let attributes = attributes(said.collect::<Result<Vec<_>, _>>()?).map_err(RowError::Attribute)?;
        Ok(Facts { title, genres, attributes })
    }
}

/// A year as it is shown: programs that lack some years write the others as 1995.0, and those that they lack as NaN.
fn year(text: &str) -> Option<&str> {
    let text = text.strip_suffix(".0").unwrap_or(text);
    (!text.eq_ignore_ascii_case("nan")).then_some(text)
}

/// What a text says of an attribute.
fn attribute(column: &AttributeColumn, text: &str) -> Result<Attribute, RowError> {
    let name = column.name().to_owned();
    let value = if column.is_number() {
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        AttributeValue::Number(
            number.ok_or_else(|| RowError::AttributeNumber { name: name.clone(), text: text.to_owned() })?,
        )
    } else if let Some(separator) = column.separator() {
        AttributeValue::Texts(text.split(separator).map(str::to_owned).collect())
    } else {
        AttributeValue::Text(text.to_owned())
    };
    Ok(Attribute { name, value })
}

/// Reads rows of events.
pub(super) struct EventRows<'a> {
    columns: Columns<'a>,
    user: usize,
    item: usize,
    time: usize,
    value: Option<usize>,
    kind: Option<usize>,
    facts: FactPlaces<'a>,
    kinds: BTreeMap<String, Kind>,
    unrated: Kind,
    user_ids: IdKind,
    item_ids: IdKind,
    units: Units,
}

impl<'a> EventRows<'a> {
    /// Those of a map, their times believed as those of `units`; `None` where it maps none.
    ///
    /// # Errors
    /// [`MapError`] when a word of the map says nothing.
    pub(super) fn of(map: &'a ColumnMap, units: Units) -> Result<Option<Self>, MapError> {
        let (Some(user), Some(item), Some(time)) = (&map.user, &map.item, &map.time) else { return Ok(None) };
        let mut columns = Columns::default();
        Ok(Some(Self {
            user: columns.add(user),
            item: columns.add(item),
            time: columns.add(time),
            value: columns.add_some(map.value.as_deref()),
            kind: columns.add_some(map.kind_column.as_deref()),
            facts: FactPlaces::of(map.item_columns(), &mut columns),
            kinds: map.kinds()?,
            unrated: map.kind()?,
            user_ids: map.user_ids,
            item_ids: map.item_ids,
            units: Units { time_unit: map.unit()?, highest_rating: map.value_scale, ..units },
            columns,
        }))
    }

    /// The columns that rows are read with.
    pub(super) fn columns(&self) -> &[&'a str] {
        &self.columns.0
    }

    /// What a row says.
    ///
    /// # Errors
    /// [`RowError`] that says what is wrong with it.
    pub(super) fn read(&self, texts: &[String]) -> Result<(MappedEvent, Facts), RowError> {
        let user = user("user", &texts[self.user], self.user_ids)?;
        let item = item("item", &texts[self.item], self.item_ids)?;
        let time_ms = self.units.time(&texts[self.time])?;
        let value = self.value.map(|place| texts[place].as_str()).filter(|text| !text.is_empty());
        let kind = match self.kind {
            Some(place) => {
                let word = &texts[place];
                *self.kinds.get(word).ok_or_else(|| RowError::Kind(word.clone()))?
            }
            None if value.is_some() => Kind::Rating,
            None => self.unrated,
        };
        let rating = match kind {
            Kind::Rating => Some(self.units.rating(value.unwrap_or_default())?),
            _ => None,
        };
        Ok((MappedEvent { user, item, time_ms, kind, rating }, self.facts.read(texts)?))
    }

    /// The number of a user whom a row names.
    ///
    /// # Errors
    /// [`RowError::Number`] for what is none.
    pub(super) fn user_id(&self, user: &str) -> Result<UserId, RowError> {
        match self.user_ids {
            IdKind::Key => Ok(user_of_key(user)),
            IdKind::Number => number("user", user),
        }
    }
}

/// The most characters of a title and of a genre, and the most genres of an item, as over the API.
const MAX_TITLE: usize = 1_000;
const MAX_GENRE: usize = 100;
const MAX_GENRES: usize = 50;

fn bounded(what: &'static str, text: &str, most: usize) -> Result<(), RowError> {
    if text.chars().nth(most).is_none() { Ok(()) } else { Err(RowError::TooLongText { what, most }) }
}

/// Reads rows of items.
pub(super) struct ItemRows<'a> {
    columns: Columns<'a>,
    item: usize,
    facts: FactPlaces<'a>,
    ids: IdKind,
}

impl<'a> ItemRows<'a> {
    /// Those of a map's items, called by `ids`.
    pub(super) fn of(map: &'a ItemsMap, ids: IdKind) -> Self {
        let mut columns = Columns::default();
        let item = columns.add(&map.item);
        let facts = FactPlaces::of(map.columns(), &mut columns);
        Self { columns, item, facts, ids }
    }

    /// The columns that rows are read with.
    pub(super) fn columns(&self) -> &[&'a str] {
        &self.columns.0
    }

    /// Which item, and what is said of it.
    ///
    /// # Errors
    /// [`RowError`] that says what is wrong with it.
    pub(super) fn read(&self, texts: &[String]) -> Result<(String, Facts), RowError> {
        Ok((item("item", &texts[self.item], self.ids)?, self.facts.read(texts)?))
    }
}

/// A user's key or number as it stands there.
fn user(column: &'static str, text: &str, ids: IdKind) -> Result<String, RowError> {
    match ids {
        IdKind::Key => key(column, text),
        IdKind::Number => {
            let user_id = number(column, text)?;
            if is_given(user_id) {
                Err(RowError::Given { column, number: user_id })
            } else {
                Ok(user_id.to_string())
            }
        }
    }
}

/// An item's key or number as it stands there.
fn item(column: &'static str, text: &str, ids: IdKind) -> Result<String, RowError> {
    match ids {
        IdKind::Key => key(column, text),
        IdKind::Number => {
            let movie_id = number(column, text)?;
            if is_keyed_movie(movie_id) {
                return Err(RowError::Given { column, number: movie_id.into() });
            }
            Ok(movie_id.to_string())
        }
    }
}

fn key(column: &'static str, text: &str) -> Result<String, RowError> {
    if !(1..=MAX_KEY_BYTES).contains(&text.len()) {
        return Err(RowError::Key { column, bytes: text.len() });
    }
    showable(text).map_err(|error| RowError::Shown { column, error })?;
    Ok(text.to_owned())
}

/// A number from 1.
pub(super) fn number<T: std::str::FromStr + PartialOrd + From<u8>>(
    column: &'static str,
    text: &str,
) -> Result<T, RowError> {
    let number = text.parse().ok().filter(|number| *number >= T::from(1));
    number.ok_or_else(|| RowError::Number { column, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use marquee_core::clock::EventTimes;

    use super::*;

    fn read(map: &str, texts: &[&str]) -> Result<(MappedEvent, Facts), RowError> {
        let map = ColumnMap::parse(&format!("user = \"u\"\nitem = \"i\"\ntime = \"t\"\n{map}")).unwrap();
        let units = Units::of_movielens(EventTimes::at(1_700_000_000_000, Duration::ZERO));
        let rows = EventRows::of(&map, units).unwrap().unwrap();
        let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
        rows.read(&texts)
    }

    #[test]
    fn an_event_with_a_value_is_a_rating_and_one_without_a_view() {
        let map = "value = \"v\"\nvalue_scale = 10";
        let (event, _) = read(map, &["anna", "s1", "964982703", "8"]).unwrap();
        assert_eq!((event.kind, event.rating.map(Rating::stars)), (Kind::Rating, Some(4.0)));
        assert_eq!(
            (event.user.as_str(), event.item.as_str(), event.time_ms),
            ("anna", "s1", 964_982_703_000)
        );
        let (event, _) = read(map, &["anna", "s1", "2000-07-30T18:45:03Z", ""]).unwrap();
        assert_eq!((event.kind, event.rating), (Kind::View, None));
    }

    #[test]
    fn words_say_the_kind_and_others_are_refused() {
        let map = "kind_column = \"k\"\n[kinds]\nplay = \"view\"\nskip = \"dislike\"";
        assert_eq!(read(map, &["a", "b", "1000000000", "skip"]).unwrap().0.kind, Kind::Dislike);
        assert_eq!(read(map, &["a", "b", "1000000000", "stop"]), Err(RowError::Kind("stop".to_owned())));
    }

    #[test]
    fn a_title_takes_its_year_and_genres_are_separated() {
        let map = "title = \"n\"\nyear = \"y\"\ngenres = \"g\"\ngenre_separator = \",\"";
        let facts = |name, year, genres| read(map, &["a", "b", "1000000000", name, year, genres]).unwrap().1;
        let known = facts("Serial", "2014", "True Crime, News,");
        assert_eq!(known.title.as_deref(), Some("Serial (2014)"));
        assert_eq!(known.genres, ["True Crime", "News"]);
        assert_eq!(facts("Serial (2014)", "2014", "").title.as_deref(), Some("Serial (2014)"));
        assert_eq!(facts("Serial", "2014.0", "").title.as_deref(), Some("Serial (2014)"));
        assert_eq!(facts("Serial", "NaN", "").title.as_deref(), Some("Serial"));
        assert_eq!(facts("", "2014", ""), Facts::default());
    }

    #[test]
    fn columns_are_attributes_as_texts_lists_and_numbers() {
        let map = "[attributes]\ndir = \"director\"\nactors = {name = \"cast\", separator = \",\"}\nmin = {name = \"minutes\", number = true}";
        let said = |actors, dir, min| read(map, &["a", "b", "1000000000", actors, dir, min]);
        let facts = said("Nakadai, Terao,", "Kurosawa", "162").unwrap().1;
        let attribute = |name: &str, value| Attribute { name: name.to_owned(), value };
        let expected = [
            attribute("cast", AttributeValue::Texts(vec!["Nakadai".to_owned(), "Terao".to_owned()])),
            attribute("director", AttributeValue::Text("Kurosawa".to_owned())),
            attribute("minutes", AttributeValue::Number(162.0)),
        ];
        assert_eq!(facts.attributes, expected);
        assert_eq!(said("", "", "").unwrap().1, Facts::default());
        let (name, text) = ("minutes".to_owned(), "two hours".to_owned());
        assert_eq!(said("", "", "two hours"), Err(RowError::AttributeNumber { name, text }));
        assert!(matches!(said("", &"x".repeat(1_001), ""), Err(RowError::Attribute(_))));
    }

    #[test]
    fn an_id_that_is_none_is_refused() {
        assert_eq!(read("", &["", "b", "1"]), Err(RowError::Key { column: "user", bytes: 0 }));
        let numbers = "user_ids = \"number\"";
        assert!(matches!(read(numbers, &["anna", "b", "1"]), Err(RowError::Number { column: "user", .. })));
        assert!(matches!(read(numbers, &["0", "b", "1"]), Err(RowError::Number { column: "user", .. })));
        let given = (1_u64 << 61).to_string();
        assert!(matches!(read(numbers, &[&given, "b", "1"]), Err(RowError::Given { column: "user", .. })));
        let items = "item_ids = \"number\"";
        assert!(matches!(
            read(items, &["a", "1073741824", "1"]),
            Err(RowError::Given { column: "item", .. })
        ));
        assert!(matches!(
            read(items, &["a", "4294967296", "1"]),
            Err(RowError::Number { column: "item", .. })
        ));
    }

    #[test]
    fn what_is_longer_than_the_api_takes_is_refused() {
        let map = "title = \"n\"\ngenres = \"g\"";
        let with = |title: &str, genres: &str| read(map, &["a", "b", "1000000000", title, genres]).map(drop);
        assert_eq!(with(&"x".repeat(1_000), "Talk"), Ok(()));
        assert_eq!(
            with(&"x".repeat(1_001), "Talk"),
            Err(RowError::TooLongText { what: "title", most: 1_000 })
        );
        assert_eq!(with("A", &"x".repeat(101)), Err(RowError::TooLongText { what: "genre", most: 100 }));
        assert_eq!(with("A", &"g|".repeat(51)), Err(RowError::TooManyGenres(51)));
        assert!(matches!(with("A\nB", ""), Err(RowError::Name(_))));
    }
}
