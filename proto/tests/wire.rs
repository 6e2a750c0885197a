//! The bytes of messages: those that other languages send and read.

use marquee_proto::v1;
use prost::Message as _;

/// Lists of numbers have one key for all of them. Field 1 once: four bytes that hold the ids 1, 2 and 300.
const PACKED: [u8; 6] = [0x0a, 4, 1, 2, 0xac, 2];

/// Field 1 three times.
const UNPACKED: [u8; 7] = [0x08, 1, 0x08, 2, 0x08, 0xac, 2];

#[test]
fn ids_are_sent_packed() {
    let history = v1::History::from(vec![1, 2, 300]);
    assert_eq!(history.encode_to_vec(), PACKED);
    let preferences = v1::Preferences { movie_ids: vec![1; 100], ..Default::default() };
    assert_eq!(preferences.encoded_len(), 102);
    let filter =
        v1::Filter { allow_movie_ids: vec![1; 100], deny_movie_ids: vec![1; 100], ..Default::default() };
    assert_eq!(filter.encoded_len(), 204);
}

#[test]
fn ids_are_read_whether_packed_or_not() {
    let history = v1::History::from(vec![1, 2, 300]);
    assert_eq!(v1::History::decode(&PACKED[..]), Ok(history.clone()));
    assert_eq!(v1::History::decode(&UNPACKED[..]), Ok(history));
}

#[test]
fn an_id_in_a_oneof_has_the_bytes_of_a_plain_field() {
    let request = v1::GetMovieRequest { movie: Some(300.into()) };
    assert_eq!(request.encode_to_vec(), [0x08, 0xac, 2]);
}

#[test]
fn an_interaction_keeps_all_of_the_request_that_it_was() {
    let request = v1::RecordInteractionRequest {
        user: Some(7.into()),
        movie: Some(2571.into()),
        kind: v1::InteractionKind::Rating.into(),
        rating: Some(4.5),
        time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
    };
    let bytes = request.encode_to_vec();
    assert_eq!(v1::Interaction::from(request).encode_to_vec(), bytes);
}
