//! Users' interactions and the movies out of the store, for other programs: what trains a model, or a warehouse.
//!
//! A folder holds them as separated text in MovieLens' own form, which the trainer and other programs read, or as an object
//! of JSON a line, and a manifest of counts and checksums that is written last. A stream gives them user by user and goes
//! on after any of them.

mod files;
mod manifest;
mod pages;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use marquee_core::clock::now_ms;
use marquee_core::domain::{MovieId, TimeMs, UserId};
use marquee_store::{DocumentKind, DocumentRecord, Record, Store, StoreError, UserRecord};
use tokio::sync::mpsc;

use self::files::{EventRow, Files};
pub use self::files::{FileSum, Format};
pub use self::manifest::Manifest;
pub(crate) use self::pages::users_after;

/// Parts of the store that wait to be written.
const CHUNKS_AHEAD: usize = 2;

/// Why nothing whole was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Something is there already.
    #[error("{} holds something already; give a folder that is empty or not there", .0.display())]
    NotEmpty(PathBuf),
    /// The files cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writing thread failed, which is an error of this program.
    #[error("the writer of the export stopped: {0}")]
    Writer(#[from] tokio::task::JoinError),
}

/// Which interactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// From this time on.
    pub since_ms: Option<TimeMs>,
    /// Before this time.
    pub until_ms: Option<TimeMs>,
}

impl Range {
    /// Whether it has a time.
    pub fn has(&self, time_ms: TimeMs) -> bool {
        self.since_ms.is_none_or(|since| since <= time_ms)
            && self.until_ms.is_none_or(|until| time_ms < until)
    }
}

/// A pause between two parts.
pub type Rest<'a> = BoxFuture<'a, ()>;

/// Hears after each part how many interactions are written so far, and says when to go on.
pub type Pace<'a> = dyn Fn(u64) -> Rest<'a> + Send + Sync + 'a;

/// Writes the interactions of a range, and all movies, into a folder. What the store held at one moment is in it, of a
/// cluster each user as of the moment of reading.
///
/// # Errors
/// [`ExportError`]; without a manifest the folder is not whole.
pub async fn to_folder(
    store: &dyn Store,
    folder: &Path,
    format: Format,
    range: Range,
    pace: &Pace<'_>,
) -> Result<Manifest, ExportError> {
    let began_ms = now_ms();
    let failed = |source| ExportError::Io { path: folder.to_owned(), source };
    let mut writing = {
        let at = folder.to_owned();
        let open = tokio::task::spawn_blocking(move || Writing::open(&at, format, range));
        open.await?.map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty => ExportError::NotEmpty(folder.to_owned()),
            _ => ExportError::Io { path: folder.to_owned(), source: error },
        })?
    };
    let (sender, mut chunks) = mpsc::channel::<Vec<Record>>(CHUNKS_AHEAD);
    let written = async {
        while let Some(chunk) = chunks.recv().await {
            let (back, written) = tokio::task::spawn_blocking(move || {
                let written = chunk.iter().try_for_each(|record| writing.take(record));
                (writing, written)
            })
            .await?;
            writing = back;
            written.map_err(failed)?;
            pace(writing.interactions).await;
        }
        Ok::<_, ExportError>(writing)
    };
    let (exported, written) = tokio::join!(store.export(sender), written);
    let writing = written?;
    exported?;
    let store_name = store.name().to_owned();
    let at = folder.to_owned();
    tokio::task::spawn_blocking(move || writing.end(&at, &store_name, began_ms)).await?.map_err(failed)
}

/// Files that are being written, and what of the store is needed to write more.
struct Writing {
    files: Files,
    range: Range,
    user_keys: HashMap<UserId, String>,
    movie_keys: HashMap<MovieId, String>,
    interactions: u64,
    users: u64,
    movies: u64,
}

impl Writing {
    fn open(folder: &Path, format: Format, range: Range) -> io::Result<Self> {
        let files = Files::create(folder, format)?;
        let (user_keys, movie_keys) = Default::default();
        Ok(Self { files, range, user_keys, movie_keys, interactions: 0, users: 0, movies: 0 })
    }

