//! Errors as callers without gRPC read them: a status of HTTP and a text of JSON.
//!
//! The text is `google.rpc.Status` in protobuf's JSON mapping on paths of REST, and Connect's own form on its paths. In
//! both the details are told as JSON too, by their descriptors.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use marquee_proto::code_name;
use marquee_proto::dynamic::{to_json, to_json_text};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};
use serde_json::json;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::call::Failure;
use crate::edge::layers::{Protocol, is_grpc_web};
use crate::edge::{ApiError, MESSAGE_TOO_LARGE};

/// The status of HTTP that stands for one of gRPC, by the map of `google.rpc.Code`.
pub(super) const fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Cancelled => CLIENT_CLOSED_REQUEST,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The status of HTTP that stands for a status. A message that is too large is not one too many, as its code says.
fn http_of(status: &Status) -> StatusCode {
    let is_too_large =
        || status.get_details_error_info().is_some_and(|info| info.reason == MESSAGE_TOO_LARGE);
    if status.code() == Code::ResourceExhausted && is_too_large() {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    http_status(status.code())
}

/// The caller has gone away. HTTP has no status for it; nginx made this one.
const CLIENT_CLOSED_REQUEST: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// Whose form an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorForm {
    /// `google.rpc.Status` as JSON.
    Rest,
    /// That of Connect.
    Connect,
    /// A status in the headers, as gRPC has it.
    GrpcWeb,
}

impl ErrorForm {
    /// The one that the caller of a request reads.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        if is_grpc_web(request.headers()) { Self::GrpcWeb } else { Self::on(request.uri().path()) }
    }

    /// The one of errors on a path: Connect's where it is that of a method, if there were such a one.
    pub(super) fn on(path: &str) -> Self {
        let is_method = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .is_some_and(|(service, method)| service.contains('.') && !method.is_empty());
        if is_method { Self::Connect } else { Self::Rest }
    }

    /// What its callers speak.
    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Rest => Protocol::Http,
            Self::Connect => Protocol::Connect,
            Self::GrpcWeb => Protocol::GrpcWeb,
        }
    }
}

/// A request that is answered by an error.
#[derive(Debug)]
pub(super) struct HttpError {
    http: StatusCode,
    status: Status,
    headers: HeaderMap,
}

impl HttpError {
    /// An error with a status of HTTP that none of gRPC stands for.
    pub(super) fn new(http: StatusCode, error: ApiError) -> Self {
        Self { http, ..Self::from(error) }
    }

    /// Another verb than those that a path takes, as `Allow` has them.
    pub(super) fn verb(path: String, allowed: &str) -> Self {
        let value = HeaderValue::try_from(allowed).unwrap_or(HeaderValue::from_static(""));
        let allowed = allowed.to_owned();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ApiError::Verb { path, allowed }).with(ALLOW, value)
    }

    /// The status of HTTP.
    pub(super) fn http(&self) -> StatusCode {
        self.http
    }

    /// The status.
    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    /// The status, and the headers that are its call's.
    pub(super) fn into_parts(self) -> (Status, HeaderMap) {
        (self.status, self.headers)
    }

    /// The error with a further header.
    pub(super) fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl From<Failure> for HttpError {
    fn from(Failure { status, headers }: Failure) -> Self {
        Self { http: http_of(&status), status, headers }
    }
}

impl From<Status> for HttpError {
    fn from(status: Status) -> Self {
        Self { http: http_of(&status), status, headers: HeaderMap::new() }
    }
}

impl From<ApiError> for HttpError {
    fn from(error: ApiError) -> Self {
        Status::from(error).into()
    }
}

/// The content type of gRPC-web in bytes.
pub(super) const BINARY: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");

