//! Bundles that someone spoilt on purpose: whatever stands in the files, reading them never panics.
//!
//! The hashes would catch every such file before it is read, so the readers are called behind them.
//! `MARQUEE_FUZZ_CASES` sets the number of cases for each reader.

use memmap2::MmapMut;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// What finds mistakes in readers of text and of lengths.
const SPLICES: [&[u8]; 14] = [
    b"0",
    b"-1",
    b"1e999",
    b"18446744073709551615",
    b"null",
    b"[]",
    b"{}",
    b"\"\"",
    b"[[[[[[[[",
    b"\\u0000",
    b"../",
    &[0xff; 8],
    &[0; 8],
    b",\"items\":9",
];

fn cases() -> usize {
    std::env::var("MARQUEE_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(50_000)
}

fn fixture(file: &str) -> Vec<u8> {
    fs::read(crate::tests::fixture().join(file)).unwrap()
}

/// Changes a few places of the first `within` bytes: flips, splices, cuts and repetitions.
fn spoil(bytes: &mut Vec<u8>, within: usize, random: &mut SmallRng) {
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..within.min(bytes.len()).max(1));
        match random.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 => {
                let splice = SPLICES[random.random_range(0..SPLICES.len())];
                let end = (at + splice.len()).min(bytes.len());
                bytes.splice(at.min(end)..end, splice.iter().copied());
            }
            2 => {
                let splice = SPLICES[random.random_range(0..SPLICES.len())];
                let at = at.min(bytes.len());
                bytes.splice(at..at, splice.iter().copied());
            }
            3 if random.random_range(0..20) == 0 => bytes.truncate(at),
            _ => {
                let end = (at + random.random_range(0..40)).min(bytes.len());
                let again = bytes[at.min(end)..end].to_vec();
                bytes.splice(end..end, again);
            }
        }
    }
}

#[test]
fn a_manifest_of_any_bytes_is_read_or_refused() {
    let whole = fixture(manifest::FILE);
    let mut random = SmallRng::seed_from_u64(1);
    let mut read = 0;
    for _ in 0..cases() {
        let mut bytes = whole.clone();
        let length = bytes.len();
        spoil(&mut bytes, length, &mut random);
        if let Ok(manifest) = Manifest::parse(&String::from_utf8_lossy(&bytes)) {
            assert!(manifest.items > 0 && manifest.probe.user.len() == manifest.dimension);
            read += 1;
        }
    }
    assert!(read < cases(), "some spoilt manifest was noticed");
}

#[test]
fn tables_of_any_bytes_are_read_or_refused() {
    let text = String::from_utf8(fixture(manifest::FILE)).unwrap();
    let manifest = Manifest::parse(&text).unwrap();
    let whole = fixture(&manifest.tables.file);
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut random = SmallRng::seed_from_u64(2);
    for _ in 0..cases() {
        let mut bytes = whole.clone();
        spoil(&mut bytes, header, &mut random);
        let mut map = MmapMut::map_anon(bytes.len().max(1)).unwrap();
        map[..bytes.len()].copy_from_slice(&bytes);
        if let Ok(tables) = Tables::read("fuzzed", map.make_read_only().unwrap(), &manifest) {
            assert_eq!(tables.output().len(), manifest.items * manifest.dimension);
        }
    }
}

#[test]
fn a_vocabulary_of_any_bytes_is_read_or_refused() {
    let mut random = SmallRng::seed_from_u64(3);
    for _ in 0..cases() / 10 {
        let items = random.random_range(0..40);
        let bytes: Vec<u8> = (0..random.random_range(0..160)).map(|_| random.random()).collect();
        let read = read_numbers("fuzzed", "vocabulary.u32", &bytes, items);
        assert_eq!(read.is_ok(), bytes.len() == items * 4);
    }
}
