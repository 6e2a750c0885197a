//! Requests that no honest client sends, through the edge: what speaks no gRPC becomes gRPC or is refused, and what is
//! gRPC is decoded and validated or refused. Nothing panics, and no caller is told of an error of the server's own.
//!
//! `MARQUEE_FUZZ_CASES` sets the number of cases, 100,000 when absent, `MARQUEE_FUZZ_SEED` where they begin. A case that
//! fails names its number: with that seed and one case it is made again.

#[path = "../../proto/tests/hostile/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of the API, which need more of it")]
mod hostile;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use marquee_proto::dynamic::{Api, HttpBinding, RequestBody};
use marquee_server::edge::gateway;
use prost_reflect::{Kind, MessageDescriptor};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Status;
use tonic::body::Body;
use tower::{ServiceExt as _, service_fn};

use self::hostile::gzip::gzip;
use self::hostile::{FILLS, Refusal, Route, TARGETS, Target, framed, routes, segment};

/// The most bytes of a message here. Requests have a hundredth of it but for a few.
const MESSAGE_BYTES: usize = 64 << 10;

const CONTENT_TYPES: [&str; 10] = [
    "application/json",
    "application/proto",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/connect+json",
    "application/connect+proto",
    "application/json; charset=utf-8",
    "text/plain",
    "",
];

const HEADERS: [(&str, &[&str]); 10] = [
    (
        "accept",
        &["application/json", "text/event-stream", "*/*;q=0.1,text/event-stream;q=x", "application/x-ndjson"],
    ),
    ("accept-encoding", &["gzip", "identity;q=0", "br, gzip;q=0.5"]),
    ("connect-protocol-version", &["1", "2", ""]),
    ("connect-timeout-ms", &["1", "99999999999999999999", "-1", "x"]),
    ("grpc-timeout", &["1S", "99999999H", "1x", ""]),
    ("origin", &["http://localhost", "http://evil.example.org", "null", "::"]),
    ("sec-fetch-site", &["same-origin", "cross-site", "?"]),
    ("cookie", &["marquee_session=ms_00_x", "a=b; marquee_session=", ";;=;", "marquee_session=\u{ff}"]),
    ("authorization", &["Bearer ", "Bearer mq_0_0", "bearer\ta.b.c", "Basic eDp5"]),
    ("last-event-id", &["1-0", "\t", "99999999999999999999999999"]),
];

/// Texts that stand for values in paths, queries and JSON.
const VALUES: [&str; 18] = [
    "",
    "0",
    "1",
    "-1",
    "1e400",
    "18446744073709551616",
    "true",
    "null",
    "%",
    "%00",
    "%ff",
    "%2F",
    "..",
    "a:b",
    "\u{202e}",
    "2026-01-01T00:00:00Z",
    "NaN",
    "x",
];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// A method, as callers find it.
struct Served {
    path: String,
    rest: Vec<HttpBinding>,
    input: MessageDescriptor,
    routes: Vec<Route>,
}

fn methods() -> Vec<Served> {
    let api = Api::marquee();
    let services: Vec<_> = api.services().collect();
    let methods = services.iter().flat_map(|service| service.methods().collect::<Vec<_>>());
    let found = methods.map(|method| Served {
        path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
        rest: HttpBinding::of(&method).expect("a test reads the places"),
        routes: routes(&method.input()),
        input: method.input(),
    });
    found.collect()
}

/// What the server does with a call before a handler decides.
async fn decided(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let Some(target) = TARGET_OF.get(request.uri().path()) else {
        return Ok(Status::unimplemented("there is no such method").into_http());
    };
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Status::invalid_argument("the request is not whole").into_http());
    };
    let framed = body.to_bytes();
    if framed.is_empty() {
        return Ok(Status::invalid_argument("there is no message").into_http());
    }
    Ok(match (target.offer)(framed, None, MESSAGE_BYTES) {
        Ok(()) => Status::not_found("a handler would have it").into_http(),
        // Whoever stands before the services makes it the caller's mistake.
        Err(Refusal::Decoding(_)) => Status::invalid_argument("it is no such message").into_http(),
        Err(Refusal::Rules(_)) => Status::invalid_argument("a rule does not hold").into_http(),
    })
}

/// The request of each method, by its path.
static TARGET_OF: LazyLock<HashMap<String, &'static Target>> = LazyLock::new(|| {
    let target = |method: Served| {
        let target = TARGETS.iter().find(|target| target.name == method.input.name());
        (method.path, target.expect("a test holds the targets complete"))
    };
    methods().into_iter().map(target).collect()
});

