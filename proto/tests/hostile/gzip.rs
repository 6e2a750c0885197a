//! Compressed bytes that take long to unpack.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// As clients compress.
pub(crate) fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// About `size` bytes that unpack to nothing: blocks that hold tables of codes and no text. A table is the
/// dearest that a block of few bits can have.
pub(crate) fn empty_blocks(size: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.bytes.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    while bits.bytes.len() < size.saturating_sub(32) {
        empty_block(&mut bits);
    }
    bits.push(0b011, 3);
    bits.push(0, 7);
    bits.push(0, 7);
    bits.bytes.extend([0; 8]);
    bits.bytes
}

/// One block by codes of its own: of 257 lengths all but the last two are 0.
fn empty_block(bits: &mut Bits) {
    /// The order in which the lengths of the codes for lengths stand.
    const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    const LENGTHS: usize = 18;
    bits.push(0b100, 3);
    bits.push(0, 5);
    bits.push(0, 5);
    bits.push(LENGTHS as u32 - 4, 4);
    for symbol in &ORDER[..LENGTHS] {
        bits.push(u32::from(matches!(symbol, 1 | 18)), 3);
    }
    // Code 0 is a length of 1, code 1 a run of 11 to 138 lengths of 0.
    for zeros in [138, 117] {
        bits.push(1, 1);
        bits.push(zeros - 11, 7);
    }
    // Lengths of 1 for the byte 255, for the end and for a distance; then the end, whose code is 1.
    bits.push(0b000, 3);
    bits.push(1, 1);
}

/// Bits from the lowest up, as deflate has them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    filled: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for place in 0..count {
            if self.filled == 0 {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("one was pushed");
            *last |= u8::from(value >> place & 1 == 1) << self.filled;
            self.filled = (self.filled + 1) % 8;
        }
    }
}
