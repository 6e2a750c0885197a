//! A text read straight into the bytes of its message.
//!
//! A fault does not end the reading, so that all are told at once, up to a bound; what is at fault is skipped, without
//! a recursion. A list that is much too long does end it, as its elements would cost more than its bytes. How deep a
//! text may nest is bounded by the messages, which do not hold themselves, and by serde_json.

use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};

use super::JsonError;
use super::hints::{names, quoted, unknown_field};
use super::scalar::{Scalar, expected, is_packed, write};
use crate::dynamic::names::field_named;
use crate::dynamic::{Rules, is_well_known};
use crate::scan::too_many;
use crate::{MAX_VIOLATIONS, Violation};

/// After how many elements a list is held to its rule, again and again: looking it up costs as much as some elements.
const HELD_EVERY: usize = 1000;

/// See [`json_to_bytes`](super::json_to_bytes).
pub(super) fn message(descriptor: &MessageDescriptor, text: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut reader = Reader::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    let place = Place { outer: None, step: Step::Root(descriptor) };
    let kind = Kind::Message(descriptor.clone());
    let root = Whole { reader: &mut reader, kind: &kind, place: &place };
    let read = root.deserialize(&mut json).and_then(|()| json.end());
    match read {
        // Data is what was read well and is at fault, as noted.
        Err(error) if !error.is_data() || reader.faults.is_empty() => {
            Err(JsonError::Syntax { message: descriptor.name().to_owned(), error })
        }
        _ if reader.faults.is_empty() => Ok(reader.bytes),
        _ => Err(JsonError::Fields(reader.faults)),
    }
}

/// What has been read.
#[derive(Default)]
struct Reader {
    bytes: Vec<u8>,
    faults: Vec<Violation>,
}

impl Reader {
    /// Notes a fault, and ends the reading where there are enough.
    fn fault<E: Error>(&mut self, place: &Place<'_>, description: String) -> Result<(), E> {
        self.faults.push(Violation { field: place.to_string(), description });
        if self.faults.len() < MAX_VIOLATIONS { Ok(()) } else { Err(E::custom("there are many faults")) }
    }

    /// Writes what has a length, which is known afterwards.
    fn with_length<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let start = self.bytes.len();
        // Room for a length below 128, which most have.
        self.bytes.push(0);
        let written = write(self);
        let length = (self.bytes.len() - start - 1) as u64;
        let room = encoded_len_varint(length);
        self.bytes.splice(start + 1..=start, std::iter::repeat_n(0, room - 1));
        encode_varint(length, &mut &mut self.bytes[start..start + room]);
        written
    }
}

/// Where in the message a value stands.
struct Place<'a> {
    outer: Option<&'a Place<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Root(&'a MessageDescriptor),
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Place<'a> {
    fn at(&'a self, step: Step<'a>) -> Self {
        Self { outer: Some(self), step }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer.filter(|outer| outer.outer.is_some()) {
            outer.fmt(f)?;
            if let Step::Field(_) = self.step {
                f.write_str(".")?;
            }
        }
        match &self.step {
            Step::Root(descriptor) => f.write_str(descriptor.name()),
            Step::Field("") => f.write_str("\"\""),
            Step::Field(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{}]", quoted(key)),
        }
    }
}

/// A message, a text or a number without its key: the whole text, or an element of a list of numbers.
struct Whole<'r> {
    reader: &'r mut Reader,
    kind: &'r Kind,
    place: &'r Place<'r>,
}

/// A field with its key, as a member of an object.
struct Member<'r> {
    reader: &'r mut Reader,
    field: &'r FieldDescriptor,
    place: &'r Place<'r>,
}

