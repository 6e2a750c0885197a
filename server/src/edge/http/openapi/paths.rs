//! The places of the methods, each with what it takes and gives.

use std::collections::BTreeSet;

use marquee_proto::dynamic::{AccessRules, Api, HttpBinding, RequestBody, Routes, is_well_known};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::super::served::{Method, Streaming};
use super::super::stream::{Framing, takes_up};
use super::example;
use super::schema::{Schemas, Way, is_without};

const JSON: &str = "application/json";

/// How deep the fields of inner messages are named in a query.
const DEEPEST: usize = 3;

/// The services, with their comments.
pub(super) fn tags(api: &Api) -> Value {
    let with_places =
        api.services().filter(|service| service.methods().any(|method| !method.is_client_streaming()));
    with_places
        .map(|service| {
            let comment = api.comment(&service.parent_file(), service.path());
            json!({ "name": service.full_name(), "description": comment })
        })
        .collect()
}

/// The operations by path and verb.
pub(super) fn paths(api: &Api, routes: &Routes, schemas: &mut Schemas<'_>) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut put = |path: String, verb: &str, operation: Value| {
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[verb.to_ascii_lowercase()] = operation;
    };
    for (index, binding) in routes.bindings().iter().enumerate() {
        let before = routes.bindings()[..index].iter().filter(|it| it.method == binding.method).count();
        let operation = readable(api, binding, before, schemas);
        put(binding.path.to_string(), binding.verb.as_str(), operation);
    }
    let methods = api.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    for method in methods {
        let is_unary = |known: &Method| known.streaming == Streaming::Nothing;
        let Some(known) = Method::of(&method).filter(is_unary) else { continue };
        put(known.path.to_string(), "post", connect(api, &method, schemas));
        if known.is_readable {
            put(known.path.to_string(), "get", connect_get(api, &method, schemas));
        }
    }
    Value::Object(paths)
}

/// The headers of every request.
pub(super) fn parameters() -> Value {
    json!({
        "Timeout": {
            "name": "Connect-Timeout-Ms",
            "in": "header",
            "description": "For how many milliseconds an answer is of use; after these the call ends.",
            "schema": { "type": "integer", "minimum": 0, "maximum": 9_999_999_999_u64 },
        },
        "LastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The `id` of the last event that was read, as browsers send it when they connect again; \
                goes before `after`.",
            "schema": { "type": "string" },
        },
        "RequestId": {
            "name": "X-Request-Id",
            "in": "header",
            "description": "Names the call in logs and traces, and is answered; made where it is absent or is not 1 \
                to 128 printable characters of ASCII.",
            "schema": { "type": "string" },
        },
    })
}

/// The headers of replies.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The name of the call in logs and traces.",
            "schema": { "type": "string" },
        },
        "RetryAfter": {
            "description": "The seconds after which to ask again.",
            "schema": { "type": "integer", "minimum": 0 },
        },
    })
}

/// The errors.
pub(super) fn responses() -> Value {
    let error = |about: &str, schema: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        json!({
            "description": about,
            "headers": {
                "Retry-After": { "$ref": "#/components/headers/RetryAfter" },
                "X-Request-Id": { "$ref": "#/components/headers/RequestId" },
            },
            "content": { JSON: { "schema": schema } },
        })
    };
    json!({
        "Error": error("The call failed; the body says why and what to do.", "Status"),
        "ConnectError": error("The call failed; the body says why and what to do.", "ConnectError"),
        "HeadTooLong": {
            "description": "The address and the headers together are longer than 32 KiB over HTTP/1.1 or 16 KiB over \
                HTTP/2, so they were not read; there is no body. What has no room in an address has it in the body of \
                a POST to Connect's path.",
        },
    })
}

