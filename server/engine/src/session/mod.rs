//! Encoders: where a model runs, and what runs it there: sessions of ONNX Runtime, or kernels of our own.
//!
//! The tables are not in the graphs. Every CPU session gets them as shared initialisers from the one mapped
//! file of the bundle, so that a further worker costs its graph and its buffers, not the tables again. At
//! ML-32M's shape a session costs 8 MB so; ONNX Runtime's other way, external initialisers from memory,
//! copies them and costs 90 MB (ONNX Runtime 1.31.1, resident anonymous memory, one session after another).

mod cpu;
mod gpu;
mod native;
mod onnx;
mod operator;
mod weights;

use std::fmt;
use std::ptr::NonNull;
use std::str::FromStr;
use std::sync::Arc;

use marquee_kernels::NativeModel;
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
    /// Factors in 16 bits and sums in 32, by the native encoder.
    Bf16,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fp32" => Ok(Self::Fp32),
            "int8" => Ok(Self::Int8),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("{text:?} is not a precision; write fp32, int8 or bf16")),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Int8 => "int8",
            Self::Bf16 => "bf16",
        })
    }
}

/// What computes the encoder on a CPU; a GPU always has ONNX Runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EncoderBackend {
    /// ONNX Runtime with the bundle's graph, and attention by a kernel of our own where processor, shape and graph allow.
    #[default]
    Ort,
    /// ONNX Runtime alone: the reference.
    OrtOnly,
    /// Kernels of our own with the weights of that graph, where processor, shape and precision allow; else as
    /// [`EncoderBackend::Ort`].
    Native,
}

impl FromStr for EncoderBackend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ort" => Ok(Self::Ort),
            "ort-only" => Ok(Self::OrtOnly),
            "native" => Ok(Self::Native),
            _ => Err(format!("{text:?} is not an encoder; write ort, ort-only or native")),
        }
    }
}

impl fmt::Display for EncoderBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ort => "ort",
            Self::OrtOnly => "ort-only",
            Self::Native => "native",
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

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) device: Device,
    pub(crate) backend: EncoderBackend,
    pub(crate) precision: Precision,
}

/// A GPU always runs this graph.
pub(crate) const GPU_PRECISION: &str = "fp16";

/// How a model's encoders are made: where they run, and what computes there.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) placement: Placement,
    /// As the manifest writes it.
    pub(crate) precision: String,
    graph: EncoderGraph,
    /// The weights, packed once for all workers, where the native encoder serves.
    native: Option<Arc<NativeModel>>,
    /// The kernels of our own attention, where a session has the operator.
    attention: Option<&'static str>,
}

impl Plan {
    /// Decides for what was asked. An explicit device is taken or refused.
    pub(crate) fn make(bundle: &Arc<Bundle>, asked: Asked) -> Result<Self, BundleError> {
        match asked.device {
            Device::Cpu => Self::on_cpu(bundle, asked),
            Device::Cuda(number) => {
                if !runtime::has_cuda()? {
                    let path = &runtime::library()?.path;
                    let why = format!("the library {} has no CUDA provider", path.display());
                    return Err(RuntimeError::Cuda(why).into());
                }
                Self::on_cuda(bundle, number)
            }
            Device::Auto => {
                if !runtime::has_cuda()? {
                    tracing::info!("device auto took the CPU: the loaded ONNX Runtime has no CUDA provider");
                    return Self::on_cpu(bundle, asked);
                }
                let tried = Self::on_cuda(bundle, 0).and_then(|plan| {
                    plan.encoder(bundle)?;
                    Ok(plan)
                });
                match tried {
                    Ok(plan) => {
                        tracing::info!("device auto took cuda:0");
                        Ok(plan)
                    }
                    Err(error) => {
                        tracing::info!(%error, "device auto took the CPU: CUDA can't be had");
                        Self::on_cpu(bundle, asked)
                    }
                }
            }
        }
    }

    fn on_cuda(bundle: &Bundle, number: u32) -> Result<Self, BundleError> {
        let graph = bundle.encoder("cuda", GPU_PRECISION)?;
        let (placement, precision) = (Placement::Cuda(number), GPU_PRECISION.to_owned());
        Ok(Self { placement, precision, graph, native: None, attention: None })
    }

