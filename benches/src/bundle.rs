//! The bundle that is measured on: the caller's, or one of random weights in the shape of ML-32M.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use marquee_engine::Bundle;
use sha2::{Digest as _, Sha256};

/// Where the random bundle is kept between runs.
const KEPT: &str = ".marquee/bundles/ml32m-random";
/// The file that describes a bundle.
const MANIFEST: &str = "bundle.json";

/// The folder of the bundle: `given`, or the random one, which is made when it is not there.
///
/// # Errors
/// When Python, with the package of `onnx/`, cannot make it; the message says what to run.
pub fn taken_or_made(given: Option<PathBuf>, python: &str) -> anyhow::Result<PathBuf> {
    if let Some(folder) = given {
        return Ok(folder);
    }
    let folder = PathBuf::from(KEPT);
    if !folder.join(MANIFEST).is_file() {
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

/// A bundle's name, version and shape in a line.
pub fn described(bundle: &Bundle) -> String {
    format!(
        "{} {}, {} items, dimension {}, sequences of at most {}",
        bundle.name(),
        bundle.version(),
        bundle.items(),
        bundle.dimension(),
        bundle.maximum_length()
    )
}

/// The bundle under another version, in a temporary folder that shares its files where the system allows.
///
/// # Errors
/// When a file can't be read or written, or there is no manifest.
pub fn renamed(folder: &Path, version: &str) -> anyhow::Result<tempfile::TempDir> {
    let copy = tempfile::tempdir_in(folder.parent().context("the bundle's folder has a parent")?)?;
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_name().context("a file has a name")?;
        let target = copy.path().join(name);
        if name == MANIFEST {
            fs::write(&target, sealed(&fs::read_to_string(&file)?, version)?)?;
        } else if fs::hard_link(&file, &target).is_err() {
            fs::copy(&file, &target)?;
        }
    }
    Ok(copy)
}

/// A manifest with another version and the seal that belongs to it.
fn sealed(manifest: &str, version: &str) -> anyhow::Result<String> {
    let mut value: serde_json::Value = serde_json::from_str(manifest)?;
    value["version"] = version.into();
    let unsealed = "0".repeat(64);
    value["seal"] = unsealed.clone().into();
    let text = serde_json::to_string(&value)?;
    let seal = hex::encode(Sha256::digest(&text));
    Ok(text.replace(&unsealed, &seal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_bundle_is_accepted_under_its_new_version() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx/fixtures/tiny");
        let renamed = renamed(&fixture, "again-1").unwrap();
        assert_eq!(Bundle::open(renamed.path()).unwrap().version(), "tiny@again-1");
    }
}
