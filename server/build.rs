//! Brings ONNX Runtime's library for the CPU into the target folder, once for all profiles, and tells the
//! crate where it is. `ORT_DYLIB_PATH`, set while building, spares the fetch.

use std::env;
use std::path::{Path, PathBuf};

#[path = "src/engine/wheel.rs"]
#[allow(dead_code, reason = "the CUDA wheel is fetched at run time")]
mod wheel;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/engine/wheel.rs");
    println!("cargo::rerun-if-env-changed=ORT_DYLIB_PATH");
    let library = if env::var_os("ORT_DYLIB_PATH").is_some() {
        String::new()
    } else {
        match fetch() {
            Ok(library) => {
                println!("cargo::rerun-if-changed={}", library.display());
                library.display().to_string()
            }
            Err(sentence) => {
                println!("cargo::error={sentence}");
                return;
            }
        }
    };
    println!("cargo::rustc-env=MARQUEE_ONNXRUNTIME={library}");
}

fn fetch() -> Result<PathBuf, String> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("cargo did not set {name}"));
    let (system, architecture) = (variable("CARGO_CFG_TARGET_OS")?, variable("CARGO_CFG_TARGET_ARCH")?);
    let wheel = wheel::cpu(&architecture).filter(|_| system == "linux").ok_or_else(|| {
        format!(
            "there is no pinned ONNX Runtime for {system} on {architecture}: set ORT_DYLIB_PATH to a libonnxruntime \
             of version {} or later that you have",
            wheel::VERSION
        )
    })?;
    let folder =
        target_folder(Path::new(&variable("OUT_DIR")?))?.join(format!("onnxruntime-{}", wheel::VERSION));
    wheel::fetch(wheel, &folder).map_err(|error| error.to_string())
}

/// The target folder that all profiles share: `OUT_DIR` is `<target>/<profile>/build/<package>/out`.
fn target_folder(out: &Path) -> Result<&Path, String> {
    out.ancestors().nth(4).ok_or_else(|| format!("{} does not lie in a target folder", out.display()))
}
