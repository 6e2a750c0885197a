//! Bytes that no honest client sends: decoding and validating them never panics.
//!
//! `MARQUEE_FUZZ_CASES` sets the number of cases; 100,000 when absent.

use marquee_proto::{Validate, v1};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

fn cases() -> usize {
    std::env::var("MARQUEE_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100_000)
}

/// Decodes and validates; what can be decoded must encode and decode to itself.
fn feed<M: Message + Default + Validate>(bytes: &[u8]) -> bool {
    let Ok(message) = M::decode(bytes) else { return false };
    let _ = message.validate();
    let again = M::decode(message.encode_to_vec().as_slice()).expect("an encoded message can be decoded");
    again.encode_to_vec() == message.encode_to_vec()
}

const FEEDS: [fn(&[u8]) -> bool; 12] = [
    feed::<v1::RecommendRequest>,
    feed::<v1::RecommendBatchRequest>,
    feed::<v1::SimilarMoviesRequest>,
    feed::<v1::EncodeHistoryRequest>,
    feed::<v1::ExplainRecommendationRequest>,
    feed::<v1::SearchMoviesRequest>,
    feed::<v1::SuggestMoviesRequest>,
    feed::<v1::SearchVectorsRequest>,
    feed::<v1::SetPreferencesRequest>,
    feed::<v1::RecordInteractionsRequest>,
    feed::<v1::ImportMoviesRequest>,
    feed::<v1::PutRuleRequest>,
];

/// A request with every kind of field in it, to be damaged.
fn sound() -> Vec<u8> {
    let request = v1::RecommendRequest {
        subject: Some(v1::recommend_request::Subject::History(v1::History::from(vec![1, 2, 3]))),
        k: Some(20),
        filter: Some(v1::Filter {
            genres_any: vec!["Drama".into()],
            average_rating_min: Some(3.5),
            allow_movie_ids: vec![1, 2, 300_000],
            ..Default::default()
        }),
        model_version: "v1".into(),
        ..Default::default()
    };
    request.encode_to_vec()
}

#[test]
fn damaged_and_random_messages_never_panic() {
    let mut random = StdRng::seed_from_u64(20_231_013);
    let sound = sound();
    let mut decoded = 0;
    for case in 0..cases() {
        let mut bytes = if case % 2 == 0 {
            sound.clone()
        } else {
            let mut bytes = vec![0; random.random_range(0..64)];
            random.fill_bytes(&mut bytes);
            bytes
        };
        for _ in 0..random.random_range(0..4) {
            if !bytes.is_empty() {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
        }
        bytes.truncate(random.random_range(0..=bytes.len()));
        decoded += usize::from(FEEDS[random.random_range(0..FEEDS.len())](&bytes));
    }
    assert!(decoded > cases() / 100, "only {decoded} cases got past the decoder: the fuzz reaches nothing");
}
