//! A bundle: the folder that holds everything the server needs to run one model.
//!
//! It is read and checked whole, hashes, shapes, vocabulary, before anything of it is used; the graphs are
//! checked against the stored probe when their first session is made. A bundle that is wrong in any way is
//! refused with a [`BundleError`], and what is in service stays. The format is described in
//! `onnx/BUNDLE.md`.

mod error;
mod file;
#[cfg(test)]
mod fuzz_tests;
mod manifest;
mod memory;
mod summary;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use marquee_core::idle::in_idle_time;
use marquee_retrieval::ItemRow;
use memmap2::Mmap;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use error::BundleError;
use file::BundleFile;
pub(crate) use file::{Wanted, require_wanted};
use manifest::Manifest;
pub(crate) use manifest::NativePrecision;
pub use summary::BundleSummary;
use tables::Tables;
pub(crate) use tables::{ENCODER_TABLES, Elements, Table};
#[cfg(test)]
pub(crate) use tests::{copy, judge_bf16, rename, say_other_metrics, spoil_item};

/// Bytes of a file that are hashed at once: a fifth of a millisecond.
const HASHED_AT_ONCE: usize = 256 << 10;

/// A checked bundle.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    manifest: Manifest,
    version: String,
    tables: Tables,
    /// Entry `row` is the movie id of that row.
    pub vocabulary: Vec<u32>,
    /// What was measured offline, as the manifest says it.
    pub metrics: Map<String, Value>,
    rows: FxHashMap<u32, ItemRow>,
    /// Entry `row` is the CRC-32 of that row's title, 0 where it is not known; empty when none is.
    titles: Vec<u32>,
}

/// A bundle of which nothing was read but what it says about itself.
pub(crate) struct Announced {
    folder: PathBuf,
    manifest: Manifest,
    version: String,
}

impl Announced {
    /// Reads the manifest of the bundle in `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self, BundleError> {
        let manifest = Manifest::read(folder)?;
        let version = manifest.version_text();
        Ok(Self { folder: folder.to_owned(), manifest, version })
    }

    /// As [`Bundle::version`].
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// As [`Bundle::seal`].
    pub(crate) fn seal(&self) -> &str {
        &self.manifest.seal
    }

    /// The bytes that its model takes with so many sessions on a device, in a precision, both as the manifest writes
    /// them.
    pub(crate) fn memory_bytes(&self, device: &str, precision: &str, sessions: usize) -> u64 {
        memory::bytes_of(&self.folder, &self.manifest, device, precision, sessions)
    }

    /// Reads the bundle and checks it whole, as long as it is wanted.
    pub(crate) fn open(self, wanted: Wanted<'_>) -> Result<Bundle, BundleError> {
        let Self { folder, manifest, version } = self;
        let name = folder.display().to_string();
        check_listing(&folder, &name, &manifest)?;
        let mut maps = check_hashes(&folder, &name, &manifest, wanted)?;
        let mut take = |file: &str| {
            maps.remove(file).ok_or_else(|| BundleError::Missing {
                bundle: name.clone(),
                file: file.to_owned(),
                advice: "",
            })
        };
        let vocabulary =
            read_numbers(&name, &manifest.vocabulary, &take(&manifest.vocabulary)?, manifest.items)?;
        let titles = match &manifest.titles {
            Some(file) => read_numbers(&name, file, &take(file)?, manifest.items)?,
            None => Vec::new(),
        };
        let tables = Tables::read(&name, take(&manifest.tables.file)?, &manifest)?;
        let rows: FxHashMap<u32, ItemRow> =
            vocabulary.iter().enumerate().map(|(row, movie_id)| (*movie_id, row as ItemRow)).collect();
        if rows.len() != vocabulary.len() || rows.contains_key(&0) {
            return Err(BundleError::Vocabulary {
                bundle: name,
                file: manifest.vocabulary,
                why: "has a movie id twice, or the id 0".to_owned(),
            });
        }
        let metrics = manifest.metrics.clone();
        Ok(Bundle { folder, manifest, version, tables, vocabulary, metrics, rows, titles })
    }
}

/// One encoder of a bundle.
#[derive(Clone, Debug)]
pub(crate) struct EncoderGraph {
    pub(crate) file: String,
    pub(crate) path: PathBuf,
    pub(crate) tolerance: f32,
}

/// The scorer of a bundle for the GPU.
#[derive(Clone, Debug)]
pub(crate) struct ScorerGraph {
    pub(crate) path: PathBuf,
    /// The most items that it answers for a query.
    pub(crate) largest_k: usize,
}

