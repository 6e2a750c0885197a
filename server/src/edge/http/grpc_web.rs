//! gRPC-web, which is gRPC in the body of any request of HTTP.
//!
//! [`tonic_web`] does it. Here stands what it leaves to others: it knows four spellings of the content type and no
//! parameter, answers a text in text only if that is said once more, and takes a body that it cannot read for a fault
//! of the server.

use std::sync::{Arc, OnceLock};

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method as Verb, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, Service, ServiceExt as _};

use super::error::{BINARY, HttpError, in_grpc_web};
use super::refusal::NoCall;
use crate::edge::ApiError;
use crate::edge::layers::Protocol;
use crate::edge::shorten::quoted;

const START: &str = "application/grpc-web";
const TEXT: HeaderValue = HeaderValue::from_static("application/grpc-web-text+proto");

/// The answer to a call of gRPC-web by `inner`, which is ready for it and speaks gRPC.
pub(super) async fn answer<S>(inner: S, mut request: Request<Body>) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let form = match form_in(&request) {
        Ok(form) => form,
        Err(error) => {
            let (head, _body) = request.into_parts();
            let (path, headers) = (head.uri.path(), &head.headers);
            let no_call = NoCall { path, headers, extensions: head.extensions, protocol: Protocol::GrpcWeb };
            return Ok(in_grpc_web(no_call.refuse(inner, error).await?));
        }
    };
    let accepted = request.headers().get(ACCEPT).and_then(form_of);
    request.headers_mut().insert(ACCEPT, accepted.unwrap_or_else(|| form.clone()));
    request.headers_mut().insert(CONTENT_TYPE, form);
    request.extensions_mut().insert(Protocol::GrpcWeb);
    let (request, failure) = with_failure_kept(request);
    let inner = inner.map_request(move |request| with_failure_told(request, failure.clone()));
    GrpcWebLayer::new().layer(inner).oneshot(request).await
}

/// The form of a call.
fn form_in(request: &Request<Body>) -> Result<HeaderValue, HttpError> {
    if request.method() != Verb::POST {
        return Err(HttpError::verb(quoted(request.uri().path()), "POST"));
    }
    let found = &request.headers()[CONTENT_TYPE];
    form_of(found).ok_or_else(|| {
        let found = quoted(&String::from_utf8_lossy(found.as_bytes()));
        let error =
            ApiError::MediaType { found, accepted: "application/grpc-web, application/grpc-web-text" };
        HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
    })
}

/// A content type as tonic-web spells it; `None` for one that is not served.
fn form_of(content_type: &HeaderValue) -> Option<HeaderValue> {
    let content_type = content_type.to_str().ok()?.to_ascii_lowercase();
    let form = content_type.split(';').next()?.trim_end().strip_prefix(START)?;
    match form.strip_suffix("+proto").unwrap_or(form) {
        "" => Some(BINARY),
        "-text" => Some(TEXT),
        _ => None,
    }
}

/// Why the connection gave no more of a request, which tonic-web would tell as a text.
type Failure = Arc<OnceLock<Status>>;

fn with_failure_kept(request: Request<Body>) -> (Request<Body>, Failure) {
    let failure = Failure::default();
    let kept = Arc::clone(&failure);
    let keep = move |status: Status| kept.get_or_init(|| status).clone();
    (request.map(|body| Body::new(body.map_err(keep))), failure)
}

/// What the connection did not fail to give is not what it should be.
fn with_failure_told(request: Request<Body>, failure: Failure) -> Request<Body> {
    let tell = move |unread: Status| {
        failure.get().cloned().unwrap_or_else(|| ApiError::Undecodable(unread.message().to_owned()).into())
    };
    request.map(|body| Body::new(body.map_err(tell)))
}
