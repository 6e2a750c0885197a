//! The GPU's code and graphs on the CPU provider, which computes what it has no 16-bit kernels for in 32 bits.
//! It holds the arithmetic, the shapes, the buffers and the bookkeeping; not the CUDA kernels, the stream and
//! the captured graphs.

use std::sync::Arc;

use marquee_retrieval::{ExactScorer, Query, Scorer, ScorerQuery};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use roaring::RoaringBitmap;

use super::*;
use crate::session::cpu::CpuEncoder;
use crate::tests::fixture;

fn bundle() -> Bundle {
    Bundle::open(&fixture()).unwrap()
}

fn small_shapes() -> Shapes {
    Shapes {
        lengths: vec![8, 16, 20],
        batches: vec![1, 4, 16],
        exclusions: vec![4, 16],
        widths: vec![16, 64],
    }
}

fn gpu(bundle: &Bundle) -> GpuEncoder {
    let encoder = bundle.encoder("cuda", "fp16").unwrap();
    let scorer = bundle.cuda_scorer().unwrap();
    GpuEncoder::with_shapes(bundle, &encoder, Some(&scorer), Place::Host, small_shapes()).unwrap()
}

fn sequences(bundle: &Bundle, count: usize) -> Vec<Vec<ItemRow>> {
    let mut random = SmallRng::seed_from_u64(3);
    (0..count)
        .map(|_| {
            let length = random.random_range(1..=bundle.maximum_length());
            (0..length).map(|_| random.random_range(0..bundle.items() as u32)).collect()
        })
        .collect()
}

fn encoded(encoder: &mut dyn Encoder, sequences: &[Vec<ItemRow>]) -> Vec<f32> {
    let mut out = EncodedBatch::default();
    let sequences: Vec<&[ItemRow]> = sequences.iter().map(Vec::as_slice).collect();
    encoder.encode(&sequences, &mut out).unwrap();
    out.vectors
}

fn difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let largest = other.iter().fold(1.0_f32, |largest, number| largest.max(number.abs()));
    one.iter().zip(other).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs() / largest))
}

fn excluding(k: usize, rows: &[ItemRow]) -> Query {
    let excluded: RoaringBitmap = rows.iter().copied().collect();
    Query { excluded: Arc::new(excluded), ..Query::exact(k) }
}

#[test]
fn the_vectors_are_those_of_the_fp32_encoder_whatever_the_batch() {
    let bundle = bundle();
    let mut cpu = CpuEncoder::new(&bundle, &bundle.encoder("cpu", "fp32").unwrap()).unwrap();
    let mut gpu = gpu(&bundle);
    let sequences = sequences(&bundle, 41);
    let exact = encoded(&mut cpu, &sequences);
    let together = encoded(&mut gpu, &sequences);
    assert!(difference(&together, &exact) < 2e-3);
    let alone: Vec<f32> =
        sequences.iter().flat_map(|sequence| encoded(&mut gpu, std::slice::from_ref(sequence))).collect();
    assert!(difference(&alone, &together) < 2e-3);
}

#[test]
fn what_an_earlier_batch_left_in_the_buffers_does_not_change_a_later_one() {
    let bundle = bundle();
    let mut gpu = gpu(&bundle);
    let long = vec![vec![7; 20]; 4];
    let short = vec![vec![1, 2], vec![3]];
    let before = encoded(&mut gpu, &short);
    encoded(&mut gpu, &long);
    encoded(&mut gpu, &[vec![9; 8], vec![9; 8], vec![9; 8]]);
    assert_eq!(encoded(&mut gpu, &short), before);
}

/// For each sequence the exact answer, and the answer from the device's shortlist.
fn answers(queries: &[Query], sequences: &[Vec<ItemRow>], as_vectors: bool) -> Vec<(TopKOf, Option<TopKOf>)> {
    let bundle = bundle();
    let mut gpu = gpu(&bundle);
    let table = bundle.output_embeddings();
    let scorer = ExactScorer::build(table, bundle.dimension(), &bundle.vocabulary).unwrap();
    let vectors = encoded(&mut gpu, sequences);
    let vectors: Vec<&[f32]> = vectors.chunks_exact(bundle.dimension()).collect();
    let asks: Vec<Ask<'_>> = (0..sequences.len())
        .map(|index| Ask {
            input: if as_vectors {
                AskInput::Vector(vectors[index])
            } else {
                AskInput::Sequence(&sequences[index])
            },
            query: Some(&queries[index]),
        })
        .collect();
    let mut out = EncodedBatch::default();
    gpu.encode_asks(&asks, &mut out).unwrap();
    assert_eq!(out.vectors.is_empty(), as_vectors);
    (0..sequences.len())
        .map(|index| {
            let query = ScorerQuery { vector: vectors[index], query: &queries[index] };
            let rows =
                |items: Vec<marquee_retrieval::Scored>| items.into_iter().map(|item| item.row).collect();
            let exact = rows(scorer.top_k(&[query]).unwrap().remove(0).items);
            let listed = scorer.rank_shortlist(&query, out.shortlists.get(index));
            (exact, listed.map(|found| rows(found.items)))
        })
        .collect()
}

