//! What a bundle says of itself, for those who keep bundles and do not run them.

use std::path::Path;

use serde_json::{Map, Value};

use super::error::BundleError;
use super::manifest::{self, Manifest};

/// A sealed manifest that makes sense. Nothing else of the bundle was looked at.
#[derive(Clone, Debug)]
pub struct BundleSummary(Manifest);

impl BundleSummary {
    /// The manifest's name in the bundle's folder.
    pub const FILE: &str = manifest::FILE;
    /// The most bytes that a manifest has.
    pub const MAX_BYTES: u64 = manifest::MAX_BYTES;

    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it, as words after "it is no manifest".
    pub fn parse(manifest: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(manifest).map_err(|error| error.to_string())?;
        Manifest::sealed(text).map(Self)
    }

    /// Reads the manifest of the bundle in `folder`.
    ///
    /// # Errors
    /// [`BundleError`] when it cannot be read, or is none.
    pub fn read(folder: &Path) -> Result<Self, BundleError> {
        Manifest::read(folder).map(Self)
    }

    /// `name@version`: the model version that replies name and requests may pin.
    pub fn version(&self) -> String {
        self.0.version_text()
    }

    /// The hash of the manifest, and so of everything that the bundle holds.
    pub fn seal(&self) -> &str {
        &self.0.seal
    }

    /// The files beside the manifest with their sha256, as 64 hexadecimal digits.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.sha256.iter().map(|(file, sha256)| (file.as_str(), sha256.as_str()))
    }

    /// The sha256 of a file that is listed.
    pub fn sha256(&self, file: &str) -> Option<&str> {
        self.0.sha256.get(file).map(String::as_str)
    }

    /// The most bytes that a listed file has.
    pub fn max_bytes(&self, file: &str) -> u64 {
        self.0.max_bytes(file)
    }

    /// How many items the model knows.
    pub fn items(&self) -> usize {
        self.0.items
    }

    /// The length of its vectors.
    pub fn dimension(&self) -> usize {
        self.0.dimension
    }

    /// The longest history that it reads.
    pub fn maximum_length(&self) -> usize {
        self.0.maximum_length
    }

    /// What was measured.
    pub fn metrics(&self) -> &Map<String, Value> {
        &self.0.metrics
    }

    /// What it was trained on, and how.
    pub fn training(&self) -> &Map<String, Value> {
        &self.0.training
    }
}
