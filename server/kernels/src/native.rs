//! An encoder of our own: which kernels run a network, and what a worker keeps for them.

use std::fmt;
use std::sync::Arc;

use crate::set::{Set, TileSet, by_set, by_tiles};
use crate::shape::{Shape, Unfit};
use crate::tables::Tables;
use crate::weights::Weights;
use crate::{bf16, fp32};

/// The arithmetic of the blocks. In the last one, of which only the newest position is computed, weights alone are
/// rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats: as exact as ONNX Runtime's.
    Fp32,
    /// Factors of 16 bits, sums of 32.
    Bf16,
}

/// A network packed for this processor, which all workers share.
pub struct NativeModel {
    shape: Shape,
    packed: Packed,
}

/// The packed network with what runs it.
enum Packed {
    Fp32(Set, Arc<fp32::Model>),
    Bf16(TileSet, Arc<bf16::Model>),
}

impl fmt::Debug for NativeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeModel")
            .field("shape", &self.shape)
            .field("kernels", &self.kernels())
            .finish_non_exhaustive()
    }
}

impl NativeModel {
    /// Packs a network for the best instructions that the processor has for the precision.
    ///
    /// # Errors
    /// [`Unfit`] when the shape is beyond these kernels, or the processor has no instructions for them.
    pub fn new(weights: &Weights, precision: Precision) -> Result<Self, Unfit> {
        match precision {
            Precision::Fp32 => Self::fp32(Set::best()?, weights),
            Precision::Bf16 => Self::bf16(TileSet::best()?, weights),
        }
    }

    fn fp32(set: Set, weights: &Weights) -> Result<Self, Unfit> {
        weights.check()?;
        let packed = Packed::Fp32(set, Arc::new(fp32::Model::new(weights, set.width())));
        Ok(Self { shape: weights.shape, packed })
    }

    fn bf16(tiles: TileSet, weights: &Weights) -> Result<Self, Unfit> {
        weights.check()?;
        let packed = Packed::Bf16(tiles, Arc::new(bf16::Model::new(weights, tiles.width())));
        Ok(Self { shape: weights.shape, packed })
    }

    /// The instructions that serve, as a name: `avx512`, `avx2`, `amx-bf16`, `avx512-bf16`.
    pub fn kernels(&self) -> &'static str {
        match &self.packed {
            Packed::Fp32(set, _) => set.name(),
            Packed::Bf16(tiles, _) => tiles.name(),
        }
    }

    /// The shape of the network.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

/// What one worker encodes with.
pub struct NativeEncoder {
    shape: Shape,
    runner: Runner,
}

/// The packed network with what runs it and the worker's own buffers.
enum Runner {
    Fp32(Set, Arc<fp32::Model>, Box<fp32::Workspace>),
    Bf16(TileSet, Arc<bf16::Model>, Box<bf16::Workspace>),
}

impl fmt::Debug for NativeEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeEncoder").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl NativeEncoder {
    /// Buffers for the model, some megabytes.
    pub fn new(model: &NativeModel) -> Self {
        let runner = match &model.packed {
            Packed::Fp32(set, packed) => Runner::Fp32(*set, Arc::clone(packed), Box::new(packed.workspace())),
            Packed::Bf16(tiles, packed) => {
                Runner::Bf16(*tiles, Arc::clone(packed), Box::new(packed.workspace()))
            }
        };
        Self { shape: model.shape, runner }
    }

    /// Appends the user vector of each sequence of item rows to `out`. A vector does not depend on the others.
    ///
    /// # Errors
    /// [`Unfit`] when a table or a sequence is not of the model's shape: an empty or too long sequence, a row that
    /// the table of items does not have.
    pub fn encode(
        &mut self,
        tables: &Tables<'_>,
        sequences: &[&[u32]],
        out: &mut Vec<f32>,
    ) -> Result<(), Unfit> {
        check(&self.shape, tables, sequences)?;
        match &mut self.runner {
            Runner::Fp32(set, packed, workspace) => {
                by_set!(*set, s => packed.encode(s, tables, sequences, workspace, out));
            }
            Runner::Bf16(tiles, packed, workspace) => {
                by_tiles!(*tiles, pair => packed.encode(pair, tables, sequences, workspace, out));
            }
        }
        Ok(())
    }
}

fn check(shape: &Shape, tables: &Tables<'_>, sequences: &[&[u32]]) -> Result<(), Unfit> {
    let Shape { dimension, longest, .. } = *shape;
    let items = tables.items.len() / dimension;
    let positions = tables.positions.map_or(longest, |positions| positions.len() / dimension);
    if tables.dimension != dimension || positions != longest {
        let found = tables.dimension;
        return Err(Unfit(format!("the tables are {positions} x {found}, not {longest} x {dimension}")));
    }
    for sequence in sequences {
        if sequence.is_empty() || sequence.len() > longest {
            return Err(Unfit(format!("a sequence of {} items is not in 1 to {longest}", sequence.len())));
        }
        if let Some(row) = sequence.iter().find(|row| **row as usize >= items) {
            return Err(Unfit(format!("item row {row} is not below {items}")));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
