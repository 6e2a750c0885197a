//! What is wrong with a request, before it is sent: the rules of the protos on dynamic messages.
//!
//! Flags were checked when they were parsed; this also sees what came as JSON, and what is missing.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use super::api::Api;
use super::rules::Rules;

/// A field that breaks its rule.
#[derive(Debug, PartialEq)]
pub(super) struct Violation {
    /// In dotted form, such as `filter.year_min` or `requests[3].k`.
    pub(super) field: String,
    /// What is wrong and what is accepted.
    pub(super) description: String,
}

/// All violations in `message`, in the order of its fields.
pub(super) fn violations(message: &DynamicMessage, api: &Api) -> Vec<Violation> {
    let mut found = Vec::new();
    check_message(message, "", api, &mut found);
    found
}

fn check_message(message: &DynamicMessage, at: &str, api: &Api, found: &mut Vec<Violation>) {
    for field in message.descriptor().fields() {
        let rules = api.rules(&field);
        let name = if at.is_empty() { field.name().to_owned() } else { format!("{at}.{}", field.name()) };
        if !message.has_field(&field) {
            if api.is_required(&field) && !is_another_there(message, &field) {
                found.push(Violation { field: name, description: absence(&rules) });
            }
            continue;
        }
        match message.get_field(&field).as_ref() {
            Value::List(list) => {
                let fault = rules.fault_of_count(list.len());
                found.extend(fault.map(|description| Violation { field: name.clone(), description }));
                for (index, element) in list.iter().enumerate() {
                    check_value(element, &format!("{name}[{index}]"), &rules, api, found);
                }
            }
            value => check_value(value, &name, &rules, api, found),
        }
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

fn absence(rules: &Rules) -> String {
    let accepted = rules.accepted().map_or(String::new(), |accepted| format!("; {accepted} is accepted"));
    format!("must be given{accepted}")
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

/// Sets every absent time whose rules say that it means now, so that a repeated attempt sends the
/// same one.
pub(super) fn fill_times(message: &mut DynamicMessage, api: &Api) {
    for field in message.descriptor().fields().filter(|field| !field.is_list() && !field.is_map()) {
        let Kind::Message(inner) = field.kind() else { continue };
        if message.has_field(&field) {
            if let Value::Message(inner) = message.get_field_mut(&field) {
                fill_times(inner, api);
            }
        } else if inner.full_name() == "google.protobuf.Timestamp"
            && api.rules(&field).default_value.as_deref() == Some("now")
        {
            let mut now = DynamicMessage::new(inner);
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.set_field_by_number(1, Value::I64(since.as_secs() as i64));
            now.set_field_by_number(2, Value::I32((since.subsec_millis() * 1_000_000) as i32));
            message.set_field(&field, Value::Message(now));
        }
    }
}
