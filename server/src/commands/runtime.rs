//! `runtime`: ONNX Runtime for the devices of this machine.

use std::error::Error;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use marquee_engine::runtime::fetch_cuda;

use super::Outcome;

/// What can be done with ONNX Runtime.
#[derive(Clone, Copy, Subcommand)]
pub(super) enum RuntimeCommand {
    /// Fetch the library for a device into the cache folder, by package name through pip, and print how
    /// to use it; the CPU's comes with the build
    Fetch {
        /// The device
        #[arg(long)]
        device: FetchDevice,
    },
}

/// A device whose library can be fetched.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum FetchDevice {
    /// CUDA.
    Cuda,
}

/// Fetches a library and prints how to use it.
pub(super) fn run(command: RuntimeCommand) -> Outcome {
    let RuntimeCommand::Fetch { device } = command;
    let library = match device {
        FetchDevice::Cuda => fetch_cuda(&cache_folder()?)?,
    };
    println!("export ORT_DYLIB_PATH={}", library.display());
    Ok(())
}

/// Where fetched libraries are kept: `$XDG_CACHE_HOME/marquee`, else `~/.cache/marquee`.
fn cache_folder() -> Result<PathBuf, Box<dyn Error>> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => std::env::home_dir().ok_or("set XDG_CACHE_HOME or HOME")?.join(".cache"),
    };
    Ok(base.join("marquee"))
}
