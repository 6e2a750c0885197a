//! The download of ONNX Runtime's shared library, which is taken out of a Python wheel.
//!
//! The library is published for every platform as a wheel on PyPI, and pip is the client that knows where
//! the configured index is; so pip fetches it, by package name, and this file checks its sha256 and takes
//! the libraries out. The build script does so for the CPU, `marquee-server runtime fetch` for CUDA: the
//! file is compiled into both and so uses nothing of the crate.

use std::fs::{self, File};
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// The version of ONNX Runtime that the server is built for.
pub const VERSION: &str = "1.31.1";

/// A Python wheel, pinned by its hash.
#[derive(Clone, Copy, Debug)]
pub struct Wheel {
    /// The package's name on PyPI.
    pub package: &'static str,
    /// Platform tags, any of which pip may take.
    pub platforms: &'static [&'static str],
    /// The wheel's sha256.
    pub sha256: &'static str,
}

const X86_64: &[&str] = &["manylinux_2_27_x86_64", "manylinux_2_28_x86_64"];
const AARCH64: &[&str] = &["manylinux_2_27_aarch64", "manylinux_2_28_aarch64"];

/// The wheel whose library runs on the CPU, for an architecture as Rust names it; Linux only.
pub fn cpu_wheel(architecture: &str) -> Option<Wheel> {
    let (platforms, sha256) = match architecture {
        "x86_64" => (X86_64, "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536"),
        "aarch64" => (AARCH64, "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc"),
        _ => return None,
    };
    Some(Wheel { package: "onnxruntime", platforms, sha256 })
}

/// The wheel whose libraries run on CUDA 13; there is one for x86-64 only.
pub fn cuda_wheel(architecture: &str) -> Option<Wheel> {
    let sha256 = "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7";
    (architecture == "x86_64").then_some(Wheel { package: "onnxruntime-gpu", platforms: X86_64, sha256 })
}

/// Why there is no library. Each message is one sentence that says what to do.
#[derive(Debug)]
pub enum DownloadError {
    /// There is no pip, or it could not fetch the wheel.
    Fetch(String),
    /// The wheel is not the pinned one.
    Hash {
        /// The package.
        package: &'static str,
        /// The digest that it has.
        found: String,
    },
    /// The wheel could not be read or the library not be written.
    Io(String),
}

impl std::fmt::Display for DownloadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fetch(why) => write!(
                f,
                "ONNX Runtime {VERSION} could not be fetched with pip ({why}): install Python 3 with pip and give it \
                 a network, or set ORT_DYLIB_PATH to a libonnxruntime.so of version {VERSION} or later that you have"
            ),
            Self::Hash { package, found } => write!(
                f,
                "the wheel {package} {VERSION} that pip fetched has sha256 {found}, which is not the pinned one: clear \
                 pip's cache, check the index that it uses and try again"
            ),
            Self::Io(why) => write!(
                f,
                "ONNX Runtime {VERSION} could not be unpacked ({why}): check the disk and try again"
            ),
        }
    }
}

impl std::error::Error for DownloadError {}

impl From<io::Error> for DownloadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// The folder of the CPU's library, in the target folder as beside an installed program.
pub fn folder_name() -> String {
    format!("onnxruntime-{VERSION}")
}

/// The main library of `folder`, whether it is there or not.
pub fn library(folder: &Path) -> PathBuf {
    folder.join(format!("libonnxruntime.so.{VERSION}"))
}

/// Brings the libraries of `wheel` into `folder` and returns the path of the main one. What is there
/// already is taken as it is: the folder appears whole or not at all.
///
/// # Errors
/// [`DownloadError`] when pip or the disk fails, or the wheel is another one than the pinned.
pub fn fetch(wheel: Wheel, folder: &Path) -> Result<PathBuf, DownloadError> {
    let library = library(folder);
    if library.exists() {
        return Ok(library);
    }
    let parent =
        folder.parent().ok_or_else(|| DownloadError::Io(format!("{} has no parent", folder.display())))?;
    fs::create_dir_all(parent)?;
    let work = parent.join(format!(".{}-{}", wheel.package, std::process::id()));
    let unpacked = work.join("libraries");
    fs::create_dir_all(&unpacked)?;
    let result = pip_download(wheel, &work)
        .and_then(|file| verify(wheel, &file).and_then(|()| unpack(&file, &unpacked)))
        .and_then(|()| place(&unpacked, folder));
    // What is left of the work folder is of no use to anyone, and a failure to remove it harms nobody.
    let _ = fs::remove_dir_all(&work);
    result.map(|()| library)
}

