//! Which column is what, as a person writes it in TOML.
//!
//! ```toml
//! user = "listener"
//! item = "podcast"
//! time = "listened_at"
//! time_unit = "ms"
//! value = "stars"
//! title = "name"
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use marquee_core::attributes::MAX_NAME_BYTES;
use marquee_core::domain::Kind;
use serde::Deserialize;

use crate::import::TimeUnit;

/// Why a text is no map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// It is not TOML, or names something that maps do not have.
    #[error("the map cannot be read at line {line}: {message}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// Why, in one line.
        message: String,
    },
    /// Events lack a column.
    #[error("the map names a {named} and no {missing}; events need a user, an item and a time")]
    Missing {
        /// A column that is there.
        named: &'static str,
        /// One that is not.
        missing: &'static str,
    },
    /// Neither events nor items.
    #[error("the map names no columns; give user, item and time, or items")]
    Nothing,
    /// A word that is none of those that a setting may be.
    #[error("{field} is {found:?}; it may be {known}")]
    Word {
        /// The setting.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        known: &'static str,
    },
    /// Attributes that are none, or cannot be told apart.
    #[error(
        "[attributes] has {0:?}, which must be the name of one column alone, of 1 to 64 bytes, and a list or a number"
    )]
    Attribute(String),
    /// Words for kinds and no column that has them.
    #[error("[kinds] says what words mean; name their column as kind_column")]
    Kinds,
}

/// What the texts of a column of users or items are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdKind {
    /// Keys of one's own.
    #[default]
    Key,
    /// Numbers from 1.
    Number,
}

/// Which column is what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMap {
    /// Who did something.
    pub user: Option<String>,
    /// What it was done with.
    pub item: Option<String>,
    /// When.
    pub time: Option<String>,
    /// The unit of times that are numbers: s, ms or us; seconds when absent. Times as text are read as such.
    time_unit: Option<String>,
    /// The rating.
    pub value: Option<String>,
    /// The rating that is 5 stars; `MovieLens`' half stars when absent.
    pub value_scale: Option<NonZeroU32>,
    /// What kind all events are of that have no rating; views when absent.
    kind: Option<String>,
    /// The column that says the kind.
    pub kind_column: Option<String>,
    /// What kind each of its words is; those that are not here are refused.
    #[serde(default)]
    kinds: BTreeMap<String, String>,
    /// What users are called by.
    #[serde(default)]
    pub user_ids: IdKind,
    /// What items are called by.
    #[serde(default)]
    pub item_ids: IdKind,
    /// Names of the files with events below a folder, such as `plays-*.csv`; all when absent.
    pub files: Option<String>,
    /// What items are called; by their keys when absent.
    pub title: Option<String>,
    /// Their year, which is put behind the title in brackets.
    pub year: Option<String>,
    /// Their genres in one text.
    pub genres: Option<String>,
    /// What stands between genres; `|` when absent.
    pub genre_separator: Option<String>,
    /// Which columns are attributes of items.
    #[serde(default)]
    pub attributes: BTreeMap<String, AttributeColumn>,
    /// Files of items of their own.
    pub items: Option<ItemsMap>,
}

/// Files that list items.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemsMap {
    /// Their names in the folder that is given, or beside the file that is given.
    pub files: String,
    /// Which item.
    pub item: String,
    /// As those of events.
    pub title: Option<String>,
    /// As that of events.
    pub year: Option<String>,
    /// As those of events.
    pub genres: Option<String>,
    /// As that of events.
    pub genre_separator: Option<String>,
    /// As those of events.
    #[serde(default)]
    pub attributes: BTreeMap<String, AttributeColumn>,
}

/// What a column is of an item: the name of an attribute that is a text, or more about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum AttributeColumn {
    /// A text of this name.
    Text(String),
    /// Something else.
    Other(AttributeKind),
}

/// What an attribute is that is no text alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeKind {
    /// Its name.
    pub name: String,
    /// What stands between the texts of a list.
    pub separator: Option<String>,
    /// Whether it is a number.
    #[serde(default)]
    pub number: bool,
}

