//! Which movies have which attributes, and conditions on them.
//!
//! Each attribute has bitmaps of its own, one for each text without regard to case and one for each number, so a condition
//! is an operation on stored bitmaps, as that on a genre is. Attributes that a new snapshot does not change are shared with
//! the one before.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use marquee_core::attributes::Attribute;
use roaring::{MultiOps as _, RoaringBitmap};
use serde::{Deserialize, Serialize};

/// What an attribute of a movie must be. Its names are those of stored rules too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeCondition {
    /// The attribute.
    pub name: String,
    /// What it must be.
    pub test: AttributeTest,
}

/// What an attribute must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeTest {
    /// One of these texts, or a list that has one of them, without regard to case.
    AnyOf(Vec<String>),
    /// A number from one to another, both included.
    Range {
        /// The smallest.
        min: Option<f64>,
        /// The largest.
        max: Option<f64>,
    },
    /// There, or not.
    Exists(bool),
}

/// The attributes of all movies, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(HashMap<Arc<str>, Arc<Values>>);

/// The movies that have one attribute, by dense index.
#[derive(Clone, Debug, Default)]
struct Values {
    all: RoaringBitmap,
    /// By text in lower case.
    texts: HashMap<Box<str>, RoaringBitmap>,
    numbers: BTreeMap<Number, RoaringBitmap>,
}

/// A finite number.
#[derive(Clone, Copy, Debug)]
struct Number(f64);

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        // So that both zeros are one.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl Attributes {
    /// Puts a movie's attributes into the bitmaps.
    pub(super) fn link(&mut self, index: u32, attributes: &[Attribute]) {
        for Attribute { name, value } in attributes {
            let values = Arc::make_mut(self.0.entry(name.as_str().into()).or_default());
            values.all.insert(index);
            for text in value.texts() {
                values.texts.entry(text.to_lowercase().into()).or_default().insert(index);
            }
            if let Some(number) = value.number() {
                values.numbers.entry(Number(number)).or_default().insert(index);
            }
        }
    }

    /// Takes a movie's attributes out of the bitmaps, and those with it that no other movie has.
    pub(super) fn unlink(&mut self, index: u32, attributes: &[Attribute]) {
        for Attribute { name, value } in attributes {
            let Some(values) = self.0.get_mut(name.as_str()).map(Arc::make_mut) else { continue };
            values.all.remove(index);
            for text in value.texts() {
                let text = text.to_lowercase();
                if values.texts.get_mut(text.as_str()).is_some_and(|members| left_empty(members, index)) {
                    values.texts.remove(text.as_str());
                }
            }
            if let Some(number) = value.number().map(Number)
                && values.numbers.get_mut(&number).is_some_and(|members| left_empty(members, index))
            {
                values.numbers.remove(&number);
            }
            if values.all.is_empty() {
                self.0.remove(name.as_str());
            }
        }
    }

    /// The movies that have an attribute.
    pub(super) fn having(&self, name: &str) -> RoaringBitmap {
        self.0.get(name).map(|values| values.all.clone()).unwrap_or_default()
    }

    /// The movies of which an attribute has one of these texts.
    pub(super) fn any_of(&self, name: &str, texts: &[String]) -> RoaringBitmap {
        let Some(values) = self.0.get(name) else { return RoaringBitmap::new() };
        texts.iter().filter_map(|text| values.texts.get(text.trim().to_lowercase().as_str())).union()
    }

    /// The movies of which an attribute is a number within these bounds.
    pub(super) fn within(&self, name: &str, min: Option<f64>, max: Option<f64>) -> RoaringBitmap {
        let Some(values) = self.0.get(name) else { return RoaringBitmap::new() };
        let (min, max) = (min.map(Number), max.map(Number));
        if min.zip(max).is_some_and(|(min, max)| min > max) {
            return RoaringBitmap::new();
        }
        let bounds =
            (min.map_or(Bound::Unbounded, Bound::Included), max.map_or(Bound::Unbounded, Bound::Included));
        values.numbers.range(bounds).map(|(_, members)| members).union()
    }
}

/// Takes a movie out; whether none is left.
fn left_empty(members: &mut RoaringBitmap, index: u32) -> bool {
    members.remove(index);
    members.is_empty()
}

#[cfg(test)]
mod tests {
    use marquee_core::attributes::AttributeValue;

    use super::*;

    fn attribute(name: &str, value: AttributeValue) -> Attribute {
        Attribute { name: name.to_owned(), value }
    }

    fn texts(texts: &[&str]) -> AttributeValue {
        AttributeValue::Texts(texts.iter().map(ToString::to_string).collect())
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn bitmap(indexes: &[u32]) -> RoaringBitmap {
        indexes.iter().copied().collect()
    }

    #[test]
    fn movies_are_found_by_texts_of_lists_by_numbers_and_by_what_they_have() {
        let heat = [
            attribute("cast", texts(&["Al Pacino", "Robert De Niro"])),
            attribute("minutes", AttributeValue::Number(170.0)),
        ];
        let ronin = [attribute("cast", AttributeValue::Text("Robert De Niro".to_owned()))];
        let short = [attribute("minutes", AttributeValue::Number(-0.0))];
        let mut attributes = Attributes::default();
        attributes.link(0, &heat);
        attributes.link(1, &ronin);
        attributes.link(2, &short);
        assert_eq!(attributes.any_of("cast", &owned(&["robert de niro "])), bitmap(&[0, 1]));
        assert_eq!(attributes.any_of("cast", &owned(&["AL PACINO", "nobody"])), bitmap(&[0]));
        assert_eq!(attributes.any_of("Cast", &owned(&["Al Pacino"])), bitmap(&[]));
        assert_eq!(attributes.within("minutes", Some(0.0), Some(170.0)), bitmap(&[0, 2]));
        assert_eq!(attributes.within("minutes", Some(0.5), None), bitmap(&[0]));
        assert_eq!(attributes.within("minutes", Some(2.0), Some(1.0)), bitmap(&[]));
        assert_eq!(attributes.within("cast", None, None), bitmap(&[]));
        assert_eq!(attributes.having("minutes"), bitmap(&[0, 2]));
        attributes.unlink(0, &heat);
        assert_eq!(attributes.any_of("cast", &owned(&["Robert De Niro", "Al Pacino"])), bitmap(&[1]));
        attributes.unlink(1, &ronin);
        attributes.unlink(2, &short);
        assert!(attributes.0.is_empty());
    }

    #[test]
    fn a_copy_does_not_see_what_changes_later() {
        let mut attributes = Attributes::default();
        let spoken = [attribute("language", AttributeValue::Text("Japanese".to_owned()))];
        attributes.link(0, &spoken);
        let before = attributes.clone();
        attributes.link(1, &spoken);
        assert_eq!((before.having("language").len(), attributes.having("language").len()), (1, 2));
    }
}
