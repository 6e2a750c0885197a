//! Streams of replies over paths of REST, one message a line or an event, sent as it comes.
//!
//! As lines of JSON, each message is `{"result": …}`, and a stream that fails ends with `{"error": …}`, the
//! `google.rpc.Status`; one that ends well ends without a line of its own. As Server-Sent Events, each message is the
//! data of an event, and a stream that fails ends with an event of the type `error` whose data is the status. Browsers
//! connect again when a stream ends, however it ends. What fails before the stream begins is a reply of its own, with
//! the status of HTTP.
//!
//! By convention a message with the text field `position` says where it stands, and a request with the text field
//! `after` goes on after there. So the position is the event's `id`, and `Last-Event-ID` becomes `after`
//! ([`resumed`]).
//!
//! A silent stream of events sends a comment now and then, so that what stands between keeps the connection open. The
//! call ends with its body: nothing here runs by itself, or holds more than one message.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use marquee_proto::dynamic::to_json_text;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

/// How long a stream of events is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The field of a reply that says where it stands.
const POSITION: &str = "position";

/// The field of a request that says after where to go on.
const AFTER: &str = "after";

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By lines.
    Lines,
    /// As Server-Sent Events.
    Events,
}

impl Framing {
    /// The one that a caller asks for: events where `Accept` names them, unless it likes lines better, and lines
    /// otherwise.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let [lines, events] = [Self::Lines, Self::Events].map(|framing| framing.weight_in(headers));
        if events > 0.0 && events >= lines { Self::Events } else { Self::Lines }
    }

    /// The weight that `Accept` names for its content type; 0 where it does not.
    fn weight_in(self, headers: &HeaderMap) -> f32 {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let weights = accepted.flat_map(|value| value.split(',')).filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(self.content_type()));
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            is_named.then(|| weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
        });
        weights.fold(0.0, f32::max)
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    /// A message, whose JSON is one line.
    fn message(self, message: &DynamicMessage) -> Result<Vec<u8>, serde_json::Error> {
        let text = to_json_text(message)?;
        Ok(match self {
            Self::Lines => [br#"{"result":"#, text.as_slice(), b"}\n"].concat(),
            Self::Events => [id_of(message).as_bytes(), b"data: ", &text, b"\n\n"].concat(),
        })
    }

    fn error(self, status: &[u8]) -> Vec<u8> {
        match self {
            Self::Lines => [br#"{"error":"#, status, b"}\n"].concat(),
            Self::Events => [b"event: error\ndata: ", status, b"\n\n"].concat(),
        }
    }
}

/// The line with the position of a message, if it has one that stands in a line.
fn id_of(message: &DynamicMessage) -> String {
    let position = message.get_field_by_name(POSITION);
    let id = position.as_ref().and_then(|position| position.as_str());
    let id = id.filter(|id| !id.is_empty() && !id.contains(['\n', '\r', '\0']));
    id.map_or(String::new(), |id| format!("id: {id}\n"))
}

/// Whether a request has the field that says after where to go on.
pub(super) fn takes_up(request: &MessageDescriptor) -> bool {
    request.get_field_by_name(AFTER).is_some()
}

/// The JSON that says after where a caller goes on that has connected again; none where the request has no such field.
/// A browser connects again to the same URL, so it goes before what that says.
pub(super) fn resumed(request: &MessageDescriptor, headers: &HeaderMap) -> Option<String> {
    let id = headers.get(LAST_EVENT_ID).filter(|_| takes_up(request))?.to_str().ok()?;
    (!id.is_empty()).then(|| json!({ AFTER: id }).to_string())
}

/// The response that gives `replies`, messages of `descriptor` or the status at the end, which `error` writes as JSON.
pub(super) fn response<R, E>(
    framing: Framing,
    headers: HeaderMap,
    descriptor: MessageDescriptor,
    replies: R,
    error: E,
) -> Response<Body>
where
    R: Stream<Item = Result<Bytes, Status>> + Send + Unpin + 'static,
    E: Fn(&Status) -> Vec<u8> + Send + 'static,
{
    let told =
        Told { framing, descriptor, replies: Some(replies), error, silence: Box::pin(sleep(KEEP_ALIVE)) };
    let texts = stream::unfold(told, async |mut told| Some((told.next().await?, told)));
    let frames = texts.map(|text| Ok::<_, Infallible>(Frame::data(Bytes::from(text))));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    *response.headers_mut() = headers;
    say_streamed(response.headers_mut(), HeaderValue::from_static(framing.content_type()));
    response
}

/// The headers of a reply that is read as it comes.
pub(super) fn say_streamed(headers: &mut HeaderMap, content_type: HeaderValue) {
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx and others gather a reply otherwise.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

struct Told<R, E> {
    framing: Framing,
    descriptor: MessageDescriptor,
    /// `None` after the end.
    replies: Option<R>,
    error: E,
    silence: Pin<Box<Sleep>>,
}

impl<R, E> Told<R, E>
where
    R: Stream<Item = Result<Bytes, Status>> + Unpin,
    E: Fn(&Status) -> Vec<u8>,
{
    /// What is sent next; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let replies = self.replies.as_mut()?;
        let reply = tokio::select! {
            biased;
            reply = replies.next() => reply?,
            () = &mut self.silence, if self.framing == Framing::Events => {
                self.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
                return Some(b":\n\n".to_vec());
            }
        };
        self.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Some(match reply.and_then(|bytes| self.written(bytes)) {
            Ok(text) => text,
            Err(status) => {
                self.replies = None;
                self.framing.error(&(self.error)(&status))
            }
        })
    }

    fn written(&self, bytes: Bytes) -> Result<Vec<u8>, Status> {
        let fault = |error: &dyn std::error::Error| Status::internal(format!("a reply is not JSON: {error}"));
        let message =
            DynamicMessage::decode(self.descriptor.clone(), bytes).map_err(|error| fault(&error))?;
        self.framing.message(&message).map_err(|error| fault(&error))
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use http_body_util::BodyExt as _;
    use marquee_proto::dynamic::Api;
    use marquee_proto::v1;
    use prost::Message as _;
    use serde_json::Value;

    use super::*;

    fn watch(of: impl Fn(&prost_reflect::MethodDescriptor) -> MessageDescriptor) -> MessageDescriptor {
        let method = Api::marquee().method("marquee.v1.InteractionService.WatchInteractions");
        of(&method.expect("the API has it"))
    }

    #[allow(clippy::unnecessary_wraps, reason = "what a stream gives")]
    fn reply(position: &str) -> Result<Bytes, Status> {
        let message = v1::WatchInteractionsResponse { position: position.to_owned(), ..Default::default() };
        Ok(message.encode_to_vec().into())
    }

    fn response_of<R>(framing: Framing, replies: R) -> Response<Body>
    where
        R: Stream<Item = Result<Bytes, Status>> + Send + Unpin + 'static,
    {
        let error = |status: &Status| {
            json!({ "code": status.code() as i32, "message": status.message() }).to_string().into_bytes()
        };
        let descriptor = watch(prost_reflect::MethodDescriptor::output);
        response(framing, HeaderMap::new(), descriptor, replies, error)
    }

    async fn text_of(framing: Framing, replies: Vec<Result<Bytes, Status>>) -> String {
        let body = response_of(framing, stream::iter(replies)).into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn events_are_for_those_who_ask_for_them() {
        assert_eq!(Framing::of(&HeaderMap::new()), Framing::Lines);
        for lines in [
            "*/*",
            "application/x-ndjson",
            "application/json, */*;q=0.1",
            "text/event-stream;q=0",
            "text/event-stream; q=0.5, application/x-ndjson",
        ] {
            assert_eq!(Framing::of(&headers(ACCEPT, lines)), Framing::Lines, "{lines}");
        }
        for events in ["text/event-stream", "Text/Event-Stream;q=0.9", "application/json, text/event-stream"]
        {
            assert_eq!(Framing::of(&headers(ACCEPT, events)), Framing::Events, "{events}");
        }
    }

    #[tokio::test]
    async fn lines_have_results_and_an_error_last() {
        let replies = vec![reply("1-0"), reply("2-0"), Err(Status::aborted("stalled")), reply("3-0")];
        let text = text_of(Framing::Lines, replies).await;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["result"]["position"], "1-0");
        assert_eq!(lines[1]["result"]["position"], "2-0");
        assert_eq!(lines[2], json!({ "error": { "code": 10, "message": "stalled" } }));
    }

    #[tokio::test]
    async fn events_have_positions_and_an_error_last() {
        let text = text_of(Framing::Events, vec![reply("1-0"), reply(""), Err(Status::aborted("x"))]).await;
        let events: Vec<&str> = text.split_terminator("\n\n").collect();
        assert_eq!(events.len(), 3, "{text}");
        assert!(events[0].starts_with("id: 1-0\ndata: {"), "{text}");
        assert!(events[1].starts_with("data: {"), "{text}");
        assert_eq!(events[2], "event: error\ndata: {\"code\":10,\"message\":\"x\"}");
    }

    #[tokio::test]
    async fn a_stream_that_ends_well_says_no_more() {
        for framing in [Framing::Lines, Framing::Events] {
            assert_eq!(text_of(framing, Vec::new()).await, "");
        }
    }

    #[tokio::test]
    async fn nobody_keeps_or_gathers_a_stream() {
        let response = response_of(Framing::Events, stream::empty());
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
    }

    #[tokio::test(start_paused = true)]
    async fn silent_events_have_comments_and_silent_lines_have_none() {
        let start = Instant::now();
        let (_open, replies) = mpsc::unbounded();
        let mut events = response_of(Framing::Events, replies).into_body();
        for count in 1..=3 {
            let comment = events.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!((comment.as_ref(), start.elapsed()), (&b":\n\n"[..], count * KEEP_ALIVE));
        }
        let (_open, replies) = mpsc::unbounded();
        let mut lines = response_of(Framing::Lines, replies).into_body();
        assert!(tokio::time::timeout(10 * KEEP_ALIVE, lines.frame()).await.is_err());
    }

    #[tokio::test]
    async fn a_message_is_sent_when_it_comes_and_the_call_ends_with_its_reader() {
        let (open, replies) = mpsc::unbounded();
        let mut lines = response_of(Framing::Lines, replies).into_body();
        open.unbounded_send(reply("1-0")).unwrap();
        let line = lines.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(line.ends_with(b"\n"));
        assert!(!open.is_closed());
        drop(lines);
        assert!(open.is_closed());
    }

    #[test]
    fn a_reader_that_connects_again_goes_on_where_it_was() {
        let request = watch(prost_reflect::MethodDescriptor::input);
        assert_eq!(resumed(&request, &headers(LAST_EVENT_ID, "7-0")), Some(r#"{"after":"7-0"}"#.to_owned()));
        assert_eq!(resumed(&request, &headers(LAST_EVENT_ID, "")), None);
        assert_eq!(resumed(&request, &HeaderMap::new()), None);
        let reply = watch(prost_reflect::MethodDescriptor::output);
        assert_eq!(resumed(&reply, &headers(LAST_EVENT_ID, "7-0")), None);
    }
}