/// What all operations of a method have.
fn operation(api: &Api, method: &MethodDescriptor, id: &str) -> Value {
    let comment = api.comment(&method.parent_file(), method.path());
    let sentence = comment.split_once(". ").map_or(comment, |(sentence, _)| sentence);
    let summary = sentence.lines().next().unwrap_or_default().trim_end_matches('.');
    let summary = if summary.is_empty() { method.name() } else { summary };
    let description = AccessRules::of(method)
        .map_or_else(|| comment.to_owned(), |access| format!("{comment}\n\n{}", who_may(&access)));
    json!({
        "operationId": id,
        "tags": [method.parent_service().full_name()],
        "summary": summary,
        "description": description,
        "parameters": [
            { "$ref": "#/components/parameters/Timeout" },
            { "$ref": "#/components/parameters/RequestId" },
        ],
    })
}

/// Who may call a method, for people.
fn who_may(access: &AccessRules) -> String {
    if access.least == "anyone" {
        return "Where the server asks who calls: everybody may.".to_owned();
    }
    let people = if access.person { ", and people for their own user" } else { "" };
    format!("Where the server asks who calls: role `{}` or above{people}.", access.least)
}

/// An operation at a readable path; `before` of its method come before it.
fn readable(api: &Api, binding: &HttpBinding, before: usize, schemas: &mut Schemas<'_>) -> Value {
    let method = &binding.method;
    let further = if before == 0 { String::new() } else { (before + 1).to_string() };
    let id = format!("{}_{}{further}", method.parent_service().name(), method.name());
    let mut operation = operation(api, method, &id);
    let variables: Vec<&str> = binding.path.variables().collect();
    let input = method.input();
    for variable in &variables {
        let Some(field) = input.get_field_by_name(variable) else { continue };
        let mut parameter = parameter(api, &field, variable, schemas);
        parameter["in"] = "path".into();
        parameter["required"] = true.into();
        parameter["example"] = example::of_field(api, &field);
        push(&mut operation, parameter);
    }
    match binding.body {
        RequestBody::None => {
            let without = variables.iter().copied().collect();
            for parameter in in_query(api, &input, "", &without, DEEPEST, schemas) {
                push(&mut operation, parameter);
            }
        }
        RequestBody::Message => {
            let mut body = body(api, &input, &variables, schemas);
            body["required"] = needs_body(api, &input, &variables).into();
            operation["requestBody"] = body;
        }
    }
    if method.is_server_streaming() && takes_up(&input) {
        push(&mut operation, json!({ "$ref": "#/components/parameters/LastEventId" }));
    }
    operation["responses"] = json!({
        "200": if method.is_server_streaming() { stream(method, schemas) } else { reply(method, schemas) },
        "431": { "$ref": "#/components/responses/HeadTooLong" },
        "default": { "$ref": "#/components/responses/Error" },
    });
    operation
}

/// The operation by which Connect calls a method.
fn connect(api: &Api, method: &MethodDescriptor, schemas: &mut Schemas<'_>) -> Value {
    let id = format!("{}.{}", method.parent_service().full_name(), method.name());
    let mut operation = operation(api, method, &id);
    operation["requestBody"] = body(api, &method.input(), &[], schemas);
    operation["responses"] = connect_responses(method, schemas);
    operation
}

/// The same without a body, for a method that changes nothing.
fn connect_get(api: &Api, method: &MethodDescriptor, schemas: &mut Schemas<'_>) -> Value {
    let id = format!("{}.{}.get", method.parent_service().full_name(), method.name());
    let mut operation = operation(api, method, &id);
    let input = method.input();
    let message = schemas.reference(&input, Way::In);
    push(
        &mut operation,
        json!({
            "name": "encoding",
            "in": "query",
            "required": true,
            "description": "Of the message. Connect's clients send `proto` and `base64=1` too.",
            "schema": { "type": "string", "enum": ["json"] },
            "example": "json",
        }),
    );
    push(
        &mut operation,
        json!({
            "name": "connect",
            "in": "query",
            "description": "The version of the protocol.",
            "schema": { "type": "string", "enum": ["v1"] },
        }),
    );
    push(
        &mut operation,
        json!({
            "name": "message",
            "in": "query",
            "required": true,
            "description": "The request.",
            "content": { JSON: { "schema": message, "example": example::of_message(api, &input, &BTreeSet::new()) } },
        }),
    );
    operation["responses"] = connect_responses(method, schemas);
    operation
}

