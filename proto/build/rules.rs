//! Turns the `(marquee.v1.rules)` options into plain Rust: one `impl Validate` a message, with direct
//! field access and nothing looked up at run time.

use std::error::Error;
use std::fmt::Write as _;

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, OneofDescriptor, Value,
};

/// The rules of one field, read from its option.
#[derive(Default)]
struct Rules {
    min: Option<f64>,
    max: Option<f64>,
    step: Option<f64>,
    max_items: Option<u32>,
    min_length: Option<u32>,
    max_length: Option<u32>,
    required: bool,
}

/// The source of `impl Validate` for every message of the package.
pub(crate) fn validation_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let extension = extension(pool)?;
    let mut code = String::new();
    for message in pool.all_messages().filter(is_ours) {
        writeln!(code, "impl Validate for v1::{} {{", message.name())?;
        writeln!(code, "    fn check(&self, at: &mut Checker) {{")?;
        let mut body = String::new();
        for field in message.fields() {
            match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
                None => check_field(&mut body, &field, &read_rules(&field, &extension)?)?,
                Some(oneof) if oneof.fields().next().as_ref() == Some(&field) => {
                    check_oneof(&mut body, &oneof, &extension)?;
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

/// Most elements that a list may have, if its rules say so.
pub(crate) fn most_items(field: &FieldDescriptor) -> Result<Option<u32>, Box<dyn Error>> {
    Ok(read_rules(field, &extension(field.parent_pool())?)?.max_items)
}

fn extension(pool: &DescriptorPool) -> Result<ExtensionDescriptor, Box<dyn Error>> {
    Ok(pool.get_extension_by_name("marquee.v1.rules").ok_or("rules.proto must declare marquee.v1.rules")?)
}

pub(crate) fn is_ours(message: &MessageDescriptor) -> bool {
    message.package_name() == "marquee.v1"
        && message.parent_file().name() != "marquee/v1/rules.proto"
        && message.parent_message().is_none()
}

fn check_field(code: &mut String, field: &FieldDescriptor, rules: &Rules) -> Result<(), Box<dyn Error>> {
    let name = field.name();
    if field.is_map() {
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

/// The check of the member that is there; that of a required oneof names the first member when none is.
fn check_oneof(
    code: &mut String,
    oneof: &OneofDescriptor,
    extension: &ExtensionDescriptor,
) -> Result<(), Box<dyn Error>> {
    let path = format!("v1::{}::{}", snake(oneof.parent_message().name()), camel(oneof.name()));
    writeln!(code, "        match &self.{} {{", oneof.name())?;
    for field in oneof.fields() {
        writeln!(code, "            Some({path}::{}(value)) => {{", camel(field.name()))?;
        check_value(code, &field, &read_rules(&field, extension)?, "value")?;
        writeln!(code, "            }}")?;
    }
    let first = oneof.fields().next().ok_or("a oneof has members")?;
    let absence =
        if is_required(oneof)? { format!("at.required({:?}, false)", first.name()) } else { "{}".to_owned() };
    writeln!(code, "            None => {absence},")?;
    writeln!(code, "        }}")?;
    Ok(())
}

/// Whether one of the members must be there.
fn is_required(oneof: &OneofDescriptor) -> Result<bool, Box<dyn Error>> {
    let extension = oneof.parent_message().parent_pool().get_extension_by_name("marquee.v1.oneof_rules");
    let extension = extension.ok_or("rules.proto must declare marquee.v1.oneof_rules")?;
    let options = oneof.options();
    let rules = options.get_extension(&extension);
    let rules = rules.as_message().ok_or("oneof_rules must be a message")?;
    Ok(present(rules, "required").and_then(|value| value.as_bool()).unwrap_or(false))
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

fn read_rules(field: &FieldDescriptor, extension: &ExtensionDescriptor) -> Result<Rules, Box<dyn Error>> {
    let options = field.options();
    if !options.has_extension(extension) {
        return Ok(Rules::default());
    }
    let value = options.get_extension(extension);
    let message = value.as_message().ok_or("rules must be a message")?;
    let number = |name: &str| present(message, name).and_then(|value| value.as_f64());
    let count = |name: &str| present(message, name).and_then(|value| value.as_u32());
    Ok(Rules {
        min: number("min"),
        max: number("max"),
        step: number("step"),
        max_items: count("max_items"),
        min_length: count("min_length"),
        max_length: count("max_length"),
        required: present(message, "required").and_then(|value| value.as_bool()).unwrap_or(false),
    })
}

fn present(message: &DynamicMessage, name: &str) -> Option<Value> {
    message
        .has_field_by_name(name)
        .then(|| message.get_field_by_name(name).map(std::borrow::Cow::into_owned))
        .flatten()
}

pub(crate) fn snake(name: &str) -> String {
    let mut out = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

pub(crate) fn camel(name: &str) -> String {
    name.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}
