//! What the protos say of HTTP, so that it holds for the methods that are added too.

use marquee_proto::dynamic::{Api, HttpBinding, RequestBody, Routes, Verb};
use prost_reflect::MethodDescriptor;
use prost_reflect::prost_types::method_options::IdempotencyLevel;

fn bindings() -> Vec<HttpBinding> {
    Routes::of(&Api::marquee())
        .expect("all options are supported, and no two methods have one place")
        .bindings()
        .to_vec()
}

fn has_no_side_effects(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.clone().unwrap_or_default();
    options.idempotency_level() == IdempotencyLevel::NoSideEffects
}

#[test]
fn every_method_without_a_stream_of_requests_has_a_place() {
    let bindings = bindings();
    for method in Api::marquee().services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let has_place = bindings.iter().any(|binding| binding.method.full_name() == method.full_name());
        assert_eq!(has_place, !method.is_client_streaming(), "{}", method.full_name());
    }
}

#[test]
fn what_changes_nothing_can_be_got_unless_its_request_is_large() {
    for binding in bindings() {
        let verb = binding.verb;
        if verb == Verb::Get {
            assert!(has_no_side_effects(&binding.method), "GET {}", binding.path);
        }
        let has_body = binding.body == RequestBody::Message;
        assert_eq!(has_body, !matches!(verb, Verb::Get | Verb::Delete), "{verb} {}", binding.path);
    }
}

#[test]
fn the_places_that_callers_know_are_there() {
    let known: Vec<String> =
        bindings().iter().map(|it| format!("{} {} {}", it.verb, it.path, it.method.name())).collect();
    for place in [
        "POST /v1/recommend Recommend",
        "GET /v1/movies/{movie_id} GetMovie",
        "GET /v1/movies:search SearchMovies",
        "GET /v1/movies:suggest SuggestMovies",
        "GET /v1/users/{user_id}/stats GetUserStats",
        "POST /v1/interactions RecordInteraction",
    ] {
        assert!(known.iter().any(|it| it == place), "{place} is not among {known:#?}");
    }
}
