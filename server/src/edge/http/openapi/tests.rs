use std::collections::BTreeSet;

use marquee_proto::dynamic::{Api, Routes, from_json};
use prost_reflect::MethodDescriptor;
use serde_json::Value;

use super::description;

fn api() -> Api {
    Api::marquee()
}

fn described() -> Value {
    let api = api();
    let routes = Routes::of(&api).unwrap_or_default();
    description(&api, &routes)
}

fn methods(api: &Api) -> Vec<MethodDescriptor> {
    api.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// All operations with their path and verb.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let of_path = |(path, item): (&String, &Value)| {
        let verbs = item.as_object().cloned().unwrap_or_default();
        let path = path.clone();
        verbs.into_iter().map(move |(verb, operation)| (path.clone(), verb, operation)).collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}

#[test]
fn every_call_without_streams_has_connects_path_and_every_place_is_there() {
    let (api, document) = (api(), described());
    for method in methods(&api).iter().filter(|it| !it.is_client_streaming() && !it.is_server_streaming()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        assert!(document["paths"][&path]["post"].is_object(), "{path}");
    }
    for binding in Routes::of(&api).unwrap().bindings() {
        let verb = binding.verb.as_str().to_lowercase();
        assert!(document["paths"][binding.path.to_string()][&verb].is_object(), "{verb} {}", binding.path);
    }
}

#[test]
fn no_two_operations_have_one_name() {
    let document = described();
    let operations = operations(&document);
    let names: BTreeSet<_> =
        operations.iter().map(|(_, _, it)| it["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), operations.len());
}

#[test]
fn whatever_is_referred_to_is_there() {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let document = described();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let target = document.pointer(reference.trim_start_matches('#'));
        assert!(target.is_some_and(Value::is_object), "{reference}");
    }
}

#[test]
fn limits_units_and_defaults_are_those_of_the_protos() {
    let document = described();
    let request = &document["components"]["schemas"]["RecommendRequest"];
    let k = &request["properties"]["k"];
    assert_eq!((&k["minimum"], &k["maximum"], &k["default"]), (&1.into(), &500.into(), &10.into()));
    assert_eq!(k["x-unit"], "movies");
    assert!(k["description"].as_str().unwrap().contains("1 to 500"));
    assert_eq!(request["additionalProperties"], false);
    let batch = &document["components"]["schemas"]["RecommendBatchRequest"]["properties"]["requests"];
    assert_eq!(batch["maxItems"], 1000);
    let rating = &document["components"]["schemas"]["RecordInteractionRequest"]["properties"]["rating"];
    assert_eq!((&rating["minimum"], &rating["multipleOf"]), (&0.5.into(), &0.5.into()));
    let search = &document["paths"]["/v1/movies:search"]["get"]["parameters"];
    let query = search.as_array().unwrap().iter().find(|it| it["name"] == "query").unwrap();
    assert_eq!((query.get("required"), &query["schema"]["maxLength"]), (None, &200.into()));
    let suggest = &document["paths"]["/v1/movies:suggest"]["get"]["parameters"];
    let typed = suggest.as_array().unwrap().iter().find(|it| it["name"] == "query").unwrap();
    assert_eq!(typed["required"], true);
    assert!(search.as_array().unwrap().iter().any(|it| it["name"] == "filter.genres_any"));
}

#[test]
fn of_a_oneof_one_member_is_taken() {
    let document = described();
    let request = &document["components"]["schemas"]["RecommendRequest"];
    let subject = &request["allOf"][0]["oneOf"];
    assert_eq!(subject[0]["required"][0], "user_id");
    assert_eq!(subject[1]["required"][0], "user_key");
    assert_eq!(subject[2]["required"][0], "history");
    assert_eq!(subject.as_array().unwrap().len(), 3, "one of them is there: {subject}");
    assert_eq!(document["components"]["schemas"]["RevokeKeyRequest"]["required"][0], "key_id");
}

#[test]
fn what_the_path_says_is_no_part_of_the_body() {
    let document = described();
    let activate = &document["paths"]["/v1/models/{version}:activate"]["post"];
    let schema = &activate["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(schema["properties"], serde_json::json!({}));
    assert_eq!(activate["parameters"][2]["in"], "path");
}

#[test]
fn a_body_that_may_say_nothing_may_be_left_out() {
    let document = described();
    let is_needed = |path: &str, verb: &str| document["paths"][path][verb]["requestBody"]["required"].clone();
    assert_eq!(is_needed("/v1/users/{user_id}", "put"), false);
    assert_eq!(is_needed("/v1/users/{user_id}/preferences", "put"), true);
    assert_eq!(is_needed("/v1/interactions", "post"), true);
    assert_eq!(is_needed("/v1/models/{version}:activate", "post"), false);
    // A text of JSON is never empty.
    assert_eq!(is_needed("/marquee.v1.CatalogService/ListGenres", "post"), true);
}

#[test]
fn a_number_of_64_bits_is_a_number_or_a_text_and_in_an_address_a_text() {
    let document = described();
    let in_body = &document["components"]["schemas"]["GetUserRequest"]["properties"]["user_id"];
    assert_eq!(in_body["type"], serde_json::json!(["string", "integer"]));
    assert_eq!((&in_body["minimum"], &in_body["maximum"]), (&1.into(), &u64::MAX.into()));
    let in_path = &document["paths"]["/v1/users/{user_id}"]["get"]["parameters"][2];
    assert_eq!((&in_path["name"], &in_path["schema"]["type"]), (&"user_id".into(), &"string".into()));
}

#[test]
fn examples_are_messages_that_keep_the_rules() {
    let (api, document) = (api(), described());
    for method in methods(&api).iter().filter(|it| !it.is_client_streaming() && !it.is_server_streaming()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let body = &document["paths"][&path]["post"]["requestBody"]["content"]["application/json"];
        let message = from_json(&method.input(), &body["example"].to_string()).unwrap();
        assert_eq!(api.check(&message), Ok(()), "{path}: {}", body["example"]);
    }
}

#[test]
fn examples_are_what_a_person_would_begin_with() {
    let document = described();
    let example = |path: &str| {
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"].clone()
    };
    assert_eq!(example("/v1/interactions")["rating"], 4.5);
    assert_eq!(example("/v1/models/{version}:activate"), serde_json::json!({}));
    let version = &document["paths"]["/v1/models/{version}:activate"]["post"]["parameters"][2];
    assert_eq!(version["example"], "a");
    let search = document["paths"]["/v1/movies:search"]["get"]["parameters"].as_array().unwrap();
    assert!(search.iter().any(|parameter| parameter["example"] == "toy story"));
    let deleted = &document["paths"]["/v1/users/{user_id}"]["delete"]["parameters"][2]["example"];
    assert_eq!(deleted, "990001", "nobody who tries it deletes a user of the sample");
}

#[test]
fn it_is_the_same_each_time() {
    assert_eq!(described().to_string(), described().to_string());
}
