//! The fields of a request as flags: `filter.genres_any` becomes `--filter.genres-any`.
//!
//! Fields of nested messages are flags with dots, and a map of texts is a flag that is given as NAME=VALUE, as often as
//! there are entries. Lists of messages, other maps and messages inside themselves cannot be flags; they go in as JSON.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _, ValueParser};
use heck::{ToKebabCase as _, ToSnakeCase as _};
use marquee_proto::dynamic::{Api, Rules, enum_value, enum_value_name, is_well_known};
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

/// Long options that every call has; a field of that name gets the prefix `field.`.
const TAKEN: [&str; 8] = ["api-key", "help", "input", "json", "output", "request-id", "server", "timeout"];

/// One settable field, however deep it lies.
#[derive(Clone)]
pub(super) struct Flag {
    /// The fields from the request down to this one.
    pub(super) path: Vec<FieldDescriptor>,
    pub(super) rules: Rules,
    required: bool,
}

impl Flag {
    /// The field itself.
    pub(super) fn field(&self) -> &FieldDescriptor {
        self.path.last().expect("a flag is made from a field")
    }

    /// The dotted path in the words of the proto: `filter.genres_any`.
    pub(super) fn dotted(&self) -> String {
        self.path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
    }

    /// The name by which clap knows the flag; no option of the command line has a colon.
    pub(super) fn id(&self) -> String {
        format!("field:{}", self.dotted())
    }

    /// What a person types after the two dashes.
    pub(super) fn long(&self) -> String {
        let name = self.path.iter().map(|field| field.name().to_kebab_case()).collect::<Vec<_>>().join(".");
        if TAKEN.contains(&name.as_str()) { format!("field.{name}") } else { name }
    }

    /// Whether the call cannot be right without it, or one that it excludes.
    pub(super) fn is_required(&self) -> bool {
        self.path.len() == 1 && self.required
    }

    /// Whether both flags set different members of one oneof, so that only one may be given.
    pub(super) fn excludes(&self, other: &Flag) -> bool {
        let parting = self.path.iter().zip(&other.path).find(|(mine, theirs)| mine != theirs);
        parting.is_some_and(|(mine, theirs)| {
            mine.containing_oneof().is_some() && mine.containing_oneof() == theirs.containing_oneof()
        })
    }

    /// What stands in the usage for the value: `<N>`, `<TEXT>`.
    pub(super) fn value_name(&self) -> &'static str {
        match self.field().kind() {
            _ if self.field().is_map() => "NAME=VALUE",
            Kind::Bool => "true|false",
            Kind::String => "TEXT",
            Kind::Bytes => "BASE64",
            Kind::Enum(_) => "NAME",
            Kind::Message(message) => match message.name() {
                "Timestamp" => "TIME",
                "Duration" => "SECONDS",
                "FieldMask" => "FIELDS",
                _ => "JSON",
            },
            _ => "N",
        }
    }

    /// The comment, then what the rules accept, then the default.
    pub(super) fn help(&self, api: &Api) -> String {
        let comment = api.field_comment(self.field());
        let of_each = self.rules.accepted();
        let of_all = self.rules.max_items.map(|most| format!("up to {most} values"));
        let accepts = [of_each, of_all].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let accepts = if accepts.is_empty() { accepts } else { format!("[accepts: {accepts}]") };
        let default = self.rules.default_value.as_ref();
        let default = default.map_or(String::new(), |default| format!("[default: {default}]"));
        let parts = [comment, &accepts, &default];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Turns what was typed into the field's JSON, or says what is wrong with it.
    pub(super) fn parser(&self, api: &Api) -> ValueParser {
        let rules = self.rules.clone();
        match self.field().kind() {
            _ if self.field().is_map() => entry_parser(rules),
            Kind::Bool => ValueParser::from(clap::builder::BoolValueParser::new().map(Value::Bool)),
            Kind::Enum(descriptor) => enum_parser(&descriptor, api),
            Kind::Message(message) => ValueParser::from(move |text: &str| well_known(&message, text)),
            Kind::Bytes => ValueParser::from(|text: &str| Ok::<_, String>(Value::from(text))),
            Kind::String => ValueParser::from(move |text: &str| match rules.fault_of_text(text) {
                Some(fault) => Err(fault),
                None => Ok(Value::from(text)),
            }),
            kind => ValueParser::from(move |text: &str| {
                let number = parse_number(&kind, text)?;
                match rules.fault_of_number(number.as_f64().unwrap_or(f64::NAN)) {
                    Some(fault) => Err(fault),
                    None => Ok(number),
                }
            }),
        }
    }
}

