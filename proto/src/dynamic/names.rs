//! The short names of enum values, and messages whose JSON is their own.

use heck::{ToKebabCase as _, ToShoutySnakeCase as _};
use prost_reflect::{EnumDescriptor, EnumValueDescriptor, MessageDescriptor};

/// Whether the message has a JSON form of its own, such as a time.
pub fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

/// The short name of an enum value: `METHOD_EXACT` is `exact`.
pub fn enum_value_name(descriptor: &EnumDescriptor, value: &str) -> String {
    let prefix = descriptor.name().to_shouty_snake_case() + "_";
    value.strip_prefix(&prefix).unwrap_or(value).to_kebab_case()
}

/// The value that is meant by `written`: its short or its full name, in any case, with `-` or `_`.
pub fn enum_value(descriptor: &EnumDescriptor, written: &str) -> Option<EnumValueDescriptor> {
    let short = written.to_lowercase().to_kebab_case();
    descriptor.values().find(|value| {
        enum_value_name(descriptor, value.name()) == short || value.name().eq_ignore_ascii_case(written)
    })
}

/// The short names of the values that say something: all but the zero value.
pub fn enum_value_names(descriptor: &EnumDescriptor) -> Vec<String> {
    let said = descriptor.values().filter(|value| value.number() != 0);
    said.map(|value| enum_value_name(descriptor, value.name())).collect()
}