    fn on_cpu(bundle: &Arc<Bundle>, asked: Asked) -> Result<Self, BundleError> {
        if asked.backend == EncoderBackend::Native {
            match native::plan(bundle, asked.precision) {
                Ok((graph, model)) => {
                    tracing::info!(kernels = model.kernels(), precision = %asked.precision, "the native encoder serves");
                    let precision = asked.precision.to_string();
                    let (placement, native) = (Placement::Cpu, Some(model));
                    return Ok(Self { placement, precision, graph, native, attention: None });
                }
                Err(why) => {
                    tracing::warn!(%why, "ONNX Runtime serves, the native encoder can't");
                }
            }
        }
        // What only the native encoder has is then served as exactly as can be.
        let native_only = asked.backend == EncoderBackend::Native && asked.precision == Precision::Bf16;
        let precision = if native_only { Precision::Fp32 } else { asked.precision }.to_string();
        let graph = bundle.encoder("cpu", &precision)?;
        let attention = match asked.backend {
            EncoderBackend::OrtOnly => None,
            EncoderBackend::Ort | EncoderBackend::Native => attention(bundle, &graph),
        };
        Ok(Self { placement: Placement::Cpu, precision, graph, native: None, attention })
    }

    /// Whether sequences that are encoded together cost less than one by one.
    pub(crate) fn encodes_together(&self) -> bool {
        self.native.is_some()
    }

    /// What computes: ONNX Runtime's build, which picks its kernels by what the processor can, a GPU's, by what the GPU
    /// can, with our own attention or not; or the native kernels.
    pub(crate) fn kernels(&self) -> String {
        let of_session = || kernels(self.placement);
        match (&self.native, self.attention) {
            (Some(model), _) => format!("native {}", model.kernels()),
            (None, Some(attention)) => format!("attention {attention} {}", of_session()),
            (None, None) => of_session(),
        }
    }

    /// What computes, as a short name for people.
    pub(crate) fn serves(&self) -> String {
        match (&self.native, self.attention) {
            (Some(model), _) => format!("native {}", model.kernels()),
            (None, Some(attention)) => format!("onnxruntime, attention {attention}"),
            (None, None) => "onnxruntime".to_owned(),
        }
    }

    /// An encoder for one worker, which keeps the bundle whose tables it reads.
    pub(crate) fn build(&self, bundle: &Arc<Bundle>) -> Result<Box<dyn Encoder>, BundleError> {
        Ok(Box::new(Owned { encoder: self.encoder(bundle)?, _bundle: Arc::clone(bundle) }))
    }

    /// An encoder, checked against the bundle's probe. It borrows the bundle's tables: whoever keeps the encoder keeps
    /// the bundle, see [`Owned`].
    fn encoder(&self, bundle: &Arc<Bundle>) -> Result<Box<dyn Encoder>, BundleError> {
        let mut encoder: Box<dyn Encoder> = match (&self.native, self.attention) {
            (Some(model), _) => Box::new(native::Native::new(bundle, model)),
            (None, Some(_)) => Box::new(session_with_attention(bundle, &self.graph)?.0),
            (None, None) => session(bundle, self.placement, &self.graph)?,
        };
        probe(bundle, &self.graph, encoder.as_mut())?;
        Ok(encoder)
    }
}

/// The kernels of our own attention, where it serves a graph of the CPU; the log says so, or why not. All workers have
/// what one session is tried with.
fn attention(bundle: &Bundle, graph: &EncoderGraph) -> Option<&'static str> {
    let tried = session_with_attention(bundle, graph).and_then(|(mut encoder, kernels)| {
        probe(bundle, graph, &mut encoder)?;
        Ok(kernels)
    });
    match tried {
        Ok(kernels) => {
            tracing::info!(kernels, graph = graph.file, "attention is computed by a kernel of our own");
            Some(kernels)
        }
        Err(why) => {
            tracing::info!(%why, "attention is computed by ONNX Runtime: a kernel of our own can't be had");
            None
        }
    }
}

/// What a session computes with.
pub(crate) fn kernels(placement: Placement) -> String {
    let processor = match placement {
        Placement::Cpu => cpu::instructions(),
        Placement::Cuda(_) => "cuda".to_owned(),
    };
    format!("{processor} {}", ort::info())
}

/// A session of the graph.
fn session(
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
    made.map_err(|error| refused(bundle, graph, &error))
}

/// A session of the graph on the CPU with our own attention, and the kernels of that.
fn session_with_attention(
    bundle: &Bundle,
    graph: &EncoderGraph,
) -> Result<(cpu::CpuEncoder, &'static str), BundleError> {
    // Without the library not even an error of its own can be made.
    runtime::init()?;
    let (session, kernels) =
        operator::session(bundle, graph).map_err(|error| refused(bundle, graph, &ort::Error::wrap(error)))?;
    Ok((cpu::CpuEncoder::of(session, bundle), kernels))
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
/// [`BundleError`] when the device or the graph can't be had, or the encoder fails the probe.
pub fn bare_encoder(
    bundle: &Arc<Bundle>,
    device: Device,
    backend: EncoderBackend,
    precision: Precision,
) -> Result<Box<dyn Encoder>, BundleError> {
    Plan::make(bundle, Asked { device, backend, precision })?.build(bundle)
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
