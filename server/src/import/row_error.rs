//! What may be wrong with a row.

use marquee_core::attributes::AttributeError;
use marquee_core::clock::TimeError;
use marquee_core::domain::{NameError, NotShowable};

use super::time_unit::TimeUnit;

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Not a line of a release at all.
    #[error("the line is longer than 64 KiB")]
    TooLong,
    /// A quoted field does not end on its line.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A quote that neither begins nor ends a field.
    #[error("a quote stands inside a field; quote fields as a whole, and write a quote within as two")]
    StrayQuote,
    /// Too few fields.
    #[error("the row has {found} fields, it needs {needed}")]
    Fields {
        /// In the row.
        found: usize,
        /// In every row of this file.
        needed: usize,
    },
    /// Too many fields.
    #[error("the row has {found} fields, its file has {expected}; quote a field with a separator in it")]
    TooManyFields {
        /// In the row.
        found: usize,
        /// In every row of this file.
        expected: usize,
    },
    /// Not a number where one belongs.
    #[error("{column} is {text:?}, not a number from 1")]
    Number {
        /// The column.
        column: &'static str,
        /// What stands there.
        text: String,
    },
    /// Not a rating.
    #[error("rating is {0:?}, not 0.5 to 5 in half stars")]
    Rating(String),
    /// A rating that is one on another scale.
    #[error(
        "rating is {text:?}; where ratings go up to {scale}, import with --rating-scale {scale}, or value_scale in the map"
    )]
    OtherScale {
        /// What stands there.
        text: String,
        /// The highest rating of the scale.
        scale: u32,
    },
    /// Not a rating of the scale that was given.
    #[error("rating is {text:?}, not above 0 and up to {highest}")]
    OffScale {
        /// What stands there.
        text: String,
        /// The highest rating.
        highest: u32,
    },
    /// Not a time.
    #[error("timestamp is {text:?}, not {unit} since 1970 nor written as 2005-04-02 23:53:47")]
    Time {
        /// What stands there.
        text: String,
        /// The unit of a number.
        unit: &'static str,
    },
    /// A time that makes sense in another unit only.
    #[error(
        "timestamp is {text:?}, which looks like {}; import with --time-unit {}, or time_unit in the map", unit.name(), unit.symbol()
    )]
    OtherUnit {
        /// What stands there.
        text: String,
        /// The unit.
        unit: TimeUnit,
    },
    /// A time that no event may have.
    #[error("timestamp {text:?} {error}")]
    OutsideTime {
        /// What stands there.
        text: String,
        /// Why.
        error: TimeError,
    },
    /// Not an id where one may stand.
    #[error("{column} is {text:?}, not an id")]
    Id {
        /// The column.
        column: &'static str,
        /// What stands there.
        text: String,
    },
    /// Bytes that are no text.
    #[error("the row is not UTF-8")]
    Encoding,
    /// A line that is no object of JSON.
    #[error("the line is not JSON: {0}")]
    Json(String),
    /// A key that is none.
    #[error("{column} has {bytes} bytes; a key has 1 to 256")]
    Key {
        /// The column.
        column: &'static str,
        /// How many it has.
        bytes: usize,
    },
    /// A key that cannot be shown.
    #[error("{column} {error}")]
    Shown {
        /// The column.
        column: &'static str,
        /// Why.
        error: NotShowable,
    },
    /// A number that the server gives to keys or to people.
    #[error(
        "{column} is {number}, a number that the server makes of a key or gives to a person; import by the key, with a map"
    )]
    Given {
        /// The column.
        column: &'static str,
        /// The number.
        number: u64,
    },
    /// A text that is longer than the API takes.
    #[error("a {what} has more than {most} characters")]
    TooLongText {
        /// What.
        what: &'static str,
        /// The most characters.
        most: usize,
    },
    /// More genres than the API takes.
    #[error("{0} genres; an item has 50 at most")]
    TooManyGenres(usize),
    /// A word that says no kind of event.
    #[error("the kind is {0:?}, which is not in the map; add it to [kinds]")]
    Kind(String),
    /// An item that the files of items do not have.
    #[error("item {0:?} is not among the items")]
    UnknownItem(String),
    /// What is no attribute.
    #[error("the attribute {0}")]
    Attribute(AttributeError),
    /// An attribute that is no number where the map says that it is one.
    #[error("the attribute {name:?} is {text:?}, not a number")]
    AttributeNumber {
        /// The attribute.
        name: String,
        /// What stands there.
        text: String,
    },
    /// A movie that cannot be called so.
    #[error("{0}")]
    Name(NameError),
    /// A tag that cannot be shown.
    #[error("the tag {0}")]
    Tag(NotShowable),
    /// A rating of a movie that neither the release nor the store has.
    #[error("movie {0} is not among the movies")]
    UnknownMovie(u32),
}
