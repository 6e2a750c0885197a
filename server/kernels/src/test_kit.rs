//! What tests of several modules need: numbers from a seed, networks, and a comparison.

use crate::shape::Shape;
use crate::weights::{Block, Norm, Weights};

/// `count` numbers between `-scale` and `scale`, the same for the same seed.
pub(crate) fn numbers(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| scale * next()).collect()
}

/// Whether all numbers are the expected ones but for `error` of the largest.
pub(crate) fn close(got: &[f32], expected: &[f32], error: f32) -> bool {
    let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
    got.len() == expected.len()
        && got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() <= error * largest)
}

/// A network of random weights, as large as those of a fresh model.
pub(crate) fn network(shape: Shape, seed: u64, with_keys: bool) -> Weights {
    let d = shape.dimension;
    let scale = 1.5 / (d as f32).sqrt();
    let mut seed = seed;
    let mut next = |count: usize, scale: f32| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        numbers(seed, count, scale)
    };
    let mut norm =
        || Norm { scale: next(d, 0.3).iter().map(|value| 1.0 + value).collect(), bias: next(d, 0.2) };
    let final_norm = norm();
    let mut norms = Vec::new();
    norms.resize_with(2 * shape.blocks, norm);
    let mut norms = norms.into_iter();
    let mut next_norm = || norms.next().expect("two a block");
    let blocks = (0..shape.blocks).map(|_| Block {
        norm1: next_norm(),
        query: next(d * d, scale),
        query_bias: next(d, 0.1),
        key: with_keys.then(|| next(d * d, scale)),
        value: next(d * d, scale),
        norm2: next_norm(),
        dense1: next(d * d, scale),
        dense1_bias: next(d, 0.1),
        dense2: next(d * d, scale),
        distances: None,
    });
    let blocks = blocks.collect();
    Weights { shape, blocks, final_norm }
}
