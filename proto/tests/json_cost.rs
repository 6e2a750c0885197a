//! What a text of JSON takes before it is refused: memory in proportion to its bytes, and a short refusal. The
//! processor time is measured by the program `cost` of the benches.

#[allow(dead_code, reason = "the other half is of bytes")]
mod hostile;

use hostile::json::{Text, texts};
use hostile::meter::{Meter, peak};
use hostile::requests;
use marquee_proto::dynamic::json_to_bytes;

#[global_allocator]
static METER: Meter = Meter;

/// Bytes of a text; a server takes 4 MiB, which costs as much for each byte.
const SIZE: usize = 1 << 15;

/// Memory for each byte of a text: as much as for each byte of a message of gRPC.
const MAX_A_BYTE: usize = 16;

/// Bytes of a refusal before it is cut.
const MAX_OF_REFUSAL: usize = 8192;

#[test]
fn no_text_takes_more_than_sixteen_times_its_bytes() {
    for message in requests() {
        for Text { what, json } in texts(&message, SIZE) {
            let what = format!("{} {what}", message.name());
            let (read, bytes) = peak(|| json_to_bytes(&message, json.as_bytes()));
            assert!(bytes <= MAX_A_BYTE * json.len(), "{what}: {bytes} bytes for {}", json.len());
            if let Err(error) = read {
                let size = error.to_string().len();
                assert!(size <= MAX_OF_REFUSAL, "{what}: {size} bytes of refusal");
            }
        }
    }
}