/// All flags of a request, in the order of its fields.
pub(super) fn flags_of(message: &MessageDescriptor, api: &Api) -> Vec<Flag> {
    let mut flags = Vec::new();
    collect(message, &mut Vec::new(), api, &mut flags);
    flags
}

fn collect(message: &MessageDescriptor, path: &mut Vec<FieldDescriptor>, api: &Api, flags: &mut Vec<Flag>) {
    for field in message.fields().filter(|field| !field.is_map() || is_of_texts(field)) {
        path.push(field.clone());
        match field.kind() {
            Kind::Message(inner) if !field.is_map() && !is_well_known(&inner) => {
                let recursive = path.iter().any(|above| above.parent_message() == &inner);
                if !field.is_list() && !recursive {
                    collect(&inner, path, api, flags);
                }
            }
            _ => flags.push(Flag {
                path: path.clone(),
                rules: api.rules(&field).clone(),
                required: api.is_required(&field),
            }),
        }
        path.pop();
    }
}

/// Whether a map is from texts to texts.
fn is_of_texts(map: &FieldDescriptor) -> bool {
    let Kind::Message(entry) = map.kind() else { return false };
    entry.map_entry_key_field().kind() == Kind::String && entry.map_entry_value_field().kind() == Kind::String
}

fn entry_parser(rules: Rules) -> ValueParser {
    ValueParser::from(move |text: &str| {
        let (name, value) = text.split_once('=').ok_or("is not NAME=VALUE")?;
        match rules.fault_of_text(name).or_else(|| rules.fault_of_text(value)) {
            Some(fault) => Err(fault),
            None => Ok(json!({ name: value })),
        }
    })
}

fn enum_parser(descriptor: &EnumDescriptor, api: &Api) -> ValueParser {
    let possible = descriptor.values().map(|value| {
        let short = enum_value_name(descriptor, value.name());
        PossibleValue::new(short.clone())
            .aliases([short.to_snake_case(), value.name().to_owned()])
            .help(api.comment(&descriptor.parent_file(), value.path()).to_owned())
            .hide(value.number() == 0)
    });
    let descriptor = descriptor.clone();
    let parser = PossibleValuesParser::new(possible).map(move |typed: String| {
        enum_value(&descriptor, &typed).map_or(Value::Null, |value| Value::from(value.name()))
    });
    ValueParser::from(parser)
}

fn parse_number(kind: &Kind, text: &str) -> Result<Value, String> {
    let whole = |low: String, high: String| format!("is not a whole number from {low} to {high}");
    match kind {
        Kind::Uint32 | Kind::Fixed32 => {
            text.parse().map(|n: u32| n.into()).map_err(|_| whole(0.to_string(), u32::MAX.to_string()))
        }
        Kind::Uint64 | Kind::Fixed64 => {
            text.parse().map(|n: u64| n.into()).map_err(|_| whole(0.to_string(), u64::MAX.to_string()))
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            text.parse().map(|n: i32| n.into()).map_err(|_| whole(i32::MIN.to_string(), i32::MAX.to_string()))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            text.parse().map(|n: i64| n.into()).map_err(|_| whole(i64::MIN.to_string(), i64::MAX.to_string()))
        }
        _ => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number.into()),
            _ => Err("is not a number".to_owned()),
        },
    }
}

/// A time, duration or the like: as text if its JSON form is a text, else as JSON.
fn well_known(message: &MessageDescriptor, text: &str) -> Result<Value, String> {
    let parses = |value: &Value| DynamicMessage::deserialize(message.clone(), value).map(|_| ());
    let as_text = Value::from(text);
    let Err(error) = parses(&as_text) else { return Ok(as_text) };
    match serde_json::from_str(text) {
        Ok(as_json) if parses(&as_json).is_ok() => Ok(as_json),
        _ => Err(match message.name() {
            "Timestamp" => "is not a time; write it as 2024-05-31T20:15:00Z".to_owned(),
            "Duration" => "is not a duration; write it in seconds, as 1.5s".to_owned(),
            _ => error.to_string(),
        }),
    }
}