type TopKOf = Vec<ItemRow>;

#[test]
fn a_shortlist_holds_the_exact_answer_without_what_is_excluded() {
    let sequences = sequences(&bundle(), 20);
    let queries: Vec<Query> = sequences.iter().map(|sequence| excluding(10, sequence)).collect();
    for as_vectors in [false, true] {
        for (exact, listed) in answers(&queries, &sequences, as_vectors) {
            assert_eq!(Some(exact), listed);
        }
    }
}

#[test]
fn exclusions_beyond_the_graphs_room_are_taken_out_by_the_host() {
    let sequences = sequences(&bundle(), 3);
    let seen: Vec<ItemRow> = (0..50).map(|at| at * 4).collect();
    let queries = [excluding(10, &seen), excluding(10, &seen[..20]), excluding(12, &[])];
    for (exact, listed) in answers(&queries, &sequences, false) {
        assert_eq!(Some(exact), listed);
    }
}

#[test]
fn a_query_that_no_shortlist_is_long_enough_for_gets_none_and_spoils_no_other() {
    let sequences = sequences(&bundle(), 2);
    let answers = answers(&[excluding(60, &[]), excluding(10, &[])], &sequences, false);
    assert_eq!(answers[0].1, None);
    assert_eq!(answers[1].1.as_ref(), Some(&answers[1].0));
}

#[test]
fn when_hardly_anything_is_left_the_shortlist_says_so() {
    let sequences = sequences(&bundle(), 1);
    let seen: Vec<ItemRow> = (0..200).filter(|row| row % 50 != 0).collect();
    let answers = answers(&[excluding(3, &seen)], &sequences, false);
    assert_eq!(answers[0].1, None, "196 exclusions beyond 16 are more than any shortlist has room for");
}

#[test]
fn vectors_that_want_nothing_and_sequences_may_share_a_batch() {
    let bundle = bundle();
    let mut gpu = gpu(&bundle);
    let (vector, sequence) = (vec![0.5; bundle.dimension()], vec![1, 2, 3]);
    let query = excluding(5, &[]);
    let asks = [
        Ask { input: AskInput::Vector(&vector), query: None },
        Ask { input: AskInput::Sequence(&sequence), query: Some(&query) },
        Ask { input: AskInput::Vector(&vector), query: Some(&query) },
    ];
    let mut out = EncodedBatch::default();
    gpu.encode_asks(&asks, &mut out).unwrap();
    assert_eq!(out.vectors.len(), bundle.dimension());
    assert!(out.shortlists.get(0).is_empty());
    assert_eq!(out.shortlists.get(1).len(), 16);
    assert_eq!(out.shortlists.get(2).len(), 16);
}

#[test]
fn what_does_not_fit_the_buffers_is_an_error() {
    let bundle = bundle();
    let mut gpu = gpu(&bundle);
    let mut out = EncodedBatch::default();
    assert!(gpu.encode(&[&[0; 21]], &mut out).is_err());
    let ask = Ask { input: AskInput::Vector(&[0.0]), query: None };
    assert!(gpu.encode_asks(&[ask], &mut out).is_err());
}

#[test]
fn a_replay_that_answers_otherwise_is_noticed() {
    let results = |users: &[f32], found: &[i64]| Results { users: users.to_vec(), found: found.to_vec() };
    let plain = results(&[1.0, -2.0], &[3, 1, 2]);
    assert!(plain.agrees(&results(&[1.003, -2.0], &[3, 1, 2])));
    assert!(!plain.agrees(&results(&[1.005, -2.0], &[3, 1, 2])));
    assert!(!plain.agrees(&results(&[f32::NAN, -2.0], &[3, 1, 2])));
    assert!(!plain.agrees(&results(&[1.0, -2.0], &[3, 2, 1])));
}

#[test]
fn a_gpu_that_answers_errors_is_not_the_bundles_fault() {
    let bundle = bundle();
    let graph = bundle.encoder("cuda", "fp16").unwrap();
    for said in
        ["cudaStreamCreate: an illegal memory access (CUDA error 700)", "CUDA failure 2: out of memory"]
    {
        let refused = crate::session::refused(&bundle, &graph, &ort::Error::new(said));
        assert!(refused.to_string().starts_with("the GPU failed"), "{refused}");
    }
}

#[test]
fn a_node_that_only_the_cpu_can_run_has_an_error_of_its_own() {
    let bundle = bundle();
    let graph = bundle.encoder("cuda", "fp16").unwrap();
    let said = ort::Error::new(
        "This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been \
         explicitly disabled by the user.",
    );
    let refused = crate::session::refused(&bundle, &graph, &said);
    assert!(matches!(refused, crate::BundleError::CpuFallback { .. }), "{refused}");
}
