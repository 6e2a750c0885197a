//! README.md has a table of the API: each service with its methods. Nobody remembers it when a method is added.

use marquee_proto::DESCRIPTOR_SET;
use prost_reflect::DescriptorPool;

#[test]
fn the_table_of_the_api_has_every_method_in_the_row_of_its_service() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("it is there");
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptors are sound");
    let ours = pool.services().filter(|service| service.package_name() == "marquee.v1");
    let expected = ours.map(|service| {
        let methods: Vec<_> = service.methods().map(|method| format!("`{}`", method.name())).collect();
        (format!("| `{}` | ", service.name()), methods)
    });
    let row_of = |start: &str| readme.lines().find(|line| line.starts_with(start)).unwrap_or_default();
    let missing: Vec<_> = expected
        .flat_map(|(start, methods)| {
            let row = row_of(&start);
            methods
                .into_iter()
                .filter(|method| !row.contains(method))
                .map(|method| format!("{start}{method}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(missing.is_empty(), "README.md, \"The API at a glance\", lacks {missing:?}");
}
