//! Encoders on ONNX Runtime: where a model runs, and the sessions that run it there.
//!
//! The tables are not in the graphs. Every CPU session gets them as shared initialisers from the one mapped
//! file of the bundle, so that a further worker costs its graph and its buffers, not the tables again. At
//! ML-32M's shape a session costs 8 MB so; ONNX Runtime's other way, external initialisers from memory,
//! copies them and costs 90 MB (ONNX Runtime 1.31.1, resident anonymous memory, one session after another).

mod cpu;
mod gpu;

use std::fmt;
use std::ptr::NonNull;
use std::str::FromStr;
use std::sync::Arc;

use marquee_retrieval::BackendError;
use ort::AsPointer;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{DynValue, PrimitiveTensorElementType, Shape, TensorRefMut};

pub(crate) use gpu::{BATCHES as GPU_BATCHES, buckets as gpu_buckets};

use super::bundle::{Bundle, BundleError, ENCODER_TABLES, Elements, EncoderGraph, Table};
use super::job::{Ask, EncodedBatch, Encoder};
use super::runtime::{self, Device, RuntimeError};

/// The arithmetic of the encoder on a CPU; a GPU always runs the fp16 graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// Dense layers in 8 bits, where the bundle has such a graph.
    Int8,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fp32" => Ok(Self::Fp32),
            "int8" => Ok(Self::Int8),
            _ => Err(format!("{text:?} is not a precision; write fp32 or int8")),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Int8 => "int8",
        })
    }
}

/// Where a model really runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Placement {
    Cpu,
    Cuda(u32),
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// The placement for what was asked, and the graph for it. An explicit device is taken or refused.
pub(crate) fn place(
    bundle: &Bundle,
    device: Device,
    precision: Precision,
) -> Result<(Placement, EncoderGraph), BundleError> {
    let on_cpu = || Ok((Placement::Cpu, bundle.encoder("cpu", &precision.to_string())?));
    let on_cuda = |number| Ok((Placement::Cuda(number), bundle.encoder("cuda", "fp16")?));
    match device {
        Device::Cpu => on_cpu(),
        Device::Cuda(number) => {
            if !runtime::has_cuda()? {
                let why = format!("the library {} has no CUDA provider", runtime::library()?.path.display());
                return Err(RuntimeError::Cuda(why).into());
            }
            on_cuda(number)
        }
        Device::Auto => {
            if !runtime::has_cuda()? {
                tracing::info!("device auto took the CPU: the loaded ONNX Runtime has no CUDA provider");
                return on_cpu();
            }
            let tried = on_cuda(0).and_then(|(placement, graph)| {
                encoder(bundle, placement, &graph)?;
                Ok((placement, graph))
            });
            match tried {
                Ok(taken) => {
                    tracing::info!("device auto took cuda:0");
                    Ok(taken)
                }
                Err(error) => {
                    tracing::info!(%error, "device auto took the CPU: CUDA can't be had");
                    on_cpu()
                }
            }
        }
    }
}

/// What a session computes with: ONNX Runtime's build, which picks its kernels by what the processor can, and a
/// GPU's, by what the GPU can.
pub(crate) fn kernels(placement: Placement) -> String {
    let processor = match placement {
        Placement::Cpu => cpu::instructions(),
        Placement::Cuda(_) => "cuda".to_owned(),
    };
    format!("{processor} {}", ort::info())
}

/// A session of the graph, checked against the bundle's probe. It borrows the bundle's tables: whoever
/// keeps the encoder keeps the bundle, see [`Owned`].
fn encoder(
    bundle: &Bundle,
    placement: Placement,
    graph: &EncoderGraph,
) -> Result<Box<dyn Encoder>, BundleError> {
    // Without the library not even an error of its own can be made.
    runtime::init()?;
    let made: ort::Result<Box<dyn Encoder>> = match placement {
        Placement::Cpu => cpu::CpuEncoder::new(bundle, graph).map(|encoder| Box::new(encoder) as _),
        Placement::Cuda(number) => {
            let scorer = bundle.cuda_scorer();
            gpu::GpuEncoder::new(bundle, graph, scorer.as_ref(), gpu::Place::Cuda(number))
                .map(|encoder| Box::new(encoder) as _)
        }
    };
    let mut encoder = made.map_err(|error| refused(bundle, graph, &error))?;
    probe(bundle, graph, encoder.as_mut())?;
    Ok(encoder)
}

/// What ONNX Runtime's refusal of a graph means.
fn refused(bundle: &Bundle, graph: &EncoderGraph, error: &ort::Error) -> BundleError {
    let (bundle, file, why) = (bundle.folder().display().to_string(), graph.file.clone(), error.to_string());
    if why.contains(CPU_FALLBACK) {
        BundleError::CpuFallback { bundle, file, why }
    } else if GPU_FAILURES.iter().any(|failure| why.contains(failure)) {
        RuntimeError::Gpu(why).into()
    } else {
        BundleError::Graph { bundle, file, why }
    }
}

