//! The scan against the reference, on tables made to mislead it.

use std::sync::Arc;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roaring::RoaringBitmap;

use super::*;
use crate::ExactScorer;

/// What is wrong with a table.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Plain,
    HugeAndTinyNorms,
    TinyThroughout,
    HugeThroughout,
    EqualRows,
    NearlyEqualRows,
    ZeroRows,
    OneHugeCoordinate,
    OneHugeRow,
}

const SHAPES: [Shape; 9] = [
    Shape::Plain,
    Shape::HugeAndTinyNorms,
    Shape::TinyThroughout,
    Shape::HugeThroughout,
    Shape::EqualRows,
    Shape::NearlyEqualRows,
    Shape::ZeroRows,
    Shape::OneHugeCoordinate,
    Shape::OneHugeRow,
];

fn values(shape: Shape, items: usize, dimension: usize, random: &mut StdRng) -> Vec<f32> {
    let mut values: Vec<f32> =
        std::iter::repeat_with(|| random.random_range(-1.0..1.0)).take(items * dimension).collect();
    let first = values[..dimension].to_vec();
    for (row, numbers) in values.chunks_exact_mut(dimension).enumerate() {
        let factor = match shape {
            Shape::HugeAndTinyNorms => 10f32.powi(random.random_range(-44..38)),
            Shape::TinyThroughout => 1e-38,
            Shape::HugeThroughout => 3e38,
            Shape::ZeroRows if random.random_bool(0.8) => 0.0,
            Shape::OneHugeRow if row == items / 2 => 1e30,
            Shape::OneHugeRow => 1e-9,
            _ => 1.0,
        };
        match shape {
            Shape::EqualRows if row % 3 > 0 => numbers.copy_from_slice(&first),
            Shape::NearlyEqualRows => {
                numbers.copy_from_slice(&first);
                numbers[row % dimension] *= 1.0 + f32::EPSILON * (row % 5) as f32;
            }
            Shape::OneHugeCoordinate => numbers[0] = 1e6,
            _ => numbers.iter_mut().for_each(|number| *number *= factor),
        }
    }
    values
}

fn some_rows(items: usize, share: f64, random: &mut StdRng) -> RoaringBitmap {
    (0..items as u32 + 10).filter(|_| random.random_bool(share)).collect()
}

fn queries(count: usize, items: usize, random: &mut StdRng) -> Vec<Query> {
    let share = |random: &mut StdRng| [0.0, 0.01, 0.3, 1.0][random.random_range(0..4)];
    std::iter::repeat_with(|| Query {
        k: [0, 1, 10, 100, 500][random.random_range(0..5)],
        allowed: random.random_bool(0.5).then(|| Arc::new(some_rows(items, share(random), random))),
        excluded: Arc::new(some_rows(items, 0.05, random)),
        metric: [Metric::InnerProduct, Metric::Cosine][random.random_range(0..2)],
        ..Query::exact(0)
    })
    .take(count)
    .collect()
}

fn bits(answer: &TopK) -> Vec<(ItemRow, u32)> {
    answer.items.iter().map(|item| (item.row, item.score.to_bits())).collect()
}