/// The reply to what is refused before it is a call: a status in the headers, or one of HTTP for what is no gRPC-web.
pub(super) fn in_grpc_web(error: HttpError) -> Response<Body> {
    let http = error.http();
    let (status, headers) = error.into_parts();
    let mut response = status.into_http();
    if [StatusCode::METHOD_NOT_ALLOWED, StatusCode::UNSUPPORTED_MEDIA_TYPE].contains(&http) {
        *response.status_mut() = http;
    }
    response.headers_mut().extend(headers);
    response.headers_mut().insert(CONTENT_TYPE, BINARY);
    response
}

/// Writes errors with their details.
pub(super) struct Errors {
    pool: DescriptorPool,
    /// `google.rpc.Status`, if the descriptors have it.
    status: Option<MessageDescriptor>,
}

impl Errors {
    /// Whose details have types of this pool.
    pub(super) fn new(pool: DescriptorPool) -> Self {
        Self { status: pool.get_message_by_name("google.rpc.Status"), pool }
    }

    /// The reply.
    pub(super) fn response(&self, error: HttpError, form: ErrorForm) -> Response<Body> {
        let text = match form {
            ErrorForm::Rest => self.rest(&error.status),
            ErrorForm::Connect => self.connect(&error.status).to_string().into_bytes(),
            ErrorForm::GrpcWeb => return in_grpc_web(error),
        };
        let HttpError { http, status, headers } = error;
        let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
        *response.status_mut() = http;
        *response.headers_mut() = headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = retry_after(&status) {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    /// `google.rpc.Status`; without details where one of them is of a type that is not known.
    pub(super) fn rest(&self, status: &Status) -> Vec<u8> {
        self.rich(status).and_then(|rich| to_json_text(&rich).ok()).unwrap_or_else(|| {
            let plain = json!({ "code": status.code() as i32, "message": status.message(), "details": [] });
            plain.to_string().into_bytes()
        })
    }

    /// Connect's form.
    pub(super) fn connect(&self, status: &Status) -> serde_json::Value {
        let details = self
            .rich(status)
            .and_then(|rich| rich.get_field_by_name("details").map(std::borrow::Cow::into_owned));
        let details: Vec<_> = details
            .as_ref()
            .and_then(Value::as_list)
            .into_iter()
            .flatten()
            .filter_map(|detail| self.connect_detail(detail.as_message()?))
            .collect();
        json!({
            "code": code_name(status.code()).replace("CANCELLED", "CANCELED").to_ascii_lowercase(),
            "message": status.message(),
            "details": details,
        })
    }

    /// A `google.protobuf.Any`: its type, its bytes, and the same to be read.
    fn connect_detail(&self, any: &DynamicMessage) -> Option<serde_json::Value> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD_NO_PAD;

        let url = any.get_field_by_name("type_url")?;
        let name = url.as_str()?.rsplit('/').next()?;
        let value = any.get_field_by_name("value")?;
        let bytes = value.as_bytes()?;
        let mut detail = json!({ "type": name, "value": STANDARD_NO_PAD.encode(bytes) });
        let readable = self
            .pool
            .get_message_by_name(name)
            .and_then(|descriptor| DynamicMessage::decode(descriptor, bytes.clone()).ok())
            .and_then(|message| to_json(&message).ok());
        if let Some(readable) = readable {
            detail["debug"] = readable;
        }
        Some(detail)
    }

    /// The status with its details. What it says itself goes before what they say of it.
    fn rich(&self, status: &Status) -> Option<DynamicMessage> {
        let mut rich = DynamicMessage::decode(self.status.clone()?, status.details()).ok()?;
        rich.set_field_by_name("code", Value::I32(status.code() as i32));
        rich.set_field_by_name("message", Value::String(status.message().to_owned()));
        Some(rich)
    }
}

/// The seconds to wait that a status tells, in whole ones and no less.
fn retry_after(status: &Status) -> Option<u64> {
    let wait = status.get_details_retry_info()?.retry_delay?;
    Some(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use marquee_proto::DESCRIPTOR_SET;
    use marquee_proto::dynamic::Api;

    use super::*;

    fn errors() -> Errors {
        let api = Api::new(&[DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET]).unwrap();
        Errors::new(api.pool().clone())
    }

    async fn answered(error: HttpError, form: ErrorForm) -> (StatusCode, HeaderMap, serde_json::Value) {
        let (head, body) = errors().response(error, form).into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn every_code_has_its_status_of_http() {
        let statuses: Vec<_> = (0..=16).map(|code| http_status(Code::from_i32(code)).as_u16()).collect();
        assert_eq!(
            statuses,
            [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]
        );
    }

    #[tokio::test]
    async fn an_error_of_rest_is_a_status_of_google_rpc() {
        let error = ApiError::invalid("k", "is 501; 1 to 500 movies is accepted");
        let (status, headers, json) = answered(error.into(), ErrorForm::Rest).await;
        assert_eq!(
            (status, &headers[CONTENT_TYPE]),
            (StatusCode::BAD_REQUEST, &"application/json".parse().unwrap())
        );
        let expected = json!({
            "code": 3,
            "message": "k is 501; 1 to 500 movies is accepted",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "INVALID_FIELD",
                    "domain": "marquee",
                    "metadata": {},
                },
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "field_violations": [{
                        "field": "k",
                        "description": "is 501; 1 to 500 movies is accepted",
                    }],
                },
            ],
        });
        assert_eq!(json["code"], expected["code"]);
        assert_eq!(json["message"], expected["message"]);
        for (index, detail) in expected["details"].as_array().unwrap().iter().enumerate() {
            for (name, value) in detail.as_object().unwrap() {
                let found = &json["details"][index][name];
                if name == "field_violations" {
                    assert_eq!(found[0]["field"], "k");
                } else {
                    assert_eq!(found, value, "{name}");
                }
            }
        }
    }

