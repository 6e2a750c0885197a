//! JSON as people write it, made into a message, and a message made into JSON.
//!
//! protobuf's own mapping takes the field names of the proto and those in camel case, but of an enum
//! value the full name only, and it says of a fault neither where it stands nor what was meant. So the
//! values of enums are brought into their full form first, and every fault names its field in dotted
//! form, as those of the rules do.

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::{Value, json};

use super::names::{enum_value, enum_value_names, is_well_known};
use crate::Violation;

/// How alike two names are that may be the same one misspelt (Jaro-Winkler).
const CLOSE: f64 = 0.8;

/// How deep a misplaced field is looked for.
const DEEPEST: usize = 3;

/// Why a text is not the message that it should be.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON; the error says where it ends to be.
    #[error("is not a {message} in JSON: {error}")]
    Syntax {
        /// The name of the message.
        message: String,
        /// What is wrong, with line and column.
        error: serde_json::Error,
    },
    /// Fields, of which there is at least one, are unknown or have values that they cannot take.
    #[error("{}", listed(.0))]
    Fields(Vec<Violation>),
}

fn listed(violations: &[Violation]) -> String {
    let lines = violations.iter().map(|violation| format!("{}: {}", violation.field, violation.description));
    lines.collect::<Vec<_>>().join("; ")
}

/// The message that `text` describes. Rules are not looked at: that is [`Api::check`](super::Api::check)'s.
///
/// Fields go by their name in the proto or in camel case, values of enums by their short or their full name in
/// any case, or by number; 64-bit numbers may be texts; times are texts such as `2024-05-31T20:15:00Z`.
///
/// # Errors
/// [`JsonError`]; a name that no field and no value has comes with the one that may be meant.
pub fn from_json(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, JsonError> {
    let mut json = serde_json::from_str(text)
        .map_err(|error| JsonError::Syntax { message: descriptor.name().to_owned(), error })?;
    let mut faults = Vec::new();
    complete(descriptor, &mut json, "", &mut faults);
    if !faults.is_empty() {
        return Err(JsonError::Fields(faults));
    }
    DynamicMessage::deserialize(descriptor.clone(), &json)
        .map_err(|error| JsonError::Fields(vec![locate(descriptor, &json, "", &error)]))
}

/// The message in protobuf's JSON mapping, with the names of the proto and every field that has no presence, zero
/// or not. 64-bit numbers are texts and values of enums have their full names, as the mapping says.
///
/// # Errors
/// When a time or a duration is out of the range that its text can say.
pub fn to_json(message: &DynamicMessage) -> Result<Value, serde_json::Error> {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options)
}

/// Gives enum values their full names, and notes what no mapping could read.
fn complete(descriptor: &MessageDescriptor, json: &mut Value, at: &str, faults: &mut Vec<Violation>) {
    let Value::Object(object) = json else {
        let field = if at.is_empty() { descriptor.name() } else { at };
        let expected = format!("is {json}; an object with the fields {} is accepted", names(descriptor));
        faults.push(Violation { field: field.to_owned(), description: expected });
        return;
    };
    for (name, value) in object {
        let place = inside(at, name);
        match field_of(descriptor, name) {
            Some(field) => complete_field(&field, value, &place, faults),
            None => faults.push(Violation { field: place, description: unknown(descriptor, name) }),
        }
    }
}

fn complete_field(field: &FieldDescriptor, json: &mut Value, place: &str, faults: &mut Vec<Violation>) {
    match (json, field.kind()) {
        (Value::Array(elements), kind) if field.is_list() => {
            for (index, element) in elements.iter_mut().enumerate() {
                complete_value(&kind, element, &format!("{place}[{index}]"), faults);
            }
        }
        (Value::Object(entries), Kind::Message(entry)) if field.is_map() => {
            let kind = entry.map_entry_value_field().kind();
            for (key, value) in entries {
                complete_value(&kind, value, &format!("{place}[{key:?}]"), faults);
            }
        }
        (json, kind) if !field.is_list() && !field.is_map() => complete_value(&kind, json, place, faults),
        // The mapping says what is wrong with it.
        _ => {}
    }
}

fn complete_value(kind: &Kind, json: &mut Value, place: &str, faults: &mut Vec<Violation>) {
    match (kind, json) {
        (_, Value::Null) => {}
        (Kind::Enum(descriptor), Value::String(name)) => match enum_value(descriptor, name) {
            Some(value) => value.name().clone_into(name),
            None => faults
                .push(Violation { field: place.to_owned(), description: unknown_value(descriptor, name) }),
        },
        (Kind::Message(inner), json) if !is_well_known(inner) => complete(inner, json, place, faults),
        _ => {}
    }
}

