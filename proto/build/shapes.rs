//! Turns the descriptors of requests into tables for the scan of their bytes: which field has which number and
//! kind, and how many elements a list may have.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

use heck::ToShoutySnakeCase as _;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use crate::rules::Rules;

/// The most paths of a field mask, which can have no rule of ours.
const MOST_PATHS: u32 = 100;

/// The shapes of all messages that are reachable from requests, by their full names.
#[derive(Default)]
struct Shapes {
    tables: BTreeMap<String, Table>,
    /// The messages that stand around the one that is looked at.
    around: Vec<String>,
}

/// A shape's source, and the number of lists that are counted together in one such message.
struct Table {
    source: String,
    lists: usize,
}

/// The source of a `Shape` for every message that requests are made of, and of `impl Wire` for every request and
/// reply.
pub(crate) fn shape_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut shapes = Shapes::default();
    let mut wires = BTreeMap::new();
    for service in pool.services().filter(|service| service.package_name() == "marquee.v1") {
        for method in service.methods() {
            let request = method.input();
            shapes.add(&request)?;
            wires.insert(request.name().to_owned(), format!("Some(&{})", constant(&request)));
            wires.entry(method.output().name().to_owned()).or_insert_with(|| "None".to_owned());
        }
    }
    let most = shapes.tables.values().map(|table| table.lists).max().unwrap_or_default();
    let mut code = format!("const MAX_LISTS: usize = {most};\n\n");
    for table in shapes.tables.values() {
        code.push_str(&table.source);
    }
    for (name, shape) in wires {
        writeln!(code, "impl Wire for v1::{name} {{")?;
        writeln!(code, "    fn shape() -> Option<&'static Shape> {{\n        {shape}\n    }}\n}}\n")?;
    }
    Ok(code)
}

impl Shapes {
    /// Adds a message and all that it holds; says how many lists are counted together in it.
    fn add(&mut self, message: &MessageDescriptor) -> Result<usize, Box<dyn Error>> {
        let name = message.full_name().to_owned();
        if let Some(table) = self.tables.get(&name) {
            return Ok(table.lists);
        }
        if self.around.contains(&name) {
            return Err(format!("{name} holds itself: the depth of a request must have a bound").into());
        }
        self.around.push(name.clone());
        let mut fields = String::new();
        let mut lists = 0;
        for field in message.fields() {
            lists += self.add_field(&mut fields, &field, lists)?;
        }
        self.around.pop();
        let constant = constant(message);
        let source = format!("static {constant}: Shape = Shape {{\n    fields: &[\n{fields}    ],\n}};\n\n");
        self.tables.insert(name, Table { source, lists });
        Ok(lists)
    }

    /// Adds the line of a field whose first list is number `first`; says how many lists it is or holds.
    fn add_field(
        &mut self,
        lines: &mut String,
        field: &FieldDescriptor,
        first: usize,
    ) -> Result<usize, Box<dyn Error>> {
        let (kind, inside) = match field.kind() {
            Kind::Message(message) => {
                let inside = self.add(&message)?;
                (format!("Kind::Message(&{})", constant(&message)), inside)
            }
            Kind::String => ("Kind::Text".to_owned(), 0),
            Kind::Bytes => ("Kind::Bytes".to_owned(), 0),
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => ("Kind::Fixed(8)".to_owned(), 0),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => ("Kind::Fixed(4)".to_owned(), 0),
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Bool
            | Kind::Enum(_) => ("Kind::Varint".to_owned(), 0),
        };
        let is_list = field.is_list() || field.is_map();
        let most = if is_list {
            let is_mask = field.full_name() == "google.protobuf.FieldMask.paths";
            let most = if is_mask { Some(MOST_PATHS) } else { Rules::of(field).max_items };
            let most =
                most.ok_or_else(|| format!("{} needs max_items: requests hold it", field.full_name()))?;
            format!("Some({most})")
        } else {
            "None".to_owned()
        };
        let (number, name) = (field.number(), field.name());
        writeln!(
            lines,
            "        Field {{ number: {number}, name: {name:?}, kind: {kind}, most: {most}, list: {first} }},"
        )?;
        Ok(if is_list { 1 } else { inside })
    }
}

fn constant(message: &MessageDescriptor) -> String {
    message.full_name().to_shouty_snake_case()
}
