//! The same in JSON: texts that cost as much as they can, made of the descriptors.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::routes;

/// The smallest values of JSON, and those that become most.
const VALUES: [&str; 10] =
    ["0", "-1", "{}", "[]", "\"\"", "null", "true", "{\"a\":0}", "[[]]", "\"\\u0000\""];

/// A text of JSON, and how it is blown up.
pub(crate) struct Text {
    pub(crate) what: String,
    pub(crate) json: String,
}

/// Nearly `size` bytes of a message in JSON, blown up in every way, and no more.
pub(crate) fn texts(message: &MessageDescriptor, size: usize) -> impl Iterator<Item = Text> {
    let of_fields = routes(message).into_iter().flat_map(move |route| of_field(&route, size));
    of_fields.chain(of_no_field(size))
}

/// A field with each value over and over, and with one as long as may be.
pub(crate) fn of_field(route: &[FieldDescriptor], size: usize) -> Vec<Text> {
    let name = dotted(route);
    let leaf = route.last().expect("a route has a field");
    let size = size.saturating_sub(within(route, "[]").len());
    let mut texts = Vec::new();
    for value in VALUES.map(str::to_owned).into_iter().chain(last_of_enum(leaf)) {
        texts.push(Text { what: format!("{name} {value} deep"), json: deep(route, &value, size) });
        texts.push(Text { what: format!("{name} {value} wide"), json: wide(route, &value, size) });
    }
    let long = [
        ("a long text", format!("\"{}\"", "x".repeat(size))),
        ("a long text of escapes", format!("\"{}\"", r"\u0000".repeat(size / 6))),
        ("digits", "1".repeat(size)),
    ];
    texts.extend(
        long.map(|(what, value)| Text { what: format!("{name} {what}"), json: within(route, &value) }),
    );
    texts
}

fn of_no_field(size: usize) -> [Text; 5] {
    let size = size.saturating_sub(8);
    let names: Vec<_> = (0..size / 12).map(|name| format!("\"{name:x}\":0")).collect();
    [
        ("many names", format!("{{{}}}", names.join(","))),
        ("a long name", format!("{{\"{}\":0}}", "x".repeat(size))),
        ("lists in lists", "[".repeat(size)),
        ("objects in objects", "{\"a\":".repeat(size / 5)),
        ("spaces", format!("{{{}}}", " ".repeat(size))),
    ]
    .map(|(what, json)| Text { what: what.to_owned(), json })
}

/// The way to a field as errors and queries write it.
pub(crate) fn dotted(route: &[FieldDescriptor]) -> String {
    route.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
}

/// The full name of an enum's last value, which all others are compared with before.
fn last_of_enum(field: &FieldDescriptor) -> Option<String> {
    match field.kind() {
        Kind::Enum(descriptor) => {
            descriptor.values().last().map(|value| format!("\"{}\"", value.name().to_lowercase()))
        }
        _ => None,
    }
}

/// A list of the values in place of the field.
fn deep(route: &[FieldDescriptor], value: &str, size: usize) -> String {
    within(route, &format!("[{}]", over_and_over(value, size)))
}

/// The way from the outermost list on over and over; where there is none, the outermost field.
fn wide(route: &[FieldDescriptor], value: &str, size: usize) -> String {
    let first = route.iter().position(FieldDescriptor::is_list);
    match first.map(|first| route.split_at(first + 1)) {
        Some((around, inside)) if !inside.is_empty() => {
            within(around, &format!("[{}]", over_and_over(&within(inside, value), size)))
        }
        _ => {
            let object = within(route, value);
            format!("{{{}}}", over_and_over(&object[1..object.len() - 1], size))
        }
    }
}

fn over_and_over(unit: &str, size: usize) -> String {
    let count = (size / (unit.len() + 1)).max(1);
    let mut all = format!("{unit},").repeat(count);
    all.pop();
    all
}

/// A value in all fields around it.
fn within(route: &[FieldDescriptor], value: &str) -> String {
    route.iter().rev().fold(value.to_owned(), |inner, field| {
        let inner = if field.is_list() && !inner.starts_with('[') { format!("[{inner}]") } else { inner };
        format!("{{\"{}\":{inner}}}", field.name())
    })
}