impl Bundle {
    /// Reads the bundle in `folder` and checks it whole.
    ///
    /// # Errors
    /// [`BundleError`] says what is wrong first; nothing of the bundle is kept.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        Announced::read(folder)?.open(&|| true)
    }

    /// `name@version`: the model version that replies name and requests may pin.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The hash of the manifest, and so of everything that the bundle holds.
    pub fn seal(&self) -> &str {
        &self.manifest.seal
    }

    /// As [`Announced::memory_bytes`].
    pub(crate) fn memory_bytes(&self, device: &str, precision: &str, sessions: usize) -> u64 {
        memory::bytes_of(&self.folder, &self.manifest, device, precision, sessions)
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// The folder that it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many items the model knows.
    pub fn items(&self) -> usize {
        self.manifest.items
    }

    /// The length of its vectors.
    pub fn dimension(&self) -> usize {
        self.manifest.dimension
    }

    /// The longest history that it reads.
    pub fn maximum_length(&self) -> usize {
        self.manifest.maximum_length
    }

    /// The row of a movie; `None` when the model does not know it.
    pub fn row_of(&self, movie_id: u32) -> Option<ItemRow> {
        self.rows.get(&movie_id).copied()
    }

    /// Whether a row's movie had this title in the training data; `None` when the bundle does not say.
    pub fn has_title(&self, row: ItemRow, title: &str) -> Option<bool> {
        let trained_on = self.titles.get(row as usize).filter(|hash| **hash != 0)?;
        Some(*trained_on == crc32fast::hash(title.as_bytes()))
    }

    /// The output embeddings, `items x dimension`, row-major.
    pub fn output_embeddings(&self) -> &[f32] {
        self.tables.output()
    }

    /// The output embedding of a row.
    ///
    /// # Panics
    /// When the row is not below [`items`](Self::items).
    pub fn output_embedding(&self, row: ItemRow) -> &[f32] {
        let start = row as usize * self.dimension();
        &self.output_embeddings()[start..start + self.dimension()]
    }

    /// The probe: rows, oldest first, and the vector that the fp32 CPU encoder answered for them.
    pub(crate) fn probe(&self) -> (Vec<ItemRow>, &[f32]) {
        let probe = &self.manifest.probe;
        (probe.items.iter().map(|item| item - 1).collect(), &probe.user)
    }

    pub(crate) fn table(&self, name: &str) -> Option<Table<'_>> {
        self.tables.table(name)
    }

    /// The encoder for a device and a precision, as the manifest writes them.
    pub(crate) fn encoder(&self, device: &str, precision: &str) -> Result<EncoderGraph, BundleError> {
        let encoders = || self.manifest.graphs.iter().filter(|graph| graph.role == "encoder");
        let graph = encoders().find(|graph| graph.device == device && graph.precision == precision);
        let graph = graph.ok_or_else(|| BundleError::NoGraph {
            bundle: self.folder.display().to_string(),
            precision: precision.to_owned(),
            device: device.to_owned(),
            present: encoders()
                .map(|graph| format!("{} {}", graph.device, graph.precision))
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        Ok(EncoderGraph {
            file: graph.file.clone(),
            path: self.folder.join(&graph.file),
            tolerance: graph.tolerance.unwrap_or(self.manifest.probe.tolerance),
        })
    }

    /// What the bundle says of a precision that has no graph, as the manifest writes it; `None` where it says nothing.
    pub(crate) fn native(&self, precision: &str) -> Option<NativePrecision> {
        self.manifest.native.get(precision).copied()
    }

    /// The scorer for CUDA; without one every query is answered on the host.
    pub(crate) fn cuda_scorer(&self) -> Option<ScorerGraph> {
        let graph =
            self.manifest.graphs.iter().find(|graph| {
                graph.role == "scorer" && graph.device == "cuda" && graph.precision == "fp16"
            })?;
        Some(ScorerGraph { path: self.folder.join(&graph.file), largest_k: graph.largest_k? })
    }
}

/// Every file of the folder is listed; hidden files and Markdown are not looked at.
fn check_listing(folder: &Path, name: &str, manifest: &Manifest) -> Result<(), BundleError> {
    let unreadable = |error| BundleError::read(folder, &error);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let passed_over = path.extension().is_some_and(|extension| extension == "md");
        let is_known = file == manifest::FILE || manifest.sha256.contains_key(&file);
        if !file.starts_with('.') && !passed_over && !is_known {
            return Err(BundleError::Unlisted { bundle: name.to_owned(), file });
        }
    }
    Ok(())
}

/// Takes every listed file into memory and compares its digest; what is there is used from then on.
fn check_hashes(
    folder: &Path,
    name: &str,
    manifest: &Manifest,
    wanted: Wanted<'_>,
) -> Result<HashMap<String, Mmap>, BundleError> {
    let mut maps = HashMap::new();
    for (file, expected) in &manifest.sha256 {
        let path = folder.join(file);
        if !path.exists() {
            let random_tables = *file == manifest.tables.file && manifest.training.contains_key("random");
            let advice = if random_tables {
                ", or make the tables again with `python -m marquee_onnx random --restore-tables FOLDER`"
            } else {
                ""
            };
            return Err(BundleError::Missing { bundle: name.to_owned(), file: file.clone(), advice });
        }
        let opened = BundleFile::open(&path, manifest.max_bytes(file), wanted)?;
        let found = hash_of(&opened.bytes, wanted);
        require_wanted(wanted, &path)?;
        if found != *expected {
            let (bundle, file, expected) = (name.to_owned(), file.clone(), expected.clone());
            return Err(BundleError::HashMismatch { bundle, file, found, expected });
        }
        opened.check()?;
        maps.insert(file.clone(), opened.bytes);
    }
    Ok(maps)
}

/// The sha256 of a file, as text; of no file once it is not wanted any more.
fn hash_of(bytes: &[u8], wanted: Wanted<'_>) -> String {
    let (mut digest, mut parts) = (Sha256::new(), bytes.chunks(HASHED_AT_ONCE));
    in_idle_time(parts.len(), |_| {
        let part = parts.next().filter(|_| wanted());
        digest.update(part.unwrap_or_default());
    });
    hex::encode(digest.finalize())
}

/// The numbers of a file with a little-endian one an item.
fn read_numbers(bundle: &str, file: &str, bytes: &[u8], items: usize) -> Result<Vec<u32>, BundleError> {
    if bytes.len() != items * 4 {
        let why = format!("has {} bytes, {} are right for {items} items", bytes.len(), items * 4);
        return Err(BundleError::Vocabulary { bundle: bundle.to_owned(), file: file.to_owned(), why });
    }
    Ok(bytes.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry)).collect())
}
