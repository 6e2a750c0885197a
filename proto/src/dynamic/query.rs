//! What the path and the query of a request say, as the JSON of its message.
//!
//! A query names fields as the JSON does, those of inner messages with dots, and gives a list element by element:
//! `filter.genres_any=Drama&filter.genres_any=War&filter.year_min=1990`. A value is the text that JSON has for it,
//! without quotes: numbers, `true` and `false`, names of enums, base64, times such as `2024-05-31T20:15:00Z`, durations
//! such as `1.5s`. Names and values are escaped as forms do it, so that `+` is a space and a plus is `%2B`. Lists of
//! messages and maps cannot be said.
//!
//! What is built takes a few times the length of the query, which is bounded ([`MAX_QUERY_BYTES`]); the names that no
//! field has are left to [`from_json`], which knows what may be meant.

use std::borrow::Cow;

use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::names::field_named;
use super::percent::{self, Undecodable};
use super::{Captures, JsonError, from_json, is_well_known};
use crate::{MAX_VIOLATIONS, Violation};

/// The longest query that is read.
pub const MAX_QUERY_BYTES: usize = 64 << 10;

/// The longest name in a query.
const MAX_NAME_BYTES: usize = 256;

/// How many characters of a name are told when it is at fault.
const TOLD: usize = 64;

/// The JSON text of the message that the path and the query of a request say, for [`from_json`]. `query` is without
/// its question mark.
///
/// ```
/// use marquee_proto::dynamic::{Api, query_to_json};
///
/// let method = Api::marquee().method("marquee.v1.CatalogService.GetMovie").expect("there is one");
/// let json = query_to_json(&method.input(), &vec![("movie_id", "7".into())], "")?;
/// assert_eq!(json, r#"{"movie_id":"7"}"#);
/// # Ok::<(), marquee_proto::dynamic::JsonError>(())
/// ```
///
/// # Errors
/// [`JsonError::Fields`]: what cannot be decoded, stands twice, or is a list of messages or a map; a field that the
/// path says too, with another text.
pub fn query_to_json(
    descriptor: &MessageDescriptor,
    captures: &Captures<'_>,
    query: &str,
) -> Result<String, JsonError> {
    if query.len() > MAX_QUERY_BYTES {
        let description = format!("has {} bytes; at most {MAX_QUERY_BYTES} are accepted", query.len());
        return Err(JsonError::Fields(vec![Violation { field: "query".to_owned(), description }]));
    }
    let mut reader = Reader { descriptor, captures, root: Map::new(), faults: Vec::new() };
    for (field, text) in captures {
        reader.put_text(field, text.clone().into_owned());
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if reader.faults.len() >= MAX_VIOLATIONS {
            break;
        }
        reader.read(pair);
    }
    if reader.faults.is_empty() {
        Ok(Value::Object(reader.root).to_string())
    } else {
        Err(JsonError::Fields(reader.faults))
    }
}

/// The bytes of a message, `body`, with the fields that the path says.
///
/// # Errors
/// [`JsonError::Fields`]: what the path says is no value of its field, or the body has another one, or has another
/// member of its oneof.
pub fn with_captures(
    descriptor: &MessageDescriptor,
    mut body: Vec<u8>,
    captures: &Captures<'_>,
) -> Result<Vec<u8>, JsonError> {
    if captures.is_empty() {
        return Ok(body);
    }
    let path = from_json(descriptor, &query_to_json(descriptor, captures, "")?)?;
    let fields: Vec<_> = captures.iter().filter_map(|(name, _)| descriptor.get_field_by_name(name)).collect();
    let rivals: Vec<_> = fields.iter().flat_map(excluded_by).collect();
    let said = only(descriptor, &body, &rivals);
    let mut faults = Vec::new();
    for rival in rivals.iter().filter(|rival| said.has_field(rival)) {
        let field = rival.name().to_owned();
        if !fields.contains(rival) {
            let description = "excludes the field of the path".to_owned();
            faults.push(Violation { field, description });
        } else if said.get_field(rival) != path.get_field(rival) {
            let (said, path) = (said.get_field(rival), path.get_field(rival));
            let description = format!("is {said} in the body and {path} in the path; give it once");
            faults.push(Violation { field, description });
        }
    }
    if !faults.is_empty() {
        return Err(JsonError::Fields(faults));
    }
    body.extend(path.encode_to_vec());
    Ok(body)
}

