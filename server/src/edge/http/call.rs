//! The bridge: a call of gRPC within the process, in the name of a caller who speaks something else.
//!
//! It is one request to the layers within, as if it had come over HTTP/2, so that all that holds for gRPC holds for
//! it. Who drops the future or the [`Replies`] cancels the call.
//!
//! ```text
//! let call = Call { path, headers: &headers, extensions, message, form: Form::Plain, protocol: Protocol::Http };
//! match call.unary(inner).await? {
//!     Ok(Reply { headers, message, trailers }) => …,
//!     Err(Failure { status, headers }) => …,
//! }
//! ```

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::Stream;
use http::header::{
    CONNECTION, CONTENT_TYPE, COOKIE, DATE, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use http_body_util::Full;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

use crate::edge::ApiError;
use crate::edge::layers::Protocol;

/// Before each message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

const TIMEOUT: &str = "connect-timeout-ms";
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What stands in the headers of a connection or of a body, and so is not passed on with a message.
const OF_THE_CARRIER: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    HOST,
    DATE,
    COOKIE,
];

/// How the bytes of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Protobuf.
    Plain,
    /// Protobuf in gzip.
    Gzip,
}

/// A call with one message.
pub(super) struct Call<'a> {
    /// `/package.Service/Method`.
    pub(super) path: &'a PathAndQuery,
    /// The headers of the caller's request; those that say something of the call are passed on.
    pub(super) headers: &'a HeaderMap,
    /// The extensions of the caller's request, where its connection stands.
    pub(super) extensions: Extensions,
    /// The one message.
    pub(super) message: Bytes,
    /// How its bytes are.
    pub(super) form: Form,
    /// What the caller speaks.
    pub(super) protocol: Protocol,
}

/// What a call without a stream gives.
#[derive(Debug)]
pub(super) struct Reply {
    /// Those that are the call's, such as `x-request-id`.
    pub(super) headers: HeaderMap,
    /// Protobuf.
    pub(super) message: Bytes,
    /// Those that came after the message, without the status.
    pub(super) trailers: HeaderMap,
}

/// A call that ended with a status other than OK.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    /// As those of a [`Reply`].
    pub(super) headers: HeaderMap,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { status: error.into(), headers: HeaderMap::new() }
    }
}

impl Call<'_> {
    /// Makes the call, which has one reply.
    ///
    /// # Errors
    /// `Err` of the layers within, which have none; [`Failure`] when the call fails.
    pub(super) async fn unary<S>(self, inner: S) -> Result<Result<Reply, Failure>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let (headers, mut replies) = match self.stream(inner).await? {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(failure)),
        };
        let message = match replies.next().await {
            Some(Ok(message)) => message,
            Some(Err(status)) => return Ok(Err(Failure { status, headers })),
            None => return Ok(Err(Failure { status: not_one(), headers })),
        };
        Ok(match replies.next().await {
            None => Ok(Reply { headers, message, trailers: replies.trailers }),
            Some(Ok(_)) => Err(Failure { status: not_one(), headers }),
            Some(Err(status)) => Err(Failure { status, headers }),
        })
    }

    /// Makes the call, which may have many replies, and gives them with the headers before them.
    ///
    /// # Errors
    /// `Err` of the layers within, which have none; [`Failure`] when the call fails before its first reply.
    pub(super) async fn stream<S>(self, inner: S) -> Result<Result<(HeaderMap, Replies), Failure>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let request = match self.into_request() {
            Ok(request) => request,
            Err(error) => return Ok(Err(error.into())),
        };
        let (mut head, body) = inner.oneshot(request).await?.into_parts();
        let status = Status::from_header_map(&head.headers);
        keep_metadata(&mut head.headers);
        let headers = head.headers;
        let is_ended = status.is_some();
        Ok(match status {
            Some(status) if status.code() != Code::Ok => Err(Failure { status, headers }),
            _ => Ok((headers, Replies::new(body, is_ended))),
        })
    }

    fn into_request(self) -> Result<Request<Body>, ApiError> {
        let (body, metadata) = (Body::new(Full::new(self.framed())), self.metadata()?);
        let mut request = request_of_grpc(self.path.clone(), metadata, body);
        *request.extensions_mut() = self.extensions;
        request.extensions_mut().insert(self.protocol);
        Ok(request)
    }

    fn framed(&self) -> Bytes {
        framed(u8::from(self.form == Form::Gzip), &self.message)
    }

    fn metadata(&self) -> Result<HeaderMap, ApiError> {
        let mut metadata = metadata_of(self.headers);
        if let Some(timeout) = timeout_of(self.headers)? {
            metadata.insert(GRPC_TIMEOUT, timeout);
        }
        if self.form == Form::Gzip {
            metadata.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        }
        Ok(metadata)
    }
}

