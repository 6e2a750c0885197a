//! Turns the descriptors of requests into code that puts numbers in the place of callers' own keys. A key is known by its
//! name, `..._key` or `..._keys` beside the field of numbers of the same name, so that a new request is covered without
//! a word.

use std::error::Error;
use std::fmt::Write as _;

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{DescriptorPool, FieldDescriptor, OneofDescriptor};

use crate::named::{ours, request_messages};

/// The source of `impl Keyed` for every message that requests are made of.
///
/// # Errors
/// When a key has no field of numbers beside it.
pub(crate) fn keyed_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in request_messages(pool).values() {
        let mut lines = String::new();
        for field in message.fields() {
            lines.push_str(&replace(&field)?);
        }
        writeln!(code, "impl Keyed for v1::{} {{", message.name())?;
        writeln!(code, "    fn number_keys(&mut self, numbers: &mut dyn Numbers) {{")?;
        code.push_str(if lines.is_empty() { "        let _ = numbers;\n" } else { &lines });
        code.push_str("    }\n}\n\n");
    }
    Ok(code)
}

/// The lines that number the keys of a field; none where it has none.
fn replace(field: &FieldDescriptor) -> Result<String, Box<dyn Error>> {
    let name = field.name();
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    if ours(field).is_some() {
        return Ok(match oneof {
            Some(oneof) => {
                let member = member(&oneof, name);
                format!(
                    "        if let Some({member}(value)) = &mut self.{} {{\n            value.number_keys(numbers);\n        }}\n",
                    oneof.name()
                )
            }
            None if field.is_list() => {
                format!(
                    "        for value in &mut self.{name} {{\n            value.number_keys(numbers);\n        }}\n"
                )
            }
            None => format!(
                "        if let Some(value) = &mut self.{name} {{\n            value.number_keys(numbers);\n        }}\n"
            ),
        });
    }
    let number = |suffix: &str, of_number: &str| {
        let numbers = format!("{}{of_number}", name.trim_end_matches(suffix));
        let found = field.parent_message().get_field_by_name(&numbers);
        found.map(|_| numbers).ok_or_else(|| format!("{} has no numbers beside it", field.full_name()))
    };
    // Idempotency keys and the like are no keys of users or movies.
    let Some(what) = ["user", "movie"]
        .into_iter()
        .find(|what| name.ends_with(&format!("{what}_key")) || name.ends_with(&format!("{what}_keys")))
    else {
        return Ok(String::new());
    };
    Ok(match oneof {
        Some(oneof) => {
            let (key, id) = (member(&oneof, name), member(&oneof, &number("_key", "_id")?));
            let oneof = oneof.name();
            format!(
                "        if let Some({key}(key)) = &self.{oneof}
            && let Some(number) = numbers.{what}(key)
        {{
            self.{oneof} = Some({id}(number));
        }}
"
            )
        }
        None if field.is_list() => {
            let ids = number("_keys", "_ids")?;
            format!(
                "        let keys = std::mem::take(&mut self.{name});
        self.{ids}.extend(keys.iter().map(|key| numbers.listed_{what}(key)));
"
            )
        }
        None => return Err(format!("{} is neither a list nor in a oneof", field.full_name()).into()),
    })
}

/// The Rust name of a oneof's member.
fn member(oneof: &OneofDescriptor, name: &str) -> String {
    let message = oneof.parent_message().name().to_snake_case();
    format!("v1::{message}::{}::{}", oneof.name().to_upper_camel_case(), name.to_upper_camel_case())
}