fn connect_responses(method: &MethodDescriptor, schemas: &mut Schemas<'_>) -> Value {
    json!({
        "200": reply(method, schemas),
        "431": { "$ref": "#/components/responses/HeadTooLong" },
        "default": { "$ref": "#/components/responses/ConnectError" },
    })
}

fn push(operation: &mut Value, parameter: Value) {
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.push(parameter);
    }
}

/// The body of a request: its message without what the path says.
fn body(api: &Api, input: &MessageDescriptor, variables: &[&str], schemas: &mut Schemas<'_>) -> Value {
    let without: BTreeSet<&str> = variables.iter().copied().collect();
    let schema = if without.is_empty() {
        schemas.reference(input, Way::In)
    } else {
        schemas.message(input, Way::In, &without)
    };
    let example = example::of_message(api, input, &without);
    json!({ "required": true, "content": { JSON: { "schema": schema, "example": example } } })
}

/// Whether a message has to say something that the path does not. What says nothing may be left out.
fn needs_body(api: &Api, input: &MessageDescriptor, variables: &[&str]) -> bool {
    let without = variables.iter().copied().collect();
    input.fields().any(|field| api.is_required(&field) && !is_without(&field, &without))
}

fn reply(method: &MethodDescriptor, schemas: &mut Schemas<'_>) -> Value {
    let output = method.output();
    json!({
        "description": "The reply.",
        "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
        "content": { JSON: { "schema": schemas.reference(&output, Way::Out) } },
    })
}

fn stream(method: &MethodDescriptor, schemas: &mut Schemas<'_>) -> Value {
    let message = schemas.reference(&method.output(), Way::Out);
    let line = json!({
        "type": "object",
        "properties": { "result": message, "error": { "$ref": "#/components/schemas/Status" } },
    });
    json!({
        "description": "The replies as they come: a line each, or an event each where `Accept` asks for events.",
        "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
        "content": {
            Framing::Lines.content_type(): { "schema": line },
            Framing::Events.content_type(): { "schema": { "type": "string" } },
        },
    })
}

/// The fields of a message as parameters of a query.
fn in_query(
    api: &Api,
    message: &MessageDescriptor,
    at: &str,
    without: &BTreeSet<&str>,
    depth: usize,
    schemas: &mut Schemas<'_>,
) -> Vec<Value> {
    let mut parameters = Vec::new();
    for field in message.fields().filter(|field| !field.is_map() && !is_without(field, without)) {
        let name = if at.is_empty() { field.name().to_owned() } else { format!("{at}.{}", field.name()) };
        match field.kind() {
            Kind::Message(inner) if !is_well_known(&inner) => {
                if depth > 1 && !field.is_list() {
                    parameters.extend(in_query(api, &inner, &name, &BTreeSet::new(), depth - 1, schemas));
                }
            }
            _ => parameters.push(parameter(api, &field, &name, schemas)),
        }
    }
    parameters
}

fn parameter(api: &Api, field: &FieldDescriptor, name: &str, schemas: &mut Schemas<'_>) -> Value {
    let mut schema = schemas.field(field, Way::In);
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    if schema["type"].is_array() {
        // A number or a text in JSON, and in an address a text.
        schema["type"] = "string".into();
    }
    let mut parameter = json!({ "name": name, "in": "query", "schema": schema });
    if api.rules(field).example.is_some() {
        parameter["example"] = example::of_field(api, field);
    }
    if let Some(description) = description {
        parameter["description"] = description;
    }
    let is_choice = field.containing_oneof().is_some_and(|oneof| oneof.fields().len() > 1);
    if api.is_required(field) && !is_choice && !name.contains('.') {
        parameter["required"] = true.into();
    }
    parameter
}