/// A request as callers of gRPC make it.
pub(super) fn request_of_grpc(path: PathAndQuery, metadata: HeaderMap, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(path);
    *request.uri_mut() = Uri::from_parts(uri).expect("a path alone is a URI");
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = metadata;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    request
}

/// What of a caller's headers is metadata of its call.
pub(super) fn metadata_of(headers: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        if is_passed_on(name, headers) {
            metadata.append(name, value.clone());
        }
    }
    metadata
}

/// Whether a header of a caller is metadata of its call.
fn is_passed_on(name: &HeaderName, headers: &HeaderMap) -> bool {
    is_metadata(name)
        && !["accept", "connect-", "proxy-", "sec-", "access-control-"]
            .iter()
            .any(|start| name.as_str().starts_with(start))
        && !is_named_by_connection(name, headers)
}

/// Whether a header is neither the carrier's nor a body's nor gRPC's own.
fn is_metadata(name: &HeaderName) -> bool {
    let text = name.as_str();
    *name == GRPC_TIMEOUT
        || !(OF_THE_CARRIER.contains(name) || text.starts_with("content-") || text.starts_with("grpc-"))
}

/// A connection of HTTP/1.1 may name further headers as its own.
fn is_named_by_connection(name: &HeaderName, headers: &HeaderMap) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|named| named.trim().eq_ignore_ascii_case(name.as_str()))
}

/// Leaves what is metadata of a reply.
pub(super) fn keep_metadata(headers: &mut HeaderMap) {
    let others: Vec<HeaderName> = headers.keys().filter(|name| !is_metadata(name)).cloned().collect();
    for name in others {
        headers.remove(name);
    }
}

/// The time that a caller gives by Connect's header.
pub(super) fn time_of(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    const MOST_DIGITS: usize = 10;
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let digits = value.to_str().map_err(|_| ApiError::ConnectTimeout)?;
    if digits.len() > MOST_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(ApiError::ConnectTimeout);
    }
    digits.parse().map(|millis| Some(Duration::from_millis(millis))).map_err(|_| ApiError::ConnectTimeout)
}

/// Connect's timeout as gRPC's, which has a digit or two less and so goes to seconds where it must.
fn timeout_of(headers: &HeaderMap) -> Result<Option<HeaderValue>, ApiError> {
    const MOST_MILLIS: u128 = 99_999_999;
    let Some(time) = time_of(headers)? else { return Ok(None) };
    let millis = time.as_millis();
    let timeout = if millis <= MOST_MILLIS { format!("{millis}m") } else { format!("{}S", time.as_secs()) };
    Ok(HeaderValue::try_from(timeout).ok())
}

/// The replies of a call, each a message of Protobuf. It ends after the last one if the status is OK, or with the
/// status that it has instead.
pub(super) struct Replies {
    body: Body,
    /// What has arrived and is no whole message.
    buffer: BytesMut,
    /// Known when the call has ended with OK.
    trailers: HeaderMap,
    has_ended: bool,
}

impl Replies {
    /// Those that a body of gRPC holds, or none of a call that has ended with its headers.
    pub(super) fn new(body: Body, has_ended: bool) -> Self {
        Self { body, buffer: BytesMut::new(), trailers: HeaderMap::new(), has_ended }
    }

    /// The next message, or the status at the end if it is not OK.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        std::future::poll_fn(|context| self.poll_message(context)).await
    }

    /// What came after the last message, once that is known.
    pub(super) fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        while !self.has_ended {
            if let Some(message) = self.buffered() {
                return Poll::Ready(Some(Ok(message)));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(status)) => return self.end(Some(status)),
                None => return self.end(Some(Status::unknown("the reply ended without a status"))),
            };
            let data =
                match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => {
                        let mut trailers = frame.into_trailers().unwrap_or_default();
                        let status = Status::from_header_map(&trailers);
                        keep_metadata(&mut trailers);
                        self.trailers = trailers;
                        return match status {
                            Some(status) if status.code() == Code::Ok => self.end(None),
                            status => self.end(Some(status.unwrap_or_else(|| {
                                Status::unknown("the trailers of the reply have no status")
                            }))),
                        };
                    }
                };
            // Nearly always one message in one frame, which is not copied.
            let is_whole = |length| length == data.len() - PREFIX_BYTES;
            if self.buffer.is_empty() && message_length(&data).is_some_and(is_whole) {
                return Poll::Ready(Some(Ok(data.slice(PREFIX_BYTES..))));
            }
            self.buffer.extend_from_slice(&data);
        }
        Poll::Ready(None)
    }

    fn buffered(&mut self) -> Option<Bytes> {
        let length = message_length(&self.buffer)?;
        if self.buffer.len() - PREFIX_BYTES < length {
            return None;
        }
        self.buffer.advance(PREFIX_BYTES);
        Some(self.buffer.split_to(length).freeze())
    }

    fn end(&mut self, status: Option<Status>) -> Poll<Option<Result<Bytes, Status>>> {
        self.has_ended = true;
        Poll::Ready(status.map(Err))
    }
}

