//! Lists of numbers on the wire: one key for all of them, as other languages send them.

use marquee_proto::v1;
use prost::Message as _;

/// Field 1 once: four bytes that hold the ids 1, 2 and 300.
const PACKED: [u8; 6] = [0x0a, 4, 1, 2, 0xac, 2];

/// Field 1 three times.
const UNPACKED: [u8; 7] = [0x08, 1, 0x08, 2, 0x08, 0xac, 2];

#[test]
fn ids_are_sent_packed() {
    let history = v1::History { movie_ids: vec![1, 2, 300] };
    assert_eq!(history.encode_to_vec(), PACKED);
    let preferences = v1::Preferences { movie_ids: vec![1; 100], ..Default::default() };
    assert_eq!(preferences.encoded_len(), 102);
    let filter =
        v1::Filter { allow_movie_ids: vec![1; 100], deny_movie_ids: vec![1; 100], ..Default::default() };
    assert_eq!(filter.encoded_len(), 204);
}

#[test]
fn ids_are_read_whether_packed_or_not() {
    let history = v1::History { movie_ids: vec![1, 2, 300] };
    assert_eq!(v1::History::decode(&PACKED[..]), Ok(history.clone()));
    assert_eq!(v1::History::decode(&UNPACKED[..]), Ok(history));
}
