//! What the measurements of a server are given: a bundle and a binary, each brought when it is absent.

use std::path::PathBuf;

use crate::bundle::taken_or_made;
use crate::served::built_server;

/// The server that is measured, and its model.
#[derive(Clone, Debug, clap::Args)]
pub struct Measured {
    /// The bundle, made by `marquee-onnx random --with-int8 --with-naive`; made on the spot when absent.
    #[arg(long)]
    pub bundle: Option<PathBuf>,
    /// The Python that has the package marquee_onnx, for making a bundle.
    #[arg(long, default_value = "python3")]
    python: String,
    /// The server's binary; built when absent.
    #[arg(long)]
    server: Option<PathBuf>,
}

impl Measured {
    /// The bundle's folder.
    ///
    /// # Errors
    /// As [`taken_or_made`].
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        taken_or_made(self.bundle.clone(), &self.python)
    }

    /// The server's binary.
    ///
    /// # Errors
    /// As [`built_server`].
    pub fn binary(&self) -> anyhow::Result<PathBuf> {
        self.server.clone().map_or_else(built_server, Ok)
    }
}
