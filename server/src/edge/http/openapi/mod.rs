//! The description of the API for callers without gRPC, by OpenAPI 3.1, made from the descriptors.
//!
//! Nothing of it is written by hand for one method: paths come from `google.api.http`, texts from the comments, limits
//! from the rules. Programs read it to make clients and to test servers, and `/docs` shows it to people.

mod example;
mod paths;
mod schema;
#[cfg(test)]
mod tests;

use marquee_proto::dynamic::{Api, Routes};
use serde_json::{Value, json};

use schema::Schemas;

/// What the description begins with.
const ABOUT: &str = "The API of a Marquee server for callers without gRPC. Below `/v1` are readable paths; \
    `POST /package.Service/Method` is the Connect protocol in JSON, for every call without a stream of requests. Of \
    calls with a stream of replies only the readable paths are described; Connect's clients find them at Connect's paths.\n\n\
    Fields have the names of the protos; camel case is read too. 64-bit numbers are written as texts and read as \
    numbers too. Values of enums are written by their full names, and read by their short ones too (`exact`). A field \
    that is null counts as absent.\n\n\
    An error has the status of HTTP that google.rpc.Code gives its code, and a body that says what to do: \
    `google.rpc.Status` below `/v1`, Connect's form on its paths. 413 is a message that is too large, 415 another \
    content type than JSON, 405 another verb, 429 a caller who asks too often, with `Retry-After`. `Connect-Timeout-Ms` says for how long an answer is \
    of use, on all paths.";

/// The description of these services at these places.
pub(super) fn description(api: &Api, routes: &Routes) -> Value {
    let mut schemas = Schemas::new(api);
    let paths = paths::paths(api, routes, &mut schemas);
    let mut components = json!({
        "schemas": schemas.into_json(),
        "parameters": paths::parameters(),
        "headers": paths::headers(),
        "responses": paths::responses(),
        "securitySchemes": {
            "Bearer": { "type": "http", "scheme": "bearer", "description": "An API key, where the server asks for one." },
            "ApiKey": { "type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key." },
        },
    });
    components["schemas"]["Status"] = schema::status();
    components["schemas"]["ConnectError"] = schema::connect_error();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Marquee",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "Bearer": [] }, { "ApiKey": [] }],
        "tags": paths::tags(api),
        "paths": paths,
        "components": components,
    })
}
