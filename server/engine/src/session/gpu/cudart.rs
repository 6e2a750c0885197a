//! The few calls of CUDA's runtime library that ONNX Runtime does not make for us: a stream of one's own,
//! pinned memory, copies in the stream's order, and capturing what the stream does as a graph.
//!
//! The library is looked up when the first GPU is asked for. It is the one that ONNX Runtime's CUDA provider
//! is linked to, so where that can be had, this can.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr;
use std::sync::OnceLock;

use libloading::Library;

/// The version of CUDA that the CUDA provider of ONNX Runtime is built for.
const LIBRARY: &str = "libcudart.so.13";

/// `cudaStreamNonBlocking`: no order with the default stream.
const NON_BLOCKING: c_uint = 1;
/// `cudaDeviceScheduleYield`: a thread that waits for the GPU yields its processor.
const YIELD: c_uint = 2;
/// `cudaInitDeviceFlagsAreValid`
const WITH_FLAGS: c_uint = 1;
/// `cudaErrorNotReady`
const NOT_READY: c_int = 600;
/// `cudaStreamCaptureModeThreadLocal`: other threads may go on doing what they like.
const THREAD_LOCAL: c_int = 1;

/// Which way bytes go, as `cudaMemcpyKind` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    ToDevice = 1,
    ToHost = 2,
}

type Handle = *mut c_void;

/// The functions, loaded once a process.
struct Cudart {
    init_device: unsafe extern "C" fn(c_int, c_uint, c_uint) -> c_int,
    set_device: unsafe extern "C" fn(c_int) -> c_int,
    stream_create: unsafe extern "C" fn(*mut Handle, c_uint) -> c_int,
    stream_destroy: unsafe extern "C" fn(Handle) -> c_int,
    stream_synchronize: unsafe extern "C" fn(Handle) -> c_int,
    stream_query: unsafe extern "C" fn(Handle) -> c_int,
    memcpy: unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int, Handle) -> c_int,
    host_alloc: unsafe extern "C" fn(*mut *mut c_void, usize, c_uint) -> c_int,
    free_host: unsafe extern "C" fn(*mut c_void) -> c_int,
    begin_capture: unsafe extern "C" fn(Handle, c_int) -> c_int,
    end_capture: unsafe extern "C" fn(Handle, *mut Handle) -> c_int,
    graph_instantiate: unsafe extern "C" fn(*mut Handle, Handle, c_ulonglong) -> c_int,
    graph_launch: unsafe extern "C" fn(Handle, Handle) -> c_int,
    graph_destroy: unsafe extern "C" fn(Handle) -> c_int,
    graph_exec_destroy: unsafe extern "C" fn(Handle) -> c_int,
    error_string: unsafe extern "C" fn(c_int) -> *const c_char,
    _library: Library,
}

impl Cudart {
    fn get() -> Result<&'static Self, String> {
        static LOADED: OnceLock<Result<Cudart, String>> = OnceLock::new();
        LOADED.get_or_init(Self::load).as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Self, String> {
        let failed = |error: libloading::Error| {
            format!("{LIBRARY} can't be used ({error}); put CUDA 13's libraries on LD_LIBRARY_PATH")
        };
        // SAFETY: loading NVIDIA's runtime library runs its initialisers only, and each function has the
        // signature that cuda_runtime_api.h of CUDA 13 declares.
        unsafe {
            let library = Library::new(LIBRARY).map_err(failed)?;
            Ok(Self {
                init_device: *library.get(b"cudaInitDevice").map_err(failed)?,
                set_device: *library.get(b"cudaSetDevice").map_err(failed)?,
                stream_create: *library.get(b"cudaStreamCreateWithFlags").map_err(failed)?,
                stream_destroy: *library.get(b"cudaStreamDestroy").map_err(failed)?,
                stream_synchronize: *library.get(b"cudaStreamSynchronize").map_err(failed)?,
                stream_query: *library.get(b"cudaStreamQuery").map_err(failed)?,
                memcpy: *library.get(b"cudaMemcpyAsync").map_err(failed)?,
                host_alloc: *library.get(b"cudaHostAlloc").map_err(failed)?,
                free_host: *library.get(b"cudaFreeHost").map_err(failed)?,
                begin_capture: *library.get(b"cudaStreamBeginCapture").map_err(failed)?,
                end_capture: *library.get(b"cudaStreamEndCapture").map_err(failed)?,
                graph_instantiate: *library.get(b"cudaGraphInstantiateWithFlags").map_err(failed)?,
                graph_launch: *library.get(b"cudaGraphLaunch").map_err(failed)?,
                graph_destroy: *library.get(b"cudaGraphDestroy").map_err(failed)?,
                graph_exec_destroy: *library.get(b"cudaGraphExecDestroy").map_err(failed)?,
                error_string: *library.get(b"cudaGetErrorString").map_err(failed)?,
                _library: library,
            })
        }
    }

