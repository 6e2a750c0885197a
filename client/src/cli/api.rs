//! The API as its descriptors tell it: services, comments, constraints.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorError, DescriptorPool, ExtensionDescriptor, FieldDescriptor, FileDescriptor, MethodDescriptor,
    OneofDescriptor, ServiceDescriptor,
};

use super::rules::Rules;

/// A set of services that the command line is made from.
pub struct Api {
    pool: DescriptorPool,
    rules: Option<ExtensionDescriptor>,
    comments: HashMap<(String, Vec<i32>), String>,
}

impl Api {
    /// `marquee.v1` and the standard health service.
    ///
    /// # Panics
    /// Never with the descriptors of the build: a test decodes them.
    pub fn marquee() -> Self {
        Self::new(&[marquee_proto::DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET])
            .expect("the build wrote both descriptor sets")
    }

    /// The services of encoded `FileDescriptorSet`s. Constraints and comments are used where the sets
    /// have them.
    ///
    /// # Errors
    /// When a set cannot be decoded or contradicts itself.
    pub fn new(sets: &[&[u8]]) -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::new();
        for set in sets {
            pool.decode_file_descriptor_set(*set)?;
        }
        let rules = pool.get_extension_by_name("marquee.v1.rules");
        let comments = pool.files().flat_map(|file| comments_of(&file)).collect();
        Ok(Self { pool, rules, comments })
    }

    /// All services.
    pub(super) fn services(&self) -> impl Iterator<Item = ServiceDescriptor> {
        self.pool.services()
    }

    /// The method `package.Service.Name`, if there is one.
    pub(super) fn method(&self, full_name: &str) -> Option<MethodDescriptor> {
        self.pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .find(|method| method.full_name() == full_name)
    }

    /// The constraints of a field; none if it declares none.
    pub(super) fn rules(&self, field: &FieldDescriptor) -> Rules {
        self.rules.as_ref().map(|extension| Rules::of(field, extension)).unwrap_or_default()
    }

    /// Whether a message cannot be right without this field, or without another member of its oneof.
    pub(super) fn is_required(&self, field: &FieldDescriptor) -> bool {
        match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
            Some(oneof) => self.is_one_required(&oneof),
            None if field.is_list() => false,
            None if field.supports_presence() => self.rules(field).required,
            None => self.rules(field).refuses_zero(),
        }
    }

    /// Whether one of the members must be there.
    fn is_one_required(&self, oneof: &OneofDescriptor) -> bool {
        let Some(extension) = self.pool.get_extension_by_name("marquee.v1.oneof_rules") else { return false };
        let options = oneof.options();
        let rules = options.get_extension(&extension);
        let required = rules.as_message().and_then(|rules| rules.get_field_by_name("required"));
        required.and_then(|required| required.as_bool()).unwrap_or(false)
    }

    /// Whether the set has constraints at all.
    pub(super) fn declares_rules(&self) -> bool {
        self.rules.is_some()
    }

    /// The comment above the element at `path` of `file`: paragraphs, parted by empty lines.
    pub(super) fn comment(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.comments.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }

    /// The comment above a field.
    pub(super) fn field_comment(&self, field: &FieldDescriptor) -> &str {
        self.comment(&field.parent_message().parent_file(), field.path())
    }
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

/// The lines of a paragraph joined, so that the terminal decides where to break.
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
