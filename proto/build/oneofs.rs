//! Short forms for the oneofs of messages: `From` to make one of a member's value, and a reader for a member that
//! is a number.

use std::error::Error;
use std::fmt::Write as _;

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind};

use crate::validation::is_ours;

/// The source of all short forms. A type that two members of a oneof share has no `From`: it would not say which
/// of them is meant.
pub(crate) fn conversion_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in pool.all_messages().filter(is_ours) {
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let choice =
                format!("v1::{}::{}", message.name().to_snake_case(), oneof.name().to_upper_camel_case());
            for field in oneof.fields() {
                let same = |other: &FieldDescriptor| rust_type(other) == rust_type(&field);
                if oneof.fields().filter(same).count() == 1 {
                    write_from(&mut code, &choice, &field)?;
                }
                if is_number(&field) {
                    write_reader(&mut code, message.name(), &choice, &field)?;
                }
            }
        }
    }
    Ok(code)
}

fn write_from(code: &mut String, choice: &str, field: &FieldDescriptor) -> Result<(), Box<dyn Error>> {
    let (member, value) = (field.name().to_upper_camel_case(), rust_type(field));
    writeln!(
        code,
        "impl From<{value}> for {choice} {{
    fn from(value: {value}) -> Self {{
        Self::{member}(value)
    }}
}}
"
    )?;
    Ok(())
}

fn write_reader(
    code: &mut String,
    message: &str,
    choice: &str,
    field: &FieldDescriptor,
) -> Result<(), Box<dyn Error>> {
    let oneof = field.containing_oneof().ok_or("only members of a oneof have a reader")?;
    let (name, oneof) = (field.name(), oneof.name().to_owned());
    let (member, value) = (name.to_upper_camel_case(), rust_type(field));
    writeln!(
        code,
        "impl v1::{message} {{
    /// The `{name}`; 0 where `{oneof}` holds something else or nothing.
    pub fn {name}(&self) -> {value} {{
        match &self.{oneof} {{
            Some({choice}::{member}(value)) => *value,
            _ => 0,
        }}
    }}
}}
"
    )?;
    Ok(())
}

fn is_number(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Uint32 | Kind::Uint64)
}

fn rust_type(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Uint32 => "u32".to_owned(),
        Kind::Uint64 => "u64".to_owned(),
        Kind::Double => "f64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "String".to_owned(),
        Kind::Message(message) => format!("v1::{}", message.name()),
        other => unimplemented!("a oneof holds a {other:?}: say its Rust type here"),
    }
}