/// The field and all others of its oneof.
fn excluded_by(field: &FieldDescriptor) -> Vec<FieldDescriptor> {
    field.containing_oneof().map_or_else(|| vec![field.clone()], |oneof| oneof.fields().collect())
}

/// The message of these fields alone, so that a long list beside them costs nothing.
fn only(descriptor: &MessageDescriptor, bytes: &[u8], fields: &[FieldDescriptor]) -> DynamicMessage {
    let mut kept = Vec::new();
    let mut rest = bytes;
    while let Some((tag, length)) = field_length(rest) {
        if fields.iter().any(|field| field.number() == tag) {
            kept.extend_from_slice(&rest[..length]);
        }
        rest = &rest[length..];
    }
    // Bytes that are no message are told by whoever decodes them.
    DynamicMessage::decode(descriptor.clone(), kept.as_slice())
        .unwrap_or_else(|_| DynamicMessage::new(descriptor.clone()))
}

/// The number and the length of the first field.
fn field_length(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut rest = bytes;
    let (tag, wire_type) = decode_key(&mut rest).ok()?;
    skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
    Some((tag, bytes.len() - rest.len()))
}

struct Reader<'a> {
    descriptor: &'a MessageDescriptor,
    captures: &'a Captures<'a>,
    root: Map<String, Value>,
    faults: Vec<Violation>,
}

impl Reader<'_> {
    fn read(&mut self, pair: &str) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let name = match of_a_form(name) {
            Ok(name) if name.len() <= MAX_NAME_BYTES => name,
            Ok(name) => return self.fault(&name, format!("is longer than {MAX_NAME_BYTES} bytes")),
            Err(error) => return self.fault(name, error.to_string()),
        };
        match of_a_form(text) {
            Ok(text) => self.put_text(&name, text),
            Err(error) => self.fault(&name, error.to_string()),
        }
    }

    fn fault(&mut self, name: &str, description: String) {
        let field = match name.char_indices().nth(TOLD) {
            None => name.to_owned(),
            Some((end, _)) => format!("{}…", &name[..end]),
        };
        self.faults.push(Violation { field, description });
    }

    fn put_text(&mut self, name: &str, text: String) {
        if let Err(description) = put(self.descriptor, self.captures, &mut self.root, name, text) {
            self.fault(name, description);
        }
    }
}

/// # Errors
/// What is wrong with the name.
fn put(
    descriptor: &MessageDescriptor,
    captures: &Captures<'_>,
    root: &mut Map<String, Value>,
    name: &str,
    text: String,
) -> Result<(), String> {
    let mut object = root;
    let mut descriptor = descriptor.clone();
    let mut is_outermost = true;
    let mut names = name.split('.');
    while let Some(name) = names.next() {
        let Some(field) = field_named(&descriptor, name) else {
            object.insert(name.to_owned(), Value::String(text));
            return Ok(());
        };
        let Some(inner) = parts_of(&field)? else {
            if names.next().is_some() {
                return Err(format!("{name} has no fields"));
            }
            let is_captured = is_outermost && captures.iter().any(|(captured, _)| *captured == field.name());
            return put_value(object, &field, text, is_captured);
        };
        object = object
            .entry(field.name())
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut()
            .expect("no value but an object is put where the field has parts");
        descriptor = inner;
        is_outermost = false;
    }
    let fields: Vec<_> = descriptor.fields().map(|field| format!("{name}.{}", field.name())).collect();
    Err(format!("has fields of its own, which are given one by one: {}", fields.join(", ")))
}

fn put_value(
    object: &mut Map<String, Value>,
    field: &FieldDescriptor,
    text: String,
    is_captured: bool,
) -> Result<(), String> {
    let value = value_of(field, text);
    match object.get_mut(field.name()) {
        Some(Value::Array(elements)) => elements.push(value),
        Some(captured) if is_captured && *captured == value => {}
        Some(captured) if is_captured => {
            return Err(format!("is {value} in the query and {captured} in the path; give it once"));
        }
        Some(_) => return Err("stands twice in the query, and is no list".to_owned()),
        None => {
            let value = if field.is_list() { Value::Array(vec![value]) } else { value };
            object.insert(field.name().to_owned(), value);
        }
    }
    Ok(())
}

