//! What the callers without gRPC are served: the methods, their places, and how errors and bodies are treated. Looked
//! up in the descriptors once, and the same for every protocol.

use std::collections::HashMap;
use std::sync::Arc;

use http::uri::PathAndQuery;
use marquee_proto::dynamic::{Api, HttpBinding, Routes};
use marquee_proto::methods::{IdempotencyLevel, recommendation};
use prost_reflect::{MessageDescriptor, MethodDescriptor};

use super::error::Errors;
use crate::edge::layers::Bodies;

/// See the module.
pub(super) struct Served {
    /// By the path of their calls.
    pub(super) methods: HashMap<String, Method>,
    /// The paths of REST.
    pub(super) routes: Routes,
    /// Shared with the streams, which end later.
    pub(super) errors: Arc<Errors>,
    pub(super) bodies: Bodies,
}

impl Served {
    /// The methods of these services; bodies are read by `bodies`.
    pub(super) fn new(api: &Api, bodies: Bodies) -> Self {
        let methods = api.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let methods = methods.filter_map(|method| Method::of(&method));
        Self {
            methods: methods.map(|method| (method.path.path().to_owned(), method)).collect(),
            routes: Routes::of(api).expect("the protos' places are tested"),
            errors: Arc::new(Errors::new(api.pool().clone())),
            bodies,
        }
    }

    /// The method that has this place.
    pub(super) fn method_of(&self, binding: &HttpBinding) -> Option<&Method> {
        self.methods.get(&path_of(&binding.method))
    }
}

/// The path of the calls of a method.
fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Of what a call has more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streaming {
    /// It has one request and one reply.
    Nothing,
    /// It has one request.
    Replies,
    /// However many replies it has.
    Requests,
}

impl Streaming {
    fn of(method: &MethodDescriptor) -> Self {
        match (method.is_client_streaming(), method.is_server_streaming()) {
            (true, _) => Self::Requests,
            (false, true) => Self::Replies,
            (false, false) => Self::Nothing,
        }
    }
}

/// A method that is served, with what is looked up of it once.
pub(super) struct Method {
    /// The path of its calls.
    pub(super) path: PathAndQuery,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
    pub(super) streaming: Streaming,
    /// Whether a call may be a GET, which a browser may repeat and whoever carries it may log.
    pub(super) is_readable: bool,
}

impl Method {
    /// `None` where its name makes no path.
    pub(super) fn of(descriptor: &MethodDescriptor) -> Option<Self> {
        let path = path_of(descriptor);
        let options = descriptor.method_descriptor_proto().options.as_ref();
        let has_effects =
            options.is_none_or(|options| options.idempotency_level() != IdempotencyLevel::NoSideEffects);
        let streaming = Streaming::of(descriptor);
        // Their answers are to be logged as what was shown to a person.
        let shows = [recommendation::RECOMMEND.path, recommendation::RECOMMEND_BATCH.path];
        Some(Self {
            is_readable: streaming == Streaming::Nothing && !has_effects && !shows.contains(&path.as_str()),
            path: PathAndQuery::try_from(path).ok()?,
            input: descriptor.input(),
            output: descriptor.output(),
            streaming,
        })
    }

    /// `package.Service/Method`.
    pub(super) fn name(&self) -> &str {
        self.path.path().trim_start_matches('/')
    }
}
