//! The bundle that is measured on: the caller's, or one of random weights in the shape of ML-32M.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Where the random bundle is kept between runs.
const KEPT: &str = ".marquee/bundles/ml32m-random";

/// The folder of the bundle: `given`, or the random one, which is made when it is not there.
///
/// # Errors
/// When Python, with the package of `onnx/`, cannot make it; the message says what to run.
pub fn taken_or_made(given: Option<PathBuf>, python: &str) -> anyhow::Result<PathBuf> {
    if let Some(folder) = given {
        return Ok(folder);
    }
    let folder = PathBuf::from(KEPT);
    if !folder.join("bundle.json").is_file() {
        make(&folder, python)?;
    }
    Ok(folder)
}

fn make(folder: &Path, python: &str) -> anyhow::Result<()> {
    eprintln!("making a bundle of random weights in {}", folder.display());
    let parent = folder.parent().context("the folder has a parent")?;
    std::fs::create_dir_all(parent)?;
    let made = Command::new(python)
        .args(["-m", "marquee_onnx", "random", "--with-int8", "--with-naive", "--overwrite"])
        .arg(folder)
        .status();
    match made {
        Ok(status) if status.success() => Ok(()),
        _ => anyhow::bail!(
            "{python} has no package marquee_onnx; install it (`pip install ./onnx`), name its Python with --python, \
             or make the bundle elsewhere (`marquee-onnx random --with-int8 --with-naive DIR`) and give --bundle DIR"
        ),
    }
}
