//! The API as its descriptors tell it: services, comments, constraints.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorError, DescriptorPool, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

use super::{OneofRules, Rules};
use crate::DESCRIPTOR_SET;

/// A set of services, with the comments and the rules of their fields at hand.
pub struct Api {
    pool: DescriptorPool,
    /// By the full name of the field; those without rules are left out.
    rules: HashMap<String, Rules>,
    no_rules: Rules,
    /// By file and path in it.
    comments: HashMap<(String, Vec<i32>), String>,
}

impl Api {
    /// `marquee.v1`.
    pub fn marquee() -> Self {
        Self::new(&[DESCRIPTOR_SET]).expect("the build wrote the descriptor set")
    }

    /// The services of encoded `FileDescriptorSet`s. Rules and comments are used where the sets have them.
    ///
    /// # Errors
    /// When a set cannot be decoded or contradicts itself.
    pub fn new(sets: &[&[u8]]) -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::new();
        for set in sets {
            pool.decode_file_descriptor_set(*set)?;
        }
        let comments = pool.files().flat_map(|file| comments_of(&file)).collect();
        let rules = pool.all_messages().flat_map(|message| rules_of(&message)).collect();
        Ok(Self { pool, rules, no_rules: Rules::default(), comments })
    }

    /// The descriptors themselves.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// All services.
    pub fn services(&self) -> impl Iterator<Item = ServiceDescriptor> {
        self.pool.services()
    }

    /// The method `package.Service.Name`, if there is one.
    pub fn method(&self, full_name: &str) -> Option<MethodDescriptor> {
        self.pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .find(|method| method.full_name() == full_name)
    }

    /// The rules of a field of this API; those that accept everything if it declares none.
    pub fn rules(&self, field: &FieldDescriptor) -> &Rules {
        self.rules.get(field.full_name()).unwrap_or(&self.no_rules)
    }

    /// Whether a message cannot be right without this field, or without another member of its oneof.
    pub fn is_required(&self, field: &FieldDescriptor) -> bool {
        match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
            Some(oneof) => OneofRules::of(&oneof).required,
            None if field.is_list() => false,
            None if field.supports_presence() => self.rules(field).required,
            None => self.rules(field).refuses_zero(),
        }
    }

    /// Whether fields of this API can have rules at all.
    pub fn declares_rules(&self) -> bool {
        self.pool.get_extension_by_name(Rules::EXTENSION).is_some()
    }

    /// The comment above the element at `path` of `file`: paragraphs, parted by empty lines.
    pub fn comment(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.comments.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }

    /// The comment above a field.
    pub fn field_comment(&self, field: &FieldDescriptor) -> &str {
        self.comment(&field.parent_message().parent_file(), field.path())
    }
}

fn rules_of(message: &MessageDescriptor) -> Vec<(String, Rules)> {
    let rules = message.fields().map(|field| (field.full_name().to_owned(), Rules::of(&field)));
    rules.filter(|(_, rules)| *rules != Rules::default()).collect()
}

fn comments_of(file: &FileDescriptor) -> Vec<((String, Vec<i32>), String)> {
    let Some(info) = &file.file_descriptor_proto().source_code_info else { return Vec::new() };
    info.location
        .iter()
        .filter_map(|location| {
            let text = paragraphs(location.leading_comments.as_deref()?);
            Some(((file.name().to_owned(), location.path.clone()), text))
        })
        .collect()
}

/// The lines of a paragraph joined, so that whoever shows it decides where to break.
fn paragraphs(comment: &str) -> String {
    let lines: Vec<&str> = comment.lines().map(str::trim).collect();
    lines
        .split(|line| line.is_empty())
        .map(|paragraph| paragraph.join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
        .trim()
        .to_owned()
}
