//! Turns the descriptors of requests into code that says what they name: whose data they are about, how much they want,
//! and of which model. A field is known by its name, so that a new request is covered without a word.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use crate::rules::Rules;
use crate::validation::is_ours;

/// The messages that requests are made of, by their full names.
pub(crate) fn request_messages(pool: &DescriptorPool) -> BTreeMap<String, MessageDescriptor> {
    let mut messages = BTreeMap::new();
    for service in pool.services().filter(|service| service.package_name() == "marquee.v1") {
        for method in service.methods() {
            collect(method.input(), &mut messages);
        }
    }
    messages
}

/// The source of `impl Names` for every message that requests are made of.
pub(crate) fn naming_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in request_messages(pool).values() {
        writeln!(code, "impl Names for v1::{} {{", message.name())?;
        writeln!(code, "    fn names(&self, visit: &mut dyn FnMut(Named<'_>)) {{")?;
        let visits: String = message.fields().map(|field| visit(&field)).collect();
        code.push_str(if visits.is_empty() { "        let _ = visit;\n" } else { &visits });
        code.push_str("    }\n}\n\n");
    }
    Ok(code)
}

fn collect(message: MessageDescriptor, found: &mut BTreeMap<String, MessageDescriptor>) {
    for field in message.fields() {
        if let Some(inner) = ours(&field) {
            collect(inner, found);
        }
    }
    found.insert(message.full_name().to_owned(), message);
}

/// The message of the package that a field holds.
pub(crate) fn ours(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if is_ours(&message) => Some(message),
        _ => None,
    }
}

/// The lines that visit a field; none where it names nothing.
fn visit(field: &FieldDescriptor) -> String {
    let Some(value) = visit_value(field) else { return String::new() };
    let name = field.name();
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    match oneof {
        Some(oneof) => {
            let message = field.parent_message().name().to_snake_case();
            let (choice, member) = (oneof.name().to_upper_camel_case(), name.to_upper_camel_case());
            format!(
                "        if let Some(v1::{message}::{choice}::{member}(value)) = &self.{} {{
            {value};
        }}
",
                oneof.name()
            )
        }
        None if field.is_list() => {
            format!("        for value in &self.{name} {{\n            {value};\n        }}\n")
        }
        None if field.supports_presence() && field.kind().as_message().is_some() => {
            format!("        if let Some(value) = &self.{name} {{\n            {value};\n        }}\n")
        }
        None if field.supports_presence() => match Rules::of(field).default_value {
            Some(default) => {
                format!("        let value = &self.{name}.unwrap_or({default});\n        {value};\n")
            }
            // What is not said asks for nothing.
            None => {
                format!("        if let Some(value) = &self.{name} {{\n            {value};\n        }}\n")
            }
        },
        None => format!("        let value = &self.{name};\n        {value};\n"),
    }
}

/// What visits a field's `value`; `None` where it names nothing.
fn visit_value(field: &FieldDescriptor) -> Option<&'static str> {
    match (field.name(), field.kind()) {
        ("user_id", Kind::Uint64) => Some("visit(Named::User(*value))"),
        ("k", Kind::Uint32) => Some("visit(Named::K(*value))"),
        ("model_version" | "version", Kind::String) => Some("visit(Named::Model(value))"),
        _ => ours(field).map(|_| "value.names(visit)"),
    }
}