/// The field that the mapping refuses: the deepest one that is refused alone.
fn locate(descriptor: &MessageDescriptor, json: &Value, at: &str, error: &serde_json::Error) -> Violation {
    for (name, value) in json.as_object().into_iter().flatten() {
        let alone = json!({ name: value });
        let Err(error) = DynamicMessage::deserialize(descriptor.clone(), &alone) else { continue };
        let place = inside(at, name);
        return match field_of(descriptor, name).map(|field| (field.is_list(), field.kind())) {
            Some((false, Kind::Message(inner))) if !is_well_known(&inner) => {
                locate(&inner, value, &place, &error)
            }
            Some((true, Kind::Message(inner))) if !is_well_known(&inner) => {
                locate_element(&inner, value, &place, &error)
            }
            _ => Violation { field: place, description: format!("is {value}: {error}") },
        };
    }
    // Each field is right alone, so that they exclude each other.
    let field = if at.is_empty() { descriptor.name() } else { at };
    Violation { field: field.to_owned(), description: error.to_string() }
}

fn locate_element(
    descriptor: &MessageDescriptor,
    json: &Value,
    place: &str,
    error: &serde_json::Error,
) -> Violation {
    let elements = json.as_array().into_iter().flatten().enumerate();
    let refused = elements.map(|(index, element)| {
        (index, element, DynamicMessage::deserialize(descriptor.clone(), element).err())
    });
    for (index, element, refusal) in refused {
        if let Some(error) = refusal {
            return locate(descriptor, element, &format!("{place}[{index}]"), &error);
        }
    }
    Violation { field: place.to_owned(), description: format!("is {json}: {error}") }
}

fn field_of(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name))
}

fn inside(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// What to say of a name that no field has: which field may be meant, here or further in.
fn unknown(descriptor: &MessageDescriptor, name: &str) -> String {
    let mut candidates = Vec::new();
    collect(descriptor, "", DEEPEST, &mut candidates);
    let named = candidates.iter().map(|(path, field)| (path.clone(), field.name()));
    match close_to(name, named) {
        Some(path) => format!("is no field of {}{}", descriptor.name(), hint(Some(path))),
        None => format!("is no field of {}; its fields are {}", descriptor.name(), names(descriptor)),
    }
}

/// What to say of a name that no value of an enum has.
fn unknown_value(descriptor: &EnumDescriptor, name: &str) -> String {
    let known = enum_value_names(descriptor);
    let meant = close_to(name, known.iter().map(|known| (known.clone(), known.as_str())));
    format!("is {name:?}; {} is accepted{}", known.join(", "), hint(meant))
}

fn collect(
    descriptor: &MessageDescriptor,
    at: &str,
    depth: usize,
    candidates: &mut Vec<(String, FieldDescriptor)>,
) {
    if depth == 0 {
        return;
    }
    for field in descriptor.fields() {
        let place = inside(at, field.name());
        candidates.push((place.clone(), field.clone()));
        let place = if field.is_list() { format!("{place}[]") } else { place };
        if let Kind::Message(inner) = field.kind()
            && !field.is_map()
            && !is_well_known(&inner)
        {
            collect(&inner, &place, depth - 1, candidates);
        }
    }
}

fn names(descriptor: &MessageDescriptor) -> String {
    descriptor.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>().join(", ")
}

/// The candidate whose name is closest to `name`, the least deep of several, if one is close.
fn close_to<'a>(name: &str, candidates: impl Iterator<Item = (String, &'a str)>) -> Option<String> {
    let typed = name.to_lowercase();
    let rated = candidates.map(|(path, name)| (strsim::jaro_winkler(&typed, name), path));
    let close = rated.filter(|(likeness, _)| *likeness >= CLOSE);
    let depth = |path: &str| path.matches('.').count();
    let best = close.max_by(|(one, here), (other, there)| {
        one.total_cmp(other).then_with(|| depth(there).cmp(&depth(here)))
    });
    best.map(|(_, path)| path)
}

