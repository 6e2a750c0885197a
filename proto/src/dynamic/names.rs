//! The short names of enum values, and messages whose JSON is their own.

use heck::{ToKebabCase as _, ToShoutySnakeCase as _};
use prost_reflect::{EnumDescriptor, EnumValueDescriptor, FieldDescriptor, MessageDescriptor};

/// Whether the message has a JSON form of its own, such as a time.
pub fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

/// The field that is meant by `written`: its name in the proto or in camel case.
pub(super) fn field_named(message: &MessageDescriptor, written: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(written).or_else(|| message.get_field_by_json_name(written))
}

/// The short name of an enum value: `METHOD_EXACT` is `exact`.
pub fn enum_value_name(descriptor: &EnumDescriptor, value: &str) -> String {
    let prefix = descriptor.name().to_shouty_snake_case() + "_";
    value.strip_prefix(&prefix).unwrap_or(value).to_kebab_case()
}

/// The value that is meant by `written`: its short or its full name, in any case, with `-` or `_`.
pub fn enum_value(descriptor: &EnumDescriptor, written: &str) -> Option<EnumValueDescriptor> {
    let short = written.to_lowercase().replace('_', "-");
    descriptor.values().find(|value| {
        enum_value_name(descriptor, value.name()) == short || value.name().eq_ignore_ascii_case(written)
    })
}

/// The short names of the values that say something: all but the zero value.
pub fn enum_value_names(descriptor: &EnumDescriptor) -> Vec<String> {
    let said = descriptor.values().filter(|value| value.number() != 0);
    said.map(|value| enum_value_name(descriptor, value.name())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Api;
    use super::*;

    #[test]
    fn a_value_is_meant_by_its_names_alone() {
        let api = Api::marquee();
        let kind = api.pool().get_enum_by_name("marquee.v1.InteractionKind").expect("the API has it");
        let meant = |written| enum_value(&kind, written).map(|value| value.name().to_owned());
        for written in ["view", "VIEW", "INTERACTION_KIND_VIEW", "interaction_kind_view"] {
            assert_eq!(meant(written).as_deref(), Some("INTERACTION_KIND_VIEW"), "{written}");
        }
        for written in ["view!", " view", "vi ew", "view-", ""] {
            assert_eq!(meant(written), None, "{written}");
        }
    }
}