    fn check(&self, call: &str, code: c_int) -> ort::Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the library answers a static string for any code.
        let text = unsafe { CStr::from_ptr((self.error_string)(code)) }.to_string_lossy();
        Err(ort::Error::new(format!("{call}: {text} (CUDA error {code})")))
    }
}

/// A stream of one's own on one GPU.
pub(super) struct CudaStream {
    library: &'static Cudart,
    device: c_int,
    stream: Handle,
}

// SAFETY: CUDA's handles may be used from any thread; the stream is used by one thread at a time.
unsafe impl Send for CudaStream {}

impl CudaStream {
    /// A new stream on GPU `device`.
    pub(super) fn new(device: u32) -> ort::Result<Self> {
        let library = Cudart::get().map_err(ort::Error::new)?;
        let mut made = Self { library, device: device as c_int, stream: ptr::null_mut() };
        // SAFETY: any number may be asked for; an error comes back for one that there is not.
        let code = unsafe { (library.init_device)(made.device, YIELD, WITH_FLAGS) };
        library.check("cudaInitDevice", code)?;
        made.set_device()?;
        // SAFETY: the pointer is to a live place for the handle.
        let code = unsafe { (library.stream_create)(&raw mut made.stream, NON_BLOCKING) };
        library.check("cudaStreamCreateWithFlags", code)?;
        Ok(made)
    }

    /// The handle, for ONNX Runtime.
    pub(super) fn handle(&self) -> *mut () {
        self.stream.cast()
    }

    /// Makes the stream's GPU that of the calling thread.
    pub(super) fn set_device(&self) -> ort::Result<()> {
        // SAFETY: any number may be asked for; an error comes back for one that there is not.
        self.library.check("cudaSetDevice", unsafe { (self.library.set_device)(self.device) })
    }

    /// Waits until everything that was queued is done.
    pub(super) fn synchronize(&self) -> ort::Result<()> {
        // SAFETY: the stream is live.
        let code = unsafe { (self.library.stream_synchronize)(self.stream) };
        self.library.check("cudaStreamSynchronize", code)
    }

    /// Whether everything that was queued is done.
    pub(super) fn is_done(&self) -> ort::Result<bool> {
        // SAFETY: the stream is live.
        match unsafe { (self.library.stream_query)(self.stream) } {
            NOT_READY => Ok(false),
            code => self.library.check("cudaStreamQuery", code).map(|()| true),
        }
    }

    /// Queues a copy.
    ///
    /// # Safety
    /// Both places are live and hold `bytes` until the stream is synchronised, one on the host, one on this GPU.
    pub(super) unsafe fn copy(
        &self,
        from: *const c_void,
        to: *mut c_void,
        bytes: usize,
        direction: Direction,
    ) -> ort::Result<()> {
        // SAFETY: promised by the caller.
        let code = unsafe { (self.library.memcpy)(to, from, bytes, direction as c_int, self.stream) };
        self.library.check("cudaMemcpyAsync", code)
    }

