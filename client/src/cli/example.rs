//! What a line of a stream looks like, for its help.

use marquee_proto::dynamic::{Api, Rules, enum_value_names, is_well_known};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::flags::Flag;

/// How deep the example goes into nested messages.
const DEEPEST: usize = 3;

/// A message in JSON that breaks no rule: what must be there, one of what excludes each other, and what
/// has a default.
pub(super) fn line(message: &MessageDescriptor, api: &Api) -> String {
    object(message, api, 0)
}

/// One paragraph for each field that a line may have, in dotted form.
pub(super) fn fields(flags: &[Flag], api: &Api) -> String {
    let field = |flag: &Flag| {
        let values = match flag.field().kind() {
            Kind::Enum(descriptor) => enum_value_names(&descriptor).join("|"),
            _ => flag.value_name().to_owned(),
        };
        let values = if flag.field().is_list() { format!("[{values}, ...]") } else { values };
        format!("  {} {values}\n      {}", flag.dotted(), flag.help(api))
    };
    flags.iter().map(field).collect::<Vec<_>>().join("\n")
}

fn object(message: &MessageDescriptor, api: &Api, depth: usize) -> String {
    let fields = message.fields().filter(|field| is_shown(field, api)).map(|field| {
        let value = value(&field, api, depth);
        let value = if field.is_list() { format!("[{value}]") } else { value };
        format!("{:?}:{value}", field.name())
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn is_shown(field: &FieldDescriptor, api: &Api) -> bool {
    let rules = api.rules(field);
    match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
        _ if field.is_map() => false,
        Some(oneof) => oneof.fields().next().as_ref() == Some(field),
        None => !api.declares_rules() || rules.refuses_zero() || rules.default_value.is_some(),
    }
}

fn value(field: &FieldDescriptor, api: &Api, depth: usize) -> String {
    let rules = api.rules(field);
    let default = rules.example.clone().or_else(|| rules.default_value.clone());
    match field.kind() {
        Kind::Bool => default.unwrap_or_else(|| "true".to_owned()),
        Kind::String => rules.example.as_ref().map_or("\"…\"".to_owned(), |example| format!("{example:?}")),
        Kind::Bytes => "\"AA==\"".to_owned(),
        Kind::Enum(descriptor) => {
            let named = default.or_else(|| enum_value_names(&descriptor).into_iter().next());
            named.map_or("0".to_owned(), |name| format!("{name:?}"))
        }
        Kind::Message(inner) if is_well_known(&inner) => match inner.name() {
            "Timestamp" => "\"2024-05-31T20:15:00Z\"".to_owned(),
            "Duration" => "\"1.5s\"".to_owned(),
            "FieldMask" => "\"\"".to_owned(),
            _ => "{}".to_owned(),
        },
        Kind::Message(_) if depth == DEEPEST => "{}".to_owned(),
        Kind::Message(inner) => object(&inner, api, depth + 1),
        kind => default.unwrap_or_else(|| number(&kind, rules)),
    }
}

/// The smallest whole number that is accepted, or the largest fraction.
fn number(kind: &Kind, rules: &Rules) -> String {
    let bound = if matches!(kind, Kind::Double | Kind::Float) { rules.max } else { rules.min };
    bound.unwrap_or(1.0).to_string()
}

#[cfg(test)]
mod tests {
    use marquee_proto::dynamic::from_json;

    use super::super::served;
    use super::*;

    #[test]
    fn the_example_of_every_stream_is_a_message_that_breaks_no_rule() {
        let api = served();
        let services: Vec<_> = api.services().collect();
        let methods = services.iter().flat_map(prost_reflect::ServiceDescriptor::methods);
        let streams: Vec<_> = methods.filter(prost_reflect::MethodDescriptor::is_client_streaming).collect();
        assert!(!streams.is_empty());
        for stream in streams {
            let line = line(&stream.input(), &api);
            let message = from_json(&stream.input(), &line).unwrap();
            assert_eq!(api.check(&message), Ok(()), "{}: {line}", stream.full_name());
        }
    }

    #[test]
    fn the_example_is_short_and_has_what_a_person_would_write() {
        let api = served();
        let method = api.method("marquee.v1.InteractionService.RecordInteractions").unwrap();
        assert_eq!(
            line(&method.input(), &api),
            r#"{"interaction":{"user_id":1,"movie_id":1,"kind":"rating","rating":4.5,"time":"2024-05-31T20:15:00Z"}}"#
        );
    }
}
