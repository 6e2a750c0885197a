//! JSON over Connect and REST, by the server's gateway.
//!
//! Plain texts come over Connect. Compressed ones come over REST where the method takes a body there, with what its
//! path says beside them; where it takes none, the query is blown up.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use marquee_proto::dynamic::{Api, HttpBinding, RequestBody};
use marquee_server::edge::layers::max_compressed_bytes;
use marquee_server::edge::{MAX_STATUS_BYTES, gateway};
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use tonic::Status;
use tonic::body::Body;
use tower::{ServiceExt as _, service_fn};

use crate::hostile::gzip::gzip;
use crate::hostile::json::{Text, dotted, of_field, texts};
use crate::hostile::{Route, TARGETS, Target, routes};
use crate::measured::{Cost, Dearest};
use crate::{Arguments, SIZE, status_of};

/// The most bytes of a refusal, which has its details in Protobuf and to be read.
pub(crate) const MAX_REPLY_BYTES: usize = 2 * MAX_STATUS_BYTES;

/// The most bytes of a query: what an address may have, less what stands before it.
const QUERY_BYTES: usize = 65_000;

/// Values of fields in a query.
const VALUES: [&str; 4] = ["", "0", "%00", "x"];

/// A header of the answer to what a handler would have.
const HANDLED: HeaderName = HeaderName::from_static("handled");

/// Every method that may have its request in JSON, and what the dearest of its cases cost.
pub(crate) fn requests(arguments: &Arguments) -> impl Iterator<Item = (String, Dearest)> {
    let answer = answerer();
    let services: Vec<_> = Api::marquee().services().collect();
    let methods = services.into_iter().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.filter(|method| !method.is_client_streaming()).map(move |method| {
        let requests = Requests::of(&method, &answer);
        (method.name().to_owned(), requests.dearest(arguments))
    })
}

/// The gateway, behind which is what the server does before a handler decides.
fn answerer() -> impl Fn(Request<Body>) -> Response<Body> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a thread can have a timer");
    let gateway = gateway(service_fn(decided), SIZE);
    move |request| {
        let answer = runtime.block_on(gateway.clone().oneshot(request));
        answer.unwrap_or_else(|never: Infallible| match never {})
    }
}

/// What becomes of a call. Its target is one of its extensions.
async fn decided(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let target: &&'static Target = head.extensions.get().expect("the gateway passes extensions on");
    let framed = body.collect().await.expect("it is in memory").to_bytes();
    Ok(match (target.offer)(framed, None, SIZE) {
        Ok(()) => {
            let mut answer = Status::unimplemented("its handler has it").into_http();
            answer.headers_mut().insert(HANDLED, HeaderValue::from_static("yes"));
            answer
        }
        Err(refusal) => status_of(refusal).into_http(),
    })
}

/// The requests for a method.
struct Requests<'a, A> {
    answer: &'a A,
    target: &'static Target,
    input: MessageDescriptor,
    /// The path over Connect.
    connect: String,
    /// The place of REST that says most.
    rest: Option<HttpBinding>,
}

impl<'a, A: Fn(Request<Body>) -> Response<Body>> Requests<'a, A> {
    fn of(method: &MethodDescriptor, answer: &'a A) -> Self {
        let input = method.input();
        let target = TARGETS.iter().find(|target| target.name == input.name());
        Self {
            answer,
            target: target.expect("a test holds the targets complete"),
            input,
            connect: format!("/{}/{}", method.parent_service().full_name(), method.name()),
            rest: HttpBinding::of(method).expect("a test reads the places").pop(),
        }
    }

    fn dearest(&self, arguments: &Arguments) -> Dearest {
        let mut dearest = Dearest::default();
        let routes = routes(&self.input);
        let mut random = StdRng::seed_from_u64(arguments.seed);
        let mixtures = if routes.is_empty() { 0 } else { arguments.random };
        let mixtures = (0..mixtures)
            .map(|case| Text { what: format!("mixture {case}"), json: mixture(&routes, &mut random) });
        for text in texts(&self.input, SIZE).chain(mixtures) {
            self.add_text(&text, &mut dearest);
        }
        if let Some(place) = self.rest.as_ref().filter(|place| place.body == RequestBody::None) {
            for Text { what, json: query } in queries(&routes) {
                let uri = format!("{}?{query}", path_of(place));
                let request = || self.request(place.verb.as_str(), &uri, "", Bytes::new());
                dearest.add(self.cost(what, request));
            }
        }
        dearest
    }

    /// A text plain and compressed.
    fn add_text(&self, Text { what, json }: &Text, dearest: &mut Dearest) {
        let plain = Bytes::copy_from_slice(json.as_bytes());
        if plain.len() <= SIZE {
            let request = || self.request("POST", &self.connect, "", plain.clone());
            dearest.add(self.cost(what.clone(), request));
        }
        let compressed = Bytes::from(gzip(&plain));
        if compressed.len() <= max_compressed_bytes(SIZE) {
            let what = format!("{what}, gzip of {} bytes", compressed.len());
            let (verb, path) = match &self.rest {
                Some(place) if place.body == RequestBody::Message => (place.verb.as_str(), path_of(place)),
                _ => ("POST", self.connect.clone()),
            };
            dearest.add(self.cost(what, || self.request(verb, &path, "gzip", compressed.clone())));
        }
    }

    fn request(&self, verb: &str, uri: &str, encoding: &str, body: Bytes) -> Request<Body> {
        Request::builder()
            .method(verb)
            .uri(uri)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_ENCODING, encoding)
            .extension(self.target)
            .body(Body::new(Full::new(body)))
            .expect("its parts are well-formed")
    }

    fn cost(&self, what: String, request: impl Fn() -> Request<Body>) -> Cost {
        Cost::of(what, || {
            let reply = (self.answer)(request());
            let is_refused = !reply.headers().contains_key(HANDLED);
            is_refused.then(|| reply.body().size_hint().lower() as usize)
        })
    }
}

/// A path with values in it.
fn path_of(place: &HttpBinding) -> String {
    let template = place.path.to_string();
    place.path.variables().fold(template, |path, variable| path.replace(&format!("{{{variable}}}"), "1"))
}

/// Random texts of random fields, as one object.
fn mixture(routes: &[Route], random: &mut StdRng) -> String {
    let parts = random.random_range(1..=8);
    let part = |random: &mut StdRng| {
        let route = routes.choose(random).expect("there is a field");
        let size = random.random_range(16..SIZE / parts);
        let Text { json, .. } = of_field(route, size).into_iter().choose(random).expect("there is a way");
        json[1..json.len() - 1].to_owned()
    };
    let members: Vec<_> = (0..parts).map(|_| part(random)).collect();
    format!("{{{}}}", members.join(","))
}

/// Queries with one field over and over, and with many that are none.
fn queries(routes: &[Route]) -> impl Iterator<Item = Text> {
    let fields = routes.iter().flat_map(|route| {
        VALUES.map(|value| {
            let pair = format!("{}={value}&", dotted(route));
            Text {
                what: format!("{} {value:?} in the query", dotted(route)),
                json: pair.repeat(QUERY_BYTES / pair.len()),
            }
        })
    });
    let names: Vec<_> = (0..QUERY_BYTES / 7).map(|name| format!("{name:x}=0")).collect();
    fields.chain([Text { what: "many names in the query".to_owned(), json: names.join("&") }])
}