impl Stream for Replies {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(context)
    }
}

/// A message after its prefix, which begins with these flags. Connect's envelopes are the same, with flags of its own.
pub(super) fn framed(flags: u8, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(flags);
    // A message is bounded far below, as a body is.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The length that a message says to have once its prefix is whole. Replies are not compressed, as nobody asks for it.
pub(super) fn message_length(bytes: &[u8]) -> Option<usize> {
    let (prefix, _) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
    let [_, length @ ..] = *prefix;
    Some(u32::from_be_bytes(length) as usize)
}

fn not_one() -> Status {
    Status::internal("the call has not one reply")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use tower::service_fn;

    use super::*;

    static PATH: PathAndQuery = PathAndQuery::from_static("/marquee.v1.CatalogService/GetMovie");

    fn call<'a>(headers: &'a HeaderMap, message: &'static [u8], form: Form) -> Call<'a> {
        let message = Bytes::from_static(message);
        Call { path: &PATH, headers, extensions: Extensions::new(), message, form, protocol: Protocol::Http }
    }

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    /// The request that the layers within are asked.
    fn asked(call: Call<'_>) -> Request<Body> {
        call.into_request().unwrap()
    }

    fn message(bytes: &[u8]) -> Vec<u8> {
        [&[0][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    /// A reply in these pieces, with these trailers.
    fn reply(pieces: &[&[u8]], trailers: Option<&Status>) -> Response<Body> {
        let pieces = pieces.iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))));
        let trailers = trailers.map(|status| {
            let mut trailers = headers(&[("x-late", "1")]);
            status.add_header(&mut trailers).unwrap();
            Ok::<_, Status>(Frame::trailers(trailers))
        });
        let frames: Vec<_> = pieces.chain(trailers).collect();
        let mut reply = Response::new(Body::new(StreamBody::new(stream::iter(frames))));
        *reply.headers_mut() =
            headers(&[("content-type", "application/grpc"), ("x-request-id", "order-66"), ("date", "now")]);
        reply
    }

    async fn answered(reply: Response<Body>) -> Result<Reply, Failure> {
        let mut reply = Some(reply);
        let inner = service_fn(move |_| {
            let reply = reply.take();
            async { Ok::<_, Infallible>(reply.unwrap()) }
        });
        let none = HeaderMap::new();
        call(&none, b"", Form::Plain).unary(inner).await.unwrap()
    }

    fn ok() -> Status {
        Status::ok("")
    }

    #[tokio::test]
    async fn the_layers_within_see_a_call_of_grpc() {
        let none = HeaderMap::new();
        let request = asked(call(&none, b"abc", Form::Plain));
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, PATH.path()));
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.extensions().get(), Some(&Protocol::Http));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, message(b"abc"));
        let request = asked(call(&none, b"gz", Form::Gzip));
        assert_eq!(request.headers()["grpc-encoding"], "gzip");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body[0], 1);
    }

    #[test]
    fn metadata_is_passed_on_and_what_is_the_carriers_or_the_bodys_is_not() {
        let from_caller = headers(&[
            ("authorization", "Bearer t"),
            ("x-api-key", "k"),
            ("x-request-id", "order-66"),
            ("traceparent", "00-1-2-01"),
            ("user-agent", "curl/8"),
            ("host", "localhost"),
            ("content-type", "application/json"),
            ("content-length", "3"),
            ("content-encoding", "gzip"),
            ("accept", "*/*"),
            ("accept-encoding", "gzip"),
            ("connection", "keep-alive, X-Mine"),
            ("x-mine", "1"),
            ("transfer-encoding", "chunked"),
            ("connect-protocol-version", "1"),
            ("grpc-encoding", "gzip"),
            ("cookie", "a=b"),
        ]);
        let request = asked(call(&from_caller, b"", Form::Plain));
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected =
            ["authorization", "content-type", "te", "traceparent", "user-agent", "x-api-key", "x-request-id"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_timeout_of_connect_is_one_of_grpc() {
        let timeout = |text: &str| {
            let headers = headers(&[("connect-timeout-ms", text), ("grpc-timeout", "1S")]);
            let request = call(&headers, b"", Form::Plain).into_request();
            request.map(|request| request.headers()["grpc-timeout"].to_str().unwrap().to_owned())
        };
        assert_eq!(timeout("250").unwrap(), "250m");
        assert_eq!(timeout("0").unwrap(), "0m");
        assert_eq!(timeout("0000000001").unwrap(), "1m");
        assert_eq!(timeout("9999999999").unwrap(), "9999999S");
        for text in ["", "-1", "1.5", "1s", "10000000000", "+1", "0x1"] {
            assert!(matches!(timeout(text), Err(ApiError::ConnectTimeout)), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_reply_is_its_message_with_the_metadata_before_and_after_it() {
        let framed = message(b"abc");
        for cuts in [vec![&framed[..]], vec![&framed[..2], &framed[2..6], &framed[6..]]] {
            let reply = answered(reply(&cuts, Some(&ok()))).await.unwrap();
            assert_eq!(reply.message, "abc");
            assert_eq!(reply.headers, headers(&[("x-request-id", "order-66")]));
            assert_eq!(reply.trailers, headers(&[("x-late", "1")]));
        }
    }

    #[tokio::test]
    async fn a_status_fails_the_call_wherever_it_stands() {
        let refused = Status::with_details(Code::NotFound, "no such movie", Bytes::from_static(b"why"));
        let in_headers = {
            let mut reply = reply(&[], None);
            refused.add_header(reply.headers_mut()).unwrap();
            reply
        };
        for reply in [in_headers, reply(&[], Some(&refused)), reply(&[&message(b"abc")], Some(&refused))] {
            let failure = answered(reply).await.unwrap_err();
            assert_eq!(failure.status.code(), Code::NotFound);
            assert_eq!((failure.status.message(), failure.status.details()), ("no such movie", &b"why"[..]));
            assert_eq!(failure.headers, headers(&[("x-request-id", "order-66")]));
        }
    }

    #[tokio::test]
    async fn no_reply_two_replies_and_no_status_are_faults() {
        let one = message(b"abc");
        for reply in [reply(&[], Some(&ok())), reply(&[&one, &one], Some(&ok()))] {
            assert_eq!(answered(reply).await.unwrap_err().status.code(), Code::Internal);
        }
        assert_eq!(answered(reply(&[&one], None)).await.unwrap_err().status.code(), Code::Unknown);
        assert_eq!(answered(reply(&[&one[..3]], None)).await.unwrap_err().status.code(), Code::Unknown);
    }

    #[tokio::test]
    async fn a_stream_gives_each_message_however_they_arrive_and_then_its_status() {
        let both = [message(b"one"), message(b""), message(b"three")].concat();
        for size in [1, 4, 7, both.len()] {
            let pieces: Vec<_> = both.chunks(size).collect();
            let mut reply = Some(reply(&pieces, Some(&Status::aborted("stalled"))));
            let inner = service_fn(move |_| {
                let reply = reply.take();
                async { Ok::<_, Infallible>(reply.unwrap()) }
            });
            let none = HeaderMap::new();
            let (_, mut replies) = call(&none, b"", Form::Plain).stream(inner).await.unwrap().unwrap();
            for expected in ["one", "", "three"] {
                assert_eq!(replies.next().await.unwrap().unwrap(), expected);
            }
            assert_eq!(replies.next().await.unwrap().unwrap_err().code(), Code::Aborted);
            assert!(replies.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_call_ends_with_who_waits_for_it() {
        struct Ended(Arc<AtomicBool>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let is_ended = Arc::new(AtomicBool::new(false));
        let mut ended = VecDeque::from([Ended(Arc::clone(&is_ended))]);
        let inner = service_fn(move |_: Request<Body>| {
            let ended = ended.pop_front();
            async move {
                std::future::pending::<()>().await;
                drop(ended);
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        });
        let none = HeaderMap::new();
        let mut waiting = Box::pin(call(&none, b"", Form::Plain).unary(inner));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert!(!is_ended.load(Ordering::Relaxed));
        drop(waiting);
        assert!(is_ended.load(Ordering::Relaxed));
    }
}