impl AttributeColumn {
    /// The name of the attribute.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Text(name) | Self::Other(AttributeKind { name, .. }) => name,
        }
    }

    /// What stands between the texts of a list, if it is one.
    pub(super) fn separator(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Other(kind) => kind.separator.as_deref(),
        }
    }

    /// Whether it is a number.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Other(AttributeKind { number: true, .. }))
    }
}

/// The columns that say something of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemColumns<'a> {
    pub(super) title: Option<&'a str>,
    pub(super) year: Option<&'a str>,
    pub(super) genres: Option<&'a str>,
    pub(super) genre_separator: &'a str,
    pub(super) attributes: &'a BTreeMap<String, AttributeColumn>,
}

/// What stands between genres where nothing is said.
const GENRE_SEPARATOR: &str = "|";

impl ItemsMap {
    pub(super) fn columns(&self) -> ItemColumns<'_> {
        ItemColumns {
            title: self.title.as_deref(),
            year: self.year.as_deref(),
            genres: self.genres.as_deref(),
            genre_separator: self.genre_separator.as_deref().unwrap_or(GENRE_SEPARATOR),
            attributes: &self.attributes,
        }
    }
}

/// The names of kinds.
const KNOWN_KINDS: &str = "rating, view, like, dislike, watchlist or hide";

impl ColumnMap {
    /// Reads a map.
    ///
    /// # Errors
    /// [`MapError`] that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, MapError> {
        let map: Self = toml::from_str(text).map_err(|error| unreadable(text, &error))?;
        map.check()?;
        Ok(map)
    }

    /// What a text says, before it is known whether it is a whole map.
    ///
    /// # Errors
    /// [`MapError::Toml`].
    pub(super) fn table(text: &str) -> Result<toml::Table, MapError> {
        toml::from_str(text).map_err(|error| unreadable(text, &error))
    }

    fn check(&self) -> Result<(), MapError> {
        let columns = [("user", &self.user), ("item", &self.item), ("time", &self.time)];
        let named = columns.iter().find(|(_, column)| column.is_some());
        let missing = columns.iter().find(|(_, column)| column.is_none());
        match (named, missing) {
            (Some((named, _)), Some((missing, _))) => return Err(MapError::Missing { named, missing }),
            (None, _) if self.items.is_none() => return Err(MapError::Nothing),
            _ => {}
        }
        if !self.kinds.is_empty() && self.kind_column.is_none() {
            return Err(MapError::Kinds);
        }
        check_attributes(&self.attributes)?;
        self.items.as_ref().map_or(Ok(()), |items| check_attributes(&items.attributes))?;
        self.unit()?;
        self.kind()?;
        self.kinds().map(drop)
    }

    /// The columns of events that say something of their items.
    pub(super) fn item_columns(&self) -> ItemColumns<'_> {
        ItemColumns {
            title: self.title.as_deref(),
            year: self.year.as_deref(),
            genres: self.genres.as_deref(),
            genre_separator: self.genre_separator.as_deref().unwrap_or(GENRE_SEPARATOR),
            attributes: &self.attributes,
        }
    }

    /// Whether it maps events.
    pub fn has_events(&self) -> bool {
        self.user.is_some()
    }

    /// The unit of times that are numbers.
    ///
    /// # Errors
    /// [`MapError::Word`].
    pub fn unit(&self) -> Result<TimeUnit, MapError> {
        let Some(word) = self.time_unit.as_deref() else { return Ok(TimeUnit::default()) };
        let unit = TimeUnit::ALL.into_iter().find(|unit| word == unit.symbol() || word == unit.name());
        unit.ok_or_else(|| MapError::Word {
            field: "time_unit",
            found: word.to_owned(),
            known: "s, ms or us; times as text need none",
        })
    }

    /// What kind events without a rating are of.
    ///
    /// # Errors
    /// [`MapError::Word`].
    pub fn kind(&self) -> Result<Kind, MapError> {
        self.kind.as_deref().map_or(Ok(Kind::View), |word| kind_of("kind", word))
    }

    /// What kind each word of the kinds' column is.
    ///
    /// # Errors
    /// [`MapError::Word`].
    pub fn kinds(&self) -> Result<BTreeMap<String, Kind>, MapError> {
        if self.kinds.is_empty() {
            return Ok(Kind::ALL.into_iter().map(|kind| (kind.name().to_owned(), kind)).collect());
        }
        self.kinds.iter().map(|(word, kind)| Ok((word.clone(), kind_of("kinds", kind)?))).collect()
    }
}

