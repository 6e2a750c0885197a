//! The requests of the end-to-end measurement, the same for every contestant.
//!
//! The load generator draws them: request n is a function of the seed and n. The bare and the naive loop
//! decode the very messages that the server gets, so lengths, items and exclusions are equal.

use std::sync::Arc;

use anyhow::Context as _;
use marquee_engine::Bundle;
use marquee_loadgen::workload::{
    Cancellation, Catalogue, FilterSpec, Marquee, MarqueeSettings, Population, Priority, Rpc, Subject,
    UserRange, Weighted, Workload,
};
use marquee_proto::v1;
use marquee_retrieval::{ItemRow, Query};
use prost::Message as _;

/// How many items every request asks for.
pub const K: usize = 10;
/// The bytes before a gRPC message: a flag and a length.
const FRAME_HEADER: usize = 5;

/// One request as the loops without a server take it.
#[derive(Debug)]
pub struct Request {
    /// The history as item rows, oldest first.
    pub sequence: Vec<ItemRow>,
    /// The best ten of all items, exactly, those of the history excluded.
    pub query: Query,
}

/// The load generator's requests: histories as long as those of MovieLens users, n = 19 + LogNormal(3.93,
/// 1.42) cut at the model's longest, of distinct items drawn evenly from the model's vocabulary.
///
/// # Errors
/// When the vocabulary is empty.
pub fn workload(bundle: &Bundle, seed: u64) -> anyhow::Result<Workload> {
    cancelling(bundle, seed, Cancellation::default())
}

/// The same requests, some of which are cancelled.
///
/// # Errors
/// When the vocabulary is empty.
pub fn cancelling(bundle: &Bundle, seed: u64, cancellation: Cancellation) -> anyhow::Result<Workload> {
    let movies = bundle.vocabulary.iter().map(|movie_id| (*movie_id, 1.0, String::new())).collect();
    let nobody = UserRange { first: 1, last: 1 };
    let settings = MarqueeSettings {
        seed,
        mix: Weighted::single(Rpc::Recommend),
        subject: Subject::Histories { longest: bundle.maximum_length() },
        population: Population::new(nobody, 0.0, Some(Catalogue::new(movies)?))?,
        k: Weighted::single(K as u32),
        filters: Weighted::single(FilterSpec::default()),
        priorities: Weighted::single(Priority::default()),
        method: v1::Method::Exact,
        batch: 1,
        cancellation,
    };
    Ok(Workload::Marquee(Box::new(Marquee::new(settings)?)))
}

/// The first `count` requests of a workload, decoded.
///
/// # Errors
/// When a message does not decode or has no history, which would be a fault of the generator.
pub fn decoded(workload: &Workload, bundle: &Bundle, count: usize) -> anyhow::Result<Vec<Request>> {
    (0..count as u64).map(|index| request(&workload.prepare(index).body[FRAME_HEADER..], bundle)).collect()
}

fn request(message: &[u8], bundle: &Bundle) -> anyhow::Result<Request> {
    let message = v1::RecommendRequest::decode(message)?;
    let Some(v1::recommend_request::Subject::History(history)) = message.subject else {
        anyhow::bail!("the generator made a request without a history");
    };
    let sequence: Vec<ItemRow> = history
        .movie_ids
        .iter()
        .map(|movie_id| bundle.row_of(*movie_id))
        .collect::<Option<_>>()
        .context("the generator drew a movie that is not in the vocabulary")?;
    let excluded = Arc::new(sequence.iter().copied().collect());
    Ok(Request { sequence, query: Query { excluded, ..Query::exact(K) } })
}
