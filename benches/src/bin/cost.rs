//! What may a hostile request cost before it is refused? Its share of the processor and its memory, against
//! the bounds that the server promises.
//!
//! Every request of the API is blown up field by field in each way that `proto/tests/hostile` knows, plain and
//! compressed, then mixed at random. Each goes through what the server does before a handler decides: unpack,
//! scan, decode, validate, answer. Ends with status 1 when one costs more than it may.

#[path = "../../../proto/tests/hostile/mod.rs"]
mod hostile;

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use comfy_table::Table;
use cpu_time::ThreadTime;
use http::HeaderMap;
use marquee_server::edge::layers::max_compressed_bytes;
use marquee_server::edge::{ApiError, MAX_STATUS_BYTES};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Status;
use tonic::codec::CompressionEncoding;

use hostile::gzip::{empty_blocks, gzip};
use hostile::meter::{Meter, peak};
use hostile::{FILLS, Refusal, Route, TARGETS, Target, framed, requests, routes, segment};

#[global_allocator]
static METER: Meter = Meter;

/// The largest message that a server takes unless it is told otherwise.
const SIZE: usize = 4 << 20;

/// Offer hostile requests and hold their cost against its bounds.
#[derive(Debug, Parser)]
struct Arguments {
    /// Random mixtures for each request of the API.
    #[arg(long, default_value_t = 40)]
    random: usize,
    /// The seed of the mixtures.
    #[arg(long, default_value_t = 21)]
    seed: u64,
    /// The most time of the processor that a refused request may take, in milliseconds.
    #[arg(long, default_value_t = 50)]
    cpu_ms: u64,
    /// The most memory that a request may take before a handler has it, in MiB.
    #[arg(long, default_value_t = 64)]
    memory_mib: usize,
}

/// What one request cost.
struct Cost {
    what: String,
    cpu: Duration,
    bytes: usize,
    reply: usize,
    refused: bool,
}

/// The dearest of a request's cases.
#[derive(Default)]
struct Dearest {
    cases: usize,
    refused: usize,
    cpu: (Duration, String),
    bytes: (usize, String),
    reply: usize,
}

impl Dearest {
    fn add(&mut self, cost: Cost) {
        self.cases += 1;
        self.refused += usize::from(cost.refused);
        self.reply = self.reply.max(cost.reply);
        if cost.refused && cost.cpu > self.cpu.0 {
            self.cpu = (cost.cpu, cost.what.clone());
        }
        if cost.bytes > self.bytes.0 {
            self.bytes = (cost.bytes, cost.what);
        }
    }

    fn is_within(&self, arguments: &Arguments) -> bool {
        self.cpu.0 <= Duration::from_millis(arguments.cpu_ms)
            && self.bytes.0 <= arguments.memory_mib << 20
            && self.reply <= MAX_STATUS_BYTES
    }
}

/// The bytes of the status that answers a refusal.
fn answered(refusal: Refusal) -> usize {
    let status = match refusal {
        Refusal::Decoding(status) => status,
        Refusal::Rules(violations) => ApiError::Invalid(violations).into(),
    };
    let mut headers = HeaderMap::new();
    let _sent: Result<(), Status> = status.add_header(&mut headers);
    let sizes = ["grpc-message", "grpc-status-details-bin"]
        .map(|name| headers.get(name).map_or(0, http::HeaderValue::len));
    sizes.iter().sum()
}

/// Offers a request and measures, twice if it seems dear: the first time may pay for cold memory.
fn cost(target: &Target, what: &str, request: &Bytes, encoding: Option<CompressionEncoding>) -> Cost {
    let once = || {
        let began = ThreadTime::now();
        let (reply, bytes) = peak(|| (target.offer)(request.clone(), encoding, SIZE).map_err(answered).err());
        (reply, bytes, began.elapsed())
    };
    let (reply, bytes, first) = once();
    let cpu = if first > Duration::from_millis(10) { first.min(once().2) } else { first };
    Cost { what: what.to_owned(), cpu, bytes, reply: reply.unwrap_or(0), refused: reply.is_some() }
}

/// A message plain and compressed.
fn both(target: &Target, what: &str, message: &[u8], dearest: &mut Dearest) {
    if message.len() <= SIZE {
        dearest.add(cost(target, what, &framed(message, false), None));
    }
    let compressed = gzip(message);
    if compressed.len() <= max_compressed_bytes(SIZE) {
        let what = format!("{what}, gzip of {} bytes", compressed.len());
        dearest.add(cost(target, &what, &framed(&compressed, true), Some(CompressionEncoding::Gzip)));
    }
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

fn dearest_of(target: &Target, routes: &[Route], arguments: &Arguments) -> Dearest {
    let mut dearest = Dearest::default();
    for route in routes {
        let field: Vec<_> = route.iter().map(|field| field.name().to_owned()).collect();
        for fill in FILLS {
            let message = segment(route, fill, SIZE);
            both(target, &format!("{} {fill:?}", field.join(".")), &message, &mut dearest);
        }
        let bomb = segment(route, FILLS[0], 16 * SIZE);
        both(target, &format!("{} bomb", field.join(".")), &bomb, &mut dearest);
    }
    let blocks = framed(&empty_blocks(max_compressed_bytes(SIZE)), true);
    // An empty message in the end, but its cost counts.
    let mut emptied = cost(target, "gzip blocks without text", &blocks, Some(CompressionEncoding::Gzip));
    emptied.refused = true;
    dearest.add(emptied);
    let mut random = StdRng::seed_from_u64(arguments.seed);
    for case in 0..if routes.is_empty() { 0 } else { arguments.random } {
        both(target, &format!("mixture {case}"), &mixture(routes, &mut random), &mut dearest);
    }
    dearest
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut table = Table::new();
    table.set_header(["request", "cases", "refused", "CPU ms", "by", "MiB", "by", "reply bytes", ""]);
    let mut is_within = true;
    for (target, message) in TARGETS.iter().zip(requests()) {
        let dearest = dearest_of(target, &routes(&message), &arguments);
        let verdict = if dearest.is_within(&arguments) { "" } else { "over" };
        is_within &= verdict.is_empty();
        table.add_row([
            target.name.to_owned(),
            dearest.cases.to_string(),
            dearest.refused.to_string(),
            format!("{:.1}", dearest.cpu.0.as_secs_f64() * 1e3),
            dearest.cpu.1,
            format!("{:.1}", dearest.bytes.0 as f64 / f64::from(1 << 20)),
            dearest.bytes.1,
            dearest.reply.to_string(),
            verdict.to_owned(),
        ]);
    }
    println!("{table}");
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
