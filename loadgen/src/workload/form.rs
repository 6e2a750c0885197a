//! How calls of `marquee.v1` are written in each protocol: where they stand, and their messages' encoding.

use bytes::Bytes;
use http::Method as Verb;
use marquee_proto::dynamic::{Api, HttpBinding, RequestBody};
use marquee_proto::methods::Streaming;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};

use super::{Rpc, WorkloadError};
use crate::wire::{Dialect, Encoding, Protocol, Route};

/// The calls of a mix in one protocol.
pub(super) struct Form {
    dialect: Dialect,
    routes: Vec<Route>,
    /// The requests' messages, in the order of the routes.
    inputs: Vec<MessageDescriptor>,
}

impl Form {
    /// The calls in gRPC, where each has a place.
    pub(super) fn grpc(mix: &[Rpc]) -> Self {
        Self {
            dialect: Dialect::GRPC,
            routes: mix.iter().map(|rpc| Route::post(rpc.path())).collect(),
            inputs: Vec::new(),
        }
    }

    /// The calls in this protocol.
    ///
    /// # Errors
    /// [`WorkloadError::Protocol`] of the first one that it cannot carry.
    pub(super) fn new(mix: &[Rpc], dialect: Dialect) -> Result<Self, WorkloadError> {
        if dialect == Dialect::GRPC {
            return Ok(Self::grpc(mix));
        }
        let api = Api::marquee();
        let (mut routes, mut inputs) = (Vec::new(), Vec::new());
        for rpc in mix {
            let refused = |reason| WorkloadError::Protocol { rpc: rpc.name(), dialect, reason };
            if rpc.method().streaming != Streaming::Neither {
                return Err(refused("it is a stream of requests; give --protocol grpc"));
            }
            let method = api.method(&format!("{}.{}", rpc.method().service, rpc.name()));
            let method = method.ok_or_else(|| refused("the protos do not have it"))?;
            routes.push(match dialect.protocol() {
                Protocol::Rest => rest(&method).ok_or_else(|| {
                    refused("its request is not the whole body, which is all that is sent here; give --protocol connect")
                })?,
                _ => Route::post(rpc.path()),
            });
            inputs.push(method.input());
        }
        Ok(Self { dialect, routes, inputs })
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The body of a request along route `call`, whose messages are [`Encoding::Prefixed`].
    pub(super) fn body(&self, call: usize, prefixed: Bytes) -> Bytes {
        match self.dialect.protocol().encoding() {
            Encoding::Prefixed => prefixed,
            Encoding::Bare => prefixed.slice(PREFIX..),
            Encoding::Json => json(&self.inputs[call], &prefixed[PREFIX..]),
        }
    }
}

/// The bytes before a message.
const PREFIX: usize = 5;

/// Where a request stands that is a whole body.
fn rest(method: &MethodDescriptor) -> Option<Route> {
    let bindings = HttpBinding::of(method).ok()?;
    let is_body = |binding: &&HttpBinding| {
        binding.body == RequestBody::Message && binding.path.variables().next().is_none()
    };
    let binding = bindings.iter().find(is_body)?;
    let verb = Verb::from_bytes(binding.verb.as_str().as_bytes()).ok()?;
    Some(Route { method: verb, ..Route::post(binding.path.to_string()) })
}

/// A message as people write it: the protos' names, and only what is set.
fn json(descriptor: &MessageDescriptor, message: &[u8]) -> Bytes {
    let message = DynamicMessage::decode(descriptor.clone(), message).expect("it was encoded here");
    let mut text = serde_json::Serializer::new(Vec::new());
    let options = SerializeOptions::new().use_proto_field_name(true);
    message.serialize_with_options(&mut text, &options).expect("requests made here have no times");
    text.into_inner().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(mix: &[Rpc], protocol: Protocol) -> Result<Form, String> {
        Form::new(mix, Dialect::new(protocol, None).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_call_stands_at_the_path_of_its_protocol() {
        let path = |protocol| form(&[Rpc::Recommend], protocol).unwrap().routes[0].path.clone();
        for protocol in [Protocol::Grpc, Protocol::GrpcWeb, Protocol::Connect, Protocol::ConnectProto] {
            assert_eq!(path(protocol), "/marquee.v1.RecommendationService/Recommend");
        }
        assert_eq!(path(Protocol::Rest), "/v1/recommend");
    }

    #[test]
    fn a_message_is_written_in_the_encoding_of_its_protocol() {
        let prefixed = Bytes::from_static(&[0, 0, 0, 0, 4, 0x08, 7, 0x18, 10]);
        let body = |protocol| form(&[Rpc::Recommend], protocol).unwrap().body(0, prefixed.clone());
        assert_eq!(body(Protocol::Grpc), prefixed);
        assert_eq!(body(Protocol::GrpcWeb), prefixed);
        assert_eq!(body(Protocol::ConnectProto), prefixed[5..]);
        assert_eq!(body(Protocol::Connect), r#"{"user_id":"7","k":10}"#);
        assert_eq!(body(Protocol::Rest), r#"{"user_id":"7","k":10}"#);
    }

    #[test]
    fn a_call_that_a_protocol_cannot_carry_is_named() {
        let refused = form(&[Rpc::Recommend, Rpc::RecommendStream], Protocol::Connect).err().unwrap();
        assert!(
            refused.starts_with(
                "RecommendStream cannot be made by Connect in JSON over HTTP/1.1: it is a stream"
            )
        );
        let refused = form(&[Rpc::GetMovie], Protocol::Rest).err().unwrap();
        assert!(
            refused.starts_with("GetMovie cannot be made by REST over HTTP/1.1: its request is not"),
            "{refused}"
        );
        assert!(form(&[Rpc::GetMovie], Protocol::Connect).is_ok());
    }
}
