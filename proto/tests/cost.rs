//! No request costs much more than its bytes before it is refused: memory and the size of the refusal. The
//! processor time is measured by the program `cost` of the benches.

#[allow(dead_code, reason = "the other half is of JSON")]
mod hostile;

use hostile::gzip::{empty_blocks, gzip};
use hostile::meter::{Meter, peak};
use hostile::{FILLS, Refusal, TARGETS, framed, requests, routes, segment};
use marquee_proto::MAX_VIOLATIONS;
use tonic::codec::CompressionEncoding;

#[global_allocator]
static METER: Meter = Meter;

/// Bytes of a request; a server takes 4 MiB.
const SIZE: usize = 1 << 18;

/// Memory for each byte of a request: 64 MiB for 4 MiB.
const MAX_A_BYTE: usize = 16;

/// Bytes of a refusal before it is cut.
const MAX_OF_REFUSAL: usize = 4096;

fn check(refused: &Result<(), Refusal>, what: &str) {
    match refused {
        Ok(()) => {}
        Err(Refusal::Decoding(status)) => {
            let size = status.message().len() + status.details().len();
            assert!(size <= MAX_OF_REFUSAL, "{what}: {size} bytes of refusal");
        }
        Err(Refusal::Rules(violations)) => assert!(violations.len() <= MAX_VIOLATIONS, "{what}"),
    }
}

#[test]
fn every_request_of_the_api_is_a_target() {
    let requests = requests();
    let names: Vec<_> = requests.iter().map(|request| request.name().to_owned()).collect();
    assert_eq!(names, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
}

#[test]
fn no_request_takes_more_than_sixteen_times_its_bytes() {
    for (target, message) in TARGETS.iter().zip(requests()) {
        for route in routes(&message) {
            for fill in FILLS {
                let framed = framed(&segment(&route, fill, SIZE), false);
                let (refused, bytes) = peak(|| (target.offer)(framed, None, SIZE + 64));
                let what = format!("{} {} {fill:?}", target.name, route.last().unwrap().full_name());
                assert!(bytes <= MAX_A_BYTE * SIZE, "{what}: {bytes} bytes");
                check(&refused, &what);
            }
        }
    }
}

#[test]
fn a_few_compressed_bytes_take_no_more_than_a_message_may() {
    for (target, message) in TARGETS.iter().zip(requests()) {
        let Some(route) = routes(&message).into_iter().next() else { continue };
        for size in [SIZE, 64 * SIZE] {
            let bomb = framed(&gzip(&segment(&route, FILLS[0], size)), true);
            let offer = || (target.offer)(bomb, Some(CompressionEncoding::Gzip), SIZE);
            let (refused, bytes) = peak(offer);
            assert!(bytes <= MAX_A_BYTE * SIZE, "{}: {bytes} bytes", target.name);
            check(&refused, target.name);
            assert!(size == SIZE || matches!(refused, Err(Refusal::Decoding(_))), "{}", target.name);
        }
    }
}

#[test]
fn blocks_that_unpack_to_nothing_are_an_empty_message() {
    let target = TARGETS.iter().find(|target| target.name == "RecommendBatchRequest").unwrap();
    let blocks = framed(&empty_blocks(1 << 16), true);
    let (refused, bytes) = peak(|| (target.offer)(blocks, Some(CompressionEncoding::Gzip), SIZE));
    assert!(refused.is_ok());
    assert!(bytes <= MAX_A_BYTE * SIZE, "{bytes} bytes");
}