    /// What is queued from now on is recorded and not done, until [`end_capture`](Self::end_capture).
    pub(super) fn begin_capture(&self) -> ort::Result<()> {
        // SAFETY: the stream is live.
        let code = unsafe { (self.library.begin_capture)(self.stream, THREAD_LOCAL) };
        self.library.check("cudaStreamBeginCapture", code)
    }

    /// The recorded work, which can be done again and again on the same memory.
    pub(super) fn end_capture(&self) -> ort::Result<CudaGraph> {
        let mut graph = ptr::null_mut();
        // SAFETY: the stream is live and the pointer is to a place for the handle.
        let code = unsafe { (self.library.end_capture)(self.stream, &raw mut graph) };
        self.library.check("cudaStreamEndCapture", code)?;
        let mut executable = ptr::null_mut();
        // SAFETY: the graph is live; the executable does not need it after it is made.
        let code = unsafe {
            let code = (self.library.graph_instantiate)(&raw mut executable, graph, 0);
            (self.library.graph_destroy)(graph);
            code
        };
        self.library.check("cudaGraphInstantiateWithFlags", code)?;
        Ok(CudaGraph { library: self.library, executable })
    }

    /// Queues the recorded work of a graph that this stream captured.
    pub(super) fn launch(&self, graph: &CudaGraph) -> ort::Result<()> {
        // SAFETY: both handles are live.
        let code = unsafe { (self.library.graph_launch)(graph.executable, self.stream) };
        self.library.check("cudaGraphLaunch", code)
    }

    /// Page-locked memory for `length` elements, zeroed.
    pub(super) fn pinned<T: bytemuck::Pod>(&self, length: usize) -> ort::Result<Pinned<T>> {
        let mut place = ptr::null_mut();
        let bytes = length * size_of::<T>();
        // SAFETY: the pointer is to a place for the address.
        let code = unsafe { (self.library.host_alloc)(&raw mut place, bytes, 0) };
        self.library.check("cudaHostAlloc", code)?;
        // SAFETY: the memory is ours, as long as asked for, and aligned to a page; zeros are valid elements.
        unsafe { ptr::write_bytes(place.cast::<u8>(), 0, bytes) };
        Ok(Pinned { library: self.library, place: place.cast(), length })
    }
}

impl Drop for CudaStream {
    fn drop(&mut self) {
        if !self.stream.is_null() {
            // SAFETY: the stream is live and nothing uses it any more.
            let _ = unsafe { (self.library.stream_destroy)(self.stream) };
        }
    }
}

/// Recorded work of a stream.
pub(super) struct CudaGraph {
    library: &'static Cudart,
    executable: Handle,
}

// SAFETY: as for the stream.
unsafe impl Send for CudaGraph {}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: the handle is live and nothing uses it any more.
        let _ = unsafe { (self.library.graph_exec_destroy)(self.executable) };
    }
}

/// Page-locked memory, which a GPU reads and writes without a copy in between.
pub(super) struct Pinned<T> {
    library: &'static Cudart,
    place: *mut T,
    length: usize,
}

// SAFETY: it owns its memory.
unsafe impl<T: Send> Send for Pinned<T> {}

impl<T> Pinned<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        // SAFETY: the memory is live, initialised and as long as this.
        unsafe { std::slice::from_raw_parts(self.place, self.length) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.place, self.length) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: the memory came from cudaHostAlloc and nothing uses it any more.
        let _ = unsafe { (self.library.free_host)(self.place.cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_cuda_gets_an_error_that_says_so() {
        // ONNX Runtime's errors are its library's.
        crate::runtime::init().unwrap();
        if let Err(error) = CudaStream::new(0) {
            let error = error.to_string();
            assert!(error.contains("libcudart.so.13") || error.contains("CUDA error"), "{error}");
        }
    }
}
