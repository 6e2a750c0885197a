//! What `README.md` promises of every message, so that it holds for those that are added too.

use std::collections::BTreeMap;

use marquee_proto::DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

/// All messages that requests are made of, by name.
fn of_requests() -> BTreeMap<String, MessageDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the build wrote it");
    let mut found = BTreeMap::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        collect(method.input(), &mut found);
    }
    assert!(found.contains_key("RecommendRequest") && found.contains_key("Filter"), "{found:?}");
    found
}

fn collect(message: MessageDescriptor, found: &mut BTreeMap<String, MessageDescriptor>) {
    for field in message.fields() {
        if let Kind::Message(inner) = field.kind()
            && inner.package_name() == "marquee.v1"
        {
            collect(inner, found);
        }
    }
    found.insert(message.name().to_owned(), message);
}

fn names(fields: impl Iterator<Item = FieldDescriptor>) -> Vec<String> {
    fields.map(|field| field.full_name().to_owned()).collect()
}

#[test]
fn a_zero_in_a_request_differs_from_what_is_not_said() {
    let may_be_zero = |field: &FieldDescriptor| {
        !field.is_list()
            && !matches!(field.kind(), Kind::Message(_) | Kind::Enum(_) | Kind::String | Kind::Bytes)
    };
    let fields: Vec<_> = of_requests().values().flat_map(|it| it.fields().collect::<Vec<_>>()).collect();
    let unclear = fields.into_iter().filter(|field| may_be_zero(field) && !field.supports_presence());
    assert_eq!(names(unclear), [""; 0]);
}

#[test]
fn who_and_what_a_request_is_about_may_be_said_by_another_key() {
    let fields: Vec<_> = of_requests().values().flat_map(|it| it.fields().collect::<Vec<_>>()).collect();
    let is_open = |field: &FieldDescriptor| {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let expected = field.name().trim_end_matches("_id");
        oneof.is_some_and(|oneof| oneof.name() == expected || oneof.name() == "subject")
    };
    let ids = fields.into_iter().filter(|field| matches!(field.name(), "user_id" | "movie_id"));
    assert_eq!(names(ids.filter(|field| !is_open(field))), [""; 0]);
}

#[test]
fn no_number_is_held_back() {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the build wrote it");
    let ours = pool.all_messages().filter(|message| message.package_name() == "marquee.v1");
    let holding = ours.filter(|message| message.reserved_ranges().len() > 0);
    assert_eq!(holding.map(|message| message.full_name().to_owned()).collect::<Vec<_>>(), [""; 0]);
}
