//! The same `Recommend` for who speaks no gRPC: gRPC-web, Connect and REST in their plainest form.

use std::sync::LazyLock;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use marquee_proto::dynamic::{Api, from_json, to_json_text};
use marquee_proto::methods::recommendation::RECOMMEND;
use marquee_proto::{code_name, v1};
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::json;
use tonic::Status;

/// Where REST has it.
const REST: &str = "/v1/recommend";

/// The bytes before a message of gRPC-web.
const PREFIX: usize = 5;

/// The headers that tell a deadline: gRPC's, and everybody else's.
const TIMEOUTS: [HeaderName; 2] =
    [HeaderName::from_static("grpc-timeout"), HeaderName::from_static("connect-timeout-ms")];

/// Answers what is not gRPC, and leaves the rest to `next`.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes().to_owned());
    let path = request.uri().path().to_owned();
    let form = match content_type.as_deref().unwrap_or_default() {
        b"application/grpc-web+proto" if path == RECOMMEND.path => Form::GrpcWeb,
        b"application/proto" if path == RECOMMEND.path => Form::Proto,
        b"application/json" if path == RECOMMEND.path => Form::Json,
        b"application/json" if path == REST => Form::Rest,
        b"application/grpc" => return next.run(request).await,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let has_its_timeout_alone = has_its_timeout_alone(form, request.headers());
    let Ok(body) = to_bytes(request.into_body(), usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let answered = match form.read(&body) {
        Some(request) if has_its_timeout_alone => super::answer(&request).await,
        _ => Err(Status::invalid_argument("the request is not as its protocol writes it")),
    };
    form.write(answered)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    GrpcWeb,
    Proto,
    Json,
    Rest,
}

/// No header of another protocol tells the deadline.
fn has_its_timeout_alone(form: Form, headers: &HeaderMap) -> bool {
    let [grpc, connect] = TIMEOUTS.map(|name| headers.contains_key(name));
    if form == Form::GrpcWeb { !connect } else { !grpc }
}

impl Form {
    fn read(self, body: &Bytes) -> Option<v1::RecommendRequest> {
        match self {
            Self::GrpcWeb => v1::RecommendRequest::decode(body.get(PREFIX..)?).ok(),
            Self::Proto => v1::RecommendRequest::decode(body.as_ref()).ok(),
            Self::Json | Self::Rest => {
                let message = from_json(&method()?.input(), std::str::from_utf8(body).ok()?).ok()?;
                v1::RecommendRequest::decode(message.encode_to_vec().as_slice()).ok()
            }
        }
    }

    fn write(self, answered: Result<v1::RecommendResponse, Status>) -> Response {
        let (status, content_type, body) = match (self, answered) {
            (Self::GrpcWeb, answered) => {
                let code = answered.as_ref().err().map_or(0, |status| status.code() as i32);
                let message = answered.as_ref().err().map_or("", Status::message);
                let trailers = format!("grpc-status:{code}\r\ngrpc-message:{message}\r\n");
                let mut body = Vec::new();
                if let Ok(response) = answered {
                    frame(&mut body, 0, &response.encode_to_vec());
                }
                frame(&mut body, 0x80, trailers.as_bytes());
                (StatusCode::OK, "application/grpc-web+proto", body)
            }
            (Self::Proto, Ok(response)) => (StatusCode::OK, "application/proto", response.encode_to_vec()),
            (Self::Json | Self::Rest, Ok(response)) => {
                (StatusCode::OK, "application/json", json_of(&response).unwrap_or_default())
            }
            (Self::Rest, Err(status)) => {
                let body = json!({"code": status.code() as i32, "message": status.message(), "details": []});
                (StatusCode::TOO_MANY_REQUESTS, "application/json", body.to_string().into_bytes())
            }
            (Self::Proto | Self::Json, Err(status)) => {
                let body =
                    json!({"code": code_name(status.code()).to_lowercase(), "message": status.message()});
                (StatusCode::TOO_MANY_REQUESTS, "application/json", body.to_string().into_bytes())
            }
        };
        (status, [(header::CONTENT_TYPE, content_type)], Body::from(body)).into_response()
    }
}

fn frame(body: &mut Vec<u8>, flag: u8, content: &[u8]) {
    body.push(flag);
    body.extend((content.len() as u32).to_be_bytes());
    body.extend(content);
}

fn json_of(response: &v1::RecommendResponse) -> Option<Vec<u8>> {
    let message = DynamicMessage::decode(method()?.output(), response.encode_to_vec().as_slice()).ok()?;
    to_json_text(&message).ok()
}

fn method() -> Option<&'static MethodDescriptor> {
    static METHOD: LazyLock<Option<MethodDescriptor>> =
        LazyLock::new(|| Api::marquee().method("marquee.v1.RecommendationService.Recommend"));
    METHOD.as_ref()
}
