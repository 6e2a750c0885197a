//! What generators of other languages read of the files.

use marquee_proto::DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{FileDescriptorSet, FileOptions};

#[test]
fn every_file_has_a_package_in_go_and_in_java() {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    let ours: Vec<_> = set.file.iter().filter(|file| file.package() == "marquee.v1").collect();
    assert!(!ours.is_empty());
    for file in ours {
        let options = file.options.as_ref();
        let package = |of: fn(&FileOptions) -> &str| options.map(of);
        assert_eq!(package(FileOptions::go_package), Some("marquee/v1;marqueev1"), "{}", file.name());
        assert_eq!(package(FileOptions::java_package), Some("com.marquee.v1"), "{}", file.name());
        assert!(options.is_some_and(FileOptions::java_multiple_files), "{}", file.name());
    }
}
