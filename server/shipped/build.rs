//! Packs what the program brings along, which `src/lib.rs` unpacks: the model of the first start, the sample, and
//! ONNX Runtime's library for the CPU. The library is fetched into the target folder, once for all profiles;
//! `ORT_DYLIB_PATH`, set while building, spares the fetch, and the program then brings none.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

#[path = "src/download.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the CUDA libraries are downloaded at run time, by another crate"
)]
mod download;

/// The folders of the repository that are packed, by the names of their packages.
const FOLDERS: [(&str, &str); 2] =
    [("model", "../../onnx/bundles/movielens-small"), ("sample", "../../onnx/data/ml-latest-small")];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/download.rs");
    println!("cargo::rerun-if-env-changed=ORT_DYLIB_PATH");
    if let Err(sentence) = pack_all() {
        println!("cargo::error={sentence}");
    }
}

fn pack_all() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    for (name, folder) in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        pack(&out, name, &files(Path::new(folder))?)?;
    }
    let runtime = if env::var_os("ORT_DYLIB_PATH").is_some() { Vec::new() } else { vec![fetch(&out)?] };
    pack(&out, "runtime", &runtime)
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}

/// The files of a folder that has no folders in it, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let read = |error: io::Error| format!("{} cannot be read: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(read)?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(read)?;
    files.sort();
    Ok(files)
}

/// Writes `NAME.zip` with the files, and `NAME.sha256` with its digest; equal files make equal bytes.
fn pack(out: &Path, name: &str, files: &[PathBuf]) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{name} cannot be packed: {error}");
    let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        zip.start_file(file_name, SimpleFileOptions::default()).map_err(|error| failed(&error))?;
        let mut file = File::open(file).map_err(|error| failed(&error))?;
        io::copy(&mut file, &mut zip).map_err(|error| failed(&error))?;
    }
    let bytes = zip.finish().map_err(|error| failed(&error))?.into_inner();
    let digest = hex::encode(Sha256::digest(&bytes));
    let write = |extension: &str, bytes: &[u8]| {
        File::create(out.join(format!("{name}.{extension}")))?.write_all(bytes)
    };
    write("zip", &bytes).and_then(|()| write("sha256", digest.as_bytes())).map_err(|error| failed(&error))
}

/// ONNX Runtime's library, fetched unless it is there.
fn fetch(out: &Path) -> Result<PathBuf, String> {
    let (system, architecture) = (variable("CARGO_CFG_TARGET_OS")?, variable("CARGO_CFG_TARGET_ARCH")?);
    let wheel = download::cpu_wheel(&architecture).filter(|_| system == "linux").ok_or_else(|| {
        format!(
            "there is no pinned ONNX Runtime for {system} on {architecture}: set ORT_DYLIB_PATH to a libonnxruntime \
             of version {} or later that you have",
            download::VERSION
        )
    })?;
    let folder = target_folder(out)?.join(download::folder_name());
    download::fetch(wheel, &folder).map_err(|error| error.to_string())
}

/// The target folder that all profiles share: `OUT_DIR` is `<target>/<profile>/build/<package>/out`.
fn target_folder(out: &Path) -> Result<&Path, String> {
    out.ancestors().nth(4).ok_or_else(|| format!("{} does not lie in a target folder", out.display()))
}
