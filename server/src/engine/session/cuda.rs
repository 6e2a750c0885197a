//! The encoder on a GPU: one session with its own stream, pinned host buffers and a bound batch.
//!
//! Sequences are padded to the end of their length bucket and batches to the next of a few sizes, so that
//! only shapes that were warmed up ever run. The host buffers are pinned and allocated once, for the
//! largest shape; a run binds views of them. Nothing may fall back to the CPU: a graph with a node that
//! CUDA does not have is refused when its session is made.

use ort::ep;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{PrimitiveTensorElementType, Shape, Tensor, TensorRefMut};

use super::builder;
use crate::engine::bundle::{Bundle, EncoderGraph};
use crate::engine::job::{BackendError, EncodedBatch, Encoder, ItemRow};

/// The upper ends of the length buckets; the model's longest sequence is added to them.
pub(crate) const BUCKETS: [usize; 7] = [8, 16, 32, 64, 96, 128, 160];
/// The batch sizes that run; smaller batches are filled with copies of padding rows.
pub(crate) const BATCHES: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// A session, its binding and its pinned buffers.
pub(super) struct CudaEncoder {
    binding: IoBinding,
    session: Session,
    items: Tensor<i64>,
    positions: Tensor<i64>,
    lengths: Tensor<i32>,
    user: Tensor<f32>,
    buckets: Vec<usize>,
    longest: usize,
    dimension: usize,
}

impl CudaEncoder {
    /// Makes the session on GPU `device` and warms every shape.
    pub(super) fn new(bundle: &Bundle, graph: &EncoderGraph, device: u32) -> ort::Result<Self> {
        let cuda = ep::CUDA::default().with_device_id(device as i32).build().error_on_failure();
        let mut builder = builder()?.with_execution_providers([cuda])?.with_disable_cpu_fallback()?;
        // The tables come from the bundle's folder, where the graph looks for them: the device has its own copy.
        let session = builder.commit_from_file(&graph.path)?;
        let pinned = Allocator::new(
            &session,
            MemoryInfo::new(
                AllocationDevice::CUDA_PINNED,
                device as i32,
                AllocatorType::Device,
                MemoryType::CPUInput,
            )?,
        )?;
        let (longest, dimension) = (bundle.maximum_length(), bundle.dimension());
        let largest = BATCHES[BATCHES.len() - 1];
        let mut encoder = Self {
            binding: session.create_binding()?,
            items: Tensor::new(&pinned, [largest, longest])?,
            positions: Tensor::new(&pinned, [largest, longest])?,
            lengths: Tensor::new(&pinned, [largest])?,
            user: Tensor::new(&pinned, [largest, dimension])?,
            buckets: buckets(longest),
            longest,
            dimension,
            session,
        };
        encoder.warm_up()?;
        Ok(encoder)
    }

    fn warm_up(&mut self) -> ort::Result<()> {
        let mut out = EncodedBatch::default();
        for bucket in self.buckets.clone() {
            let sequence = vec![0; bucket];
            for batch in BATCHES {
                self.run(&vec![&*sequence; batch], &mut out)?;
            }
        }
        Ok(())
    }

    /// Runs up to the largest batch of sequences as one padded batch.
    fn run(&mut self, sequences: &[&[ItemRow]], out: &mut EncodedBatch) -> ort::Result<()> {
        let longest = sequences.iter().map(|sequence| sequence.len()).max().unwrap_or(1);
        let time = self.buckets.iter().copied().find(|end| *end >= longest).unwrap_or(self.longest);
        let batch = BATCHES.iter().copied().find(|size| *size >= sequences.len()).unwrap_or(sequences.len());
        self.fill(sequences, batch, time);
        let (batch_size, time_size, width) = (batch as i64, time as i64, self.dimension as i64);
        self.binding.bind_input("items", &*view(&mut self.items, [batch_size, time_size])?)?;
        self.binding.bind_input("positions", &*view(&mut self.positions, [batch_size, time_size])?)?;
        self.binding.bind_input("lengths", &*view(&mut self.lengths, [batch_size])?)?;
        self.binding.bind_output("user", view(&mut self.user, [batch_size, width])?)?;
        self.session.run_binding(&self.binding)?;
        self.binding.synchronize_outputs()?;
        let (_, vectors) = self.user.extract_tensor();
        out.vectors.extend_from_slice(&vectors[..sequences.len() * self.dimension]);
        Ok(())
    }

    /// Writes the padded batch into the pinned buffers; rows without a sequence hold one padding item.
    fn fill(&mut self, sequences: &[&[ItemRow]], batch: usize, time: usize) {
        let (_, items) = self.items.extract_tensor_mut();
        let (_, positions) = self.positions.extract_tensor_mut();
        let (_, lengths) = self.lengths.extract_tensor_mut();
        items[..batch * time].fill(0);
        positions[..batch * time].fill(0);
        lengths[..batch].fill(1);
        for (row, sequence) in sequences.iter().enumerate() {
            let first_position = self.longest - sequence.len();
            lengths[row] = sequence.len() as i32;
            for (at, item) in sequence.iter().enumerate() {
                items[row * time + at] = i64::from(*item) + 1;
                positions[row * time + at] = (first_position + at) as i64;
            }
        }
    }
}

impl Encoder for CudaEncoder {
    fn encode(&mut self, sequences: &[&[ItemRow]], out: &mut EncodedBatch) -> Result<(), BackendError> {
        out.vectors.clear();
        for chunk in sequences.chunks(BATCHES[BATCHES.len() - 1]) {
            if chunk.iter().any(|sequence| sequence.len() > self.longest) {
                return Err(BackendError(format!("a sequence is longer than {}", self.longest)));
            }
            self.run(chunk, out).map_err(|error| BackendError(error.to_string()))?;
        }
        Ok(())
    }
}

/// The bucket ends for a model whose longest sequence is `longest`.
pub(crate) fn buckets(longest: usize) -> Vec<usize> {
    BUCKETS.into_iter().filter(|end| *end < longest).chain([longest]).collect()
}

/// The first elements of a buffer as a tensor of this shape.
fn view<T, const N: usize>(buffer: &mut Tensor<T>, shape: [i64; N]) -> ort::Result<TensorRefMut<'static, T>>
where
    T: PrimitiveTensorElementType + std::fmt::Debug,
{
    let data = buffer.data_ptr_mut();
    // SAFETY: the buffer is at least as large as any shape that runs, and it lives as long as the binding
    // that gets the view: both are fields of the encoder.
    unsafe { TensorRefMut::from_raw(buffer.memory_info().to_owned(), data, Shape::new(shape)) }
}
