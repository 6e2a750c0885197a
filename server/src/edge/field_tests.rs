//! The fields that handlers themselves find fault with: what validation names comes from the descriptors, what
//! is written by hand is held to them here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use marquee_proto::DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

use super::status::field_of;
use crate::catalog::GenreList;

/// The fields that services and conversions name, as in `invalid("page_token", ...)` and `field("rating")`.
fn named_fields() -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let edge = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/edge");
    let files = [edge.join("services"), edge].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    for file in files.map(|file| file.unwrap().path()).filter(|file| file.is_file()) {
        let source = fs::read_to_string(file).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        for call in ["invalid(", "field("] {
            let arguments = code.split(call).skip(1).map(str::trim_start);
            let literals = arguments.filter_map(|argument| argument.strip_prefix('"')?.split('"').next());
            named.extend(literals.map(str::to_owned));
        }
    }
    named
}

/// Whether a message has a field, or a choice between fields, at the end of a dotted path.
fn has(messages: &[&DescriptorProto], message: &DescriptorProto, path: &str) -> bool {
    let Some((name, rest)) = path.split_once('.') else {
        return message.field.iter().any(|field| field.name() == path)
            || message.oneof_decl.iter().any(|choice| choice.name() == path);
    };
    let field = message.field.iter().find(|field| field.name() == name);
    let inner = field.and_then(|field| {
        let name = field.type_name().rsplit('.').next()?;
        messages.iter().find(|message| message.name() == name)
    });
    inner.is_some_and(|inner| has(messages, inner, rest))
}

#[test]
fn every_field_that_a_handler_names_is_one_of_a_request() {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    let messages: Vec<_> = set.file.iter().flat_map(|file| &file.message_type).collect();
    let mut named = named_fields();
    assert!(named.contains("page_token") && named.contains("rating"), "{named:?}");
    named.extend([GenreList::Any, GenreList::All, GenreList::None].map(|list| field_of(list).to_owned()));
    for field in named {
        let mut requests = messages.iter().filter(|message| message.name().ends_with("Request"));
        assert!(requests.any(|request| has(&messages, request, &field)), "{field}");
    }
}
