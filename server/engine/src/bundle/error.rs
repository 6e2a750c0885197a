//! What can be wrong with a bundle. Each message says what was found, what was expected, what to do.

use std::path::{Path, PathBuf};

use crate::runtime::RuntimeError;

/// Why a bundle was refused. Nothing of a refused bundle is in use.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BundleError {
    /// A file can't be read.
    #[error("{} can't be read: {why}; a bundle is a folder with a bundle.json, see onnx/BUNDLE.md", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is something else than a file, which may have no end, or never begin.
    #[error("{} is {kind}, not a regular file; copy the bundle again", path.display())]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file is larger than any such file of a bundle.
    #[error("{} has {bytes} bytes, at most {most} are accepted; copy the bundle again", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest that is accepted.
        most: u64,
    },
    /// Another bundle is being loaded.
    #[error("bundle {bundle} has to wait: {loading} is being loaded, and one is loaded at a time")]
    Busy {
        /// The bundle's folder.
        bundle: String,
        /// The folder of the other one.
        loading: String,
    },
    /// As many models are loaded as may be.
    #[error(
        "bundle {bundle} is not loaded: at most {most} models may be (--max-models), and these are: {loaded}; unload one \
         of them first (UnloadModel)"
    )]
    TooManyModels {
        /// The bundle's folder.
        bundle: String,
        /// The most models that may be loaded.
        most: usize,
        /// Those that are, with what each takes.
        loaded: String,
    },
    /// The models would take more memory than they may.
    #[error(
        "bundle {bundle} is not loaded: it takes {needs_mib} MiB, all models together may take {most_mib} \
         (--model-memory-mib), and {loaded}; unload one first (UnloadModel), or allow more"
    )]
    TooMuchMemory {
        /// The bundle's folder.
        bundle: String,
        /// What it takes.
        needs_mib: u64,
        /// What all may take.
        most_mib: u64,
        /// A clause that names the loaded ones, with what each takes.
        loaded: String,
    },
    /// Whoever wanted it went away.
    #[error("loading {} was given up, because nobody waits for it any more", path.display())]
    GivenUp {
        /// The file or folder that was at its turn.
        path: PathBuf,
    },
    /// A file is not the one that it was when it was opened.
    #[error(
        "{} was changed while it was read; copy the bundle into a new folder, and name that one once it is whole", path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// `bundle.json` is not what it must be.
    #[error("{} is not a manifest of format 1: {why}; write the bundle again with marquee_onnx", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The manifest names a file that is not there.
    #[error("bundle {bundle}: {file} is missing; copy the bundle again{advice}")]
    Missing {
        /// The bundle's folder.
        bundle: String,
        /// The file.
        file: String,
        /// How a random bundle gets its tables back; empty for others.
        advice: &'static str,
    },
    /// There is a file that the manifest does not name.
    #[error("bundle {bundle}: {file} is not listed in bundle.json; take it out of the folder")]
    Unlisted {
        /// The bundle's folder.
        bundle: String,
        /// The file.
        file: String,
    },
    /// A file is not the one that was written.
    #[error("bundle {bundle}: {file} has sha256 {found}, bundle.json says {expected}; copy the bundle again")]
    HashMismatch {
        /// The bundle's folder.
        bundle: String,
        /// The file.
        file: String,
        /// The file's digest.
        found: String,
        /// The manifest's digest.
        expected: String,
    },
    /// A table has another shape or type than the manifest says, or is cut off.
    #[error("bundle {bundle}: {table}: {why}; write the bundle again with marquee_onnx")]
    Table {
        /// The bundle's folder.
        bundle: String,
        /// The table.
        table: String,
        /// What is wrong.
        why: String,
    },
    /// The vocabulary does not name every item once, or the titles are not one for each.
    #[error("bundle {bundle}: {file} {why}; write the bundle again with marquee_onnx")]
    Vocabulary {
        /// The bundle's folder.
        bundle: String,
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// There is no graph for what was asked.
    #[error("bundle {bundle} has no {precision} encoder for {device}; it has: {present}")]
    NoGraph {
        /// The bundle's folder.
        bundle: String,
        /// The precision that was asked.
        precision: String,
        /// The device that was asked.
        device: String,
        /// The encoders that there are.
        present: String,
    },
    /// ONNX Runtime refused a graph.
    #[error("bundle {bundle}: {file} can't be loaded: {why}; write the bundle again with marquee_onnx")]
    Graph {
        /// The bundle's folder.
        bundle: String,
        /// The graph.
        file: String,
        /// What ONNX Runtime said.
        why: String,
    },
    /// A node of a graph would run on the CPU instead of the GPU.
    #[error(
        "bundle {bundle}: {file} has nodes that the GPU can't run ({why}); write the bundle again with marquee_onnx, or \
         choose --device cpu"
    )]
    CpuFallback {
        /// The bundle's folder.
        bundle: String,
        /// The graph.
        file: String,
        /// What ONNX Runtime said.
        why: String,
    },
    /// A graph answers the probe otherwise than when the bundle was written.
    #[error(
        "bundle {bundle}: {file} is {error:.2e} away from the probe's vector, {tolerance:.2e} is allowed; write the \
         bundle again with marquee_onnx"
    )]
    Probe {
        /// The bundle's folder.
        bundle: String,
        /// The graph.
        file: String,
        /// The largest relative difference.
        error: f32,
        /// The largest that is allowed.
        tolerance: f32,
    },
    /// Another bundle of this name and version is loaded.
    #[error("bundle {bundle} is another one than the loaded {version}; give it a version of its own")]
    VersionTaken {
        /// The bundle's folder.
        bundle: String,
        /// The name and version that both have.
        version: String,
    },
    /// The scorer could not be built from the tables.
    #[error("bundle {bundle}: the scorer could not be built: {why}")]
    Scorer {
        /// The bundle's folder.
        bundle: String,
        /// What it said.
        why: String,
    },
    /// There is no ONNX Runtime, or not the device.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl BundleError {
    pub(super) fn read(path: &Path, error: &impl ToString) -> Self {
        Self::Read { path: path.to_owned(), why: error.to_string() }
    }
}
