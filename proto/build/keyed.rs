//! Turns the descriptors of requests into code that puts numbers in the place of callers' own keys. A key is known by its
//! name, `..._key` or `..._keys` beside the field of numbers of the same name, so that a new request is covered without
//! a word.

use std::error::Error;
use std::fmt::Write as _;

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{DescriptorPool, FieldDescriptor, OneofDescriptor};

use crate::named::{ours, request_messages};

/// Messages in whose lists a movie may stand twice; those of the others are sets.
const SEQUENCES: [&str; 1] = ["History"];

/// The source of `impl Keyed` for every message that requests are made of.
///
/// # Errors
/// When a key has no field of numbers beside it.
pub(crate) fn keyed_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in request_messages(pool).values() {
        let mut lines = String::new();
        for field in message.fields() {
            lines.push_str(&replace(&field, SEQUENCES.contains(&message.name()))?);
        }
        writeln!(code, "impl Keyed for v1::{} {{", message.name())?;
        writeln!(code, "    fn number_keys(&mut self, numbers: &mut dyn Numbers) {{")?;
        code.push_str(if lines.is_empty() { "        let _ = numbers;\n" } else { &lines });
        code.push_str("    }\n}\n\n");
    }
    Ok(code)
}

/// The lines that number the keys of a field; none where it has none.
fn replace(field: &FieldDescriptor, is_sequence: bool) -> Result<String, Box<dyn Error>> {
    let name = field.name();
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    if ours(field).is_some() {
        let within = |index: &str| {
            format!(
                "            numbers.enter({name:?}, {index});
            value.number_keys(numbers);
            numbers.leave();
        }}
"
            )
        };
        return Ok(match oneof {
            Some(oneof) => {
                let (oneof, member) = (oneof.name(), member(&oneof, name));
                format!("        if let Some({member}(value)) = &mut self.{oneof} {{\n{}", within("None"))
            }
            None if field.is_list() => format!(
                "        for (index, value) in self.{name}.iter_mut().enumerate() {{\n{}",
                within("Some(index)")
            ),
            None => format!("        if let Some(value) = &mut self.{name} {{\n{}", within("None")),
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
            && let Some(number) = numbers.{what}({name:?}, key)
        {{
            self.{oneof} = Some({id}(number));
        }}
"
            )
        }
        None if field.is_list() => {
            let ids = number("_keys", "_ids")?;
            let given = format!(
                "keys.iter().enumerate().map(|(index, key)| numbers.listed_{what}({name:?}, index, key))"
            );
            let (before, given) = if is_sequence {
                (String::new(), given)
            } else {
                let set = format!("std::collections::HashSet<_> = self.{ids}.iter().copied().collect()");
                (
                    format!("            let before: {set};\n"),
                    format!("{given}.filter(|number| !before.contains(number))"),
                )
            };
            format!(
                "        if !self.{name}.is_empty() {{
            let keys = std::mem::take(&mut self.{name});
{before}            self.{ids}.extend({given});
        }}
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
