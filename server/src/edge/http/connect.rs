//! Connect's protocol for calls with one reply: `POST /package.Service/Method` with a message in JSON or Protobuf,
//! and GET with the message in the query where a call changes nothing. [`connect_stream`](super::connect_stream) has
//! those with many replies.
//!
//! Its specification is <https://connectrpc.com/docs/protocol>.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{Extensions, HeaderMap, HeaderValue, Method as Verb, Request, Response, StatusCode};
use prost_reflect::MessageDescriptor;
use tonic::body::Body;
use tower::Service;

use super::body::{self, Codec};
use super::call::{Call, Form, Reply};
use super::error::{ErrorForm, HttpError};
use super::refusal::NoCall;
use super::served::{Method, Served, Streaming};
use crate::edge::ApiError;
use crate::edge::layers::{ConnectionInfo, Protocol, WholeBody};
use crate::edge::shorten::quoted;

const VERSION: &str = "connect-protocol-version";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// Base64 for addresses, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a caller asks, its message in Protobuf.
struct Asked {
    codec: Codec,
    message: Bytes,
    form: Form,
    /// What holds the message's place in the receive buffer.
    _body: Option<WholeBody>,
}

/// The answer to a request for this method.
pub(super) async fn answer<S>(
    served: &Served,
    method: &Method,
    inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let (head, body) = request.into_parts();
    let connection = head.extensions.get::<ConnectionInfo>().cloned();
    let asked = asked(served, method, &head, body, connection).await;
    let answered = match asked {
        Ok(Asked { codec, message, form, _body }) => {
            let call = Call {
                path: &method.path,
                headers: &head.headers,
                extensions: head.extensions,
                message,
                form,
                protocol: Protocol::Connect,
            };
            let reply = call.unary(inner).await?.map_err(HttpError::from);
            reply.and_then(|reply| response(reply, codec, method, &head.headers))
        }
        Err(error) => Err(no_call(method, &head.headers, head.extensions).refuse(inner, error).await?),
    };
    Ok(answered.unwrap_or_else(|error| served.errors.response(error, ErrorForm::Connect)))
}

/// A request for this method that comes to no call.
pub(super) fn no_call<'a>(method: &'a Method, headers: &'a HeaderMap, extensions: Extensions) -> NoCall<'a> {
    NoCall { path: method.path.path(), headers, extensions, protocol: Protocol::Connect }
}

async fn asked(
    served: &Served,
    method: &Method,
    head: &http::request::Parts,
    body: Body,
    connection: Option<ConnectionInfo>,
) -> Result<Asked, HttpError> {
    let is_read = head.method == Verb::GET || head.method == Verb::HEAD;
    if !(head.method == Verb::POST || is_read && method.is_readable) {
        let allowed = if method.is_readable { "GET, HEAD, POST" } else { "POST" };
        return Err(HttpError::verb(quoted(head.uri.path()), allowed));
    }
    if method.streaming == Streaming::Requests {
        return Err(ApiError::StreamOverHttp { method: method.name().to_owned() }.into());
    }
    check_version(&head.headers)?;
    let limit = served.bodies.limit();
    if is_read {
        return in_query(head.uri.query().unwrap_or_default(), &method.input, limit);
    }
    let codec = codec_of(&head.headers)?;
    let form = body::form_of(&body::text_of(&head.headers, CONTENT_ENCODING))?;
    let body = body::read(&served.bodies, &head.headers, body, connection, form).await?;
    let message = message(codec, body.bytes.clone(), form, &method.input, limit)?;
    Ok(Asked { codec, form: message.1, message: message.0, _body: Some(body) })
}

/// Whether a caller speaks the version of the protocol that there is.
pub(super) fn check_version(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(VERSION) {
        Some(version) if version != "1" => {
            Err(ApiError::Connect("connect-protocol-version must be 1".to_owned()))
        }
        _ => Ok(()),
    }
}

fn codec_of(headers: &HeaderMap) -> Result<Codec, HttpError> {
    let found = body::text_of(headers, CONTENT_TYPE);
    Codec::of(&found).ok_or_else(|| not_served(&found, "application/json, application/proto"))
}

/// The refusal of a content type where others are accepted.
pub(super) fn not_served(found: &str, accepted: &'static str) -> HttpError {
    HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ApiError::MediaType { found: quoted(found), accepted })
        .with(ACCEPT_POST, HeaderValue::from_static(accepted))
}

/// The message in Protobuf, and whether it is compressed. What already is Protobuf goes on as it came.
pub(super) fn message(
    codec: Codec,
    bytes: Bytes,
    form: Form,
    input: &MessageDescriptor,
    limit: usize,
) -> Result<(Bytes, Form), HttpError> {
    if codec == Codec::Proto {
        return Ok((bytes, form));
    }
    let message = body::message_in(input, &bytes, form, limit)?;
    Ok((message.into(), Form::Plain))
}

/// A value of a query as bytes, which need not be a text: Protobuf is none.
fn unescaped(value: &str) -> Vec<u8> {
    let value = value.replace('+', " ");
    percent_encoding::percent_decode_str(&value).collect()
}

/// A call in the query of its address.
fn in_query(query: &str, input: &MessageDescriptor, limit: usize) -> Result<Asked, HttpError> {
    let (mut encoding, mut text, mut is_base64, mut compression) = (None, None, false, String::new());
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = unescaped(value);
        let word = String::from_utf8_lossy(&value);
        match name {
            "connect" if word != "v1" => {
                return Err(ApiError::Connect("connect must be v1".to_owned()).into());
            }
            "encoding" => encoding = Some(word.into_owned()),
            "message" => text = Some(value),
            "base64" => is_base64 = word == "1",
            "compression" => compression = word.into_owned(),
            _ => {}
        }
    }
    let codec = match encoding.as_deref() {
        Some("json") => Codec::Json,
        Some("proto") => Codec::Proto,
        _ => return Err(ApiError::Connect("encoding must be json or proto".to_owned()).into()),
    };
    let Some(text) = text else {
        return Err(ApiError::Connect("message must be given".to_owned()).into());
    };
    let form = body::form_of(&compression)?;
    let bytes = if is_base64 {
        BASE64.decode(&text).map_err(|_| ApiError::Connect("message is not base64 for URLs".to_owned()))?
    } else {
        text
    };
    let (message, form) = message(codec, bytes.into(), form, input, limit)?;
    Ok(Asked { codec, message, form, _body: None })
}

fn response(
    reply: Reply,
    codec: Codec,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response<Body>, HttpError> {
    let Reply { mut headers, message, trailers } = reply;
    for (name, value) in &trailers {
        if let Ok(name) = HeaderName::try_from(format!("trailer-{name}")) {
            headers.append(name, value.clone());
        }
    }
    body::response(headers, message, codec, &method.output, asked)
}
