//! ONNX Runtime: which library is loaded, once a process, and on which device it runs.
//!
//! The code for CUDA is always compiled; whether it can run is decided by the library that is loaded. The
//! program brings the CPU library ([`marquee_shipped`]), and takes one that lies beside it instead;
//! [`fetch_cuda`] brings the CUDA one into a cache folder. An explicit choice is never quietly replaced:
//! `cuda` that can't be had is an error.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::ep::ExecutionProvider;
use ort::logging::LogLevel;

use marquee_shipped::{RUNTIME, ShippedError, download};

/// The environment variable that names another library.
const DYLIB_VARIABLE: &str = "ORT_DYLIB_PATH";

/// What the caller wants the model to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// CUDA when the loaded library and the machine have it, else the CPU; the log says which.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number; an error where it can't be had.
    Cuda(u32),
}

impl FromStr for Device {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| RuntimeError::Device(text.to_owned())),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// Why ONNX Runtime can't be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Not a device.
    #[error("{0:?} is not a device; write auto, cpu, cuda or cuda:N")]
    Device(String),
    /// No library.
    #[error(
        "ONNX Runtime's library is not at {}; build again without ORT_DYLIB_PATH, or set it to a libonnxruntime.so of \
         version {} or later",
        .0.display(),
        download::VERSION
    )]
    Missing(PathBuf),
    /// The library in the program can't be unpacked.
    #[error("{0}; or set ORT_DYLIB_PATH to a libonnxruntime.so of version {version} or later", version = download::VERSION)]
    Shipped(#[from] ShippedError),
    /// A library that can't be loaded.
    #[error("ONNX Runtime could not be loaded from {}: {why}; set ORT_DYLIB_PATH to one that works", path.display())]
    Load {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        why: String,
    },
    /// No CUDA in the library or the machine.
    #[error(
        "device cuda can't be had: {0}; run `marquee-server runtime fetch --device cuda`, point ORT_DYLIB_PATH at what \
         it fetched, or choose --device cpu"
    )]
    Cuda(String),
    /// A GPU that answers errors; most of them it keeps answering until the process ends.
    #[error("the GPU failed: {0}; start the server again, or choose --device cpu")]
    Gpu(String),
    /// The CUDA library could not be fetched.
    #[error("{0}")]
    Fetch(String),
}

/// The process's ONNX Runtime, loaded by the first call; later calls get the same, or the same error.
///
/// # Errors
/// [`RuntimeError`] when there is no library or it can't be loaded.
pub fn init() -> Result<&'static Environment, RuntimeError> {
    static ENVIRONMENT: OnceLock<Result<Environment, RuntimeError>> = OnceLock::new();
    ENVIRONMENT.get_or_init(load).as_ref().map_err(Clone::clone)
}

/// A library that is there to be loaded, or was named to be. Printed, it is a sentence that says where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The file.
    pub path: PathBuf,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a library comes from; the first that there is counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `ORT_DYLIB_PATH` names it.
    Named,
    /// It lies beside the program, in a `lib` beside that, or in the target folder.
    Beside,
    /// The program brings it.
    Shipped,
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.origin {
            Origin::Named => "named by ORT_DYLIB_PATH",
            Origin::Beside => "beside the program",
            Origin::Shipped => "unpacked from the program",
        };
        write!(f, "ONNX Runtime is {}, {origin}.", self.path.display())
    }
}

/// The library that [`init`] loads; the program's own is unpacked for it.
///
/// # Errors
/// [`RuntimeError::Shipped`] when that can't be done.
pub fn library() -> Result<Library, RuntimeError> {
    if let Some(library) = outside_the_program() {
        return Ok(library);
    }
    let path = download::library(&RUNTIME.folder()?);
    Ok(Library { path, origin: Origin::Shipped })
}

