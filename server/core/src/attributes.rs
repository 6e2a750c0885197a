//! What the owner of a catalogue says of a movie beside what all movies have: its director, its cast, its running time.

use std::collections::HashSet;

use crate::text::{NotShowable, showable};

/// The most attributes of a movie.
pub const MAX_ATTRIBUTES: usize = 32;
/// The most bytes of a name.
pub const MAX_NAME_BYTES: usize = 64;
/// The most characters of a text.
const MAX_TEXT: usize = 1_000;
/// The most texts of a list, and the most characters of each.
const MAX_TEXTS: usize = 100;
const MAX_LISTED: usize = 200;

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, which is read with regard to case.
    pub name: String,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// A number, which is finite.
    Number(f64),
    /// Several texts.
    Texts(Vec<String>),
}

/// A number that is finite equals itself.
impl Eq for AttributeValue {}

/// Why attributes are not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// There are too many.
    #[error("{0} attributes; a movie has {MAX_ATTRIBUTES} at most")]
    TooMany(usize),
    /// A name is none.
    #[error("the name {0:?} has not 1 to {MAX_NAME_BYTES} bytes")]
    Name(String),
    /// A name stands there twice.
    #[error("{0:?} stands there twice; give several texts as a list")]
    Twice(String),
    /// A number is none.
    #[error("{0:?} is no finite number")]
    NotFinite(String),
    /// Nothing is said.
    #[error("{0:?} is empty; leave it out")]
    Empty(String),
    /// A text is too long.
    #[error("{name:?} has a text of more than {most} characters")]
    TooLong {
        /// The attribute.
        name: String,
        /// The most characters.
        most: usize,
    },
    /// A list is too long.
    #[error("{name:?} has {found} texts; {MAX_TEXTS} are the most")]
    TooManyTexts {
        /// The attribute.
        name: String,
        /// How many there are.
        found: usize,
    },
    /// A name or a text cannot be shown.
    #[error("{name:?} {error}")]
    Shown {
        /// The attribute.
        name: String,
        /// Why.
        error: NotShowable,
    },
}

impl AttributeValue {
    /// Its texts; none of a number.
    pub fn texts(&self) -> &[String] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Number(_) => &[],
            Self::Texts(texts) => texts,
        }
    }

    /// Its number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Texts(_) => None,
        }
    }

    /// The memory of what it points to, in bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => 0,
            Self::Texts(texts) => texts.iter().map(|text| size_of::<String>() + text.len()).sum(),
        }
    }
}

impl Attribute {
    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.value.bytes()
    }

    /// The attribute with its texts trimmed, and of several each once without regard to case.
    fn read(self) -> Result<Self, AttributeError> {
        let name = self.name.trim().to_owned();
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) {
            return Err(AttributeError::Name(name));
        }
        let shown =
            |text: &str| showable(text).map_err(|error| AttributeError::Shown { name: name.clone(), error });
        shown(&name)?;
        let text = |text: &str, most: usize| {
            let text = text.trim();
            shown(text)?;
            if text.chars().nth(most).is_some() {
                return Err(AttributeError::TooLong { name: name.clone(), most });
            }
            Ok(text.to_owned())
        };
        let value = match &self.value {
            AttributeValue::Number(number) if !number.is_finite() => {
                return Err(AttributeError::NotFinite(name));
            }
            AttributeValue::Number(number) => AttributeValue::Number(*number),
            AttributeValue::Text(said) => AttributeValue::Text(text(said, MAX_TEXT)?),
            AttributeValue::Texts(said) => {
                let texts = said.iter().map(|said| text(said, MAX_LISTED)).collect::<Result<Vec<_>, _>>()?;
                let mut seen = HashSet::new();
                let is_new = |text: &String| !text.is_empty() && seen.insert(text.to_lowercase());
                AttributeValue::Texts(texts.into_iter().filter(is_new).collect())
            }
        };
        let texts = value.texts();
        if texts.len() > MAX_TEXTS {
            return Err(AttributeError::TooManyTexts { found: texts.len(), name });
        }
        if value.number().is_none() && texts.iter().all(String::is_empty) {
            return Err(AttributeError::Empty(name));
        }
        Ok(Self { name, value })
    }
}

/// These attributes as they are kept, by name.
///
/// # Errors
/// [`AttributeError`] that says why they are not.
pub fn attributes(said: impl IntoIterator<Item = Attribute>) -> Result<Vec<Attribute>, AttributeError> {
    let mut read = said.into_iter().map(Attribute::read).collect::<Result<Vec<_>, _>>()?;
    if read.len() > MAX_ATTRIBUTES {
        return Err(AttributeError::TooMany(read.len()));
    }
    read.sort_by(|one, other| one.name.cmp(&other.name));
    match read.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(AttributeError::Twice(pair[0].name.clone())),
        None => Ok(read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, text: &str) -> Attribute {
        Attribute { name: name.to_owned(), value: AttributeValue::Text(text.to_owned()) }
    }

    fn texts(name: &str, texts: &[&str]) -> Attribute {
        let texts = texts.iter().map(ToString::to_string).collect();
        Attribute { name: name.to_owned(), value: AttributeValue::Texts(texts) }
    }

    fn number(name: &str, number: f64) -> Attribute {
        Attribute { name: name.to_owned(), value: AttributeValue::Number(number) }
    }

    #[test]
    fn attributes_are_kept_by_name_their_texts_trimmed_and_each_once() {
        let read = attributes([
            text("studio ", " Toho\u{a0}"),
            texts("cast", &["Nakadai", " nakadai", "", "Terao"]),
            number("minutes", 162.0),
        ]);
        let expected =
            [texts("cast", &["Nakadai", "Terao"]), number("minutes", 162.0), text("studio", "Toho")];
        assert_eq!(read.expect("they are good"), expected);
    }

    #[test]
    fn what_is_no_attribute_says_why() {
        let many = (0..33).map(|place| number(&place.to_string(), 1.0));
        assert_eq!(attributes(many), Err(AttributeError::TooMany(33)));
        for (wrong, words) in [
            (vec![text("", "a")], "has not 1 to 64 bytes"),
            (vec![text(&"é".repeat(33), "a")], "has not 1 to 64 bytes"),
            (vec![text("a", "b"), number("a", 1.0)], "stands there twice"),
            (vec![number("a", f64::NAN)], "no finite number"),
            (vec![text("a", "  ")], "is empty"),
            (vec![texts("a", &[" "])], "is empty"),
            (vec![text("a", &"x".repeat(1_001))], "more than 1000 characters"),
            (vec![texts("a", &[&"x".repeat(201)])], "more than 200 characters"),
            (vec![text("a", "b\u{0}")], "control character"),
        ] {
            let error = attributes(wrong).expect_err(words).to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
        let many: Vec<String> = (0..101).map(|place| place.to_string()).collect();
        let many = Attribute { name: "cast".to_owned(), value: AttributeValue::Texts(many) };
        assert!(matches!(attributes([many]), Err(AttributeError::TooManyTexts { found: 101, .. })));
    }
}