    #[tokio::test]
    async fn an_error_of_connect_has_its_details_as_bytes_and_to_be_read() {
        let (status, _, json) = answered(ApiError::UnknownMovie(7).into(), ErrorForm::Connect).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(json["code"], "not_found");
        assert!(json["message"].as_str().unwrap().starts_with("movie 7 is not in the catalogue"));
        let detail = &json["details"][0];
        assert_eq!(detail["type"], "google.rpc.ErrorInfo");
        assert_eq!(detail["debug"]["reason"], "UNKNOWN_MOVIE");
        assert!(!detail["value"].as_str().unwrap().contains('='));
    }

    #[tokio::test]
    async fn what_is_not_known_of_the_details_takes_nothing_from_the_error() {
        for details in [&b"no message"[..], b""] {
            let status = Status::with_details(Code::Cancelled, "gone", Bytes::from_static(details));
            let (http, _, json) = answered(status.clone().into(), ErrorForm::Rest).await;
            assert_eq!(http.as_u16(), 499);
            assert_eq!(json, json!({ "code": 1, "message": "gone", "details": [] }));
            let (_, _, json) = answered(status.into(), ErrorForm::Connect).await;
            assert_eq!(json, json!({ "code": "canceled", "message": "gone", "details": [] }));
        }
    }

    #[tokio::test]
    async fn a_time_to_wait_is_told_in_whole_seconds() {
        for (millis, seconds) in [(1, "1"), (1000, "1"), (1001, "2")] {
            let error = ApiError::Overloaded { retry_after: Duration::from_millis(millis) };
            let (status, headers, _) = answered(error.into(), ErrorForm::Rest).await;
            assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(headers[RETRY_AFTER], seconds);
        }
    }

    #[tokio::test]
    async fn a_verb_that_a_path_does_not_take_is_told_with_those_that_it_takes() {
        let (status, headers, json) =
            answered(HttpError::verb("/x".into(), "GET, HEAD"), ErrorForm::Rest).await;
        assert_eq!((status.as_u16(), headers[ALLOW].to_str().unwrap()), (405, "GET, HEAD"));
        assert!(json["message"].as_str().unwrap().contains("/openapi.json"));
    }
}
