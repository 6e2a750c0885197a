//! The encoder without ONNX Runtime: kernels of our own, on a CPU, with the weights of the fp32 graph.

use std::sync::Arc;

use marquee_kernels::{NativeEncoder, NativeModel, Numbers, Tables};
use marquee_retrieval::{BackendError, ItemRow};

use super::{Precision, weights};
use crate::bundle::{Bundle, ENCODER_TABLES, Elements, EncoderGraph, NativePrecision};
use crate::job::{EncodedBatch, Encoder};

/// What holds in bf16 where the bundle does not say: nobody judged it, and eight significant bits go through the blocks
/// of a network.
const UNJUDGED: NativePrecision = NativePrecision { tolerance: 0.02, kept: None };

/// The packed model for a precision, and the graph that it stands for.
///
/// # Errors
/// Why not, as a sentence: the processor, the shape, or a graph that is not as the exporter authors it.
pub(super) fn plan(
    bundle: &Bundle,
    precision: Precision,
) -> Result<(EncoderGraph, Arc<NativeModel>), String> {
    let arithmetic = match precision {
        Precision::Fp32 => marquee_kernels::Precision::Fp32,
        Precision::Bf16 => marquee_kernels::Precision::Bf16,
        Precision::Int8 => return Err("it has no int8".to_owned()),
    };
    let graph = bundle.encoder("cpu", "fp32").map_err(|error| error.to_string())?;
    let tolerance = match precision {
        Precision::Bf16 => judged(bundle)?,
        Precision::Fp32 | Precision::Int8 => graph.tolerance,
    };
    let weights = weights::read(bundle, &graph)?;
    let model = NativeModel::new(&weights, arithmetic).map_err(|error| error.to_string())?;
    Ok((EncoderGraph { tolerance, ..graph }, Arc::new(model)))
}

/// How far the probe's answer may be off in bf16.
///
/// # Errors
/// Where the bundle says that bf16 loses too much.
fn judged(bundle: &Bundle) -> Result<f32, String> {
    let NativePrecision { tolerance, kept } = bundle.native("bf16").unwrap_or(UNJUDGED);
    match kept {
        Some(true) => Ok(tolerance),
        Some(false) => Err("the bundle says that bf16 loses too much of what this model answers".to_owned()),
        None => {
            let advice =
                "what bf16 loses of this model's answers was not measured; `marquee_onnx judge` does";
            tracing::warn!(model = bundle.version(), "{advice}");
            Ok(tolerance)
        }
    }
}

/// A worker's encoder.
pub(super) struct Native {
    encoder: NativeEncoder,
    bundle: Arc<Bundle>,
}

impl Native {
    pub(super) fn new(bundle: &Arc<Bundle>, model: &NativeModel) -> Self {
        Self { encoder: NativeEncoder::new(model), bundle: Arc::clone(bundle) }
    }
}

impl Encoder for Native {
    fn encode(&mut self, sequences: &[&[ItemRow]], out: &mut EncodedBatch) -> Result<(), BackendError> {
        out.clear();
        let [items, positions] = ENCODER_TABLES.map(|name| numbers(&self.bundle, name));
        let items = items.ok_or_else(|| BackendError("the bundle has no table of items".to_owned()))?;
        let tables = Tables { items, positions, dimension: self.bundle.dimension() };
        self.encoder
            .encode(&tables, sequences, &mut out.vectors)
            .map_err(|error| BackendError(error.to_string()))
    }
}

fn numbers<'a>(bundle: &'a Bundle, name: &str) -> Option<Numbers<'a>> {
    Some(match bundle.table(name)?.elements {
        Elements::F32(values) => Numbers::F32(values),
        Elements::F16(values) => Numbers::F16(values),
    })
}

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
