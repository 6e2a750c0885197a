//! The rules of the protos on dynamic messages.
//!
//! [`Validate`](crate::Validate) holds typed messages to the same rules. Here a field whose zero value is refused
//! counts as missing when it is zero, since that is what the person who wrote the JSON sees.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

use super::rules::absence_of_all;
use super::{Api, Rules};
use crate::{MAX_VIOLATIONS, Violation};

impl Api {
    /// Holds a message of this API to the rules of its fields, those of nested messages included.
    ///
    /// # Errors
    /// The violations in the order of the fields, the first [`MAX_VIOLATIONS`] of them; never empty. A list that is
    /// too long is not looked into.
    pub fn check(&self, message: &DynamicMessage) -> Result<(), Vec<Violation>> {
        let mut found = Vec::new();
        check_message(message, "", self, &mut found);
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Sets every absent time whose rules say that it means now to `now`, in milliseconds, so that a repeated
    /// attempt sends the same one.
    pub fn fill_times(&self, message: &mut DynamicMessage, now: SystemTime) {
        for field in message.descriptor().fields().filter(|field| !field.is_list() && !field.is_map()) {
            let Kind::Message(inner) = field.kind() else { continue };
            if message.has_field(&field) {
                if let Value::Message(inner) = message.get_field_mut(&field) {
                    self.fill_times(inner, now);
                }
            } else if inner.full_name() == "google.protobuf.Timestamp"
                && self.rules(&field).default_value.as_deref() == Some("now")
            {
                let mut time = DynamicMessage::new(inner);
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                time.set_field_by_number(1, Value::I64(since.as_secs() as i64));
                time.set_field_by_number(2, Value::I32((since.subsec_millis() * 1_000_000) as i32));
                message.set_field(&field, Value::Message(time));
            }
        }
    }
}

fn check_message(message: &DynamicMessage, at: &str, api: &Api, found: &mut Vec<Violation>) {
    for field in message.descriptor().fields() {
        if found.len() >= MAX_VIOLATIONS {
            return;
        }
        let rules = api.rules(&field);
        let name = if at.is_empty() { field.name().to_owned() } else { format!("{at}.{}", field.name()) };
        if !message.has_field(&field) {
            if api.is_required(&field) && !is_another_there(message, &field) {
                found.push(absence(&field, rules, at));
            }
            continue;
        }
        match message.get_field(&field).as_ref() {
            Value::List(list) => match rules.fault_of_count(list.len()) {
                Some(description) => found.push(Violation { field: name, description }),
                None => check_elements(list, &name, rules, api, found),
            },
            Value::Map(map) => {
                let key = |key: &MapKey| rules.fault_of_text(key.as_str().unwrap_or_default());
                let of_each = |(name, value): (&MapKey, &Value)| {
                    key(name).or_else(|| value.as_str().and_then(|text| rules.fault_of_text(text)))
                };
                let fault = rules.fault_of_count(map.len()).or_else(|| map.iter().find_map(of_each));
                found.extend(fault.map(|description| Violation { field: name, description }));
            }
            value => check_value(value, &name, rules, api, found),
        }
    }
}

fn check_elements(list: &[Value], name: &str, rules: &Rules, api: &Api, found: &mut Vec<Violation>) {
    for (index, element) in list.iter().enumerate() {
        if found.len() >= MAX_VIOLATIONS {
            return;
        }
        check_value(element, &format!("{name}[{index}]"), rules, api, found);
    }
}

fn check_value(value: &Value, name: &str, rules: &Rules, api: &Api, found: &mut Vec<Violation>) {
    let fault = match value {
        Value::Message(inner) => return check_message(inner, name, api, found),
        Value::String(text) => rules.fault_of_text(text),
        value => number(value).and_then(|number| rules.fault_of_number(number)),
    };
    found.extend(fault.map(|description| Violation { field: name.to_owned(), description }));
}

/// Whether another member of the field's oneof is there, or stands before it and is named when none is.
fn is_another_there(message: &DynamicMessage, field: &FieldDescriptor) -> bool {
    let Some(oneof) = field.containing_oneof() else { return false };
    let is_first = oneof.fields().next().as_ref() == Some(field);
    !is_first || oneof.fields().any(|member| message.has_field(&member))
}

/// Of a required field, or of all members of a required oneof.
fn absence(field: &FieldDescriptor, rules: &Rules, at: &str) -> Violation {
    let of_several = field.containing_oneof().filter(|oneof| oneof.fields().len() > 1);
    let (name, description) = if let Some(oneof) = of_several {
        absence_of_all(&oneof)
    } else {
        let accepted = rules.accepted().map_or(String::new(), |accepted| format!("; {accepted} is accepted"));
        (field.name().to_owned(), format!("must be given{accepted}"))
    };
    Violation { field: if at.is_empty() { name } else { format!("{at}.{name}") }, description }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::I32(n) => Some(f64::from(*n)),
        Value::I64(n) => Some(*n as f64),
        Value::U32(n) => Some(f64::from(*n)),
        Value::U64(n) => Some(*n as f64),
        Value::F32(n) => Some(f64::from(*n)),
        Value::F64(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{from_json, to_json};
    use super::*;

    fn message(api: &Api, name: &str, json: &str) -> DynamicMessage {
        let descriptor = api.pool().get_message_by_name(name).unwrap();
        from_json(&descriptor, json).unwrap()
    }

    fn violations(name: &str, json: &str) -> Vec<(String, String)> {
        let api = Api::marquee();
        let found = api.check(&message(&api, name, json)).err().unwrap_or_default();
        found.into_iter().map(|violation| (violation.field, violation.description)).collect()
    }

    #[test]
    fn a_violation_names_its_field_with_the_way_to_it() {
        let json =
            r#"{"requests": [{"user_id": 1}, {"user_id": 1, "k": 501, "filter": {"year_min": 3000}}]}"#;
        let found = violations("marquee.v1.RecommendBatchRequest", json);
        assert_eq!(found[0], ("requests[1].k".into(), "is 501; 1 to 500 movies is accepted".into()));
        assert_eq!(found[1].0, "requests[1].filter.year_min");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_missing_is_a_violation_and_what_is_optional_is_not() {
        let found = violations("marquee.v1.RecordInteractionsRequest", "{}");
        assert_eq!(found, [("interaction".into(), "must be given".into())]);
        assert_eq!(violations("marquee.v1.RecommendRequest", r#"{"user_id": 1}"#), []);
    }

    #[test]
    fn a_list_is_counted_and_each_element_is_looked_at() {
        let json = r#"{"user_id": 1, "filter": {"genres_any": ["Drama", ""]}}"#;
        assert_eq!(violations("marquee.v1.RecommendRequest", json)[0].0, "filter.genres_any[1]");
        let many = vec!["{}"; 1001].join(",");
        let found = violations("marquee.v1.RecommendBatchRequest", &format!(r#"{{"requests": [{many}]}}"#));
        assert_eq!(found[0].1, "has 1001 elements; at most 1000 are accepted");
    }

    #[test]
    fn no_more_is_found_than_a_person_would_read() {
        let bad = vec![r#"{"k": 0}"#; 1000].join(",");
        let found = violations("marquee.v1.RecommendBatchRequest", &format!(r#"{{"requests": [{bad}]}}"#));
        assert_eq!(found.len(), MAX_VIOLATIONS);
        let many = vec![r#"{"k": 0}"#; 1001].join(",");
        let found = violations("marquee.v1.RecommendBatchRequest", &format!(r#"{{"requests": [{many}]}}"#));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_time_that_means_now_is_filled_to_the_millisecond_and_one_that_is_given_stays() {
        let api = Api::marquee();
        let now = UNIX_EPOCH + Duration::from_micros(1_500_250_999);
        let name = "marquee.v1.RecordInteractionsRequest";
        let filled = |json: &str| {
            let mut message = message(&api, name, json);
            api.fill_times(&mut message, now);
            to_json(&message).unwrap()["interaction"]["time"].clone()
        };
        assert_eq!(filled(r#"{"interaction": {"user_id": 1}}"#), "1970-01-01T00:25:00.250Z");
        let given = "2024-05-31T20:15:00Z";
        assert_eq!(filled(&format!(r#"{{"interaction": {{"time": "{given}"}}}}"#)), given);
    }
}
