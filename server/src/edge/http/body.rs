//! Bodies of requests that are no messages of gRPC, and of the replies to them.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::Full;
use marquee_proto::dynamic::{JsonError, json_to_bytes, to_json_text};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;

use super::call::{Form, time_of};
use super::error::HttpError;
use crate::edge::ApiError;
use crate::edge::layers::{Bodies, BodyError, ConnectionInfo, WholeBody, max_compressed_bytes};
use crate::edge::shorten::quoted;

/// Replies that are shorter are not compressed: they are one packet or two as they are.
const COMPRESSED_FROM: usize = 4 << 10;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Json,
    Proto,
}

impl Codec {
    /// By the content type of a body.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        Self::after("application/", content_type)
    }

    /// By the content type of a body of several messages, in envelopes as Connect has them.
    pub(super) fn of_envelopes(content_type: &str) -> Option<Self> {
        Self::after("application/connect+", content_type)
    }

    fn after(start: &str, content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
        let codec = match parts.next()?.strip_prefix(start)? {
            "json" => Self::Json,
            "proto" => Self::Proto,
            _ => return None,
        };
        parts
            .all(|part| part.is_empty() || matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\""))
            .then_some(codec)
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Proto => "application/proto",
        })
    }

    pub(super) fn content_type_of_envelopes(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/connect+json",
            Self::Proto => "application/connect+proto",
        })
    }

    /// The bytes of a reply, which is a message of Protobuf.
    pub(super) fn written(self, output: &MessageDescriptor, message: Bytes) -> Result<Bytes, HttpError> {
        match self {
            Self::Proto => Ok(message),
            Self::Json => Ok(json_of(output, message).map_err(unwritable)?.into()),
        }
    }
}

/// By the name of a compression.
pub(super) fn form_of(compression: &str) -> Result<Form, HttpError> {
    match compression.trim() {
        "" => Ok(Form::Plain),
        name if name.eq_ignore_ascii_case("identity") => Ok(Form::Plain),
        name if name.eq_ignore_ascii_case("gzip") => Ok(Form::Gzip),
        other => Err(ApiError::Compression { found: quoted(other) }.into()),
    }
}

/// Reads a body that is compressed or not, in the time that the caller of these headers gives.
pub(super) async fn read(
    bodies: &Bodies,
    headers: &HeaderMap,
    body: Body,
    connection: Option<ConnectionInfo>,
    form: Form,
) -> Result<WholeBody, HttpError> {
    let time = time_of(headers)?;
    let limit = bodies.limit();
    let (most, error) = match form {
        Form::Plain => (limit, ApiError::MessageTooLarge { limit }),
        Form::Gzip => {
            let limit = max_compressed_bytes(limit);
            (limit, ApiError::CompressedTooLarge { limit })
        }
    };
    let read = bodies.read(body, connection, most);
    let read = match time {
        Some(time) => timeout(time, read).await.map_err(|_| ApiError::DeadlinePassed)?,
        None => read.await,
    };
    read.map_err(|failure| match failure {
        BodyError::TooLarge => error.into(),
        BodyError::Broken => ApiError::Undecodable("its body ended before it was whole".to_owned()).into(),
        BodyError::Failed(status) => status.into(),
    })
}

/// What gzip holds, if that is no more than a message may be.
fn inflated(bytes: &[u8], limit: usize) -> Result<Bytes, HttpError> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(limit as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| ApiError::Undecodable(format!("it is no gzip: {error}")))?;
    if text.len() > limit {
        return Err(ApiError::MessageTooLarge { limit }.into());
    }
    Ok(text.into())
}

/// A header as a text.
pub(super) fn text_of(headers: &HeaderMap, name: http::HeaderName) -> Cow<'_, str> {
    headers.get(name).map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
}

/// The bytes of the message that a text describes.
pub(super) fn message_of(input: &MessageDescriptor, text: &[u8]) -> Result<Vec<u8>, ApiError> {
    json_to_bytes(input, text).map_err(refused)
}

/// The bytes of the message that a body describes, which is compressed or not.
pub(super) fn message_in(
    input: &MessageDescriptor,
    body: &[u8],
    form: Form,
    limit: usize,
) -> Result<Vec<u8>, HttpError> {
    match form {
        Form::Plain => Ok(message_of(input, body)?),
        Form::Gzip => Ok(message_of(input, &inflated(body, limit)?)?),
    }
}

/// What is wrong with a text.
pub(super) fn refused(error: JsonError) -> ApiError {
    match error {
        JsonError::Fields(violations) => ApiError::Invalid(violations),
        syntax @ JsonError::Syntax { .. } => ApiError::Undecodable(format!("it {syntax}")),
    }
}

/// A reply with this message, compressed if it is long and the caller takes that.
pub(super) fn response(
    mut headers: HeaderMap,
    message: Bytes,
    codec: Codec,
    output: &MessageDescriptor,
    asked: &HeaderMap,
) -> Result<Response<Body>, HttpError> {
    let mut bytes = codec.written(output, message)?;
    headers.insert(CONTENT_TYPE, codec.content_type());
    if bytes.len() >= COMPRESSED_FROM {
        headers.append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
        if takes_gzip(asked) {
            bytes = deflated(&bytes, Compression::fast()).map_err(unwritable)?;
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    let mut response = Response::new(Body::new(Full::new(bytes)));
    *response.headers_mut() = headers;
    Ok(response)
}

/// A reply in JSON.
fn json_of(output: &MessageDescriptor, message: Bytes) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let message = DynamicMessage::decode(output.clone(), message)?;
    Ok(to_json_text(&message)?)
}

fn unwritable(error: impl std::fmt::Display) -> HttpError {
    Status::internal(format!("the reply cannot be written: {error}")).into()
}

/// The bytes in gzip.
pub(super) fn deflated(bytes: &[u8], compression: Compression) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), compression);
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

/// Whether a reply may be in gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, ""));
        let quality =
            parameter.trim().strip_prefix("q=").and_then(|quality| quality.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && quality != Some(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_protobuf_are_taken_and_what_a_page_may_send_unasked_is_not() {
        for json in
            ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
        {
            assert_eq!(Codec::of(json), Some(Codec::Json), "{json}");
        }
        assert_eq!(Codec::of("application/proto"), Some(Codec::Proto));
        for other in [
            "",
            "text/plain",
            "application/json; charset=latin1",
            "application/connect+json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "text/plain; application/json",
        ] {
            assert_eq!(Codec::of(other), None, "{other}");
        }
        assert_eq!(Codec::of_envelopes("application/connect+json; charset=utf-8"), Some(Codec::Json));
        assert_eq!(Codec::of_envelopes("application/connect+proto"), Some(Codec::Proto));
        assert_eq!(Codec::of_envelopes("application/json"), None);
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let takes =
            |text: &str| takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, text.parse().unwrap())]));
        assert!(takes("gzip") && takes("br, GZIP;q=0.5"));
        assert!(!takes("identity") && !takes("gzip;q=0") && !takes("") && !takes("gzip;q=0.0, br"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn gzip_is_unpacked_up_to_the_size_of_a_message() {
        let packed = deflated(&vec![b' '; 10_000], Compression::fast()).unwrap();
        assert_eq!(inflated(&packed, 10_000).unwrap().len(), 10_000);
        assert!(inflated(&packed, 9_999).is_err());
        assert!(inflated(&packed[..packed.len() - 9], 10_000).is_err());
        assert!(inflated(b"no gzip", 10_000).is_err());
    }
}