/// Why a text is no map, without the picture of the place that TOML's own words have: it takes several lines.
fn unreadable(text: &str, error: &toml::de::Error) -> MapError {
    let place = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..place].split(|byte| *byte == b'\n').count();
    MapError::Toml { line, message: error.message().replace('\n', ", ") }
}

fn check_attributes(attributes: &BTreeMap<String, AttributeColumn>) -> Result<(), MapError> {
    let mut names = BTreeSet::new();
    for column in attributes.values() {
        let (name, is_list) = (column.name(), column.separator().is_some());
        let is_good = (1..=MAX_NAME_BYTES).contains(&name.len())
            && names.insert(name)
            && !(is_list && column.is_number())
            && column.separator() != Some("");
        if !is_good {
            return Err(MapError::Attribute(name.to_owned()));
        }
    }
    Ok(())
}

fn kind_of(field: &'static str, word: &str) -> Result<Kind, MapError> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(word));
    let unknown = || MapError::Word { field, found: word.to_owned(), known: KNOWN_KINDS };
    found.ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_names_columns() {
        let map = ColumnMap::parse(
            "user = \"listener\"\nitem = \"show\"\ntime = \"at\"\ntime_unit = \"ms\"\nvalue = \"stars\"\ntitle = \"name\"",
        );
        let map = map.unwrap();
        assert_eq!(map.unit(), Ok(TimeUnit::Milliseconds));
        assert_eq!(map.title.as_deref(), Some("name"));
        assert_eq!((map.user_ids, map.kind()), (IdKind::Key, Ok(Kind::View)));
    }

    #[test]
    fn words_may_stand_for_kinds() {
        let text = "user = \"u\"\nitem = \"i\"\ntime = \"t\"\nkind_column = \"what\"\n[kinds]\nplay = \"view\"\nskip = \"dislike\"";
        let kinds = ColumnMap::parse(text).unwrap().kinds().unwrap();
        assert_eq!((kinds["play"], kinds["skip"]), (Kind::View, Kind::Dislike));
    }

    #[test]
    fn what_is_wrong_with_a_map_is_said_in_one_line() {
        let error = ColumnMap::parse("user = \"u\"\nlistener = \"l\"\n").unwrap_err().to_string();
        assert!(error.starts_with("the map cannot be read at line 2: unknown field `listener`"), "{error}");
        let error = ColumnMap::parse("user = \"u\"\n\nitem = u\n").unwrap_err().to_string();
        assert!(error.starts_with("the map cannot be read at line 3: ") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn what_is_no_map_says_why() {
        for (text, words) in [
            ("user =", "cannot be read"),
            ("listener = \"user\"", "unknown field `listener`"),
            ("user = \"u\"\nitem = \"i\"", "no time"),
            ("", "names no columns"),
            ("user = \"u\"\nitem = \"i\"\ntime = \"t\"\ntime_unit = \"days\"", "time_unit is \"days\""),
            ("[items]\nfiles = \"a\"\nitem = \"i\"\n[items.attributes]\na = \"x\"\nb = \"x\"", "\"x\""),
            (
                "user = \"u\"\nitem = \"i\"\ntime = \"t\"\n[attributes]\na = {name = \"x\", separator = \"\"}",
                "\"x\"",
            ),
            ("user = \"u\"\nitem = \"i\"\ntime = \"t\"\nkind = \"played\"", "kind is \"played\""),
            ("user = \"u\"\nitem = \"i\"\ntime = \"t\"\n[kinds]\nplay = \"view\"", "kind_column"),
        ] {
            let error = ColumnMap::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
