//! Turns the `(marquee.v1.rules)` options into plain Rust: one `impl Validate` a message, with direct
//! field access and nothing looked up at run time.

use std::error::Error;
use std::fmt::Write as _;

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use crate::rules::{OneofRules, Rules, absence_of_all};

/// The source of `impl Validate` for every message of the package.
pub(crate) fn validation_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    for option in [Rules::EXTENSION, OneofRules::EXTENSION] {
        pool.get_extension_by_name(option).ok_or_else(|| format!("rules.proto must declare {option}"))?;
    }
    let mut code = String::new();
    for message in pool.all_messages().filter(is_ours) {
        writeln!(code, "impl Validate for v1::{} {{", message.name())?;
        writeln!(code, "    fn check(&self, at: &mut Checker) {{")?;
        let mut body = String::new();
        for field in message.fields() {
            match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
                None => check_field(&mut body, &field, &Rules::of(&field))?,
                Some(oneof) if oneof.fields().next().as_ref() == Some(&field) => {
                    check_oneof(&mut body, &oneof)?;
                }
                Some(_) => {}
            }
        }
        if body.is_empty() {
            body.push_str("        let _ = at;\n");
        }
        code.push_str(&body);
        code.push_str("    }\n}\n\n");
    }
    Ok(code)
}

pub(crate) fn is_ours(message: &MessageDescriptor) -> bool {
    message.package_name() == "marquee.v1"
        && message.parent_file().name() != "marquee/v1/rules.proto"
        && message.parent_message().is_none()
}

fn check_field(code: &mut String, field: &FieldDescriptor, rules: &Rules) -> Result<(), Box<dyn Error>> {
    let name = field.name();
    if field.is_map() {
        let (Some(items), Some(length)) = (rules.max_items, rules.max_length) else { return Ok(()) };
        writeln!(code, "        at.entries({name:?}, &self.{name}, {items}, {length});")?;
        return Ok(());
    }
    if field.cardinality() == Cardinality::Repeated {
        let mut inner = String::new();
        check_value(&mut inner, field, rules, "value")?;
        let items = rules.max_items.map(|most| format!("at.items({name:?}, self.{name}.len(), {most})"));
        match items {
            Some(items) if inner.is_empty() => writeln!(code, "        {items};")?,
            Some(items) => writeln!(code, "        if {items} {{\n{}        }}", each(name, &inner))?,
            None if inner.is_empty() => {}
            None => code.push_str(&each(name, &inner)),
        }
    } else if field.supports_presence() {
        let mut inner = String::new();
        check_value(&mut inner, field, rules, "value")?;
        if !inner.is_empty() {
            writeln!(code, "        if let Some(value) = &self.{name} {{\n{inner}        }}")?;
        }
        if rules.required {
            writeln!(code, "        at.required({name:?}, self.{name}.is_some());")?;
        }
    } else {
        check_value(code, field, rules, &format!("&self.{name}"))?;
    }
    Ok(())
}

/// The check of the member that is there, and in a required oneof of whether one is.
fn check_oneof(code: &mut String, oneof: &OneofDescriptor) -> Result<(), Box<dyn Error>> {
    let path = format!(
        "v1::{}::{}",
        oneof.parent_message().name().to_snake_case(),
        oneof.name().to_upper_camel_case()
    );
    let (mut arms, mut checks) = (String::new(), false);
    for field in oneof.fields() {
        let mut check = String::new();
        check_value(&mut check, &field, &Rules::of(&field), "value")?;
        let bound = if check.is_empty() { "_" } else { "value" };
        checks |= !check.is_empty();
        writeln!(arms, "            Some({path}::{}({bound})) => {{", field.name().to_upper_camel_case())?;
        writeln!(arms, "{check}            }}")?;
    }
    let required = OneofRules::of(oneof).required;
    let absence = if required {
        let (name, description) = absence_of_all(oneof);
        format!("at.add({name:?}, {description:?}.to_owned())")
    } else {
        "{}".to_owned()
    };
    if checks || required {
        writeln!(code, "        match &self.{} {{\n{arms}", oneof.name())?;
        writeln!(code, "            None => {absence},\n        }}")?;
    }
    Ok(())
}

/// The loop over a list, until enough has been found.
fn each(name: &str, check: &str) -> String {
    format!(
        "        for (index, value) in self.{name}.iter().enumerate() {{
            if at.is_full() {{
                break;
            }}
            at.index = Some(index);
{check}        }}
        at.index = None;
"
    )
}

fn check_value(
    code: &mut String,
    field: &FieldDescriptor,
    rules: &Rules,
    value: &str,
) -> Result<(), Box<dyn Error>> {
    let name = field.name();
    match field.kind() {
        Kind::String => {
            if rules.min_length.is_some() || rules.max_length.is_some() {
                let (least, most) = (rules.min_length.unwrap_or(0), rules.max_length.unwrap_or(u32::MAX));
                writeln!(code, "            at.length({name:?}, {value}, {least}, {most});")?;
            }
        }
        Kind::Enum(descriptor) => {
            let path = format!("v1::{}", descriptor.name());
            writeln!(
                code,
                "            at.known({name:?}, *({value}), {path}::try_from(*({value})).is_ok());"
            )?;
        }
        Kind::Message(descriptor) if is_ours(&descriptor) => {
            writeln!(code, "            at.message({name:?}, {value});")?;
        }
        Kind::Message(_) | Kind::Bytes | Kind::Bool => {}
        _ => {
            if rules.min.is_some() || rules.max.is_some() || rules.step.is_some() {
                writeln!(
                    code,
                    "            at.number({name:?}, *({value}) as f64, {:?}, {:?}, {:?});",
                    rules.min, rules.max, rules.step
                )?;
            }
        }
    }
    Ok(())
}
