//! The encoder against the network as it is written down, in 64 bits, position by position.

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::simd::Portable;
use crate::tables::Numbers;
use crate::test_kit::{close, network, numbers};
use crate::tiles::Emulated;
use crate::weights::Norm;

const ITEMS: usize = 50;

fn normed(row: &[f64], norm: &Norm) -> Vec<f64> {
    let d = row.len() as f64;
    let mean = row.iter().sum::<f64>() / d;
    let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / d;
    let scale = 1.0 / (variance + 1e-5).sqrt();
    let gains = norm.scale.iter().zip(&norm.bias);
    row.iter()
        .zip(gains)
        .map(|(v, (gain, bias))| (v - mean) * scale * f64::from(*gain) + f64::from(*bias))
        .collect()
}

fn times(row: &[f64], matrix: &[f32]) -> Vec<f64> {
    let d = row.len();
    (0..d).map(|column| (0..d).map(|i| row[i] * f64::from(matrix[i * d + column])).sum()).collect()
}

fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().copied().map(f64::from).collect()
}

/// The user vector of one sequence.
fn expected(weights: &Weights, items: &[f32], positions: Option<&[f32]>, sequence: &[u32]) -> Vec<f32> {
    let Shape { dimension: d, heads, longest, .. } = weights.shape;
    let head = d / heads;
    let first = longest - sequence.len();
    let embed = |(number, item): (usize, &u32)| {
        let item = wide(&items[*item as usize * d..][..d]);
        positions
            .map_or(item.clone(), |positions| plus(&item, &wide(&positions[(first + number) * d..][..d])))
    };
    let mut rows: Vec<Vec<f64>> = sequence.iter().enumerate().map(embed).collect();
    for block in &weights.blocks {
        let keys: Vec<_> =
            rows.iter().map(|row| block.key.as_ref().map_or(row.clone(), |key| times(row, key))).collect();
        let values: Vec<_> = rows.iter().map(|row| times(row, &block.value)).collect();
        let next = rows.iter().enumerate().map(|(number, row)| {
            let residual = normed(row, &block.norm1);
            let query = plus(&times(&residual, &block.query), &wide(&block.query_bias));
            let mut y = residual;
            for first in (0..d).step_by(head) {
                let bias = |before: usize| {
                    let distances = block.distances.as_ref();
                    distances.map_or(0.0, |numbers| f64::from(numbers[first / head * longest + before]))
                };
                let logit = |(place, key): (usize, &Vec<f64>)| {
                    (first..first + head).map(|i| query[i] * key[i]).sum::<f64>() / (head as f64).sqrt()
                        + bias(number - place)
                };
                let weights: Vec<f64> =
                    keys[..=number].iter().enumerate().map(|it| logit(it).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for i in first..first + head {
                    y[i] += weights.iter().zip(&values).map(|(weight, value)| weight * value[i]).sum::<f64>()
                        / sum;
                }
            }
            let z = normed(&y, &block.norm2);
            let hidden: Vec<f64> = plus(&times(&z, &block.dense1), &wide(&block.dense1_bias))
                .iter()
                .map(|value| value.max(0.0))
                .collect();
            plus(&times(&hidden, &block.dense2), &z)
        });
        rows = next.collect();
    }
    let user = rows.last().map(|row| normed(row, &weights.final_norm)).unwrap_or_default();
    user.into_iter().map(|value| value as f32).collect()
}

/// A network with its tables.
struct Case {
    weights: Weights,
    items: Vec<f32>,
    positions: Option<Vec<f32>>,
}

impl Case {
    fn new(shape: Shape, seed: u64, with_keys: bool) -> Self {
        let d = shape.dimension;
        let weights = network(shape, seed, with_keys);
        Self {
            weights,
            items: numbers(seed ^ 0x77, ITEMS * d, 1.0),
            positions: Some(numbers(seed ^ 0x78, shape.longest * d, 0.3)),
        }
    }

    /// The network with biases by distance in the place of its table of positions.
    fn by_distance(mut self, seed: u64) -> Self {
        let Shape { heads, longest, .. } = self.weights.shape;
        self.positions = None;
        for (seed, block) in (seed..).zip(&mut self.weights.blocks) {
            block.distances = Some(numbers(seed, heads * longest, 2.0));
        }
        self
    }

    fn tables(&self) -> Tables<'_> {
        let (items, positions) = (Numbers::F32(&self.items), self.positions.as_deref().map(Numbers::F32));
        Tables { items, positions, dimension: self.weights.shape.dimension }
    }

    fn fp32(&self, set: Set, sequences: &[&[u32]]) -> Vec<f32> {
        self.encode(&NativeModel::fp32(set, &self.weights).unwrap(), sequences)
    }

    fn bf16(&self, tiles: TileSet, sequences: &[&[u32]]) -> Vec<f32> {
        self.encode(&NativeModel::bf16(tiles, &self.weights).unwrap(), sequences)
    }

    fn encode(&self, model: &NativeModel, sequences: &[&[u32]]) -> Vec<f32> {
        let mut out = Vec::new();
        NativeEncoder::new(model).encode(&self.tables(), sequences, &mut out).unwrap();
        out
    }

    fn expected(&self, sequence: &[u32]) -> Vec<f32> {
        expected(&self.weights, &self.items, self.positions.as_deref(), sequence)
    }
}