/// The message whose fields a field has, if it has any; none where its value is one text.
///
/// # Errors
/// When no query can say its value.
fn parts_of(field: &FieldDescriptor) -> Result<Option<MessageDescriptor>, String> {
    let Kind::Message(message) = field.kind() else { return Ok(None) };
    if field.is_map() {
        return Err("is a map, which no query can say; call the method with JSON instead".to_owned());
    }
    if is_well_known(&message) {
        let is_one_text = !["Any", "Empty", "ListValue", "Struct", "Value"].contains(&message.name());
        return if is_one_text { Ok(None) } else { Err(not_in_a_query(&message)) };
    }
    if field.is_list() {
        return Err(format!("is a list of {}", not_in_a_query(&message)));
    }
    Ok(Some(message))
}

fn not_in_a_query(message: &MessageDescriptor) -> String {
    format!("{}, which no query can say; call the method with JSON instead", message.name())
}

/// What JSON has for a text. It has most values as texts too, which are left to it.
fn value_of(field: &FieldDescriptor, text: String) -> Value {
    let is_bool = match field.kind() {
        Kind::Bool => true,
        Kind::Message(message) => message.full_name() == "google.protobuf.BoolValue",
        _ => false,
    };
    match (field.kind(), text.as_str()) {
        (_, "true") if is_bool => Value::Bool(true),
        (_, "false") if is_bool => Value::Bool(false),
        (Kind::Enum(_), number) => number.parse::<i32>().map_or(Value::String(text), Value::from),
        _ => Value::String(text),
    }
}

