//! JSON as people write it, made into a message, and a message made into JSON.
//!
//! A text is read once ([`read`]), straight into the bytes of the message: no tree of JSON and no message by descriptor
//! stands between, so what a text takes in memory is its own length and a few times that at worst, and whoever decodes
//! the bytes holds them to the bounds of their lists first.
//!
//! protobuf's own mapping takes the field names of the proto and those in camel case, but of an enum value the full
//! name only, and it says of a fault neither where it stands nor what was meant. Here values of enums have their short
//! names too, every fault names its field in dotted form, as those of the rules do, and what was meant where that can
//! be told ([`hints`]).

mod hints;
mod read;
mod scalar;

use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use crate::Violation;

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
    /// Fields are unknown, stand twice or have values that they cannot take; the first
    /// [`MAX_VIOLATIONS`](crate::MAX_VIOLATIONS) of them, and at least one.
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
    let bytes = json_to_bytes(descriptor, text.as_bytes())?;
    DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).map_err(|error| {
        JsonError::Fields(vec![Violation {
            field: descriptor.name().to_owned(),
            description: error.to_string(),
        }])
    })
}

/// The bytes of the message that a text describes, which is read as [`from_json`] reads it. There are four times as
/// many of them as the text has at most, and nearly always fewer.
///
/// # Errors
/// As [`from_json`].
pub fn json_to_bytes(descriptor: &MessageDescriptor, text: &[u8]) -> Result<Vec<u8>, JsonError> {
    read::message(descriptor, text)
}

/// The message in protobuf's JSON mapping, with the names of the proto and every field that has no presence, zero
/// or not. 64-bit numbers are texts and values of enums have their full names, as the mapping says.
///
/// # Errors
/// When a time or a duration is out of the range that its text can say.
pub fn to_json(message: &DynamicMessage) -> Result<Value, serde_json::Error> {
    message.serialize_with_options(serde_json::value::Serializer, &as_the_proto_says())
}

/// The text of [`to_json`], without spaces.
///
/// # Errors
/// As [`to_json`].
pub fn to_json_text(message: &DynamicMessage) -> Result<Vec<u8>, serde_json::Error> {
    let mut serializer = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut serializer, &as_the_proto_says())?;
    Ok(serializer.into_inner())
}