/// Moves the unpacked libraries to where they are looked for; another process may have been faster.
fn place(unpacked: &Path, folder: &Path) -> Result<(), DownloadError> {
    match fs::rename(unpacked, folder) {
        Err(_) if library(folder).exists() => Ok(()),
        Err(_) if folder.exists() => {
            fs::remove_dir_all(folder)?;
            Ok(fs::rename(unpacked, folder)?)
        }
        result => Ok(result?),
    }
}

/// The wheel of the pinned version in `folder`, by whichever pip there is.
fn pip_download(wheel: Wheel, folder: &Path) -> Result<PathBuf, DownloadError> {
    let mut why = "there is no Python 3 with pip on the path".to_owned();
    for (program, leading) in [("python3", &["-m", "pip"][..]), ("python", &["-m", "pip"]), ("pip3", &[])] {
        let mut command = Command::new(program);
        command.args(leading).args(["download", "--quiet", "--disable-pip-version-check", "--no-input"]);
        // An old pip finds the wheel only by the tags of its platform.
        command.args(["--no-deps", "--only-binary=:all:", "--implementation", "cp"]);
        command.args(["--python-version", "3.12", "--abi", "cp312"]);
        for platform in wheel.platforms {
            command.args(["--platform", platform]);
        }
        command.arg("--dest").arg(folder).arg(format!("{}=={VERSION}", wheel.package));
        match command.output() {
            Ok(output) if output.status.success() => return downloaded(folder),
            Ok(output) => why = last_line(&output.stderr).unwrap_or(why),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => why = error.to_string(),
        }
    }
    Err(DownloadError::Fetch(why))
}

fn last_line(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

fn downloaded(folder: &Path) -> Result<PathBuf, DownloadError> {
    fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| DownloadError::Fetch("pip reported success and left no wheel".to_owned()))
}

fn verify(wheel: Wheel, file: &Path) -> Result<(), DownloadError> {
    let mut reader = io::BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut digest = Sha256::new();
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        digest.update(bytes);
        let read = bytes.len();
        reader.consume(read);
    }
    let found = hex::encode(digest.finalize());
    if found == wheel.sha256 { Ok(()) } else { Err(DownloadError::Hash { package: wheel.package, found }) }
}

/// Takes every `libonnxruntime*.so*` of the wheel into `folder`.
fn unpack(file: &Path, folder: &Path) -> Result<(), DownloadError> {
    let zip_error = |error: zip::result::ZipError| DownloadError::Io(error.to_string());
    let mut archive = zip::ZipArchive::new(File::open(file)?).map_err(zip_error)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(zip_error)?;
        let name = entry.name().map_err(zip_error)?.into_owned();
        let Some(file_name) = name.strip_prefix("onnxruntime/capi/") else { continue };
        if file_name.starts_with("libonnxruntime") && !file_name.contains('/') {
            let mut library = File::create(folder.join(file_name))?;
            io::copy(&mut entry, &mut library)?;
            // Cargo watches it, and would take a file that is younger than the build for one that has changed: the
            // second build would compile the server again.
            library.set_modified(SystemTime::UNIX_EPOCH)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn libraries_come_out_of_a_wheel_older_than_any_build() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.whl");
        let mut wheel = zip::ZipWriter::new(File::create(&file).unwrap());
        for name in
            ["onnxruntime/capi/libonnxruntime.so.1", "onnxruntime/capi/other.so", "onnxruntime/__init__.py"]
        {
            wheel.start_file(name, SimpleFileOptions::default()).unwrap();
            wheel.write_all(name.as_bytes()).unwrap();
        }
        wheel.finish().unwrap();
        let unpacked = folder.path().join("libraries");
        fs::create_dir(&unpacked).unwrap();
        unpack(&file, &unpacked).unwrap();
        assert_eq!(fs::read_dir(&unpacked).unwrap().count(), 1);
        let library = unpacked.join("libonnxruntime.so.1");
        assert_eq!(fs::read(&library).unwrap(), b"onnxruntime/capi/libonnxruntime.so.1");
        assert_eq!(fs::metadata(&library).unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
    }
}
