//! What may a hostile request cost before it is refused? Its share of the processor and its memory, against
//! the bounds that the server promises.
//!
//! Every request of the API is blown up field by field in each way that `proto/tests/hostile` knows, plain and
//! compressed, then mixed at random: in Protobuf over gRPC ([`protobuf`]), and in JSON over Connect and REST ([`json`]).
//! Each goes through what the server does before a handler decides: unpack, scan, decode, validate, answer. Ends with
//! status 1 when one costs more than it may.

#[path = "../../../../proto/tests/hostile/mod.rs"]
mod hostile;
mod json;
mod measured;
mod protobuf;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use comfy_table::Table;
use marquee_server::edge::ApiError;
use tonic::Status;

use hostile::Refusal;
use hostile::meter::Meter;
use measured::{Bounds, Dearest};

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

impl Arguments {
    /// What a request may cost, and its refusal as many bytes as this.
    fn bounds(&self, reply: usize) -> Bounds {
        Bounds { cpu: Duration::from_millis(self.cpu_ms), bytes: self.memory_mib << 20, reply }
    }
}

/// The status that answers a refusal.
fn status_of(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Decoding(status) => status,
        Refusal::Rules(violations) => ApiError::Invalid(violations).into(),
    }
}

/// A table of what each request cost; whether all were within their bounds.
fn told(title: &str, requests: impl Iterator<Item = (String, Dearest)>, bounds: &Bounds) -> bool {
    let mut table = Table::new();
    table.set_header([title, "cases", "refused", "CPU ms", "by", "MiB", "by", "reply bytes", ""]);
    let mut all_within = true;
    for (name, dearest) in requests {
        let is_within = dearest.is_within(bounds);
        all_within &= is_within;
        table.add_row(dearest.row(name, if is_within { "" } else { "over" }));
    }
    println!("{table}");
    all_within
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let protobuf =
        told("Protobuf", protobuf::requests(&arguments), &arguments.bounds(protobuf::MAX_REPLY_BYTES));
    let json = told("JSON", json::requests(&arguments), &arguments.bounds(json::MAX_REPLY_BYTES));
    if protobuf && json { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