fn of_a_form(text: &str) -> Result<String, Undecodable> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent::decoded(&spaced).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};
    use serde_json::json;

    use super::super::{Api, to_json};
    use super::*;

    const SOURCE: &str = r#"
        syntax = "proto3";
        package test;
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/duration.proto";
        import "google/protobuf/field_mask.proto";
        import "google/protobuf/struct.proto";
        import "google/protobuf/wrappers.proto";
        enum Kind { KIND_UNSPECIFIED = 0; KIND_VIEW = 1; KIND_LIKE = 2; }
        message Filter { repeated string genres_any = 1; int32 year_min = 2; Filter inner = 3; }
        message All {
          double double = 1; float float = 2; int32 int32 = 3; int64 int64 = 4; uint32 uint32 = 5;
          uint64 uint64 = 6; sint32 sint32 = 7; sint64 sint64 = 8; fixed32 fixed32 = 9; fixed64 fixed64 = 10;
          bool bool = 11; string string = 12; bytes bytes = 13; Kind kind = 14;
          repeated uint32 numbers = 15; repeated Kind kinds = 16; optional bool flag = 17;
          google.protobuf.Timestamp time = 18; google.protobuf.Duration span = 19;
          google.protobuf.FieldMask mask = 20; google.protobuf.BoolValue wrapped = 21;
          Filter filter = 22;
          repeated Filter filters = 23; map<string, string> labels = 24; google.protobuf.Struct any = 25;
          oneof subject { uint32 user_id = 26; string history = 27; }
        }
    "#;

    struct Source;

    impl protox::file::FileResolver for Source {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            match name {
                "test.proto" => protox::file::File::from_source(name, SOURCE),
                _ => protox::file::GoogleFileResolver::new().open_file(name),
            }
        }
    }

    fn all() -> MessageDescriptor {
        let mut compiler = protox::Compiler::with_file_resolver(Source);
        compiler.include_imports(true).open_file("test.proto").expect("it compiles");
        let api = Api::new(&[&compiler.encode_file_descriptor_set()]).expect("a set of descriptors");
        api.pool().get_message_by_name("test.All").expect("it is there")
    }

    fn message(captures: &[(&'static str, &'static str)], query: &str) -> Result<DynamicMessage, String> {
        let captures = captures.iter().map(|&(field, text)| (field, text.into())).collect();
        let json = query_to_json(&all(), &captures, query).map_err(|error| error.to_string())?;
        from_json(&all(), &json).map_err(|error| error.to_string())
    }

    /// The field of the message in JSON.
    fn field(query: &str, name: &str) -> Value {
        let message = message(&[], query).expect("a message");
        to_json(&message).expect("it is JSON")[name].clone()
    }

    fn refusal(query: &str) -> String {
        message(&[], query).unwrap_err()
    }

    #[test]
    fn inner_messages_have_dots_and_lists_repeat() {
        let query =
            "filter.genres_any=Drama&filter.year_min=1990&filter.genresAny=Film+Noir&filter.inner.year_min=1";
        let filter = field(query, "filter");
        assert_eq!(filter["genres_any"], json!(["Drama", "Film Noir"]));
        assert_eq!((&filter["year_min"], &filter["inner"]["year_min"]), (&json!(1990), &json!(1)));
        assert_eq!(field("numbers=3&numbers=1", "numbers"), json!([3, 1]));
        assert_eq!(field("&&", "numbers"), json!([]));
    }

    #[test]
    fn an_enum_is_given_by_any_of_its_names_or_its_number() {
        for text in ["view", "VIEW", "KIND_VIEW", "kind_view", "1"] {
            assert_eq!(field(&format!("kind={text}"), "kind"), "KIND_VIEW", "{text}");
        }
        assert_eq!(field("kinds=like&kinds=1", "kinds"), json!(["KIND_LIKE", "KIND_VIEW"]));
        assert!(refusal("kind=vew").contains("did you mean view?"));
    }

    #[test]
    fn well_known_messages_are_given_by_their_text() {
        assert_eq!(field("time=2024-05-31T20:15:00Z", "time"), "2024-05-31T20:15:00Z");
        assert_eq!(field("time=2024-05-31T22:15:00%2B02:00", "time"), "2024-05-31T20:15:00Z");
        assert_eq!(field("span=1.5s", "span"), "1.500s");
        assert_eq!(field("mask=a,b.c", "mask"), "a,b.c");
        assert_eq!(field("wrapped=true", "wrapped"), true);
    }

    #[test]
    fn escapes_are_decoded_in_names_and_values() {
        assert_eq!(field("s%74ring=a%26b%3Dc%2B+%C3%A9", "string"), "a&b=c+ é");
        assert_eq!(field("string=a=b", "string"), "a=b");
        assert!(refusal("string=%zz").starts_with("string: has a %"));
        assert!(refusal("string=%ff").starts_with("string: is not UTF-8"));
        assert!(refusal("%ff=1").starts_with("%ff: is not UTF-8"));
    }

    #[test]
    fn an_unknown_name_comes_with_the_one_that_may_be_meant() {
        assert!(refusal("filter.yearmin=1").contains("filter.yearmin: is no field of Filter; did you mean"));
        assert!(refusal("year_min=1").contains("year_min: is no field of All; did you mean filter"));
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_field() {
        for query in
            ["uint32=ten", "uint32=-1", "uint32=", "bool=yes", "bool", "time=now", "filter.year_min=x"]
        {
            let name = query.split('=').next().expect("there is a first part");
            assert!(refusal(query).starts_with(&format!("{name}: ")), "{}", refusal(query));
        }
    }

    #[test]
    fn what_a_query_cannot_say_is_told() {
        assert!(refusal("filters.year_min=1").starts_with("filters.year_min: is a list of Filter, which"));
        assert!(refusal("labels.a=1").starts_with("labels.a: is a map"));
        assert!(refusal("any=1").starts_with("any: Struct, which no query can say"));
        assert!(refusal("filter=x").starts_with("filter: has fields of its own"));
        assert!(refusal("filter=x").contains("filter.genres_any, filter.year_min"));
        assert!(refusal("int32.x=1").starts_with("int32.x: int32 has no fields"));
    }

    #[test]
    fn a_field_that_is_no_list_is_given_once() {
        assert_eq!(refusal("int32=1&int32=1"), "int32: stands twice in the query, and is no list");
    }

    #[test]
    fn the_path_and_the_query_agree() {
        assert!(message(&[("int32", "7")], "int32=7&bool=true").is_ok());
        let refusal = message(&[("int32", "7")], "int32=8").unwrap_err();
        assert_eq!(refusal, r#"int32: is "8" in the query and "7" in the path; give it once"#);
        assert!(
            message(&[("user_id", "7")], "history=x").unwrap_err().contains("give one of user_id, history")
        );
    }

    fn merged(body: &str) -> Result<Value, String> {
        let captures = vec![("user_id", "7".into())];
        let body = from_json(&all(), body).expect("a message").encode_to_vec();
        let bytes = with_captures(&all(), body, &captures).map_err(|error| error.to_string())?;
        to_json(&DynamicMessage::decode(all(), bytes.as_slice()).expect("a message"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_path_and_the_body_agree() {
        assert_eq!(merged("{}").unwrap()["user_id"], 7);
        let both = merged(r#"{"user_id": 7, "numbers": [1], "filter": {"year_min": 3}}"#).unwrap();
        assert_eq!(
            (&both["user_id"], &both["numbers"], &both["filter"]["year_min"]),
            (&json!(7), &json!([1]), &json!(3))
        );
        assert!(
            merged(r#"{"user_id": 8}"#)
                .unwrap_err()
                .starts_with("user_id: is 8 in the body and 7 in the path")
        );
        assert_eq!(merged(r#"{"history": "x"}"#).unwrap_err(), "history: excludes the field of the path");
    }

    #[test]
    fn a_query_is_bounded() {
        assert!(refusal(&"a".repeat(MAX_QUERY_BYTES + 1)).starts_with("query: has 65537 bytes"));
        let long = refusal(&"a".repeat(MAX_QUERY_BYTES));
        assert!(long.len() < 400 && long.contains("longer than 256 bytes"), "{long}");
        assert_eq!(refusal(&"int32=1&".repeat(8000)).matches("twice").count(), MAX_VIOLATIONS);
        assert!(message(&[], &"filter.inner.".repeat(5000)).is_err());
    }

    /// The query of a message of scalars, in JSON.
    fn query_of(json: &Value, random: &mut StdRng) -> String {
        let mut pairs = Vec::new();
        for (name, value) in json.as_object().into_iter().flatten() {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for value in values.iter().filter(|value| !value.is_null()) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                pairs.push(format!("{name}={}", escaped(&text, random)));
            }
        }
        pairs.join("&")
    }

    fn escaped(text: &str, random: &mut StdRng) -> String {
        let escape = |byte: u8| match byte {
            b' ' if random.random() => "+".to_owned(),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if random.random() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(escape).collect()
    }

    #[test]
    fn a_message_of_scalars_comes_back() {
        let mut random = StdRng::seed_from_u64(23);
        let all = all();
        for _ in 0..500 {
            let text: String = (0..random.random_range(0..9)).map(|_| random.random::<char>()).collect();
            let json = json!({
                "double": random.random::<f64>() * 1e9, "float": random.random::<f32>(),
                "int32": random.random::<i32>(), "int64": random.random::<i64>(),
                "uint32": random.random::<u32>(), "uint64": random.random::<u64>(),
                "sint32": random.random::<i32>(), "sint64": random.random::<i64>(),
                "fixed32": random.random::<u32>(), "fixed64": random.random::<u64>(),
                "bool": random.random::<bool>(), "flag": random.random::<bool>(),
                "string": text, "history": text, "kind": random.random_range(0..3),
                "numbers": (0..random.random_range(0..4)).map(|_| random.random::<u32>()).collect::<Vec<_>>(),
            });
            let mut message = from_json(&all, &json.to_string()).unwrap();
            let bytes: Vec<u8> = (0..random.random_range(0..9)).map(|_| random.random()).collect();
            message.set_field_by_name("bytes", prost_reflect::Value::Bytes(bytes.into()));
            let said = to_json(&message).unwrap();
            let scalars: Map<String, Value> = said
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| !["filters", "labels"].contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let query = query_of(&Value::Object(scalars), &mut random);
            let back = from_json(&all, &query_to_json(&all, &Vec::new(), &query).unwrap()).unwrap();
            assert_eq!(to_json(&back).unwrap(), said, "{query}");
        }
    }
}