    /// Takes a record. Movies and keys come before users.
    fn take(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Movie(movie) => {
                self.movies += 1;
                if let Some(key) = &movie.key {
                    self.movie_keys.insert(movie.movie_id, key.clone());
                }
                self.files.movie(movie)
            }
            Record::Document(DocumentRecord { kind: DocumentKind::UserKey, part, content, .. }) => {
                if let (Ok(user_id), Ok(key)) = (part.parse(), String::from_utf8(content.value.clone())) {
                    self.user_keys.insert(user_id, key);
                }
                Ok(())
            }
            Record::User(user) => self.user(user),
            Record::Rule(_) | Record::Note { .. } | Record::Document(_) => Ok(()),
        }
    }

    fn user(&mut self, UserRecord { user, events }: &UserRecord) -> io::Result<()> {
        let user_key = self.user_keys.get(&user.user_id).map(String::as_str);
        let before = self.interactions;
        for event in events.iter().filter(|event| self.range.has(event.time_ms)) {
            let movie_key = self.movie_keys.get(&event.movie_id).map(String::as_str);
            self.files.event(&EventRow { event, user_key, movie_key })?;
            self.interactions += 1;
        }
        self.users += u64::from(self.interactions > before);
        Ok(())
    }

    fn end(self, folder: &Path, store: &str, began_ms: TimeMs) -> io::Result<Manifest> {
        let Self { files, range, interactions, users, movies, .. } = self;
        let counts = manifest::Counts { interactions, users, movies };
        let (format, sums) = files.end()?;
        let manifest = Manifest::new(format, store, began_ms, range, counts, sums);
        manifest.write(folder)?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use marquee_core::domain::{Interaction, Kind, MovieRecord, Rating};
    use marquee_store::RedbStore;

    use super::*;
    use crate::keys::{keep_key, user_of_key};

    const NO_REST: &Pace<'static> = &|_| Box::pin(std::future::ready(()));

    /// A store in which Anna rated and watched, and user 7 too.
    async fn store(folder: &tempfile::TempDir) -> RedbStore {
        let store = RedbStore::open(folder.path()).unwrap();
        let heat = MovieRecord {
            key: Some("heat".to_owned()),
            imdb: Some(113_277),
            ..MovieRecord::named(1 << 30, "Heat, \"the\" film (1995)", ["Crime|Drama"]).unwrap()
        };
        store.put_movies(&[heat, MovieRecord::named(1, "Ran (1985)", []).unwrap()]).await.unwrap();
        let anna = user_of_key("anna");
        keep_key(&store, anna, "anna").await.unwrap();
        let event = |user_id, movie_id, time_ms, rating: Option<f64>| Interaction {
            user_id,
            movie_id,
            time_ms,
            kind: if rating.is_some() { Kind::Rating } else { Kind::View },
            rating: rating.and_then(Rating::from_stars),
        };
        let events =
            [event(anna, 1 << 30, 1_500, Some(4.5)), event(anna, 1, 2_000, None), event(7, 1, 3_000, None)];
        store.record(&events, 1).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_folder_holds_all_in_movielens_form_with_keys_and_a_manifest() {
        let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store(&data).await;
        let folder = out.path().join("export");
        let manifest = to_folder(&store, &folder, Format::Csv, Range::default(), NO_REST).await.unwrap();
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let anna = user_of_key("anna");
        let ratings = text("ratings.csv");
        let mut lines: Vec<_> = ratings.lines().skip(1).collect();
        lines.sort_unstable();
        let expected = [
            format!("{anna},1,,2,view,2000,anna,"),
            format!("{anna},1073741824,4.5,1,rating,1500,anna,heat"),
            "7,1,,3,view,3000,,".to_owned(),
        ];
        assert_eq!(lines, expected);
        assert!(ratings.starts_with("userId,movieId,rating,timestamp,kind,timeMs,userKey,movieKey\n"));
        assert_eq!(
            text("movies.csv"),
            "movieId,title,genres\n1,Ran (1985),(no genres listed)\n1073741824,\"Heat, \"\"the\"\" film (1995)\",Crime|Drama\n"
        );
        assert_eq!(text("links.csv"), "movieId,imdbId,tmdbId\n1073741824,0113277,\n");
        assert_eq!(text("movie_keys.csv"), "movieId,movieKey\n1073741824,heat\n");
        assert_eq!((manifest.interactions, manifest.users, manifest.movies), (3, 2, 2));
        assert_eq!(Manifest::read(&folder).unwrap(), manifest);
        assert_eq!(manifest.files.len(), 4);
    }

    #[tokio::test]
    async fn a_range_leaves_out_what_was_before_and_after() {
        let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store(&data).await;
        let folder = out.path().join("export");
        let range = Range { since_ms: Some(2_000), until_ms: Some(3_000) };
        let manifest = to_folder(&store, &folder, Format::Jsonl, range, NO_REST).await.unwrap();
        assert_eq!((manifest.interactions, manifest.users), (1, 1));
        let lines = fs::read_to_string(folder.join("interactions.jsonl")).unwrap();
        let line: serde_json::Value = serde_json::from_str(lines.trim()).unwrap();
        assert_eq!(
            (&line["user_key"], &line["kind"], &line["time_ms"]),
            (&"anna".into(), &"view".into(), &2_000.into())
        );
        assert!(line.get("rating").is_none() && line.get("movie_key").is_none());
    }

    #[tokio::test]
    async fn a_folder_that_holds_something_is_left_alone() {
        let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store(&data).await;
        fs::write(out.path().join("mine"), "").unwrap();
        let refused = to_folder(&store, out.path(), Format::Csv, Range::default(), NO_REST).await;
        assert!(matches!(refused, Err(ExportError::NotEmpty(_))));
    }
}
