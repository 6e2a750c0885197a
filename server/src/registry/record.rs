//! What the registry knows of a version beside the bundle's own manifest: a hidden file in its folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use marquee_core::domain::TimeMs;
use serde::{Deserialize, Serialize};

use super::{Registered, RegistryError};

/// Its name; readers of bundles do not look at it.
pub(super) const FILE: &str = ".registry.json";

/// The record; fields that are not known are passed over, and those of later releases are optional.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) created_ms: TimeMs,
    pub(super) bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
}

impl Record {
    /// What is to be written of a version.
    pub(super) fn of(version: &Registered) -> Self {
        let Registered { created_ms, bytes, parent, tags, .. } = version;
        Self { created_ms: *created_ms, bytes: *bytes, parent: parent.clone(), tags: tags.clone() }
    }

    /// The record in a folder; `None` where there is none, or none that can be read.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, RegistryError> {
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|error| RegistryError::disk(&path, "read", &error))?,
        };
        let record = serde_json::from_slice(&bytes);
        Ok(record
            .inspect_err(
                |error| tracing::warn!(file = %path.display(), %error, "version of a model passed over"),
            )
            .ok())
    }

    /// Writes it into a folder, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), RegistryError> {
        let path = folder.join(FILE);
        let written = serde_json::to_vec(self).map_err(io::Error::from).and_then(|text| {
            let mut file = File::create(&path)?;
            file.write_all(&text)?;
            file.sync_all()
        });
        written.map_err(|error| RegistryError::disk(&path, "written", &error))
    }
}
