//! Which store a server opens, and whether the sample goes into it.
//!
//! The first start shows something without a question, so the sample is imported by itself; but only into a store of
//! its own, in the folder `sample` of the default data folder, and only while the default store holds nothing. Into
//! any other store it comes when the settings name it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;

use super::{StartError, open_store_despite};
use crate::clock::now_ms;
use crate::config::{Config, Sample};
use crate::import::{self, ImportOptions, SampleMark};
use crate::shipped;
use crate::store::{RedbStore, Store, StoreError};

/// The folder of the sample's own store, in the data folder.
const FOLDER: &str = "sample";

/// An open store.
pub(super) struct Data {
    pub(super) store: Arc<dyn Store>,
    /// A sentence that says where the movies and users come from.
    pub(super) origin: String,
}

/// Opens the store that the settings mean, with the sample in it where it belongs.
///
/// # Errors
/// [`StartError`] when the store cannot be opened or the sample cannot be imported.
pub(super) async fn open_data(config: &Config) -> Result<Data, StartError> {
    if config.wanted_sample() == Sample::Auto && config.is_default_store() {
        return match open_own(config).await? {
            Some(store) => Ok(Data { origin: origin(config, store.as_ref()).await?, store }),
            None => open_sample(config).await,
        };
    }
    let store = open_store_despite(&config.store, &config.data_dir, config.on_damage).await?;
    match config.wanted_sample() {
        Sample::Auto | Sample::None => {}
        Sample::Bundled => import_sample(&shipped::SAMPLE.folder()?, store.as_ref()).await?,
        Sample::Folder(folder) => import_sample(folder, store.as_ref()).await?,
    }
    Ok(Data { origin: origin(config, store.as_ref()).await?, store })
}

/// The store in the data folder, if there is one that holds something.
async fn open_own(config: &Config) -> Result<Option<Arc<dyn Store>>, StoreError> {
    if !RedbStore::is_in(&config.data_dir) {
        return Ok(None);
    }
    let store = RedbStore::open_despite(&config.data_dir, config.on_damage)?;
    let stats = store.stats().await?;
    Ok((stats.movies > 0 || stats.users > 0).then(|| Arc::new(store) as Arc<dyn Store>))
}

/// The sample's own store.
async fn open_sample(config: &Config) -> Result<Data, StartError> {
    let folder = config.data_dir.join(FOLDER);
    let store: Arc<dyn Store> = Arc::new(RedbStore::open_despite(&folder, config.on_damage)?);
    import_sample(&shipped::SAMPLE.folder()?, store.as_ref()).await?;
    let origin = format!(
        "Movies and users are the sample that comes with the program, in {}; `marquee-server import PATH` brings your \
         own into {}, which is served from the next start on.",
        folder.display(),
        config.data_dir.display(),
    );
    Ok(Data { store, origin })
}

async fn origin(config: &Config, store: &dyn Store) -> Result<String, StoreError> {
    let (option, place) = match config.store.url() {
        None => ("--data-dir", config.data_dir.display().to_string()),
        Some(_) => ("--store", config.store.to_string()),
    };
    let import = format!("`marquee-server import PATH {option} {place}");
    Ok(if store.movies(None, 1).await?.is_empty() {
        format!(
            "There are no movies in {place} yet: {import}` or the API brings them, `--sample bundled` a sample."
        )
    } else if SampleMark::of(store).await?.is_some() {
        format!(
            "Movies and users are those of {place}, the sample among them: {import} --replace-sample` puts your own \
             in its place."
        )
    } else {
        format!("Movies and users are those of {place}.")
    })
}

/// Imports the sample folder into a store that has no movies.
///
/// # Errors
/// [`StartError`] when the store cannot be read or the folder cannot be imported.
pub async fn import_sample(sample: &Path, store: &dyn Store) -> Result<(), StartError> {
    if !store.movies(None, 1).await?.is_empty() {
        return Ok(());
    }
    tracing::info!(sample = %sample.display(), "the store is empty: importing the sample");
    let options = ImportOptions::new(now_ms());
    let report = import::import_sample(sample, store, options, &ProgressBar::hidden()).await?;
    tracing::info!(%report, "the sample is imported");
    Ok(())
}

/// The folder of the model that the settings name, and a sentence that says where it comes from.
///
/// # Errors
/// [`StartError::Shipped`] when the program's own cannot be unpacked.
pub(super) fn find_model(config: &Config) -> Result<(PathBuf, String), StartError> {
    if config.is_bundled_model() {
        let folder = shipped::MODEL.folder()?;
        let origin = format!("The model comes with the program, unpacked into {}.", folder.display());
        return Ok((folder, origin));
    }
    let origin = format!("The model is the bundle in {}.", config.bundle.display());
    Ok((config.bundle.clone(), origin))
}
