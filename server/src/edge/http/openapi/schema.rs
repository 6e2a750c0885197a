//! Messages as schemas of JSON: of requests, what is accepted; of replies, what is written.

use std::collections::{BTreeMap, BTreeSet};

use marquee_proto::dynamic::{Api, Rules, enum_value, is_well_known};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use prost_types::Timestamp;
use serde_json::{Map, Value, json};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the caller: fields that are not known and values out of range are refused.
    In,
    /// To the caller: fields without presence are written always, and more may be added.
    Out,
}

/// The schemas of the messages that were asked for, each made once.
pub(super) struct Schemas<'a> {
    api: &'a Api,
    made: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(api: &'a Api) -> Self {
        Self { api, made: BTreeMap::new() }
    }

    /// All of them by their names.
    pub(super) fn into_json(self) -> Value {
        Value::Object(self.made.into_iter().collect())
    }

    /// A reference to the schema of a message.
    pub(super) fn reference(&mut self, message: &MessageDescriptor, way: Way) -> Value {
        let name = name_of(message, way);
        if !self.made.contains_key(&name) {
            // Taken first, should a message hold itself.
            self.made.insert(name.clone(), Value::Null);
            let schema = self.message(message, way, &BTreeSet::new());
            self.made.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The schema of a message without these fields and those that exclude them.
    pub(super) fn message(
        &mut self,
        message: &MessageDescriptor,
        way: Way,
        without: &BTreeSet<&str>,
    ) -> Value {
        let fields: Vec<_> = message.fields().filter(|field| !is_without(field, without)).collect();
        let properties: Map<String, Value> =
            fields.iter().map(|field| (field.name().to_owned(), self.field(field, way))).collect();
        let mut schema = json!({ "type": "object", "properties": properties });
        let comment = self.api.comment(&message.parent_file(), message.path());
        if !comment.is_empty() {
            schema["description"] = comment.into();
        }
        let required: Vec<_> = fields.iter().filter(|field| self.is_always_there(field, way)).collect();
        if !required.is_empty() {
            schema["required"] = required.iter().map(|field| field.name()).collect();
        }
        if way == Way::In {
            schema["additionalProperties"] = false.into();
            let choices = self.choices(message, without);
            if !choices.is_empty() {
                schema["allOf"] = choices.into();
            }
        }
        schema
    }

    /// What the oneofs of a request with several members ask for.
    fn choices(&self, message: &MessageDescriptor, without: &BTreeSet<&str>) -> Vec<Value> {
        let oneofs = message.oneofs().filter(|oneof| !oneof.is_synthetic());
        oneofs
            .filter_map(|oneof| {
                let members: Vec<_> = oneof.fields().filter(|field| !is_without(field, without)).collect();
                let [first, _, ..] = &members[..] else { return None };
                let one = members.iter().map(|field| json!({ "required": [field.name()] }));
                let none = json!({ "not": { "anyOf": one.clone().collect::<Vec<_>>() } });
                let is_required = self.api.is_required(first);
                Some(json!({ "oneOf": one.chain((!is_required).then_some(none)).collect::<Vec<_>>() }))
            })
            .collect()
    }

    fn is_always_there(&self, field: &FieldDescriptor, way: Way) -> bool {
        match way {
            Way::In => {
                let is_choice = field.containing_oneof().is_some_and(|oneof| oneof.fields().len() > 1);
                !is_choice && self.api.is_required(field)
            }
            Way::Out => !field.supports_presence(),
        }
    }

    /// The schema of a field, with what its comment and its rules say.
    pub(super) fn field(&mut self, field: &FieldDescriptor, way: Way) -> Value {
        let rules = self.api.rules(field).clone();
        let mut schema = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return json!({}) };
            let value = self.value(&entry.map_entry_value_field(), way, &Rules::default());
            json!({ "type": "object", "additionalProperties": value })
        } else if field.is_list() {
            let mut list = json!({ "type": "array", "items": self.value(field, way, &rules) });
            if let Some(max_items) = rules.max_items {
                list["maxItems"] = max_items.into();
            }
            list
        } else {
            self.value(field, way, &rules)
        };
        let comment = self.api.field_comment(field);
        if !comment.is_empty() {
            schema["description"] = comment.into();
        }
        if let Some(unit) = &rules.unit {
            schema["x-unit"] = unit.as_str().into();
        }
        if let Some(default) = rules.default_value.as_deref().and_then(|text| default_of(field, text))
            && way == Way::In
        {
            schema["default"] = default;
        }
        schema
    }

    /// The schema of a value, or of one element of a list.
    fn value(&mut self, field: &FieldDescriptor, way: Way, rules: &Rules) -> Value {
        match field.kind() {
            Kind::Message(message) if is_well_known(&message) => well_known(message.name()),
            Kind::Message(message) => self.reference(&message, way),
            Kind::Enum(descriptor) => self.enumeration(&descriptor),
            kind => scalar(&kind, way, rules),
        }
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> Value {
        let name = name_of_enum(descriptor);
        let comments = descriptor.values().map(|value| {
            let comment = self.api.comment(&descriptor.parent_file(), value.path());
            format!("- `{}`: {comment}", value.name())
        });
        let about = self.api.comment(&descriptor.parent_file(), descriptor.path());
        let listed = comments.collect::<Vec<_>>().join("\n");
        let schema = json!({
            "type": "string",
            "enum": descriptor.values().map(|value| value.name().to_owned()).collect::<Vec<_>>(),
            "description": format!("{about}\n\n{listed}").trim(),
        });
        self.made.entry(name.clone()).or_insert(schema);
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

/// Whether a field is one of these, or excluded by one of them.
pub(super) fn is_without(field: &FieldDescriptor, without: &BTreeSet<&str>) -> bool {
    let excluded = |oneof: prost_reflect::OneofDescriptor| {
        !oneof.is_synthetic() && oneof.fields().any(|member| without.contains(member.name()))
    };
    without.contains(field.name()) || field.containing_oneof().is_some_and(excluded)
}

/// A message may go both ways, and is accepted and written differently then.
fn name_of(message: &MessageDescriptor, way: Way) -> String {
    let name = message.full_name().trim_start_matches("marquee.v1.").to_owned();
    let goes_in = way == Way::In && !name.ends_with("Request");
    if goes_in { name + "Input" } else { name }
}

fn name_of_enum(descriptor: &EnumDescriptor) -> String {
    descriptor.full_name().trim_start_matches("marquee.v1.").to_owned()
}

fn scalar(kind: &Kind, way: Way, rules: &Rules) -> Value {
    match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => text(rules, way),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Double | Kind::Float => number(rules, way),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(rules, i32::MIN.into(), i32::MAX.into()),
        Kind::Uint32 | Kind::Fixed32 => integer(rules, 0, u32::MAX.into()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            long(rules, way, i64::MAX as u64, "^-?(0|[1-9][0-9]{0,18})$")
        }
        Kind::Uint64 | Kind::Fixed64 if rules.min == Some(1.0) => {
            long(rules, way, u64::MAX, "^[1-9][0-9]{0,19}$")
        }
        Kind::Uint64 | Kind::Fixed64 => long(rules, way, u64::MAX, "^(0|[1-9][0-9]{0,19})$"),
        Kind::Message(_) | Kind::Enum(_) => json!({}),
    }
}

fn text(rules: &Rules, way: Way) -> Value {
    let mut schema = json!({ "type": "string" });
    if way == Way::In {
        if let Some(min_length) = rules.min_length {
            schema["minLength"] = min_length.into();
        }
        if let Some(max_length) = rules.max_length {
            schema["maxLength"] = max_length.into();
        }
    }
    schema
}

/// A number may be none, or beyond all, in replies; then its name is written.
fn number(rules: &Rules, way: Way) -> Value {
    if way == Way::Out {
        return json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] });
    }
    let mut schema = json!({ "type": "number" });
    if let Some(min) = rules.min {
        schema["minimum"] = min.into();
    }
    if let Some(max) = rules.max {
        schema["maximum"] = max.into();
    }
    if let Some(step) = rules.step {
        schema["multipleOf"] = step.into();
    }
    schema
}

