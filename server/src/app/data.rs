//! Which store a server opens, and whether the sample goes into it.
//!
//! The first start shows something without a question, so imported the sample data by itself; but only into a store of
//! its own, in the folder `sample` of the default data folder, and only while the default store holds nothing. Into
//! any other store it comes when the settings name it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use marquee_core::clock::now_ms;
use marquee_store::{RedbStore, Store, StoreError, backup};

use super::{StartError, open_store};
use crate::config::{Config, Sample, StoreUrl};
use crate::import::{self, ImportOptions, SampleMark, Silent};

/// The folder of the sample's own store, in the data folder.
const FOLDER: &str = "sample";
/// Says how far the sample's import got.
const NOTE: &str = "sample/import";
const BEGUN: &[u8] = b"begun";
const COMPLETE: &[u8] = b"complete";

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
    let data = open_any(config).await?;
    if backup::is_half_restored(data.store.as_ref()).await? {
        return Err(StartError::HalfRestored);
    }
    Ok(data)
}

async fn open_any(config: &Config) -> Result<Data, StartError> {
    if config.store.wanted_sample() == Sample::Auto && config.store.is_default() {
        return match open_own(config).await? {
            Some(store) => Ok(Data { origin: origin(config, store.as_ref()).await?, store }),
            None => open_sample(config).await,
        };
    }
    let store = open_store(&config.store.store, &config.store.data_dir, config.on_damage).await?;
    match config.store.wanted_sample() {
        Sample::Auto | Sample::None => {}
        Sample::Bundled => import_sample(&marquee_shipped::SAMPLE.folder()?, store.as_ref()).await?,
        Sample::Folder(folder) => import_sample(folder, store.as_ref()).await?,
    }
    Ok(Data { origin: origin(config, store.as_ref()).await?, store })
}

/// The store in the data folder, if there is one that holds something.
async fn open_own(config: &Config) -> Result<Option<Arc<dyn Store>>, StoreError> {
    if !RedbStore::is_in(&config.store.data_dir) {
        return Ok(None);
    }
    let store = open_store(&StoreUrl::redb(), &config.store.data_dir, config.on_damage).await?;
    let stats = store.stats().await?;
    let is_half = backup::is_half_restored(store.as_ref()).await?;
    Ok((stats.movies > 0 || stats.users > 0 || is_half).then_some(store))
}

/// The sample's own store.
async fn open_sample(config: &Config) -> Result<Data, StartError> {
    let folder = config.store.data_dir.join(FOLDER);
    let store = open_store(&StoreUrl::redb(), &folder, config.on_damage).await?;
    import_sample(&marquee_shipped::SAMPLE.folder()?, store.as_ref()).await?;
    let origin = format!(
        "Movies and users are the sample that comes with the program, in {}; `marquee-server import PATH` brings your \
         own into {}, which is served from the next start on.",
        folder.display(),
        config.store.data_dir.display(),
    );
    Ok(Data { store, origin })
}

async fn origin(config: &Config, store: &dyn Store) -> Result<String, StoreError> {
    let (option, place) = match config.store.store.url() {
        None => ("--data-dir", config.store.data_dir.display().to_string()),
        Some(_) => ("--store", config.store.store.to_string()),
    };
    let import = format!("`marquee-server import PATH {option} {place}");
    Ok(if store.movies(None, 1).await?.is_empty() {
        format!(
            "There are no movies in {place} yet: {import}` or the API brings them, `--sample-data bundled` a sample."
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

/// Imports the sample folder into a store that has no movies, or goes on where an earlier start stopped.
///
/// Movies alone do not say that all of it is there: that start may have been killed, or had no room. So a note
/// says that it began, and the sample is complete when that note says so.
///
/// # Errors
/// [`StartError`] when the store cannot be read or the folder cannot be imported.
pub async fn import_sample(sample: &Path, store: &dyn Store) -> Result<(), StartError> {
    let has_begun = store.get_note(NOTE).await?.is_some_and(|note| note == BEGUN);
    let goes_on = has_begun && SampleMark::of(store).await?.is_some();
    if !goes_on && !store.movies(None, 1).await?.is_empty() {
        return Ok(());
    }
    tracing::info!(sample = %sample.display(), goes_on, "importing the sample data");
    store.put_note(NOTE, BEGUN).await?;
    let options = ImportOptions::new(now_ms());
    let report = import::import_sample(sample, store, options, &Silent).await?;
    store.put_note(NOTE, COMPLETE).await?;
    tracing::info!(%report, "the sample is imported");
    Ok(())
}

/// The folder of the model that the settings name, and a sentence that says where it comes from.
///
/// # Errors
/// [`StartError::Shipped`] when the program's own cannot be unpacked.
pub(crate) fn find_model(config: &Config) -> Result<(PathBuf, String), StartError> {
    if config.engine.is_bundled_model() {
        let folder = marquee_shipped::MODEL.folder()?;
        let origin = format!("The model comes with the program, unpacked into {}.", folder.display());
        return Ok((folder, origin));
    }
    let origin = format!("The model is the bundle in {}.", config.engine.bundle.display());
    Ok((config.engine.bundle.clone(), origin))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use marquee_store::{RedbStore, StoreStats};

    use super::*;

    const RATINGS: u64 = 40_000;

    /// A release of so many ratings, each of a user of its own.
    fn release() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut ratings = String::from("userId,movieId,rating,timestamp\n");
        for user in 1..=RATINGS {
            writeln!(ratings, "{user},1,4.5,{}", 1_000_000_000 + user).expect("memory");
        }
        std::fs::write(folder.path().join("ratings.csv"), ratings).expect("the folder is ours");
        std::fs::write(folder.path().join("movies.csv"), "movieId,title,genres\n1,A,War\n")
            .expect("the folder is ours");
        folder
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_first_start_that_was_interrupted_anywhere_goes_on_at_the_next_one() {
        let sample = release();
        for turns in [1, 10, 100, 1000] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let store = RedbStore::open(folder.path()).expect("the store opens");
            {
                let mut first = std::pin::pin!(import_sample(sample.path(), &store));
                for _ in 0..turns {
                    if futures::poll!(&mut first).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            import_sample(sample.path(), &store).await.expect("the sample is sound");
            let expected = StoreStats { users: RATINGS, interactions: RATINGS, movies: 1 };
            assert_eq!(store.stats().await.expect("a read"), expected, "after {turns} turns");
        }
    }

    #[tokio::test]
    async fn the_sample_does_not_go_into_a_store_that_others_filled() {
        let sample = release();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = RedbStore::open(folder.path()).expect("the store opens");
        let movie = marquee_core::domain::MovieRecord { movie_id: 7, ..Default::default() };
        store.put_movies(&[movie]).await.expect("a write");
        import_sample(sample.path(), &store).await.expect("nothing to do");
        assert_eq!(store.stats().await.expect("a read").interactions, 0);
    }
}