/// Shapes with tails of all kinds: rows that are no multiple of a panel, heads that are no multiple of a vector.
fn shapes() -> impl Strategy<Value = (Shape, bool)> {
    let head = prop_oneof![1_usize..=33, Just(64), Just(50), Just(128)];
    (1_usize..=16, head, 1_usize..=3, 1_usize..=40, any::<bool>())
        .prop_map(|(heads, head, blocks, longest, keys)| {
            (Shape { dimension: heads * head, heads, blocks, longest }, keys || heads > 1)
        })
        .prop_filter("it fits", |(shape, _)| shape.check().is_ok() && shape.dimension <= 200)
}

fn sequence(longest: usize) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..ITEMS as u32, 1..=longest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn it_is_what_the_network_says_on_every_instruction_set(
        ((shape, keys), history) in shapes().prop_flat_map(|it| (Just(it), sequence(it.0.longest))),
        seed: u64,
        by_distance: bool,
    ) {
        let mut case = Case::new(shape, seed, keys);
        if by_distance {
            case = case.by_distance(seed);
        }
        let expected = case.expected(&history);
        for set in Set::available() {
            let got = case.fp32(set, &[&history]);
            prop_assert!(close(&got, &expected, 1e-5), "{} {shape:?}", set.name());
        }
    }

    #[test]
    fn in_bf16_it_is_as_near_as_bf16_and_alike_on_every_unit(
        ((shape, keys), history) in shapes().prop_flat_map(|it| (Just(it), sequence(it.0.longest))),
        seed: u64,
        by_distance: bool,
    ) {
        let mut case = Case::new(shape, seed, keys);
        if by_distance {
            case = case.by_distance(seed);
        }
        let emulated = case.bf16(TileSet::Portable(Portable, Emulated), &[&history]);
        prop_assert!(close(&emulated, &case.expected(&history), 0.06), "{shape:?}");
        for tiles in TileSet::available() {
            let got = case.bf16(tiles, &[&history]);
            prop_assert!(close(&got, &emulated, 0.02), "{tiles:?} {shape:?}");
        }
    }
}

