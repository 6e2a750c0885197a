//! The encoder on a CPU: a one-thread session that runs each sequence at its own length.
//!
//! Padding a mixed batch to its longest halves the throughput on a CPU, so there is none. The result of a
//! sequence can't depend on its companions, for it has none.

use marquee_retrieval::{BackendError, ItemRow};
use ort::session::Session;
use ort::value::TensorRef;

use super::{builder, with_tables};
use crate::bundle::{Bundle, EncoderGraph};
use crate::job::{EncodedBatch, Encoder};

/// A session and its buffers, which are as long as the longest sequence.
pub(super) struct CpuEncoder {
    session: Session,
    items: Vec<i64>,
    /// 0 to L - 1; the positions of n items are the last n.
    positions: Vec<i64>,
    dimension: usize,
}

impl CpuEncoder {
    /// The graph as ONNX Runtime runs it.
    pub(super) fn new(bundle: &Bundle, graph: &EncoderGraph) -> ort::Result<Self> {
        Ok(Self::of(with_tables(builder()?, bundle)?.commit_from_file(&graph.path)?, bundle))
    }

    /// A session of one of the bundle's graphs.
    pub(super) fn of(session: Session, bundle: &Bundle) -> Self {
        let longest = bundle.maximum_length();
        Self {
            session,
            items: Vec::with_capacity(longest),
            positions: (0..longest as i64).collect(),
            dimension: bundle.dimension(),
        }
    }

    fn encode_one(&mut self, sequence: &[ItemRow], out: &mut EncodedBatch) -> ort::Result<()> {
        let length = sequence.len();
        self.items.clear();
        self.items.extend(sequence.iter().map(|row| i64::from(*row) + 1));
        let positions = &self.positions[self.positions.len() - length..];
        let lengths = [length as i32];
        let outputs = self.session.run(ort::inputs![
            "items" => TensorRef::from_array_view(([1, length], self.items.as_slice()))?,
            "positions" => TensorRef::from_array_view(([1, length], positions))?,
            "lengths" => TensorRef::from_array_view(([1], lengths.as_slice()))?,
        ])?;
        let user =
            outputs.get("user").ok_or_else(|| ort::Error::new("the graph has no output named user"))?;
        let (_, vector) = user.try_extract_tensor::<f32>()?;
        if vector.len() != self.dimension {
            return Err(ort::Error::new(format!(
                "the graph answered {} values, not {}",
                vector.len(),
                self.dimension
            )));
        }
        out.vectors.extend_from_slice(vector);
        Ok(())
    }
}

/// The processor's architecture, and those of its instructions by which ONNX Runtime chooses its kernels.
pub(super) fn instructions() -> String {
    let known = instructions_known();
    let had = known.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name);
    [std::env::consts::ARCH].into_iter().chain(had).collect::<Vec<_>>().join("+")
}

#[cfg(target_arch = "x86_64")]
fn instructions_known() -> [(&'static str, bool); 9] {
    [
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avxvnni", is_x86_feature_detected!("avxvnni")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512dq", is_x86_feature_detected!("avx512dq")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn instructions_known() -> [(&'static str, bool); 4] {
    use std::arch::is_aarch64_feature_detected;
    [
        ("dotprod", is_aarch64_feature_detected!("dotprod")),
        ("fp16", is_aarch64_feature_detected!("fp16")),
        ("i8mm", is_aarch64_feature_detected!("i8mm")),
        ("sve", is_aarch64_feature_detected!("sve")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instructions_known() -> [(&'static str, bool); 0] {
    []
}

impl Encoder for CpuEncoder {
    fn encode(&mut self, sequences: &[&[ItemRow]], out: &mut EncodedBatch) -> Result<(), BackendError> {
        out.clear();
        for sequence in sequences {
            if sequence.len() > self.positions.len() {
                return Err(BackendError(format!(
                    "{} items, at most {} fit",
                    sequence.len(),
                    self.positions.len()
                )));
            }
            self.encode_one(sequence, out).map_err(|error| BackendError(error.to_string()))?;
        }
        Ok(())
    }
}
