//! Protobuf over gRPC, by the server's codec.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use marquee_server::edge::MAX_STATUS_BYTES;
use marquee_server::edge::layers::max_compressed_bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Status;
use tonic::codec::CompressionEncoding;

use crate::hostile::gzip::{empty_blocks, gzip};
use crate::hostile::{self, FILLS, Refusal, Route, TARGETS, Target, framed, routes, segment};
use crate::measured::{Cost, Dearest};
use crate::{Arguments, SIZE, status_of};

/// The most bytes of a refusal: those that a client reads in headers.
pub(crate) const MAX_REPLY_BYTES: usize = MAX_STATUS_BYTES;

/// Every request of the API, and what the dearest of its cases cost.
pub(crate) fn requests(arguments: &Arguments) -> impl Iterator<Item = (String, Dearest)> {
    TARGETS
        .iter()
        .zip(hostile::requests())
        .map(|(target, message)| (target.name.to_owned(), dearest_of(target, &routes(&message), arguments)))
}

fn dearest_of(target: &Target, routes: &[Route], arguments: &Arguments) -> Dearest {
    let mut dearest = Dearest::default();
    for route in routes {
        let field = hostile::json::dotted(route);
        for fill in FILLS {
            let message = segment(route, fill, SIZE);
            both(target, &format!("{field} {fill:?}"), &message, &mut dearest);
        }
        let bomb = segment(route, FILLS[0], 16 * SIZE);
        both(target, &format!("{field} bomb"), &bomb, &mut dearest);
    }
    let blocks = framed(&empty_blocks(max_compressed_bytes(SIZE)), true);
    // An empty message in the end, but its cost counts.
    let emptied =
        cost(target, "gzip blocks without text".to_owned(), &blocks, Some(CompressionEncoding::Gzip));
    dearest.add(emptied.into_refused());
    let mut random = StdRng::seed_from_u64(arguments.seed);
    for case in 0..if routes.is_empty() { 0 } else { arguments.random } {
        both(target, &format!("mixture {case}"), &mixture(routes, &mut random), &mut dearest);
    }
    dearest
}

/// A message plain and compressed.
fn both(target: &Target, what: &str, message: &[u8], dearest: &mut Dearest) {
    if message.len() <= SIZE {
        dearest.add(cost(target, what.to_owned(), &framed(message, false), None));
    }
    let compressed = gzip(message);
    if compressed.len() <= max_compressed_bytes(SIZE) {
        let what = format!("{what}, gzip of {} bytes", compressed.len());
        dearest.add(cost(target, what, &framed(&compressed, true), Some(CompressionEncoding::Gzip)));
    }
}

fn cost(target: &Target, what: String, request: &Bytes, encoding: Option<CompressionEncoding>) -> Cost {
    Cost::of(what, || (target.offer)(request.clone(), encoding, SIZE).map_err(answered).err())
}

/// The bytes of the status that answers a refusal.
fn answered(refusal: Refusal) -> usize {
    let mut headers = HeaderMap::new();
    let _sent: Result<(), Status> = status_of(refusal).add_header(&mut headers);
    let sizes =
        ["grpc-message", "grpc-status-details-bin"].map(|name| headers.get(name).map_or(0, HeaderValue::len));
    sizes.iter().sum()
}

/// Parts of random fields, ways and sizes, one behind the other.
fn mixture(routes: &[Route], random: &mut StdRng) -> Vec<u8> {
    let parts = random.random_range(1..=8);
    let mut message = Vec::new();
    for _ in 0..parts {
        let route = routes.choose(random).expect("there is a field");
        let fill = FILLS.choose(random).expect("there is a way");
        let size = random.random_range(16..SIZE / parts);
        message.extend(segment(route, *fill, size));
    }
    message.truncate(SIZE);
    message
}
