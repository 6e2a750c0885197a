//! What to say of a name or a value that a message does not have, in few words however long it is.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::super::names::{enum_value_names, is_well_known};

/// How alike two names are that may be the same one misspelt (Jaro-Winkler).
const CLOSE: f64 = 0.8;

/// How deep a misplaced field is looked for.
const DEEPEST: usize = 3;

/// Most bytes of a name that may be another one misspelt.
const LONGEST_NAME: usize = 64;

/// Most fields that are named where none is close.
const MOST_NAMED: usize = 20;

/// Most characters of a text that are quoted.
const QUOTED: usize = 64;

/// The beginning of a text, in quotes.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// What to say of a name that no field has: which field may be meant, here or further in.
pub(super) fn unknown_field(descriptor: &MessageDescriptor, name: &str) -> String {
    let mut candidates = Vec::new();
    collect(descriptor, "", DEEPEST, &mut candidates);
    let named = candidates.iter().map(|(path, field)| (path.clone(), field.name()));
    match close_to(name, named) {
        Some(path) => format!("is no field of {}{}", descriptor.name(), hint(Some(path))),
        None if descriptor.fields().len() == 0 => {
            format!("is no field of {}, which has none", descriptor.name())
        }
        None => format!("is no field of {}; its fields are {}", descriptor.name(), names(descriptor)),
    }
}

/// What to say of a name that no value of an enum has.
pub(super) fn unknown_value(descriptor: &EnumDescriptor, name: &str) -> String {
    let known = enum_value_names(descriptor);
    let meant = close_to(name, known.iter().map(|known| (known.clone(), known.as_str())));
    format!("is {}; {} is accepted{}", quoted(name), known.join(", "), hint(meant))
}

fn inside(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn collect(
    descriptor: &MessageDescriptor,
    at: &str,
    depth: usize,
    candidates: &mut Vec<(String, FieldDescriptor)>,
) {
    if depth == 0 {
        return;
    }
    for field in descriptor.fields() {
        let place = inside(at, field.name());
        candidates.push((place.clone(), field.clone()));
        let place = if field.is_list() { format!("{place}[]") } else { place };
        if let Kind::Message(inner) = field.kind()
            && !field.is_map()
            && !is_well_known(&inner)
        {
            collect(&inner, &place, depth - 1, candidates);
        }
    }
}

/// The names of the fields, or the first of them and how many others there are.
pub(super) fn names(descriptor: &MessageDescriptor) -> String {
    let mut names: Vec<_> =
        descriptor.fields().map(|field| field.name().to_owned()).take(MOST_NAMED).collect();
    let others = descriptor.fields().len() - names.len();
    if others > 0 {
        names.push(format!("and {others} more"));
    }
    names.join(", ")
}

/// The candidate whose name is closest to `name`, the least deep of several, if one is close.
fn close_to<'a>(name: &str, candidates: impl Iterator<Item = (String, &'a str)>) -> Option<String> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let typed = name.to_lowercase();
    let rated = candidates.map(|(path, name)| (strsim::jaro_winkler(&typed, name), path));
    let close = rated.filter(|(likeness, _)| *likeness >= CLOSE);
    let depth = |path: &str| path.matches('.').count();
    let best = close.max_by(|(one, here), (other, there)| {
        one.total_cmp(other).then_with(|| depth(there).cmp(&depth(here)))
    });
    best.map(|(_, path)| path)
}

fn hint(meant: Option<String>) -> String {
    meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"))
}