/// Whether a member says something; null does not.
#[derive(PartialEq, Eq)]
enum Said {
    Something,
    Nothing,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Said;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Said, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The values without parts, as one method takes them.
macro_rules! scalars {
    ($value:ty) => {
        fn visit_bool<E: Error>(self, value: bool) -> Result<$value, E> {
            self.scalar(&Scalar::Bool(value))
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<$value, E> {
            self.scalar(&Scalar::Whole(value.into()))
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<$value, E> {
            self.scalar(&Scalar::Whole(value.into()))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<$value, E> {
            self.scalar(&Scalar::Number(value))
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<$value, E> {
            self.scalar(&Scalar::Text(value))
        }
    };
}

impl Whole<'_> {
    fn scalar<E: Error>(self, value: &Scalar<'_>) -> Result<(), E> {
        let Self { reader, kind, place } = self;
        if let Kind::Message(descriptor) = kind {
            if !is_well_known(descriptor) {
                return reader.fault(place, no_object(&value.to_string(), descriptor));
            }
            return match well_known(descriptor, value) {
                Ok(message) => {
                    reader.with_length(|reader| reader.bytes.extend(message.encode_to_vec()));
                    Ok(())
                }
                Err(error) => reader.fault(place, format!("is {value}: {error}")),
            };
        }
        match write(kind, value, &mut reader.bytes) {
            Ok(()) => Ok(()),
            Err(description) => reader.fault(place, description),
        }
    }

    /// The members of an object.
    fn members<'de, A: MapAccess<'de>>(
        reader: &mut Reader,
        descriptor: &MessageDescriptor,
        place: &Place<'_>,
        mut members: A,
    ) -> Result<(), A::Error> {
        let mut given = Vec::new();
        while let Some(field) = members.next_key_seed(Name(descriptor))? {
            let field = match field {
                Ok(field) => field,
                Err(name) => {
                    members.next_value::<IgnoredAny>()?;
                    let beginning: String = name.chars().take(64).collect();
                    let place = place.at(Step::Field(&beginning));
                    reader.fault(&place, unknown_field(descriptor, &name))?;
                    continue;
                }
            };
            let at = place.at(Step::Field(field.name()));
            if given.iter().any(|(number, _)| *number == field.number()) {
                members.next_value::<IgnoredAny>()?;
                reader.fault(&at, "is given twice; give it once".to_owned())?;
                continue;
            }
            let said = members.next_value_seed(Member { reader, field: &field, place: &at })?;
            if said == Said::Something
                && let Some(oneof) = field.containing_oneof()
                && oneof.fields().any(|other| given.contains(&(other.number(), Said::Something)))
            {
                let names: Vec<_> = oneof.fields().map(|field| field.name().to_owned()).collect();
                reader
                    .fault(&at, format!("excludes what is given before; give one of {}", names.join(", ")))?;
            }
            given.push((field.number(), said));
        }
        Ok(())
    }
}

/// A time, a duration and the like, by the mapping's own words.
fn well_known(
    descriptor: &MessageDescriptor,
    value: &Scalar<'_>,
) -> Result<DynamicMessage, serde_json::Error> {
    let descriptor = descriptor.clone();
    match value {
        Scalar::Null => descriptor.deserialize(().into_deserializer()),
        Scalar::Bool(value) => descriptor.deserialize(value.into_deserializer()),
        Scalar::Whole(value) => match u64::try_from(*value) {
            Ok(value) => descriptor.deserialize(value.into_deserializer()),
            Err(_) => descriptor.deserialize((*value as i64).into_deserializer()),
        },
        Scalar::Number(value) => descriptor.deserialize(value.into_deserializer()),
        Scalar::Text(value) => descriptor.deserialize((*value).into_deserializer()),
    }
}

fn no_object(found: &str, descriptor: &MessageDescriptor) -> String {
    format!("is {found}; an object with the fields {} is accepted", names(descriptor))
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    scalars!(());

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(&Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { reader, kind, place } = self;
        if let Kind::Message(descriptor) = kind
            && is_well_known(descriptor)
        {
            let message = descriptor.clone().deserialize(SeqAccessDeserializer::new(list));
            return with_parts(reader, place, message);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        let description = match kind {
            Kind::Message(descriptor) => no_object("a list", descriptor),
            kind => format!("is a list; {} is accepted", expected(kind)),
        };
        reader.fault(place, description)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { reader, kind, place } = self;
        match kind {
            Kind::Message(descriptor) if is_well_known(descriptor) => {
                let message = descriptor.clone().deserialize(MapAccessDeserializer::new(object));
                with_parts(reader, place, message)
            }
            Kind::Message(descriptor) if place.outer.is_none() => {
                Self::members(reader, descriptor, place, object)
            }
            Kind::Message(descriptor) => {
                reader.with_length(|reader| Self::members(reader, descriptor, place, object))
            }
            kind => {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                reader.fault(place, format!("is an object; {} is accepted", expected(kind)))
            }
        }
    }
}

/// A well-known message that was read from its parts. One that could not be ends the reading, as it is not known
/// where in the text that was.
fn with_parts<E: Error>(
    reader: &mut Reader,
    place: &Place<'_>,
    message: Result<DynamicMessage, E>,
) -> Result<(), E> {
    match message {
        Ok(message) => {
            reader.with_length(|reader| reader.bytes.extend(message.encode_to_vec()));
            Ok(())
        }
        Err(error) => {
            reader.fault(place, format!("is no value of it: {error}"))?;
            Err(error)
        }
    }
}

impl Member<'_> {
    fn scalar<E: Error>(self, value: &Scalar<'_>) -> Result<Said, E> {
        let Self { reader, field, place } = self;
        if field.is_list() {
            reader.fault(place, format!("is {value}; a list is accepted"))?;
        } else if field.is_map() {
            reader.fault(place, format!("is {value}; an object is accepted"))?;
        } else {
            let kind = field.kind();
            encode_key(field.number(), wire_type(&kind), &mut reader.bytes);
            Whole { reader, kind: &kind, place }.scalar(value)?;
        }
        Ok(Said::Something)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    scalars!(Said);

    fn visit_unit<E: Error>(self) -> Result<Said, E> {
        Ok(Said::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Said, A::Error> {
        let Self { reader, field, place } = self;
        let kind = field.kind();
        if !field.is_list() {
            encode_key(field.number(), wire_type(&kind), &mut reader.bytes);
            Whole { reader, kind: &kind, place }.visit_seq(list)?;
        } else if is_packed(&kind) {
            encode_key(field.number(), WireType::LengthDelimited, &mut reader.bytes);
            reader.with_length(|reader| elements(reader, field, &kind, place, &mut list))?;
        } else {
            elements(reader, field, &kind, place, &mut list)?;
        }
        Ok(Said::Something)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Said, A::Error> {
        let Self { reader, field, place } = self;
        let kind = field.kind();
        if field.is_list() {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            reader.fault(place, "is an object; a list is accepted".to_owned())?;
        } else if let Kind::Message(entry) = &kind
            && field.is_map()
        {
            entries(reader, field.number(), entry, place, object)?;
        } else {
            encode_key(field.number(), wire_type(&kind), &mut reader.bytes);
            Whole { reader, kind: &kind, place }.visit_map(object)?;
        }
        Ok(Said::Something)
    }
}

/// The elements of a list, each with the key of the field unless they are packed.
fn elements<'de, A: SeqAccess<'de>>(
    reader: &mut Reader,
    field: &FieldDescriptor,
    kind: &Kind,
    place: &Place<'_>,
    list: &mut A,
) -> Result<(), A::Error> {
    for index in 0.. {
        if index > 0 && index % HELD_EVERY == 0 {
            hold(reader, field, index, place)?;
        }
        let at = place.at(Step::Index(index));
        // Written before it is known whether there is an element, and taken back if there is none.
        let before = reader.bytes.len();
        if !is_packed(kind) {
            encode_key(field.number(), wire_type(kind), &mut reader.bytes);
        }
        if list.next_element_seed(Whole { reader, kind, place: &at })?.is_none() {
            reader.bytes.truncate(before);
            break;
        }
    }
    Ok(())
}

/// Ends the reading where so many elements are more than the rule of their list allows.
fn hold<E: Error>(
    reader: &mut Reader,
    field: &FieldDescriptor,
    elements: usize,
    place: &Place<'_>,
) -> Result<(), E> {
    match Rules::of(field).max_items {
        Some(most) if elements > most as usize => {
            reader.fault(place, too_many(most))?;
            Err(E::custom("a list is too long"))
        }
        _ => Ok(()),
    }
}

/// The entries of a map, each a message of key and value.
fn entries<'de, A: MapAccess<'de>>(
    reader: &mut Reader,
    number: u32,
    entry: &MessageDescriptor,
    place: &Place<'_>,
    mut object: A,
) -> Result<(), A::Error> {
    let (key_kind, value_field) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field());
    while let Some(key) = object.next_key::<String>()? {
        let at = place.at(Step::Key(&key));
        encode_key(number, WireType::LengthDelimited, &mut reader.bytes);
        reader.with_length(|reader| {
            encode_key(1, wire_type(&key_kind), &mut reader.bytes);
            let is_bool = matches!(key_kind, Kind::Bool);
            let key = match key.as_str() {
                "true" if is_bool => Scalar::Bool(true),
                "false" if is_bool => Scalar::Bool(false),
                text => Scalar::Text(text),
            };
            Whole { reader: &mut *reader, kind: &key_kind, place: &at }.scalar(&key)?;
            object.next_value_seed(Member { reader, field: &value_field, place: &at }).map(drop)
        })?;
    }
    Ok(())
}

/// How the bytes of one value are.
fn wire_type(kind: &Kind) -> WireType {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::SixtyFourBit,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::ThirtyTwoBit,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::LengthDelimited,
        _ => WireType::Varint,
    }
}

/// The name of a member, which is a field or none.
struct Name<'a>(&'a MessageDescriptor);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Result<FieldDescriptor, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Result<FieldDescriptor, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let Self(descriptor) = self;
        let field = field_named(descriptor, name);
        Ok(field.ok_or_else(|| name.to_owned()))
    }
}