fn integer(rules: &Rules, least: i64, most: i64) -> Value {
    let min = rules.min.map_or(least, |min| min as i64);
    let max = rules.max.map_or(most, |max| max as i64);
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

/// Written as a text, for programs whose numbers have 53 bits, and read as a number too.
fn long(rules: &Rules, way: Way, most: u64, pattern: &str) -> Value {
    match way {
        Way::Out => json!({ "type": "string", "pattern": pattern }),
        Way::In => {
            let min = rules.min.map_or(0, |min| min as i64);
            json!({ "type": ["string", "integer"], "pattern": pattern, "minimum": min, "maximum": most })
        }
    }
}

fn well_known(name: &str) -> Value {
    match name {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$" }),
        "FieldMask" => json!({ "type": "string" }),
        "Empty" | "Struct" => json!({ "type": "object" }),
        "Any" => json!({
            "type": "object",
            "properties": { "@type": { "type": "string" } },
            "required": ["@type"],
        }),
        _ => json!({}),
    }
}

/// What an absent field means, as its JSON; `None` where it is no value but a sentence, such as "now".
fn default_of(field: &FieldDescriptor, text: &str) -> Option<Value> {
    if field.kind() == Kind::String { None } else { value_of(field, text) }
}

/// What a person types, as its JSON; `None` where that is no value.
pub(super) fn value_of(field: &FieldDescriptor, text: &str) -> Option<Value> {
    match field.kind() {
        Kind::Bool => text.parse::<bool>().ok().map(Value::from),
        Kind::Enum(descriptor) => enum_value(&descriptor, text).map(|value| value.name().into()),
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            text.parse::<Timestamp>().ok().map(|_| text.into())
        }
        Kind::Message(_) | Kind::Bytes => None,
        Kind::Double | Kind::Float => text.parse::<f64>().ok().map(Value::from),
        Kind::String | Kind::Int64 | Kind::Uint64 => Some(text.into()),
        _ => text.parse::<i64>().ok().map(Value::from),
    }
}

/// `google.rpc.Status`, as errors below `/v1` have it.
pub(super) fn status() -> Value {
    json!({
        "type": "object",
        "description": "Why a call failed, and what to do: google.rpc.Status.",
        "properties": {
            "code": { "type": "integer", "minimum": 1, "maximum": 16, "description": "google.rpc.Code." },
            "message": { "type": "string", "description": "For people." },
            "details": {
                "type": "array",
                "description": "google.rpc.BadRequest names fields, ErrorInfo has a reason for programs, RetryInfo \
                    says when to ask again.",
                "items": well_known("Any"),
            },
        },
        "required": ["code", "message", "details"],
    })
}

/// Connect's error.
pub(super) fn connect_error() -> Value {
    json!({
        "type": "object",
        "description": "Why a call failed, and what to do, as the Connect protocol has it.",
        "properties": {
            "code": { "type": "string", "pattern": "^[a-z]+(_[a-z]+)*$" },
            "message": { "type": "string", "description": "For people." },
            "details": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "type": { "type": "string", "description": "The name of a message." },
                        "value": { "type": "string", "description": "The message in Protobuf, in base64." },
                        "debug": { "type": "object", "description": "The same to be read." },
                    },
                    "required": ["type", "value"],
                },
            },
        },
        "required": ["code", "message"],
    })
}