fn hint(meant: Option<String>) -> String {
    meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::Api;
    use super::*;
    use crate::v1;

    fn of(name: &str, text: &str) -> Result<DynamicMessage, String> {
        let method = Api::marquee().method(name).expect("the method is there");
        from_json(&method.input(), text).map_err(|error| error.to_string())
    }

    fn event(text: &str) -> v1::Interaction {
        let message = of("marquee.v1.InteractionService.RecordInteractions", text).unwrap();
        let request = v1::RecordInteractionsRequest::decode(message.encode_to_vec().as_slice()).unwrap();
        request.interaction.unwrap()
    }

    fn refusal(text: &str) -> String {
        of("marquee.v1.InteractionService.RecordInteractions", text).unwrap_err()
    }

    #[test]
    fn fields_are_read_as_the_proto_writes_them_and_in_camel_case() {
        let snake = event(r#"{"interaction":{"user_id":1,"movie_id":2,"rating":4}}"#);
        let camel = event(r#"{"interaction":{"userId":1,"movieId":2,"rating":4}}"#);
        assert_eq!(snake, camel);
        assert_eq!((snake.user_id(), snake.movie_id()), (1, 2));
    }

    #[test]
    fn an_enum_value_is_read_in_every_form_that_deep_in_a_message_too() {
        for name in ["INTERACTION_KIND_VIEW", "VIEW", "view", "View"] {
            let line = format!(r#"{{"interaction":{{"user_id":1,"movie_id":2,"kind":"{name}"}}}}"#);
            assert_eq!(event(&line).kind(), v1::InteractionKind::View, "{name}");
        }
        assert_eq!(
            event(r#"{"interaction":{"user_id":1,"movie_id":2,"kind":2}}"#).kind(),
            v1::InteractionKind::View
        );
        let batch = r#"{"requests":[{"user_id":1,"method":"exact","priority":"BULK"}]}"#;
        let message = of("marquee.v1.RecommendationService.RecommendBatch", batch).unwrap();
        let batch = v1::RecommendBatchRequest::decode(message.encode_to_vec().as_slice()).unwrap();
        assert_eq!(batch.requests[0].method(), v1::Method::Exact);
        assert_eq!(batch.requests[0].priority(), v1::Priority::Bulk);
    }

    #[test]
    fn an_unknown_enum_value_names_the_close_one_and_all_others() {
        let text = refusal(r#"{"interaction":{"user_id":1,"movie_id":2,"kind":"VEW"}}"#);
        assert!(text.contains(r#"interaction.kind: is "VEW"; rating, view, like, dislike,"#), "{text}");
        assert!(text.ends_with("hide is accepted; did you mean view?"), "{text}");
    }

    #[test]
    fn an_unknown_field_names_the_close_one() {
        let text = refusal(r#"{"interaction":{"usr_id":1,"movieid":2}}"#);
        assert!(
            text.contains("interaction.usr_id: is no field of Interaction; did you mean user_id?"),
            "{text}"
        );
        assert!(
            text.contains("interaction.movieid: is no field of Interaction; did you mean movie_id?"),
            "{text}"
        );
    }

    #[test]
    fn a_field_that_belongs_further_in_is_named_with_its_way() {
        let text = refusal(r#"{"userId":1}"#);
        assert!(text.contains("did you mean interaction.user_id?"), "{text}");
        let batch = of("marquee.v1.RecommendationService.RecommendBatch", r#"{"k":1}"#).unwrap_err();
        assert!(batch.contains("did you mean requests[].k?"), "{batch}");
    }

    #[test]
    fn a_field_that_is_close_to_none_names_all() {
        let text = refusal(r#"{"interaction":{"xyz":1}}"#);
        assert!(text.contains("its fields are user_id, movie_id, kind, rating, time"), "{text}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_by_its_field() {
        let text = refusal(r#"{"interaction":{"user_id":1,"movie_id":"two"}}"#);
        assert!(text.contains(r#"interaction.movie_id: is "two""#), "{text}");
        let batch = r#"{"requests":[{"user_id":1},{"user_id":1,"k":-1}]}"#;
        let text = of("marquee.v1.RecommendationService.RecommendBatch", batch).unwrap_err();
        assert!(text.contains("requests[1].k: is -1"), "{text}");
    }

    #[test]
    fn two_members_of_a_oneof_exclude_each_other() {
        let text =
            of("marquee.v1.RecommendationService.Recommend", r#"{"user_id":1,"history":{}}"#).unwrap_err();
        assert!(text.contains("RecommendRequest: multiple fields provided for oneof 'subject'"), "{text}");
    }

    #[test]
    fn json_has_the_names_of_the_proto_and_64_bits_as_text() {
        let line = r#"{"interaction":{"userId":1,"movie_id":2,"kind":"view","time":"2024-05-31T20:15:00Z"}}"#;
        let message = of("marquee.v1.InteractionService.RecordInteractions", line).unwrap();
        assert_eq!(
            to_json(&message).unwrap()["interaction"],
            json!({
                "user_id": "1", "movie_id": 2, "kind": "INTERACTION_KIND_VIEW", "time": "2024-05-31T20:15:00Z",
            })
        );
    }

    #[test]
    fn text_that_is_no_json_says_where() {
        assert!(refusal("{\"interaction\":").contains("line 1 column"));
        assert!(refusal("{} {}").contains("trailing characters"));
        assert!(refusal("5").contains("an object with the fields interaction is accepted"));
    }
}