fn check(shape: Shape, items: usize, dimension: usize, count: usize, seed: u64) {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut movie_ids: Vec<u32> = (1..=items as u32).collect();
    movie_ids.rotate_left(items / 3);
    let table =
        ItemTable::new(values(shape, items, dimension, random).into(), dimension, &movie_ids).unwrap();
    let vectors = values(SHAPES[random.random_range(0..SHAPES.len())], count, dimension, random);
    let queries = queries(count, items, random);
    let batch: Vec<ScorerQuery<'_>> = vectors
        .chunks_exact(dimension)
        .zip(&queries)
        .map(|(vector, query)| ScorerQuery { vector, query })
        .collect();
    let expected = ExactScorer::new(table.clone()).top_k(&batch).unwrap();
    for kernel in Kernel::available() {
        let scan = ScanScorer::with_kernel(table.clone(), kernel);
        let together = scan.top_k(&batch).unwrap();
        for (i, expected) in expected.iter().enumerate() {
            assert_eq!(bits(&together[i]), bits(expected), "{} {shape:?}, in a batch", kernel.name);
            let alone = scan.top_k(&batch[i..=i]).unwrap();
            assert_eq!(bits(&alone[0]), bits(expected), "{} {shape:?}, alone", kernel.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_scan_is_the_exact_ranking_bit_for_bit(
        shape in prop::sample::select(SHAPES.to_vec()),
        items in 1usize..700,
        dimension in 1usize..70,
        count in 1usize..40,
        seed: u64,
    ) {
        check(shape, items, dimension, count, seed);
    }
}

#[test]
fn every_kind_of_table_is_ranked_exactly_at_a_served_dimension() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        check(shape, 3_000, 256, 21, seed as u64);
    }
}

#[test]
fn scores_that_overflow_to_infinity_are_tied() {
    let table = ItemTable::new(vec![2e38, 3e38, 1e38, -3e38].into(), 1, &[4, 3, 2, 1]).unwrap();
    let query = Query::exact(2);
    let answers = ScanScorer::new(table).top_k(&[ScorerQuery { vector: &[1e3], query: &query }]).unwrap();
    assert_eq!(bits(&answers[0]), [(2, f32::INFINITY.to_bits()), (1, f32::INFINITY.to_bits())]);
}

#[test]
fn few_rows_of_a_random_table_are_scored_in_full() {
    let random = &mut StdRng::seed_from_u64(1);
    let movie_ids: Vec<u32> = (1..=20_000).collect();
    let table = ItemTable::new(values(Shape::Plain, 20_000, 128, random).into(), 128, &movie_ids).unwrap();
    let vector = values(Shape::Plain, 1, 128, random);
    for metric in [Metric::InnerProduct, Metric::Cosine] {
        let query = ScorerQuery { vector: &vector, query: &Query { metric, ..Query::exact(10) } };
        for kernel in Kernel::available() {
            let scan = ScanScorer::with_kernel(table.clone(), kernel);
            let candidates = candidates(&scan, &query);
            assert!(candidates < 200, "{} {metric:?}: {candidates} candidates", kernel.name);
        }
    }
}

/// How many rows a query has to score in full.
fn candidates(scan: &ScanScorer, query: &ScorerQuery<'_>) -> usize {
    let QueryCodes { codes, bound, unit } = scan.codes.encode(query, scan.kernel.width);
    let mut search = Search::new(query.query, bound, unit, scan.table.items());
    scan.scan(&[codes], slice::from_mut(&mut search));
    search.candidates.retain(|candidate| candidate.upper_bound >= search.threshold);
    search.candidates.len()
}

/// Codes say all of these vectors, so that nothing but the rounding of sums and scores, which are too
/// great for 24 bits, is left between a bound and a score.
#[test]
fn the_margin_covers_the_rounding_of_bounds_and_scores() {
    let random = &mut StdRng::seed_from_u64(11);
    let (items, dimension) = (500, 2048);
    let mut values = vec![127.0 * 1001.0; items * dimension];
    for row in values.chunks_exact_mut(dimension) {
        for value in &mut row[1..4] {
            *value = f32::from(random.random_range(120u8..=127)) * 1001.0;
        }
    }
    let movie_ids: Vec<u32> = (1..=items as u32).collect();
    let table = ItemTable::new(values.into(), dimension, &movie_ids).unwrap();
    let vector = vec![127.0 * 997.0; dimension];
    let exact = ExactScorer::new(table.clone());
    let scans = Kernel::available().into_iter().map(|kernel| ScanScorer::with_kernel(table.clone(), kernel));
    let scans: Vec<ScanScorer> = scans.collect();
    for k in (1..100).step_by(7) {
        let query = Query::exact(k);
        let batch = [ScorerQuery { vector: &vector, query: &query }];
        let expected = exact.top_k(&batch).unwrap();
        for scan in &scans {
            let answers = scan.top_k(&batch).unwrap();
            assert_eq!(bits(&answers[0]), bits(&expected[0]), "{}, k {k}", scan.kernel_name());
        }
    }
}
