//! A method of a descriptor, as the client calls it.

use prost_reflect::MethodDescriptor;

use crate::Rpc;

/// The path of a method, and whether its proto lets it be repeated.
pub(super) fn rpc(method: &MethodDescriptor) -> Rpc {
    let options = method.method_descriptor_proto().options.clone().unwrap_or_default();
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    Rpc::new(&path, options.idempotency_level().into()).expect("proto names are letters, digits and dots")
}
