//! Causal attention alone: an operator for ONNX Runtime in the place of its own.

use std::fmt;

use crate::entries::Entries;
use crate::kernel::Rows;
use crate::kernel::attention::{Attention, SPARE_ROWS, Scratch};
use crate::kernel::biases::Biases;
use crate::memory::Aligned;
use crate::set::{Set, by_set};
use crate::shape::{Heads, Shape, Unfit};
use crate::simd::LANES_MAX;

/// The operator with its buffers: multi-head attention of each position of a sequence to those up to it.
///
/// ```
/// use marquee_kernels::{CausalAttention, Shape};
///
/// let shape = Shape { dimension: 4, heads: 2, blocks: 1, longest: 2 };
/// let Ok(mut attention) = CausalAttention::new(&shape) else { return };
/// let values = [1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 5.0, 6.0];
/// let mut out = [0.0; 8];
/// // With no query every position is worth the same; the first one sees itself only.
/// attention.run(&[0.0; 8], &[1.0; 8], &values, None, &mut out).expect("two rows of four");
/// assert_eq!(out, [1.0, 2.0, 3.0, 4.0, 2.0, 3.0, 4.0, 5.0]);
/// ```
pub struct CausalAttention {
    set: Set,
    heads: Heads,
    dimension: usize,
    longest: usize,
    queries: Aligned<f32>,
    keys: Aligned<f32>,
    values: Aligned<f32>,
    scratch: Scratch,
}

impl fmt::Debug for CausalAttention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CausalAttention").field("kernels", &self.kernels()).finish_non_exhaustive()
    }
}

impl CausalAttention {
    /// The operator for the best instructions that the processor has; of `shape` it needs no blocks.
    ///
    /// # Errors
    /// [`Unfit`] when the shape is beyond it, or the processor has no instructions for it.
    pub fn new(shape: &Shape) -> Result<Self, Unfit> {
        Self::on(Set::best()?, shape)
    }

    fn on(set: Set, shape: &Shape) -> Result<Self, Unfit> {
        shape.check()?;
        let heads = Heads::new(shape, LANES_MAX);
        let rows = || Aligned::zeros((shape.longest + SPARE_ROWS) * heads.row());
        Ok(Self {
            set,
            heads,
            dimension: shape.dimension,
            longest: shape.longest,
            queries: rows(),
            keys: rows(),
            values: rows(),
            scratch: Scratch::new(shape.longest, &heads),
        })
    }

    /// The instructions that serve, as a name: `avx512`, `avx2`.
    pub fn kernels(&self) -> &'static str {
        self.set.name()
    }

    /// Attends: queries, keys, values and `out` are rows of positions, oldest first, head after head in each. `added` is
    /// what is added to the logits, a matrix a head with a row a query, or nothing.
    ///
    /// # Errors
    /// [`Unfit`] when they are not of one length, whole rows, and 1 to the longest of the shape, or `added` is of another.
    pub fn run(
        &mut self,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        added: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<(), Unfit> {
        let size = out.len();
        let length = size / self.dimension;
        let same = [queries.len(), keys.len(), values.len()] == [size; 3];
        if !same || !size.is_multiple_of(self.dimension) || length == 0 || length > self.longest {
            let (d, longest) = (self.dimension, self.longest);
            return Err(Unfit(format!("attention takes 1 to {longest} rows of {d}, not {size} numbers")));
        }
        let numbers = self.heads.count * length * length;
        if let Some(added) = added.filter(|added| added.len() != numbers) {
            return Err(Unfit(format!("to {numbers} logits {} numbers were to be added", added.len())));
        }
        place(&self.heads, queries, self.heads.logit_scale(), &mut self.queries);
        place(&self.heads, keys, 1.0, &mut self.keys);
        place(&self.heads, values, 1.0, &mut self.values);
        out.fill(0.0);
        let biases = added.map(|added| Biases::of_matrices(added, length));
        by_set!(self.set, s => self.attend(s, length, biases, out));
        Ok(())
    }

    fn attend<S: Entries>(&mut self, s: S, length: usize, biases: Option<Biases>, out: &mut [f32]) {
        let across = self.heads.row();
        let rows = |rows: &Aligned<f32>| Rows { at: rows.as_ptr(), ld: across };
        let attention = Attention {
            queries: rows(&self.queries),
            keys: rows(&self.keys),
            values: rows(&self.values),
            biases,
            length,
            to: Rows { at: out.as_mut_ptr(), ld: self.dimension },
        };
        // SAFETY: the buffers were made for the longest length and spare rows, `out` has `length` rows, and there are as
        // many biases as logits.
        unsafe { s.causal(&attention, &self.heads, &mut self.scratch) };
    }
}

