//! Requests that can be sent as they are, so that whoever reads the description has something to begin with.

use std::collections::BTreeSet;

use marquee_proto::dynamic::{Api, enum_value, is_well_known};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::schema::{is_without, value_of};

/// The least that a request must have, of oneofs the first member, and what the rules have an example of; nothing
/// that is `without`, or excluded by that.
pub(super) fn of_message(api: &Api, message: &MessageDescriptor, without: &BTreeSet<&str>) -> Value {
    let mut example = Map::new();
    for field in message.fields() {
        if is_wanted(api, &field) && !is_without(&field, without) {
            example.insert(field.name().to_owned(), of_field(api, &field));
        }
    }
    Value::Object(example)
}

/// Whether a field is needed, or is the first of some of which one is meant.
fn is_wanted(api: &Api, field: &FieldDescriptor) -> bool {
    match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
        Some(oneof) => oneof.fields().next().is_some_and(|first| first == *field),
        None => {
            api.is_required(field)
                || api.rules(field).example.is_some()
                || field.is_list() && matches!(field.kind(), Kind::Message(_))
        }
    }
}

/// A value that a field accepts.
pub(super) fn of_field(api: &Api, field: &FieldDescriptor) -> Value {
    let value = of_value(api, field);
    if field.is_list() { json!([value]) } else { value }
}

fn of_value(api: &Api, field: &FieldDescriptor) -> Value {
    let rules = api.rules(field);
    if let Some(example) = rules.example.as_deref().and_then(|text| value_of(field, text)) {
        return example;
    }
    let number = rules.min.unwrap_or(1.0);
    match field.kind() {
        Kind::Message(message) if is_well_known(&message) => Value::Null,
        Kind::Message(message) => of_message(api, &message, &BTreeSet::new()),
        Kind::Enum(descriptor) => {
            let default = rules.default_value.as_deref().and_then(|text| enum_value(&descriptor, text));
            default.map_or(Value::Null, |value| value.name().into())
        }
        Kind::Bool => true.into(),
        Kind::Double | Kind::Float => number.into(),
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => {
            (number as i64).to_string().into()
        }
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32 => (number as i64).into(),
        Kind::String | Kind::Bytes => "a".repeat(rules.min_length.unwrap_or(1) as usize).into(),
    }
}
