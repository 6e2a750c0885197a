//! Turns the services into constants: one for each method, and the list of all.

use std::error::Error;
use std::fmt::Write as _;

use heck::{ToShoutySnakeCase as _, ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};

use crate::rules::AccessRules;

/// The source of a module for each service, and of `ALL`.
pub(crate) fn method_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    let mut all = Vec::new();
    for service in pool.services().filter(|service| service.package_name() == "marquee.v1") {
        let module = service.name().trim_end_matches("Service").to_snake_case();
        writeln!(code, "/// The methods of `{}`.\npub mod {module} {{", service.full_name())?;
        writeln!(code, "    use super::{{Access, IdempotencyLevel, Method, Role, Streaming}};\n")?;
        for method in service.methods() {
            let name = method.name().to_shouty_snake_case();
            writeln!(
                code,
                "    /// `{}`.\n    pub const {name}: Method = {};",
                method.name(),
                of(&service, &method)?
            )?;
            all.push(format!("{module}::{name}"));
        }
        writeln!(code, "}}\n")?;
    }
    writeln!(code, "/// All methods, in the order of the protos.")?;
    writeln!(code, "pub const ALL: [Method; {}] = [{}];", all.len(), all.join(", "))?;
    Ok(code)
}

fn of(service: &ServiceDescriptor, method: &MethodDescriptor) -> Result<String, Box<dyn Error>> {
    let access = AccessRules::of(method).ok_or_else(|| {
        let name = method.full_name();
        format!("{name} does not say who may call it: give it the option (access) = {{least: ROLE_...}}")
    })?;
    let (least, person) = (access.least.to_upper_camel_case(), access.person);
    let (service, name) = (service.full_name(), method.name());
    let streaming = match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => "Neither",
        (true, false) => "Requests",
        (false, true) => "Replies",
        (true, true) => "Both",
    };
    let options = method.method_descriptor_proto().options.clone().unwrap_or_default();
    let idempotency = options.idempotency_level();
    Ok(format!(
        "Method {{ path: \"/{service}/{name}\", service: {service:?}, name: {name:?}, \
         streaming: Streaming::{streaming}, idempotency: IdempotencyLevel::{idempotency:?}, \
         access: Access {{ least: Role::{least}, person: {person} }} }}"
    ))
}
