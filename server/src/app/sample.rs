//! The first start: an empty store is filled with the bundled sample.

use std::path::Path;

use super::StartError;
use crate::clock::now_ms;
use crate::import::{ImportOptions, import};
use crate::store::Store;
use indicatif::ProgressBar;

/// Imports the sample folder into a store that has no movies; a folder that is not there is left out.
///
/// # Errors
/// [`StartError`] when the store cannot be read or the folder cannot be imported.
pub async fn import_sample(sample: &Path, store: &dyn Store) -> Result<(), StartError> {
    if !store.movies(None, 1).await?.is_empty() {
        return Ok(());
    }
    if !sample.is_dir() {
        tracing::info!(sample = %sample.display(), "there is no sample folder: starting with an empty catalogue");
        return Ok(());
    }
    tracing::info!(sample = %sample.display(), "the store is empty: importing the sample");
    let report = import(sample, store, ImportOptions::new(now_ms()), &ProgressBar::hidden()).await?;
    tracing::info!(%report, "the sample is imported");
    Ok(())
}
