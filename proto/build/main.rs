//! Compiles the protos without protoc and writes nine things into the build folder: the types and services, the
//! descriptor set (for reflection and the command line), the validation code, what requests name, how keys in them become numbers,
//! the short forms for oneofs, the tables for the scan of a request's bytes, the list of methods, and the stages of a request's time.

mod keyed;
mod methods;
mod named;
mod oneofs;
#[path = "../src/dynamic/rules.rs"]
#[allow(dead_code, unreachable_pub, reason = "what the crate gives to others too")]
mod rules;
mod shapes;
mod timings;
mod validation;

use std::error::Error;
use std::path::PathBuf;

use prost_reflect::DescriptorPool;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;

const PROTOS: [&str; 14] = [
    "rules",
    "common",
    "recommendation",
    "catalog",
    "interaction",
    "experiment",
    "user",
    "vector",
    "business_rule",
    "operations",
    "access",
    "account",
    "audit",
    "job",
];

/// The package of what says a method's place in HTTP. It is read from the descriptors, so it needs no types.
const ANNOTATIONS: &str = "google.api";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=marquee");
    println!("cargo:rerun-if-changed=google");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=src/dynamic/rules.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(PROTOS.map(|name| format!("marquee/v1/{name}.proto")))?;
    let encoded = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("marquee.v1.bin"), &encoded)?;

    let pool = DescriptorPool::decode(encoded.as_slice())?;
    std::fs::write(out.join("validate.rs"), validation::validation_code(&pool)?)?;
    std::fs::write(out.join("named.rs"), named::naming_code(&pool)?)?;
    std::fs::write(out.join("keyed.rs"), keyed::keyed_code(&pool)?)?;
    std::fs::write(out.join("oneofs.rs"), oneofs::conversion_code(&pool)?)?;
    std::fs::write(out.join("shapes.rs"), shapes::shape_code(&pool)?)?;
    std::fs::write(out.join("methods.rs"), methods::method_code(&pool)?)?;
    std::fs::write(out.join("timings.rs"), timings::timings_code(&pool)?)?;

    let mut set = FileDescriptorSet::decode(encoded.as_slice())?;
    set.file.retain(|file| file.package() != ANNOTATIONS);
    pack_numbers(&mut set);
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::codec::Codec")
        .type_attribute(".", "#[allow(clippy::large_enum_variant, clippy::doc_lazy_continuation)]")
        .compile_fds(set)?;
    Ok(())
}

/// Says of every field what proto3 means where nothing is said: lists of numbers are packed. prost-build takes a
/// list whose field has options, such as our rules, for one that is not.
fn pack_numbers(set: &mut FileDescriptorSet) {
    let fields = set.file.iter_mut().flat_map(|file| &mut file.message_type).flat_map(|it| &mut it.field);
    for options in fields.filter_map(|field| field.options.as_mut()) {
        options.packed.get_or_insert(true);
    }
}
