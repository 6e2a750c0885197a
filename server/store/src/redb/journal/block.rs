//! Blocks as bytes, and what a file of them still tells when some are damaged.
//!
//! A block is: epoch, length, checksum (8 bytes each), entries. An empty block is a seal: all before it
//! was acknowledged. The next block takes its place. So a block that is not whole is
//!
//! - damage, if a whole block or a seal of its epoch follows: only what is durable is followed by one;
//! - else a write that was under way when the process or the machine ended, of which nobody was told
//!   that it was stored.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::redb::codec::Reader;

pub(super) const HEADER: usize = 24;
/// What is searched for bytes at once.
const PAGE: usize = 4096;

/// What a file holds of one epoch.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan<'a> {
    /// The entries of the whole blocks, in order.
    pub(super) blocks: Vec<&'a [u8]>,
    /// Bytes between whole blocks that are none, by place.
    pub(super) lost: Vec<u64>,
    /// Where the next block belongs.
    pub(super) end: u64,
    /// Bytes of the block there that was not written to its end.
    pub(super) unfinished: u64,
}

/// The block of these entries.
pub(super) fn encode(epoch: u64, entries: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(HEADER + entries.len());
    for number in [epoch, entries.len() as u64, xxh3_64_with_seed(entries, epoch)] {
        block.extend(number.to_le_bytes());
    }
    block.extend(entries);
    block
}

/// The epoch of the whole block that a file begins with.
pub(super) fn first_epoch(file: &[u8]) -> Option<u64> {
    let epoch = Reader(file).u64().ok()?;
    decode(file, epoch).map(|_| epoch)
}

/// Reads all that a file holds of an epoch.
pub(super) fn scan(file: &[u8], epoch: u64) -> Scan<'_> {
    let file = without_zeros(file);
    let (mut scan, mut at) = (Scan::default(), 0);
    loop {
        match decode(&file[at..], epoch) {
            Some([]) => return scan,
            Some(entries) => {
                scan.blocks.push(entries);
                at += HEADER + entries.len();
                scan.end = at as u64;
            }
            None => match (at + 1..file.len()).find(|next| decode(&file[*next..], epoch).is_some()) {
                Some(next) => {
                    scan.lost.push((next - at) as u64);
                    at = next;
                }
                None => break,
            },
        }
    }
    let is_begun = file[at..].starts_with(&epoch.to_le_bytes());
    let length = Reader(file.get(at + 8..).unwrap_or_default()).u64().unwrap_or(0);
    if is_begun && length > 0 {
        scan.unfinished = (HEADER as u64).saturating_add(length).min((file.len() - at) as u64);
    }
    scan
}

/// The entries of a whole block of this epoch.
fn decode(bytes: &[u8], epoch: u64) -> Option<&[u8]> {
    let mut reader = Reader(bytes);
    if reader.u64().ok()? != epoch {
        return None;
    }
    let (length, checksum) = (reader.u64().ok()?, reader.u64().ok()?);
    let entries = reader.bytes(usize::try_from(length).ok()?).ok()?;
    (checksum == xxh3_64_with_seed(entries, epoch)).then_some(entries)
}

/// The file without the pages at its end that hold nothing but zeros; at least a header.
fn without_zeros(file: &[u8]) -> &[u8] {
    let is_used = |page: &[u8]| *page != [0; PAGE][..page.len()];
    let pages = file.chunks(PAGE).rposition(is_used).map_or(0, |last| last + 1);
    &file[..file.len().min((pages * PAGE).saturating_add(HEADER))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(blocks: &[Vec<u8>]) -> Vec<u8> {
        let mut file = blocks.concat();
        file.resize(3 * PAGE, 0);
        file
    }

    #[test]
    fn whole_blocks_up_to_the_seal_are_read() {
        let stale = encode(1, &[9; 40]);
        let file = file(&[encode(3, b"one"), encode(3, b"two"), encode(3, b""), stale]);
        let expected = Scan { blocks: vec![b"one", b"two"], end: 54, ..Scan::default() };
        assert_eq!(scan(&file, 3), expected);
        assert_eq!(scan(&file, 4), Scan::default());
        assert_eq!(first_epoch(&file), Some(3));
    }

    #[test]
    fn a_bad_block_before_a_good_one_or_a_seal_is_lost_and_not_unfinished() {
        for after in [encode(3, b"three"), encode(3, b"")] {
            let mut file = file(&[encode(3, b"one"), encode(3, b"two"), after.clone()]);
            file[HEADER + 3 + HEADER] ^= 1;
            let scan = scan(&file, 3);
            assert_eq!((scan.lost, scan.unfinished), (vec![27], 0));
            assert_eq!(scan.blocks.len(), 1 + usize::from(after.len() > HEADER));
        }
    }

    #[test]
    fn a_bad_block_at_the_end_is_unfinished() {
        let mut last = encode(3, &[7; 100]);
        last.truncate(60);
        let scanned = file(&[encode(3, b"one"), last]);
        let scan = scan(&scanned, 3);
        assert_eq!((scan.blocks.len(), scan.lost.len(), scan.unfinished), (1, 0, 124));
    }

    #[test]
    fn no_flipped_bit_hides_a_block_that_was_sealed() {
        let blocks = [&b"one"[..], b"and two", b"three"];
        let whole = file(&[blocks.map(|entries| encode(3, entries)).concat(), encode(3, b"")]);
        let sealed = blocks.concat().len() + blocks.len() * HEADER;
        for bit in 0..8 * sealed {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!scan(&flipped, 3).lost.is_empty(), "bit {bit}");
        }
        for bit in 8 * sealed..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(scan(&flipped, 3).blocks, blocks, "bit {bit}");
        }
    }
}