/// Copies rows to the places of the heads.
fn place(heads: &Heads, from: &[f32], scale: f32, to: &mut [f32]) {
    let dimension = heads.count * heads.dimension;
    for (from, to) in from.chunks_exact(dimension).zip(to.chunks_exact_mut(heads.row())) {
        for (from, to) in from.chunks_exact(heads.dimension).zip(to.chunks_exact_mut(heads.step)) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_kit::{close, numbers};

    /// As the definition says it, in 64 bits.
    fn expected(shape: &Shape, queries: &[f32], keys: &[f32], values: &[f32], added: &[f32]) -> Vec<f32> {
        let (d, head) = (shape.dimension, shape.dimension / shape.heads);
        let length = queries.len() / d;
        let mut out = vec![0.0; queries.len()];
        for (row, out) in out.chunks_exact_mut(d).enumerate() {
            for number in 0..d {
                let first = number / head * head;
                let logit = |key: usize| {
                    let product = |i: usize| f64::from(queries[row * d + i]) * f64::from(keys[key * d + i]);
                    let bias = added.get((first / head * length + row) * length + key).copied();
                    (first..first + head).map(product).sum::<f64>() / (head as f64).sqrt()
                        + f64::from(bias.unwrap_or_default())
                };
                let logits: Vec<f64> = (0..=row).map(logit).collect();
                let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
                let weighted = weights
                    .iter()
                    .enumerate()
                    .map(|(key, weight)| weight * f64::from(values[key * d + number]));
                out[number] = (weighted.sum::<f64>() / weights.iter().sum::<f64>()) as f32;
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn it_is_what_the_definition_says_on_every_instruction_set(
            heads in 1_usize..=16,
            head in prop_oneof![1_usize..=40, Just(64), Just(100), Just(128)],
            length in 1_usize..=70,
            is_biased: bool,
            seed: u64,
        ) {
            let shape = Shape { dimension: heads * head, heads, blocks: 1, longest: 70 };
            prop_assume!(shape.check().is_ok());
            let size = length * shape.dimension;
            let [queries, keys, values] = [0, 1, 2].map(|part| numbers(seed ^ part, size, 2.0));
            let added = is_biased.then(|| numbers(seed ^ 3, heads * length * length, 3.0));
            let expected = expected(&shape, &queries, &keys, &values, added.as_deref().unwrap_or_default());
            for set in Set::available() {
                let mut attention = CausalAttention::on(set, &shape).unwrap();
                // What an earlier sequence left must not matter.
                let nans = vec![f32::NAN; 70 * shape.dimension];
                attention.run(&nans, &nans, &nans, None, &mut nans.clone()).unwrap();
                let mut out = vec![f32::NAN; size];
                attention.run(&queries, &keys, &values, added.as_deref(), &mut out).unwrap();
                prop_assert!(close(&out, &expected, 2e-6), "{} {shape:?} {length}", set.name());
            }
        }
    }

    #[test]
    fn large_logits_leave_the_exponentials_in_range() {
        let shape = Shape { dimension: 16, heads: 1, blocks: 1, longest: 20 };
        let rows = |scale: f32| (0..20 * 16).map(|i| scale * ((i % 7) as f32 - 3.0)).collect::<Vec<_>>();
        let (queries, keys, values) = (rows(30.0), rows(-20.0), rows(1.0));
        let expected = expected(&shape, &queries, &keys, &values, &[]);
        for set in Set::available() {
            let mut out = vec![0.0; 20 * 16];
            CausalAttention::on(set, &shape).unwrap().run(&queries, &keys, &values, None, &mut out).unwrap();
            assert!(close(&out, &expected, 5e-3), "{}", set.name());
        }
    }

    #[test]
    fn what_is_not_whole_rows_is_refused() {
        let shape = Shape { dimension: 4, heads: 2, blocks: 1, longest: 2 };
        let mut attention = CausalAttention::on(Set::Portable(crate::simd::Portable), &shape).unwrap();
        for size in [0, 3, 12] {
            let row = vec![0.0; size];
            assert!(attention.run(&row, &row, &row, None, &mut row.clone()).is_err());
        }
        assert!(attention.run(&[0.0; 4], &[0.0; 8], &[0.0; 4], None, &mut [0.0; 4]).is_err());
        for added in [0, 1, 3, 8] {
            let row = [0.0; 4];
            let added = vec![0.0; added];
            assert!(attention.run(&row, &row, &row, Some(&added), &mut [0.0; 4]).is_err());
        }
    }
}
