//! What the program brings along: the [model](MODEL) of the first start, the [sample data](SAMPLE), and
//! [ONNX Runtime](RUNTIME) for the CPU; [`download`] fetches the runtime for CUDA.
//!
//! The build packs them into the binary, so that it runs from any folder and without the repository and the target
//! folder that it was built in. Each is a [`Package`], which is unpacked on first use into the user's data folder, under
//! a name with the digest of what it holds: builds that bring the same share it, and none replaces another's.
//!
//! Nothing here knows what is in a package. The engine takes the runtime from here, the server the rest.

pub mod download;

use std::env;
use std::fs::{self, File};
use std::io::{self, Cursor, Read as _};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

/// Letters of the digest in the name of a folder.
const DIGEST_SHOWN: usize = 12;

/// A package as `build.rs` wrote it.
macro_rules! shipped {
    ($file:literal, $name:literal) => {
        Package {
            name: $name,
            zip: include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".zip")),
            digest: include_str!(concat!(env!("OUT_DIR"), "/", $file, ".sha256")),
        }
    };
}

/// The model of the first start, a bundle.
pub static MODEL: Package = shipped!("model", "movielens-small");
/// The sample, a MovieLens folder.
pub static SAMPLE: Package = shipped!("sample", "ml-latest-small");
/// ONNX Runtime's library; empty when the program was built with `ORT_DYLIB_PATH` set.
pub static RUNTIME: Package = shipped!("runtime", "onnxruntime");

/// Files in the binary.
#[derive(Debug)]
pub struct Package {
    name: &'static str,
    zip: &'static [u8],
    digest: &'static str,
}

/// Why a package cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ShippedError {
    /// Nobody says where the user's data is.
    #[error(
        "there is no folder for what the program brings along: set HOME, or XDG_DATA_HOME to a folder of yours"
    )]
    NoHome,
    /// The disk does not take it.
    #[error("{} cannot be unpacked: {why}; make room there, or set XDG_DATA_HOME to another folder", folder.display())]
    Unpack {
        /// Where to.
        folder: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The binary is damaged, or was built by another build script.
    #[error("the program does not bring {file}; build or copy it again")]
    Missing {
        /// The file.
        file: String,
    },
}

impl Package {
    /// The folder with the package's files, unpacked into the user's data folder unless it is there.
    ///
    /// # Errors
    /// [`ShippedError`] when there is no such folder, or the disk does not take the files.
    pub fn folder(&self) -> Result<PathBuf, ShippedError> {
        self.unpacked_in(&data_home().ok_or(ShippedError::NoHome)?.join("marquee"))
    }

    /// One file, read from the binary.
    ///
    /// # Errors
    /// [`ShippedError::Missing`] when the package does not have it.
    pub fn file(&self, name: &str) -> Result<Vec<u8>, ShippedError> {
        let missing = || ShippedError::Missing { file: name.to_owned() };
        let mut archive = ZipArchive::new(Cursor::new(self.zip)).map_err(|_| missing())?;
        let mut bytes = Vec::new();
        let read = archive.by_name(name).map(|mut entry| entry.read_to_end(&mut bytes));
        read.map_err(|_| missing())?.map_err(|_| missing())?;
        Ok(bytes)
    }

    /// The folder in `home`: it appears whole or not at all.
    ///
    /// # Errors
    /// [`ShippedError::Unpack`] when the disk does not take the files.
    pub fn unpacked_in(&self, home: &Path) -> Result<PathBuf, ShippedError> {
        let folder = home.join(format!("{}-{}", self.name, &self.digest[..DIGEST_SHOWN]));
        if folder.is_dir() {
            return Ok(folder);
        }
        // No other process has it, not one with this one's number in another container either.
        let work = home.join(format!(".{}-{:016x}", self.name, rand::random::<u64>()));
        let unpacked = self.unpack(&work).and_then(|()| place(&work, &folder));
        // Nothing is left of it after success, and what a failure leaves is of no use.
        let _ = fs::remove_dir_all(&work);
        match unpacked {
            Ok(()) => Ok(folder),
            Err(error) => Err(ShippedError::Unpack { folder, why: error.to_string() }),
        }
    }

    fn unpack(&self, work: &Path) -> io::Result<()> {
        fs::create_dir_all(work)?;
        let failed = |error: ZipError| io::Error::other(error);
        let mut archive = ZipArchive::new(Cursor::new(self.zip)).map_err(failed)?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(failed)?;
            let mut file = File::create(work.join(entry.name().map_err(failed)?.as_ref()))?;
            io::copy(&mut entry, &mut file)?;
            // A folder that has its name is taken as it is, so it has to be on the disk before.
            file.sync_all()?;
        }
        Ok(())
    }
}

/// Gives a finished folder its name, unless another process was faster.
fn place(work: &Path, folder: &Path) -> io::Result<()> {
    match fs::rename(work, folder) {
        Err(_) if folder.is_dir() => Ok(()),
        renamed => renamed,
    }
}

/// Where the user's programs keep their data: `$XDG_DATA_HOME`, else `~/.local/share`.
fn data_home() -> Option<PathBuf> {
    let named = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(env::home_dir().filter(|home| home.is_absolute())?.join(".local/share")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_unpacked_once_and_leaves_nothing_beside_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = SAMPLE.unpacked_in(home.path()).unwrap();
        fs::remove_file(folder.join("tags.csv")).unwrap();
        assert_eq!(SAMPLE.unpacked_in(home.path()).unwrap(), folder);
        assert!(!folder.join("tags.csv").exists());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_terms_of_the_data_come_with_it() {
        let terms = String::from_utf8(SAMPLE.file("README.txt").unwrap()).unwrap();
        assert!(terms.contains("commercial"), "{terms}");
        assert!(MODEL.file("MODEL_CARD.md").is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_one_sentence_with_a_way_out() {
        let home = tempfile::NamedTempFile::new().unwrap();
        let error = SAMPLE.unpacked_in(home.path()).unwrap_err().to_string();
        assert!(error.contains("XDG_DATA_HOME"), "{error}");
    }
}
