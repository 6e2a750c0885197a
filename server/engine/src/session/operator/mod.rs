//! Causal attention of our own in ONNX Runtime's sessions on the CPU: its `Attention` takes half of an encoding.
//!
//! The graphs of a bundle stay ONNX, which every reader loads. [`graph`] puts the operator into a graph as it is read;
//! a session that knows the operator runs it, with [`CausalAttention`] as its kernel.

mod graph;
#[cfg(test)]
mod tests;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

use marquee_kernels::{CausalAttention, Shape, Unfit};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ort::session::Session;
use ort::value::TensorElementType;
use prost::DecodeError;
use thiserror::Error;

use super::{builder, with_tables};
use crate::bundle::{Bundle, EncoderGraph};

/// Why a session can't be had with the operator, or the operator can't compute.
#[derive(Debug, Error)]
pub(super) enum OperatorError {
    #[error("the graph can't be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("the graph is not ONNX: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the graph has no attention that the operator could compute")]
    NothingToReplace,
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    Ort(#[from] ort::Error),
    #[error(
        "the operator attends from and to [1, n, {dimension}], not queries {queries:?}, keys {keys:?}, values {values:?}"
    )]
    Shapes { dimension: usize, queries: Vec<i64>, keys: Vec<i64>, values: Vec<i64> },
    #[error("a tensor of the operator is missing")]
    Missing,
    #[error("the operator's kernel panicked")]
    Panicked,
}

/// A session of the graph with our attention, and the name of the kernels that compute it.
pub(super) fn session(
    bundle: &Bundle,
    graph: &EncoderGraph,
) -> Result<(Session, &'static str), OperatorError> {
    let rewritten = graph::with_operator(&fs::read(&graph.path)?)?.ok_or(OperatorError::NothingToReplace)?;
    let (dimension, longest) = (bundle.dimension(), bundle.maximum_length());
    let attention = CausalAttention::new(&Shape { dimension, heads: rewritten.heads, blocks: 1, longest })?;
    let kernels = attention.kernels();
    let operator = AttentionOperator { dimension, attention: Arc::new(Mutex::new(attention)) };
    Ok((session_with(operator, bundle, &rewritten.model)?, kernels))
}

fn session_with(operator: AttentionOperator, bundle: &Bundle, model: &[u8]) -> ort::Result<Session> {
    let domain = OperatorDomain::new(graph::DOMAIN)?.add(operator)?;
    // A graph in memory has no folder, in which the tables that it names must lie though they are given to the session.
    let folder = bundle.folder().to_string_lossy();
    with_tables(builder()?, bundle)?
        .with_operators(domain)?
        .with_config_entry("session.model_external_initializers_file_folder_path", folder)?
        .commit_from_memory(model)
}

/// The operator of one session, and its kernel: nodes run one after the other, and so share its buffers.
#[derive(Clone)]
struct AttentionOperator {
    dimension: usize,
    attention: Arc<Mutex<CausalAttention>>,
}

impl Operator for AttentionOperator {
    type Kernel<'attr> = Self;

    fn name(&self) -> &str {
        graph::OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let required = [(); 3].map(|()| OperatorInput::required(TensorElementType::Float32));
        required.into_iter().chain([OperatorInput::optional(TensorElementType::Float32)])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<Self> {
        Ok(self.clone())
    }
}

impl Kernel for AttentionOperator {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        caught(|| self.attend(context)).map_err(ort::Error::wrap)
    }
}

/// The outcome of a computation; a panic, which must not reach ONNX Runtime's frames, is an error.
fn caught(compute: impl FnOnce() -> Result<(), OperatorError>) -> Result<(), OperatorError> {
    panic::catch_unwind(AssertUnwindSafe(compute)).unwrap_or(Err(OperatorError::Panicked))
}

impl AttentionOperator {
    /// Attends in the tensors' own memory.
    fn attend(&self, context: &ComputeContext) -> Result<(), OperatorError> {
        let input = |index| context.input(index)?.ok_or(OperatorError::Missing);
        let (queries, keys, values) = (input(0)?, input(1)?, input(2)?);
        let (shape, queries) = queries.try_extract_tensor::<f32>()?;
        let (shape_of_keys, keys) = keys.try_extract_tensor::<f32>()?;
        let (shape_of_values, values) = values.try_extract_tensor::<f32>()?;
        let is_sequence = matches!(shape[..], [1, _, dimension] if dimension == self.dimension as i64);
        if !is_sequence || shape_of_keys != shape || shape_of_values != shape {
            let [queries, keys, values] = [shape, shape_of_keys, shape_of_values].map(|shape| shape.to_vec());
            return Err(OperatorError::Shapes { dimension: self.dimension, queries, keys, values });
        }
        let added = context.input(3)?;
        let added = added.as_ref().map(|added| added.try_extract_tensor::<f32>()).transpose()?;
        let added = added.map(|(_, added)| added);
        let mut out = context.output(0, shape.clone())?.ok_or(OperatorError::Missing)?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        let mut attention = self.attention.lock().map_err(|_| OperatorError::Panicked)?;
        Ok(attention.run(queries, keys, values, added, out)?)
    }
}