/// Makes requests, the same of the same seed.
struct Maker {
    methods: Vec<Served>,
    random: StdRng,
}

impl Maker {
    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.random).expect("there is one")
    }

    /// Whether it is one of so many.
    fn one_in(&mut self, many: u32) -> bool {
        self.random.random_range(0..many) == 0
    }

    fn request(&mut self) -> Request<Body> {
        let method = self.random.random_range(0..self.methods.len());
        let content_type = if self.one_in(3) { self.one_of(&CONTENT_TYPES) } else { "application/json" };
        let (mut verb, uri, has_body) = match self.random.random_range(0..12) {
            0 => ("POST", self.garbage(64), true),
            1..6 => ("POST", self.methods[method].path.clone(), true),
            _ => self.rest(method),
        };
        let mut body = if has_body || self.one_in(10) { self.body(method, content_type) } else { Vec::new() };
        let mut headers = vec![(CONTENT_TYPE.as_str(), content_type.to_owned())];
        if self.one_in(10) {
            body = gzip(&body);
            headers.push((CONTENT_ENCODING.as_str(), self.one_of(&["gzip", "identity", "x"]).to_owned()));
        }
        if self.one_in(5) {
            self.damage(&mut body);
        }
        if self.one_in(10) {
            verb = self.one_of(&["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"]);
        }
        for _ in 0..self.random.random_range(0..3) {
            let (name, values) = self.one_of(&HEADERS);
            headers.push((name, self.one_of(values).to_owned()));
        }
        let hosts = ["127.0.0.1:1", "evil.example.org", "", "localhost:99999", "\t"];
        let host = if self.one_in(10) { self.one_of(&hosts) } else { "localhost" };
        headers.push((HOST.as_str(), host.to_owned()));
        let uri: String = if self.one_in(10) { self.damaged(uri) } else { uri };
        let mut request = Request::new(self.in_parts(body));
        *request.method_mut() = verb.parse().expect("a verb");
        // What is no address never comes so far.
        if let Ok(uri) = uri.parse() {
            *request.uri_mut() = uri;
        }
        *request.version_mut() =
            self.one_of(&[http::Version::HTTP_11, http::Version::HTTP_2, http::Version::HTTP_10]);
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request.headers_mut().append(name, value);
            }
        }
        request
    }

    /// A body that comes as a whole, in pieces, or breaks off.
    fn in_parts(&mut self, body: Vec<u8>) -> Body {
        if body.len() < 2 || !self.one_in(4) {
            return Body::new(Full::new(Bytes::from(body)));
        }
        let at = self.random.random_range(1..body.len());
        let (first, second) = body.split_at(at);
        let first = Ok(http_body::Frame::data(Bytes::copy_from_slice(first)));
        let second = if self.one_in(2) {
            Ok(http_body::Frame::data(Bytes::copy_from_slice(second)))
        } else {
            Err(Status::cancelled("the caller has gone"))
        };
        Body::new(StreamBody::new(futures::stream::iter([first, second])))
    }

    /// A place of a method in HTTP, with values in path and query: its verb, the address, and whether it has a body.
    fn rest(&mut self, method: usize) -> (&'static str, String, bool) {
        let Some(place) = self.methods[method].rest.choose(&mut self.random) else {
            return ("POST", self.methods[method].path.clone(), true);
        };
        let (verb, template) = (place.verb.as_str(), place.path.to_string());
        let has_body = place.body != RequestBody::None;
        let variables: Vec<String> = place.path.variables().map(str::to_owned).collect();
        let mut uri = template;
        for variable in variables {
            let values = ["a", "", "%00", "%2F", "%ff", "18446744073709551616", "-1"];
            let value = if self.one_in(4) { self.one_of(&values) } else { "1" };
            uri = uri.replace(&format!("{{{variable}}}"), value);
        }
        for pair in 0..self.random.random_range(0..4) {
            let name = self.field_name(method);
            let value = self.one_of(&VALUES);
            let between = if pair == 0 { '?' } else { '&' };
            write!(uri, "{between}{name}={value}").expect("memory");
        }
        (verb, uri, has_body)
    }

    /// The way to a field of a method's request, as a query writes it.
    fn field_name(&mut self, method: usize) -> String {
        let routes = &self.methods[method].routes;
        match routes.choose(&mut self.random) {
            Some(route) => hostile::json::dotted(route),
            None => "x".to_owned(),
        }
    }

    fn body(&mut self, method: usize, content_type: &str) -> Vec<u8> {
        if self.one_in(10) {
            return self.garbage(200).into_bytes();
        }
        let is_json = content_type.contains("json") || content_type.is_empty();
        let message = if is_json {
            let input = self.methods[method].input.clone();
            self.json(&input, 0).into_bytes()
        } else {
            self.protobuf(method)
        };
        match content_type {
            text if text.ends_with("-text") => BASE64_STANDARD.encode(self.frame(&message)).into_bytes(),
            enveloped if enveloped.contains("grpc-web") || enveloped.contains("connect") => {
                self.frame(&message)
            }
            _ => message,
        }
    }

    /// A message in its frame; now and then the frame says another length, or what it is not.
    fn frame(&mut self, message: &[u8]) -> Vec<u8> {
        let mut framed = framed(message, false).to_vec();
        if self.one_in(5) {
            let at = self.random.random_range(0..5);
            framed[at] = self.random.random();
        }
        framed
    }

    /// Random fields of a method's request.
    fn protobuf(&mut self, method: usize) -> Vec<u8> {
        let mut message = Vec::new();
        for _ in 0..self.random.random_range(0..4) {
            let size = if self.one_in(100) { 20_000 } else { self.random.random_range(1..200) };
            let fill = self.one_of(&FILLS);
            if let Some(route) = self.methods[method].routes.choose(&mut self.random) {
                message.extend(segment(route, fill, size));
            }
        }
        message
    }

    /// An object with some of a message's fields, right ones and others.
    fn json(&mut self, message: &MessageDescriptor, depth: u32) -> String {
        let fields: Vec<_> = message.fields().collect();
        let mut members = Vec::new();
        for _ in 0..self.random.random_range(0..4) {
            let Some(field) = fields.choose(&mut self.random) else { break };
            let inner = match field.kind() {
                Kind::Message(inner) if depth < 4 => self.json(&inner, depth + 1),
                _ => match self.random.random_range(0..4) {
                    0 => self.one_of(&["0", "-1", "1e99", "[]", "{}", "null", "true", "[[0]]"]).to_owned(),
                    1 => self.random.random_range(0..1_000_u32).to_string(),
                    _ => serde_json::Value::from(self.one_of(&VALUES)).to_string(),
                },
            };
            let value = if field.is_list() && !self.one_in(4) { format!("[{inner},{inner}]") } else { inner };
            let name = if self.one_in(2) { field.name() } else { field.json_name() };
            members.push(format!("\"{name}\":{value}"));
        }
        format!("{{{}}}", members.join(","))
    }

    fn garbage(&mut self, most: usize) -> String {
        let length = self.random.random_range(0..most);
        (0..length).map(|_| char::from(self.random.random_range(0..128_u8))).collect()
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.random.random_range(0..4) {
            if !bytes.is_empty() {
                let at = self.random.random_range(0..bytes.len());
                bytes[at] = self.random.random();
            }
        }
        let length = self.random.random_range(0..=bytes.len());
        if self.one_in(2) {
            bytes.truncate(length);
        }
    }

    fn damaged(&mut self, text: String) -> String {
        let mut bytes = text.into_bytes();
        self.damage(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// How long a stream of events is read.
const FRAMES: usize = 100;

#[tokio::test]
async fn no_request_makes_the_edge_panic_or_fail() {
    let gateway = gateway(service_fn(decided), MESSAGE_BYTES);
    let (cases, seed) = (number("MARQUEE_FUZZ_CASES", 100_000), number("MARQUEE_FUZZ_SEED", 20_231_013));
    let mut maker = Maker { methods: methods(), random: StdRng::seed_from_u64(0) };
    let (mut reached, mut refused) = (0, 0);
    for case in seed..seed + cases {
        maker.random = StdRng::seed_from_u64(case);
        let request = maker.request();
        let asked = format!("{} {}", request.method(), request.uri());
        let Ok(answer) = gateway.clone().oneshot(request).await;
        let status = answer.status();
        let mut body = answer.into_body();
        for _ in 0..FRAMES {
            if body.frame().await.is_none_or(|frame| frame.is_err()) {
                break;
            }
        }
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "case {case}: {asked}");
        reached += u64::from(status == StatusCode::NOT_FOUND);
        refused += u64::from(status == StatusCode::BAD_REQUEST);
    }
    assert!(reached > cases / 100, "only {reached} cases reached a handler: the fuzz reaches nothing");
    assert!(refused > cases / 100, "only {refused} cases were refused by what they say");
}