/// Random batches of histories that were encoded alone before.
fn assert_alone_as_in_company(model: &NativeModel, case: &Case, batches: usize) {
    let longest = case.weights.shape.longest as u32;
    let histories: Vec<Vec<u32>> =
        (0..64).map(|i| (0..=i * 37 % longest).map(|j| (i * 11 + j * 7) % ITEMS as u32).collect()).collect();
    let mut encoder = NativeEncoder::new(model);
    let alone = histories.iter().map(|history| {
        let mut out = Vec::new();
        encoder.encode(&case.tables(), &[history], &mut out).unwrap();
        out
    });
    let alone: Vec<Vec<f32>> = alone.collect();
    let mut draw = numbers(5, 9 * batches, 0.5).into_iter().map(|number| number + 0.5);
    for _ in 0..batches {
        let count = 1 + (draw.next().unwrap() * 8.0) as usize;
        let drawn: Vec<usize> = (0..count.min(8)).map(|_| (draw.next().unwrap() * 63.0) as usize).collect();
        let sequences: Vec<&[u32]> = drawn.iter().map(|i| histories[*i].as_slice()).collect();
        let mut together = Vec::new();
        encoder.encode(&case.tables(), &sequences, &mut together).unwrap();
        let expected: Vec<f32> = drawn.iter().flat_map(|i| alone[*i].iter().copied()).collect();
        assert_eq!(bits(&together), bits(&expected), "{model:?} {drawn:?}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_vector_has_the_same_bits_alone_and_in_company() {
    let shape = Shape { dimension: 24, heads: 3, blocks: 3, longest: 70 };
    let case = Case::new(shape, 5, true).by_distance(5);
    for (number, set) in Set::available().into_iter().enumerate() {
        let batches = if number == 0 { 10_000 } else { 100 };
        assert_alone_as_in_company(&NativeModel::fp32(set, &case.weights).unwrap(), &case, batches);
    }
    // The unit that serves is the first one, where the processor has it: emulations take minutes.
    let serves = TileSet::best().is_ok();
    for (number, tiles) in TileSet::available().into_iter().enumerate() {
        let batches = if serves && number == 0 { 10_000 } else { 30 };
        assert_alone_as_in_company(&NativeModel::bf16(tiles, &case.weights).unwrap(), &case, batches);
    }
}

#[test]
fn the_largest_shapes_are_computed_as_the_small_ones() {
    for (heads, longest, length) in [(4, 512, 260), (16, 512, 33)] {
        let shape = Shape { dimension: 512, heads, blocks: 2, longest };
        let case = Case::new(shape, 3, true).by_distance(3);
        let history: Vec<u32> = (0..length).map(|i| i * 7 % ITEMS as u32).collect();
        let expected = case.expected(&history);
        let set = Set::available()[0];
        assert!(close(&case.fp32(set, &[&history]), &expected, 1e-5), "{} {shape:?}", set.name());
        let tiles = TileSet::available()[0];
        assert!(close(&case.bf16(tiles, &[&history]), &expected, 0.06), "{tiles:?} {shape:?}");
    }
}

#[test]
fn tables_of_16_bits_are_read_as_the_numbers_that_they_hold() {
    let shape = Shape { dimension: 40, heads: 2, blocks: 2, longest: 9 };
    let mut case = Case::new(shape, 9, true);
    let items: Vec<f16> = case.items.iter().copied().map(f16::from_f32).collect();
    case.items = items.iter().copied().map(f16::to_f32).collect();
    let history = [3, 1, 4, 1, 5];
    let model = NativeModel::fp32(Set::Portable(Portable), &case.weights).unwrap();
    let mut out = Vec::new();
    let tables = Tables { items: Numbers::F16(&items), ..case.tables() };
    NativeEncoder::new(&model).encode(&tables, &[&history], &mut out).unwrap();
    assert!(close(&out, &case.expected(&history), 1e-5));
}

#[test]
fn what_is_not_of_the_shape_is_refused() {
    let shape = Shape { dimension: 8, heads: 2, blocks: 1, longest: 3 };
    let case = Case::new(shape, 1, true);
    let model = NativeModel::fp32(Set::Portable(Portable), &case.weights).unwrap();
    let mut encoder = NativeEncoder::new(&model);
    let mut refused = |tables: &Tables<'_>, sequence: &[u32]| {
        encoder.encode(tables, &[sequence], &mut Vec::new()).unwrap_err().to_string()
    };
    assert!(refused(&case.tables(), &[]).contains("0 items"));
    assert!(refused(&case.tables(), &[0; 4]).contains("4 items"));
    assert!(refused(&case.tables(), &[0, ITEMS as u32]).contains("item row 50"));
    let narrow = Tables { dimension: 4, ..case.tables() };
    assert!(refused(&narrow, &[0]).contains("the tables are"));
    let keyless = network(shape, 1, false);
    assert!(NativeModel::fp32(Set::Portable(Portable), &keyless).is_err());
}
