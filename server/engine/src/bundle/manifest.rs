//! `bundle.json`: what a bundle says about itself, checked for sense before anything else is read.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::error::BundleError;
use super::file::read_text;

/// The manifest's file name.
pub(super) const FILE: &str = "bundle.json";

/// Limits that keep a wrong manifest from asking for absurd amounts of memory.
const MAX_ITEMS: usize = 1 << 28;
const MAX_DIMENSIONS: usize = 1 << 14;
const LONGEST: usize = 1 << 14;
const MAX_ELEMENTS: usize = 1 << 34;
const MAX_FILES: usize = 64;

/// Limits of the files' bytes: of the manifest itself, of what stands in a file of tables beside them, and of a
/// graph, which protobuf limits.
pub(super) const MAX_BYTES: u64 = 1 << 20;
const MAX_HEADER_BYTES: u64 = 1 << 20;
const MAX_GRAPH_BYTES: u64 = 2 << 30;

/// The parsed manifest; unknown fields are passed over.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    pub(super) name: String,
    pub(super) version: String,
    architecture: String,
    pub(super) items: usize,
    pub(super) dimension: usize,
    pub(super) maximum_length: usize,
    /// Absent in format 1.
    #[serde(default)]
    pub(super) positions: Positions,
    pub(super) tables: Tables,
    pub(super) vocabulary: String,
    /// Absent in bundles of before titles were kept, and where the training data has none.
    pub(super) titles: Option<String>,
    pub(super) graphs: Vec<Graph>,
    pub(super) sha256: BTreeMap<String, String>,
    pub(super) training: Map<String, Value>,
    #[serde(default)]
    pub(super) metrics: Map<String, Value>,
    /// Of encoders without a graph of their own, by precision; absent in bundles of before they were judged.
    #[serde(default)]
    pub(super) native: BTreeMap<String, NativePrecision>,
    pub(super) probe: Probe,
    pub(super) seal: String,
}

/// How a network knows the order of the items.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Positions {
    /// A learnt row a position, the newest item's the last.
    #[default]
    Right,
    /// A learnt bias by distance in the attention.
    Bias,
}

/// What a bundle says of a precision that has no graph.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct NativePrecision {
    /// How far the probe's answer may be off.
    pub(crate) tolerance: f32,
    /// Whether it lost little enough on the users that it was judged by; `None` where nobody judged it.
    pub(crate) kept: Option<bool>,
}

/// Where the tables are, and of what type.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tables {
    pub(super) file: String,
    pub(super) precision: TablePrecision,
}

/// The type of the tables' elements.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum TablePrecision {
    F32,
    F16,
}

/// One graph of the bundle.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Graph {
    pub(super) file: String,
    pub(super) role: String,
    pub(super) device: String,
    pub(super) precision: String,
    pub(super) tolerance: Option<f32>,
    /// Of a scorer: the most items that it answers.
    pub(super) largest_k: Option<usize>,
}

/// A history and the vector that the fp32 CPU encoder answered for it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Probe {
    /// Item numbers, from 1.
    pub(super) items: Vec<u32>,
    pub(super) user: Vec<f32>,
    pub(super) tolerance: f32,
}

impl Manifest {
    /// Reads and checks the manifest of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(FILE);
        let wrong = |why: String| BundleError::Manifest { path: path.clone(), why };
        let text = read_text(&path, MAX_BYTES)?;
        Self::sealed(&text).map_err(wrong)
    }

    /// A manifest that makes sense and is the one that was sealed.
    pub(super) fn sealed(text: &str) -> Result<Self, String> {
        let manifest = Self::parse(text)?;
        manifest.check_seal(text)?;
        Ok(manifest)
    }

    /// `name@version`.
    pub(super) fn version_text(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// A manifest that makes sense, sealed or not.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The most bytes that a file of the bundle has.
    pub(super) fn max_bytes(&self, file: &str) -> u64 {
        let items = self.items as u64;
        if file == self.tables.file {
            let rows = 2 * items + self.maximum_length as u64;
            rows * self.dimension as u64 * self.tables.precision.bytes() as u64 + MAX_HEADER_BYTES
        } else if file == self.vocabulary || self.titles.as_deref() == Some(file) {
            4 * items
        } else {
            MAX_GRAPH_BYTES
        }
    }

    /// The seal is the sha256 of the manifest's bytes with 64 zeros in the seal's place.
    fn check_seal(&self, text: &str) -> Result<(), String> {
        if self.seal.len() != 64 {
            return Err("its seal is not a sha256".to_owned());
        }
        if *self.seal == seal_of(text, &self.seal) {
            Ok(())
        } else {
            Err("it was changed after it was sealed".to_owned())
        }
    }

    fn check(&self) -> Result<(), String> {
        let between = |what: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                Ok(())
            } else {
                Err(format!("{what} is {value}, not 1 to {most}"))
            }
        };
        match (self.format, self.positions) {
            (1, Positions::Right) | (2, Positions::Bias) => {}
            (1 | 2, _) => return Err(format!("its format {} has no such positions", self.format)),
            _ => return Err(format!("its format is {}, this program reads 1 and 2", self.format)),
        }
        if self.architecture != "gsasrec" {
            return Err(format!("its architecture is {:?}, only gsasrec is known", self.architecture));
        }
        for text in [&self.name, &self.version] {
            if !is_name(text) {
                return Err(format!("{text:?} is no name: 1 to 64 of letters, digits, '.', '_' and '-'"));
            }
        }
        between("items", self.items, MAX_ITEMS)?;
        between("dimension", self.dimension, MAX_DIMENSIONS)?;
        between("maximum_length", self.maximum_length, LONGEST)?;
        between("items x dimension", self.items * self.dimension, MAX_ELEMENTS)?;
        between("the number of its files", self.sha256.len(), MAX_FILES)?;
        self.check_files()?;
        self.probe.check(self.items, self.dimension, self.maximum_length)
    }

    fn check_files(&self) -> Result<(), String> {
        for file in self.sha256.keys() {
            if !is_file_name(file) {
                return Err(format!("{file:?} is not the name of a file in the bundle's folder"));
            }
        }
        let graphs = self.graphs.iter().map(|graph| &graph.file);
        for file in graphs.chain([&self.tables.file, &self.vocabulary]).chain(&self.titles) {
            if !self.sha256.contains_key(file) {
                return Err(format!("it names {file} and has no sha256 of it"));
            }
        }
        Ok(())
    }
}

impl Probe {
    fn check(&self, items: usize, dimension: usize, maximum_length: usize) -> Result<(), String> {
        if !(1..=maximum_length).contains(&self.items.len()) {
            return Err(format!("its probe has {} items, not 1 to {maximum_length}", self.items.len()));
        }
        if let Some(item) = self.items.iter().find(|item| !(1..=items).contains(&(**item as usize))) {
            return Err(format!("its probe names item {item}, not 1 to {items}"));
        }
        if self.user.len() != dimension || !self.user.iter().all(|value| value.is_finite()) {
            return Err(format!("its probe's vector is not {dimension} finite numbers"));
        }
        if self.tolerance > 0.0 && self.tolerance < 1.0 {
            Ok(())
        } else {
            Err(format!("its probe's tolerance is {}, not between 0 and 1", self.tolerance))
        }
    }
}

/// The seal that belongs to a manifest's text, in which `seal` stands now.
pub(super) fn seal_of(text: &str, seal: &str) -> String {
    hex::encode(Sha256::digest(text.replace(seal, &"0".repeat(64))))
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// A plain name: no way out of the bundle's folder, and not one that readers pass over.
fn is_file_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\', '\0']) && text != FILE
}