/// Of the sentence by which ONNX Runtime refuses nodes that only the CPU could run.
const CPU_FALLBACK: &str = "fallback to CPU EP has been explicitly disabled";

/// Of what CUDA's own failures are called, by our calls of it and by those of ONNX Runtime.
const GPU_FAILURES: [&str; 2] = ["CUDA error", "CUDA failure"];

/// An encoder alone, without the engine around it: the bare loop that the engine is measured against.
///
/// # Errors
/// [`BundleError`] when the device or the graph can't be had, or the graph fails the probe.
pub fn bare_encoder(
    bundle: &Arc<Bundle>,
    device: Device,
    precision: Precision,
) -> Result<Box<dyn Encoder>, BundleError> {
    let (placement, graph) = place(bundle, device, precision)?;
    build(bundle, placement, &graph)
}

/// An encoder for one worker, which keeps the bundle whose tables it reads.
pub(crate) fn build(
    bundle: &Arc<Bundle>,
    placement: Placement,
    graph: &EncoderGraph,
) -> Result<Box<dyn Encoder>, BundleError> {
    Ok(Box::new(Owned { encoder: encoder(bundle, placement, graph)?, _bundle: Arc::clone(bundle) }))
}

/// Fields drop in order: the session goes before the tables that it reads.
struct Owned {
    encoder: Box<dyn Encoder>,
    _bundle: Arc<Bundle>,
}

impl Encoder for Owned {
    fn encode(&mut self, sequences: &[&[u32]], out: &mut EncodedBatch) -> Result<(), BackendError> {
        self.encoder.encode(sequences, out)
    }

    fn encode_asks(&mut self, asks: &[Ask<'_>], out: &mut EncodedBatch) -> Result<(), BackendError> {
        self.encoder.encode_asks(asks, out)
    }
}

/// Runs the probe: a graph that answers something else is not the one that was written.
fn probe(bundle: &Bundle, graph: &EncoderGraph, encoder: &mut dyn Encoder) -> Result<(), BundleError> {
    let (rows, expected) = bundle.probe();
    let mut out = EncodedBatch::default();
    encoder.encode(&[&rows], &mut out).map_err(|error| BundleError::Graph {
        bundle: bundle.folder().display().to_string(),
        file: graph.file.clone(),
        why: error.to_string(),
    })?;
    let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
    let error = expected
        .iter()
        .zip(&out.vectors)
        .map(|(expected, got)| (expected - got).abs() / largest)
        .fold(0.0_f32, |worst, error| if error > worst || error.is_nan() { error } else { worst });
    if out.vectors.len() == expected.len() && error <= graph.tolerance {
        return Ok(());
    }
    Err(BundleError::Probe {
        bundle: bundle.folder().display().to_string(),
        file: graph.file.clone(),
        error,
        tolerance: graph.tolerance,
    })
}

/// What every session of the engine has in common.
fn builder() -> ort::Result<SessionBuilder> {
    let environment = runtime::init().map_err(|error| ort::Error::new(error.to_string()))?;
    Ok(Session::builder(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?)
}

/// Hands the bundle's tables to a session on the CPU; other devices want a copy of their own.
fn with_tables(mut builder: SessionBuilder, bundle: &Bundle) -> ort::Result<SessionBuilder> {
    for name in ENCODER_TABLES {
        if let Some(table) = bundle.table(name) {
            builder = builder.with_initializer(name, borrowed(table)?)?;
        }
    }
    Ok(builder)
}

/// A table as ONNX Runtime's own value, without a copy.
fn borrowed(table: Table<'_>) -> ort::Result<DynValue> {
    match table.elements {
        Elements::F32(values) => borrowed_as(values, table.shape),
        Elements::F16(values) => borrowed_as(values, table.shape),
    }
}

fn borrowed_as<T: PrimitiveTensorElementType + fmt::Debug>(
    values: &[T],
    shape: [usize; 2],
) -> ort::Result<DynValue> {
    let shape = Shape::new(shape.map(|size| size as i64));
    let data = values.as_ptr().cast_mut().cast();
    // SAFETY: the memory is the bundle's map, which outlives every session that gets it (`Owned`), and
    // sessions only read their initialisers.
    let view = unsafe { TensorRefMut::<T>::from_raw(MemoryInfo::default(), data, shape) }?;
    let pointer =
        NonNull::new(view.ptr().cast_mut()).ok_or_else(|| ort::Error::new("ONNX Runtime made no value"))?;
    // The native value changes hands: the view must not release it.
    std::mem::forget(view);
    // SAFETY: the pointer is a live tensor value that nothing else owns any more.
    Ok(unsafe { DynValue::from_ptr(pointer, Some(&Allocator::default())) })
}