/// The library that is named, or lies beside the program.
fn outside_the_program() -> Option<Library> {
    let named = env::var_os(DYLIB_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let library = |origin| move |path| Library { path, origin };
    named.map(library(Origin::Named)).or_else(|| {
        let program = env::current_exe().ok()?;
        beside(&program).map(library(Origin::Beside))
    })
}

/// The library in the program's folder, or in one of the two above: those of an installation (`lib` beside `bin`), and
/// of a build, whose tests lie two folders below the target folder.
fn beside(program: &Path) -> Option<PathBuf> {
    let folders = program.ancestors().skip(1).take(3);
    let places = folders
        .flat_map(|folder| [folder.to_owned(), folder.join("lib"), folder.join(download::folder_name())]);
    places.map(|folder| download::library(&folder)).find(|library| library.is_file())
}

fn load() -> Result<Environment, RuntimeError> {
    let library = library()?;
    let path = library.path.clone();
    if !path.is_file() {
        return Err(RuntimeError::Missing(path));
    }
    let failed = |why: String| RuntimeError::Load { path: path.clone(), why };
    let environment = ort::init_from(&path)
        .map_err(|error| failed(error.to_string()))?
        .with_name("marquee")
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    environment.set_log_level(log_level());
    tracing::info!(library = %path.display(), origin = ?library.origin, "loaded ONNX Runtime");
    Ok(environment)
}

/// What the log takes of ONNX Runtime's messages. Not told, it writes all of them, forty a sequence, for a log that
/// drops them: a fiftieth of the time of an encoding.
fn log_level() -> LogLevel {
    if tracing::enabled!(target: "ort::logging", tracing::Level::TRACE) {
        LogLevel::Verbose
    } else if tracing::enabled!(target: "ort::logging", tracing::Level::INFO) {
        LogLevel::Info
    } else {
        LogLevel::Warning
    }
}

/// Whether the loaded library has the CUDA provider; the machine may still lack the GPU.
///
/// # Errors
/// [`RuntimeError`] when there is no library.
pub(crate) fn has_cuda() -> Result<bool, RuntimeError> {
    init()?;
    Ok(ort::ep::CUDA::is_available().unwrap_or(false))
}

/// Whether CUDA's provider lies beside the library that [`init`] loads; nothing is loaded or unpacked to find out.
pub fn comes_with_cuda() -> bool {
    outside_the_program()
        .is_some_and(|library| library.path.with_file_name("libonnxruntime_providers_cuda.so").is_file())
}

/// Brings the CUDA libraries (the wheel is 256 MB) into `cache/onnxruntime-cuda-VERSION` and returns the
/// path for `ORT_DYLIB_PATH`. What is there already is not fetched again.
///
/// # Errors
/// [`RuntimeError::Fetch`] when pip, the network or the disk fails, or there is no wheel for the machine.
pub fn fetch_cuda(cache: &Path) -> Result<PathBuf, RuntimeError> {
    let architecture = env::consts::ARCH;
    let wheel = download::cuda_wheel(architecture).ok_or_else(|| {
        RuntimeError::Fetch(format!("there is no ONNX Runtime wheel for CUDA on {architecture}"))
    })?;
    download::fetch(wheel, &cache.join(format!("onnxruntime-cuda-{}", download::VERSION)))
        .map_err(|error| RuntimeError::Fetch(error.to_string()))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_device_reads_as_it_is_written() {
        for (text, device) in [("auto", Device::Auto), ("cpu", Device::Cpu), ("cuda:3", Device::Cuda(3))] {
            assert_eq!(text.parse::<Device>().unwrap(), device);
            assert_eq!(device.to_string(), text);
        }
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
        for text in ["", "gpu", "cuda:", "cuda:-1", "CPU"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_library_beside_the_program_is_found_wherever_that_lies() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("prefix/bin/marquee-server");
        assert_eq!(beside(&program), None);
        let folder = root.path().join("prefix/lib");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(download::library(&folder), "").unwrap();
        assert_eq!(beside(&program), Some(download::library(&folder)));
        let build = root.path().join("target").join(download::folder_name());
        std::fs::create_dir_all(&build).unwrap();
        std::fs::write(download::library(&build), "").unwrap();
        let test = root.path().join("target/debug/deps/engine-0123");
        assert_eq!(beside(&test), Some(download::library(&build)));
    }

    #[test]
    fn the_runtime_writes_what_the_log_takes() {
        let level_under = |filter: &str| {
            let subscriber = tracing_subscriber::registry().with(EnvFilter::new(filter));
            tracing::subscriber::with_default(subscriber, log_level)
        };
        assert_eq!(level_under("info,ort=warn"), LogLevel::Warning);
        assert_eq!(level_under("ort=info"), LogLevel::Info);
        assert_eq!(level_under("ort=trace"), LogLevel::Verbose);
    }

    #[test]
    fn the_runtime_loads_once_and_has_no_cuda_on_the_cpu_library() {
        init().unwrap();
        assert!(std::ptr::eq(init().unwrap(), init().unwrap()));
        if env::var_os(DYLIB_VARIABLE).is_none() {
            assert!(!has_cuda().unwrap());
            assert!(!comes_with_cuda());
        }
    }
}
