//! Connect's protocol for calls with many replies: `POST /package.Service/Method` with one message in an envelope, and
//! an envelope for each reply, as it comes.
//!
//! The status of HTTP is 200 whatever comes of the call: how it ended stands in the last envelope. Its specification
//! is <https://connectrpc.com/docs/protocol>.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, stream};
use http::header::{CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method as Verb, Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use prost_reflect::MessageDescriptor;
use serde_json::json;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::body::{self, Codec};
use super::call::{Call, Form, PREFIX_BYTES, Replies, framed, message_length};
use super::connect::{self, check_version, no_call, not_served};
use super::error::{ErrorForm, Errors, HttpError};
use super::served::{Method, Served};
use super::stream::say_streamed;
use crate::edge::ApiError;
use crate::edge::layers::{ConnectionInfo, Protocol, WholeBody};
use crate::edge::shorten::quoted;

const ACCEPTED: &str = "application/connect+json, application/connect+proto";

/// By what the messages in envelopes are compressed that say that they are.
const COMPRESSION: HeaderName = HeaderName::from_static("connect-content-encoding");

/// The flag of an envelope whose message is compressed.
const COMPRESSED: u8 = 1;

/// The flag of the last envelope.
const END: u8 = 2;

/// What a caller asks, its message in Protobuf.
struct Asked {
    message: Bytes,
    form: Form,
    /// What holds the message's place in the receive buffer.
    _body: WholeBody,
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
    let codec = match codec_of(&head) {
        Ok(codec) => codec,
        Err(error) => {
            let error = no_call(method, &head.headers, head.extensions).refuse(inner, error).await?;
            return Ok(served.errors.response(error, ErrorForm::Connect));
        }
    };
    let answered = match asked(served, method, &head, body, codec).await {
        Ok(Asked { message, form, _body }) => {
            let call = Call {
                path: &method.path,
                headers: &head.headers,
                extensions: head.extensions,
                message,
                form,
                protocol: Protocol::Connect,
            };
            call.stream(inner).await?.map_err(HttpError::from)
        }
        Err(error) => Err(no_call(method, &head.headers, head.extensions).refuse(inner, error).await?),
    };
    let errors = Arc::clone(&served.errors);
    let (headers, body) = match answered {
        Ok((headers, replies)) => {
            (headers, Told { codec, output: method.output.clone(), replies: Some(replies), errors }.body())
        }
        Err(error) => {
            let (status, headers) = error.into_parts();
            (headers, Body::new(Full::new(end(&errors, Some(&status), &HeaderMap::new()))))
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    say_streamed(response.headers_mut(), codec.content_type_of_envelopes());
    Ok(response)
}

fn codec_of(head: &Parts) -> Result<Codec, HttpError> {
    if head.method != Verb::POST {
        return Err(HttpError::verb(quoted(head.uri.path()), "POST"));
    }
    let found = body::text_of(&head.headers, CONTENT_TYPE);
    Codec::of_envelopes(&found).ok_or_else(|| not_served(&found, ACCEPTED))
}

async fn asked(
    served: &Served,
    method: &Method,
    head: &Parts,
    body: Body,
    codec: Codec,
) -> Result<Asked, HttpError> {
    check_version(&head.headers)?;
    let compression = body::form_of(&body::text_of(&head.headers, COMPRESSION))?;
    let connection = head.extensions.get::<ConnectionInfo>().cloned();
    let body = body::read(&served.bodies, &head.headers, body, connection, compression).await?;
    let (message, form) = opened(body.bytes.clone(), compression)?;
    let (message, form) = connect::message(codec, message, form, &method.input, served.bodies.limit())?;
    Ok(Asked { message, form, _body: body })
}

/// The message of the one envelope of a request, and how it is compressed.
fn opened(mut body: Bytes, compression: Form) -> Result<(Bytes, Form), ApiError> {
    let length = message_length(&body);
    if length.is_none_or(|length| length != body.len() - PREFIX_BYTES) {
        return Err(ApiError::Connect("the body must be one message in its envelope".to_owned()));
    }
    let flags = body[0];
    body.advance(PREFIX_BYTES);
    match flags {
        0 => Ok((body, Form::Plain)),
        COMPRESSED if compression == Form::Gzip => Ok((body, Form::Gzip)),
        COMPRESSED => Err(ApiError::Connect("connect-content-encoding must be gzip".to_owned())),
        _ => Err(ApiError::Connect(format!("an envelope has no flags {flags}"))),
    }
}

/// The replies of a call, to be told as they come.
struct Told {
    codec: Codec,
    output: MessageDescriptor,
    /// `None` after the end.
    replies: Option<Replies>,
    errors: Arc<Errors>,
}

impl Told {
    fn body(self) -> Body {
        let envelopes = stream::unfold(self, async |mut told| Some((told.next().await?, told)));
        Body::new(StreamBody::new(envelopes.map(|envelope| Ok::<_, Infallible>(Frame::data(envelope)))))
    }

    /// The next envelope; `None` after the last one.
    async fn next(&mut self) -> Option<Bytes> {
        let replies = self.replies.as_mut()?;
        let failure = match replies.next().await {
            Some(Ok(message)) => match self.codec.written(&self.output, message) {
                Ok(message) => return Some(framed(0, &message)),
                Err(error) => Some(error.into_parts().0),
            },
            Some(Err(status)) => Some(status),
            None => None,
        };
        let last = end(&self.errors, failure.as_ref(), replies.trailers());
        self.replies = None;
        Some(last)
    }
}

/// The last envelope: how the call ended, and its metadata.
fn end(errors: &Errors, failure: Option<&Status>, trailers: &HeaderMap) -> Bytes {
    let mut end = json!({});
    if let Some(status) = failure {
        end["error"] = errors.connect(status);
    }
    if !trailers.is_empty() {
        end["metadata"] = json!(listed(trailers));
    }
    framed(END, end.to_string().as_bytes())
}

/// The values of each header.
fn listed(headers: &HeaderMap) -> BTreeMap<&str, Vec<&str>> {
    let mut listed = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            listed.entry(name.as_str()).or_default().push(value);
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use marquee_proto::dynamic::Api;
    use marquee_proto::v1;
    use prost::Message as _;
    use serde_json::Value;

    use super::*;

    fn opened_as(bytes: &[u8], compression: Form) -> Option<(Bytes, Form)> {
        opened(Bytes::copy_from_slice(bytes), compression).ok()
    }

    #[test]
    fn a_request_is_one_message_in_its_envelope() {
        let plain = framed(0, b"abc");
        assert_eq!(opened_as(&plain, Form::Plain), Some(("abc".into(), Form::Plain)));
        assert_eq!(opened_as(&plain, Form::Gzip), Some(("abc".into(), Form::Plain)));
        assert_eq!(opened_as(&framed(0, b""), Form::Plain), Some((Bytes::new(), Form::Plain)));
        for wrong in [&b""[..], b"{}", &plain[..7], &[&plain[..], &plain].concat(), &framed(END, b"{}")] {
            assert_eq!(opened_as(wrong, Form::Gzip), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_compressed_message_says_so_twice() {
        let packed = framed(COMPRESSED, b"abc");
        assert_eq!(opened_as(&packed, Form::Gzip), Some(("abc".into(), Form::Gzip)));
        assert_eq!(opened_as(&packed, Form::Plain), None);
    }

    fn reply() -> Vec<u8> {
        let message = v1::WatchInteractionsResponse { position: "7-0".to_owned(), ..Default::default() };
        message.encode_to_vec()
    }

    /// The envelopes, flags and message each, of a call with one reply that ends with this status.
    async fn envelopes(codec: Codec, status: &Status) -> Vec<(u8, Bytes)> {
        let mut trailers = HeaderMap::from_iter([(HeaderName::from_static("x-late"), "1".parse().unwrap())]);
        status.add_header(&mut trailers).unwrap();
        let frames = [Frame::data(framed(0, &reply())), Frame::trailers(trailers)].map(Ok::<_, Status>);
        let replies = Replies::new(Body::new(StreamBody::new(stream::iter(frames))), false);
        let watch = Api::marquee().method("marquee.v1.InteractionService.WatchInteractions").unwrap();
        let errors = Arc::new(Errors::new(Api::marquee().pool().clone()));
        let told = Told { codec, output: watch.output(), replies: Some(replies), errors };
        let mut bytes = told.body().collect().await.unwrap().to_bytes();
        let mut found = Vec::new();
        while let Some(length) = message_length(&bytes) {
            let mut envelope = bytes.split_to(PREFIX_BYTES + length);
            found.push((envelope[0], envelope.split_off(PREFIX_BYTES)));
        }
        assert!(bytes.is_empty());
        found
    }

    fn json_of(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[tokio::test]
    async fn replies_are_followed_by_how_the_call_ended() {
        let of_proto = envelopes(Codec::Proto, &Status::ok("")).await;
        assert_eq!(of_proto[0], (0, reply().into()));
        let end = &of_proto[1];
        assert_eq!((of_proto.len(), end.0), (2, END));
        assert_eq!(json_of(&end.1), json!({ "metadata": { "x-late": ["1"] } }));

        let of_json = envelopes(Codec::Json, &Status::aborted("stalled")).await;
        assert_eq!((of_json[0].0, &json_of(&of_json[0].1)["position"]), (0, &json!("7-0")));
        let end = &of_json[1];
        assert_eq!((of_json.len(), end.0), (2, END));
        assert_eq!((&json_of(&end.1)["error"]["code"]), &json!("aborted"));
    }

    #[test]
    fn headers_are_listed_with_all_their_values() {
        let headers = [("x-late", "1"), ("x-late", "2"), ("a-bin", "AA")];
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let expected = json!({ "a-bin": ["AA"], "x-late": ["1", "2"] });
        assert_eq!(json!(listed(&headers.into_iter().collect())), expected);
    }
}
