//! The options of `rules.proto`, read.
//!
//! The build reads them with this very file to make [`Validate`](crate::Validate), so that a rule that is added to
//! `rules.proto` is read in one place.

use std::borrow::Cow;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, MethodDescriptor, OneofDescriptor, ReflectMessage as _, Value,
};

/// The constraints of one field; those that the server checks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Smallest number that is accepted; of a list, in every element.
    pub min: Option<f64>,
    /// Largest number that is accepted; of a list, in every element.
    pub max: Option<f64>,
    /// The number must be a multiple of this.
    pub step: Option<f64>,
    /// Most elements of a list.
    pub max_items: Option<u32>,
    /// Fewest characters of a text; of a list, in every element.
    pub min_length: Option<u32>,
    /// Most characters of a text; of a list, in every element.
    pub max_length: Option<u32>,
    /// What the number counts, such as `movies`.
    pub unit: Option<String>,
    /// What an absent field means, as a person would type it.
    pub default_value: Option<String>,
    /// The field must be there.
    pub required: bool,
    /// What a person might give, as they would type it.
    pub example: Option<String>,
}

impl Rules {
    /// The full name of the option.
    pub const EXTENSION: &str = "marquee.v1.rules";

    /// The rules of `field`; the default, which accepts everything, where it has none.
    pub fn of(field: &FieldDescriptor) -> Self {
        let Some(extension) = field.parent_pool().get_extension_by_name(Self::EXTENSION) else {
            return Self::default();
        };
        let options = field.options();
        if !options.has_extension(&extension) {
            return Self::default();
        }
        let option = options.get_extension(&extension);
        let Some(rules) = option.as_message() else { return Self::default() };
        let number = |name| present(rules, name).and_then(|value| value.as_f64());
        let count = |name| present(rules, name).and_then(|value| value.as_u32());
        let text = |name| present(rules, name).and_then(|value| value.as_str().map(str::to_owned));
        Self {
            min: number("min"),
            max: number("max"),
            step: number("step"),
            max_items: count("max_items"),
            min_length: count("min_length"),
            max_length: count("max_length"),
            unit: text("unit"),
            default_value: text("default_value"),
            required: present(rules, "required").and_then(|value| value.as_bool()).unwrap_or(false),
            example: text("example"),
        }
    }
}

/// The constraints of a oneof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneofRules {
    /// One of its members must be there. When none is, a single member is named, and of several the oneof.
    pub required: bool,
}

impl OneofRules {
    /// The full name of the option.
    pub const EXTENSION: &str = "marquee.v1.oneof_rules";

    /// The rules of `oneof`; the default, which accepts everything, where it has none.
    pub fn of(oneof: &OneofDescriptor) -> Self {
        let pool = oneof.parent_message().parent_pool();
        let Some(extension) = pool.get_extension_by_name(Self::EXTENSION) else { return Self::default() };
        let options = oneof.options();
        let option = options.get_extension(&extension);
        let required = option.as_message().and_then(|rules| present(rules, "required"));
        Self { required: required.and_then(|value| value.as_bool()).unwrap_or(false) }
    }
}

/// Who may call a method, where the server asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRules {
    /// The least role that may, as a person would type it.
    pub least: String,
    /// Whether people may, for their own user.
    pub person: bool,
}

impl AccessRules {
    /// The full name of the option.
    pub const EXTENSION: &str = "marquee.v1.access";

    /// Who may call `method`; `None` where it does not say so.
    pub fn of(method: &MethodDescriptor) -> Option<Self> {
        let extension = method.parent_pool().get_extension_by_name(Self::EXTENSION)?;
        let options = method.options();
        let option = options.get_extension(&extension);
        let access = option.as_message()?;
        let least = present(access, "least")?.as_enum_number()?;
        let field = access.descriptor().get_field_by_name("least")?;
        let least =
            field.kind().as_enum()?.get_value(least)?.name().trim_start_matches("ROLE_").to_lowercase();
        let person = present(access, "person").and_then(|value| value.as_bool()).unwrap_or(false);
        Some(Self { least, person })
    }
}

/// What is missing where no member of a required oneof is there: its name, and what must be there.
pub(super) fn absence_of_all(oneof: &OneofDescriptor) -> (String, String) {
    let members: Vec<_> = oneof.fields().map(|field| field.name().to_owned()).collect();
    let described = format!("must be there: {}", members.join(" or "));
    match &members[..] {
        [only] => (only.clone(), "must be there".to_owned()),
        // The same thing by a number or by a key of one's own: whoever leaves it out is told of the number.
        [id, key] if id.strip_suffix("_id").is_some_and(|what| key.strip_suffix("_key") == Some(what)) => {
            (id.clone(), described)
        }
        _ => (oneof.name().to_owned(), described),
    }
}

fn present(message: &DynamicMessage, name: &str) -> Option<Value> {
    message.has_field_by_name(name).then(|| message.get_field_by_name(name).map(Cow::into_owned)).flatten()
}
