//! Where the encoder's bytes lie and in which order work is done: a GPU's stream with pinned host memory and
//! device memory, or, for tests, the host alone, on which everything is done at once.

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::{PrimitiveTensorElementType, Tensor};

use super::cudart::{CudaGraph, CudaStream, Direction, Pinned};

/// Where an encoder runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The GPU of this number.
    Cuda(u32),
    /// ONNX Runtime's CPU provider, with the code and the graphs of the GPU.
    #[cfg(test)]
    Host,
}

/// The order in which an encoder's work is done.
pub(super) enum Stream {
    Cuda(CudaStream),
    #[cfg(test)]
    Host,
}

/// Elements on the host.
enum HostMemory<T> {
    Pinned(Pinned<T>),
    #[cfg(test)]
    Plain(Box<[T]>),
}

/// A tensor on the device and its image on the host.
pub(super) struct Buffer<T: PrimitiveTensorElementType + std::fmt::Debug> {
    host: HostMemory<T>,
    pub(super) device: Tensor<T>,
}

impl Stream {
    pub(super) fn new(place: Place) -> ort::Result<Self> {
        match place {
            Place::Cuda(number) => Ok(Self::Cuda(CudaStream::new(number)?)),
            #[cfg(test)]
            Place::Host => Ok(Self::Host),
        }
    }

    /// Has to be called on each thread before its first work.
    pub(super) fn enter(&self) -> ort::Result<()> {
        match self {
            Self::Cuda(stream) => stream.set_device(),
            #[cfg(test)]
            Self::Host => Ok(()),
        }
    }

    /// Waits until all work is done.
    pub(super) fn synchronize(&self) -> ort::Result<()> {
        match self {
            Self::Cuda(stream) => stream.synchronize(),
            #[cfg(test)]
            Self::Host => Ok(()),
        }
    }

    /// Whether all work is done.
    pub(super) fn is_done(&self) -> ort::Result<bool> {
        match self {
            Self::Cuda(stream) => stream.is_done(),
            #[cfg(test)]
            Self::Host => Ok(true),
        }
    }

    /// Records the work that is queued from now on; `false` where nothing can be recorded.
    pub(super) fn begin_capture(&self) -> ort::Result<bool> {
        match self {
            Self::Cuda(stream) => stream.begin_capture().map(|()| true),
            #[cfg(test)]
            Self::Host => Ok(false),
        }
    }

    /// The work that was recorded.
    pub(super) fn end_capture(&self) -> ort::Result<CudaGraph> {
        match self {
            Self::Cuda(stream) => stream.end_capture(),
            #[cfg(test)]
            Self::Host => Err(ort::Error::new("there is nothing to capture on the host")),
        }
    }

    /// Queues recorded work.
    pub(super) fn replay(&self, graph: &CudaGraph) -> ort::Result<()> {
        match self {
            Self::Cuda(stream) => stream.launch(graph),
            #[cfg(test)]
            Self::Host => Err(ort::Error::new("there is nothing to replay on the host")),
        }
    }

    fn host_memory<T: bytemuck::Pod>(&self, length: usize) -> ort::Result<HostMemory<T>> {
        match self {
            Self::Cuda(stream) => stream.pinned(length).map(HostMemory::Pinned),
            #[cfg(test)]
            Self::Host => Ok(HostMemory::Plain(vec![T::zeroed(); length].into())),
        }
    }
}

/// The allocator of a session's memory on the device.
pub(super) fn device_allocator(session: &Session, place: Place) -> ort::Result<Allocator> {
    match place {
        Place::Cuda(number) => {
            let (device, kind) = (AllocationDevice::CUDA, AllocatorType::Device);
            Allocator::new(session, MemoryInfo::new(device, number as i32, kind, MemoryType::Default)?)
        }
        #[cfg(test)]
        Place::Host => Ok(Allocator::default()),
    }
}

impl<T: PrimitiveTensorElementType + bytemuck::Pod + std::fmt::Debug> Buffer<T> {
    /// A buffer of this shape; the host's image is zero.
    pub(super) fn new<const N: usize>(
        stream: &Stream,
        allocator: &Allocator,
        shape: [usize; N],
    ) -> ort::Result<Self> {
        let host = stream.host_memory(shape.iter().product())?;
        Ok(Self { host, device: Tensor::new(allocator, shape)? })
    }

    /// The host's image.
    pub(super) fn host(&self) -> &[T] {
        match &self.host {
            HostMemory::Pinned(memory) => memory.as_slice(),
            #[cfg(test)]
            HostMemory::Plain(memory) => memory,
        }
    }

    /// The host's image, to be changed. Only while the stream has nothing queued.
    pub(super) fn host_mut(&mut self) -> &mut [T] {
        match &mut self.host {
            HostMemory::Pinned(memory) => memory.as_mut_slice(),
            #[cfg(test)]
            HostMemory::Plain(memory) => memory,
        }
    }

    /// Queues a copy of the host's image to the device.
    pub(super) fn upload(&mut self, stream: &Stream) -> ort::Result<()> {
        let (from, bytes) = (self.host().as_ptr(), size_of_val(self.host()));
        let to = self.device.data_ptr_mut();
        match stream {
            // SAFETY: both are as long as the buffer's shape and live as long as the stream's work: the encoder
            // that owns them synchronises before it lets go.
            Stream::Cuda(stream) => unsafe { stream.copy(from.cast(), to, bytes, Direction::ToDevice) },
            #[cfg(test)]
            Stream::Host => {
                // SAFETY: as above, and they are two allocations.
                unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), bytes) };
                Ok(())
            }
        }
    }

    /// Queues a copy of the device's tensor to the host.
    pub(super) fn download(&mut self, stream: &Stream) -> ort::Result<()> {
        let from = self.device.data_ptr();
        let (to, bytes) = (self.host_mut().as_mut_ptr(), size_of_val(self.host()));
        match stream {
            // SAFETY: as for `upload`.
            Stream::Cuda(stream) => unsafe { stream.copy(from, to.cast(), bytes, Direction::ToHost) },
            #[cfg(test)]
            Stream::Host => {
                // SAFETY: as for `upload`.
                unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), bytes) };
                Ok(())
            }
        }
    }
}