fn as_the_proto_says() -> SerializeOptions {
    SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::json;

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
    fn a_field_without_a_name_and_one_of_a_message_without_fields_are_named_too() {
        assert!(refusal(r#"{"":1}"#).starts_with(r#""": is no field of RecordInteractionsRequest"#));
        assert!(refusal(r#"{"interaction":{"":1}}"#).starts_with(r#"interaction."": is no field of"#));
        let text = of("marquee.v1.OperationsService.GetStats", r#"{"a":1}"#).unwrap_err();
        assert_eq!(text, "a: is no field of GetStatsRequest, which has none");
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
        assert!(
            text.contains("history: excludes what is given before; give one of user_id, user_key, history"),
            "{text}"
        );
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

    #[test]
    fn numbers_are_read_in_every_form_of_the_mapping() {
        for (written, rating) in [("4", 4.0), ("4.5", 4.5), ("\"4.5\"", 4.5), ("45e-1", 4.5)] {
            let text =
                format!(r#"{{"interaction":{{"user_id":"18446744073709551615","rating":{written}}}}}"#);
            let event = event(&text);
            assert_eq!((event.user_id(), event.rating), (u64::MAX, Some(rating)), "{written}");
        }
        assert_eq!(event(r#"{"interaction":{"movie_id":2.0}}"#).movie_id(), 2);
        for number in [
            "4294967296",
            "1.5",
            "1e400",
            "-1",
            "NaN",
            "\"\"",
            "\"1 \"",
            "\"+1\"",
            "\"01\"",
            "true",
            "[]",
            "{}",
        ] {
            refusal(&format!(r#"{{"interaction":{{"movie_id":{number}}}}}"#));
        }
        assert!(event(r#"{"interaction":{"rating":"NaN"}}"#).rating.unwrap().is_nan());
    }

    #[test]
    fn null_says_nothing_and_an_empty_message_something() {
        assert_eq!(event(r#"{"interaction":{"movie_id":null}}"#), v1::Interaction::default());
        assert!(refusal(r#"{"interaction":null,"interaction":{}}"#).contains("is given twice"));
        let text = of("marquee.v1.RecommendationService.RecommendBatch", r#"{"requests":[null]}"#);
        assert!(text.unwrap_err().contains("requests[0]: is null; an object with the fields"));
        let empty = of("marquee.v1.RecommendationService.RecommendBatch", r#"{"requests":[{}, {}]}"#);
        let batch = v1::RecommendBatchRequest::decode(&*empty.unwrap().encode_to_vec()).unwrap();
        assert_eq!(batch.requests, vec![v1::RecommendRequest::default(); 2]);
    }

    #[test]
    fn a_name_that_stands_twice_in_either_form_is_a_fault() {
        let text = refusal(r#"{"interaction":{"movie_id":1,"movieId":2}}"#);
        assert_eq!(text, "interaction.movie_id: is given twice; give it once");
    }

    #[test]
    fn lists_and_long_messages_have_their_lengths() {
        let ids: Vec<u32> = (0..1000).map(|id| id * 1000).collect();
        let text = json!({ "requests": [{ "history": { "movie_ids": ids }, "filter": { "genres_any": ["Drama", ""] } }] });
        let message = of("marquee.v1.RecommendationService.RecommendBatch", &text.to_string()).unwrap();
        let batch = v1::RecommendBatchRequest::decode(&*message.encode_to_vec()).unwrap();
        let Some(v1::recommend_request::Subject::History(history)) = &batch.requests[0].subject else {
            panic!("{batch:?}")
        };
        assert_eq!(history.movie_ids, ids);
        assert_eq!(batch.requests[0].filter.as_ref().unwrap().genres_any, ["Drama", ""]);
    }

    #[test]
    fn every_fault_is_told_up_to_a_bound_and_in_few_words() {
        let elements = vec![r#"{"k": "no", "what": 1}"#; 1000].join(",");
        let text =
            of("marquee.v1.RecommendationService.RecommendBatch", &format!(r#"{{"requests":[{elements}]}}"#));
        assert_eq!(text.unwrap_err().matches("; a whole number").count(), crate::MAX_VIOLATIONS / 2);
        let long = "x".repeat(1 << 20);
        for text in [
            format!(r#"{{"{long}": 1}}"#),
            format!(r#"{{"interaction": {{"kind": "{long}"}}}}"#),
            format!(r#"{{"interaction": {{"movie_id": "{long}"}}}}"#),
            format!(r#"{{"interaction": {{"time": "{long}"}}}}"#),
            format!(r#"{{"interaction": "{long}"}}"#),
            format!(r#"{{"interaction": [{}1]}}"#, "[],".repeat(1 << 18)),
        ] {
            let refusal = refusal(&text);
            assert!(refusal.len() < 400, "{} bytes", refusal.len());
        }
    }

    #[test]
    fn a_list_that_is_much_too_long_is_refused_before_its_end() {
        let elements = "{},".repeat(2000);
        let text =
            of("marquee.v1.RecommendationService.RecommendBatch", &format!(r#"{{"requests":[{elements}"#));
        assert_eq!(text.unwrap_err(), "requests: has more than 1000 elements; at most 1000 are accepted");
    }

    #[test]
    fn what_is_no_text_of_unicode_and_what_nests_without_end_is_no_json() {
        let descriptor = Api::marquee().method("marquee.v1.RecommendationService.Recommend").unwrap().input();
        let deep = "[".repeat(1 << 20);
        for text in [
            &b"{\"model_version\": \"\xff\"}"[..],
            b"{\"model_version\": \"\\ud800\"}",
            b"{\"k\": 1e999}",
            b"{\"k\": NaN}",
            b"{\"k\": 01}",
            b"{\"k\": 1,}",
            b"",
            deep.as_bytes(),
        ] {
            let error = json_to_bytes(&descriptor, text).unwrap_err();
            assert!(matches!(error, JsonError::Syntax { .. }), "{error}");
        }
    }
}
