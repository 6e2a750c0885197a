//! The files of an export, summed as they are written.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;

use marquee_core::domain::{Interaction, MovieRecord, Rating};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// How interactions and movies are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Separated text, in the form of `MovieLens`.
    #[default]
    Csv,
    /// An object of JSON a line.
    Jsonl,
}

impl Format {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// A text that names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a format is csv or jsonl")]
pub struct FormatError;

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        [Self::Csv, Self::Jsonl].into_iter().find(|format| format.name() == text).ok_or(FormatError)
    }
}

/// What `MovieLens` writes for a movie without genres.
const NO_GENRES: &str = "(no genres listed)";

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    /// Its name.
    pub name: String,
    /// Its rows, without a header.
    pub rows: u64,
    /// The SHA-256 of its bytes.
    pub sha256: String,
}

/// An interaction and the keys of its user and movie.
pub(super) struct EventRow<'a> {
    pub(super) event: &'a Interaction,
    pub(super) user_key: Option<&'a str>,
    pub(super) movie_key: Option<&'a str>,
}

/// The files.
pub(super) enum Files {
    Csv(Box<Separated>),
    Jsonl(Box<Objects>),
}

/// Those of objects.
pub(super) struct Objects {
    interactions: Table<Summed>,
    movies: Table<Summed>,
}

/// Those of separated text.
pub(super) struct Separated {
    ratings: Table<csv::Writer<Summed>>,
    movies: Table<csv::Writer<Summed>>,
    links: Table<csv::Writer<Summed>>,
    keys: Table<csv::Writer<Summed>>,
}

/// A file and its rows.
pub(super) struct Table<W> {
    name: &'static str,
    rows: u64,
    writer: W,
}

impl Files {
    /// Begins files in a folder that is empty or not there.
    pub(super) fn create(folder: &Path, format: Format) -> io::Result<Self> {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        private_folder(folder)?;
        if folder.read_dir()?.next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        Ok(match format {
            Format::Csv => Self::Csv(Box::new(Separated {
                ratings: separated(
                    folder,
                    "ratings.csv",
                    &["userId", "movieId", "rating", "timestamp", "kind", "timeMs", "userKey", "movieKey"],
                )?,
                movies: separated(folder, "movies.csv", &["movieId", "title", "genres"])?,
                links: separated(folder, "links.csv", &["movieId", "imdbId", "tmdbId"])?,
                keys: separated(folder, "movie_keys.csv", &["movieId", "movieKey"])?,
            })),
            Format::Jsonl => Self::Jsonl(Box::new(Objects {
                interactions: objects(folder, "interactions.jsonl")?,
                movies: objects(folder, "movies.jsonl")?,
            })),
        })
    }

    pub(super) fn movie(&mut self, movie: &MovieRecord) -> io::Result<()> {
        let movie_id = movie.movie_id.to_string();
        match self {
            Self::Csv(files) => {
                let Separated { movies, links, keys, .. } = &mut **files;
                let genres = movie.genres.join("|");
                let genres = if genres.is_empty() { NO_GENRES } else { &genres };
                movies.row(&[&movie_id, &movie.title, genres])?;
                if movie.imdb.is_some() || movie.tmdb.is_some() {
                    let imdb = movie.imdb.map(|imdb| format!("{imdb:07}")).unwrap_or_default();
                    let tmdb = movie.tmdb.map(|tmdb| tmdb.to_string()).unwrap_or_default();
                    links.row(&[&movie_id, &imdb, &tmdb])?;
                }
                if let Some(key) = &movie.key {
                    keys.row(&[&movie_id, key])?;
                }
                Ok(())
            }
            Self::Jsonl(files) => {
                let tags: Map<String, Value> =
                    movie.tags.iter().map(|(tag, users)| (tag.clone(), (*users).into())).collect();
                let object = json!({
                    "movie_id": movie.movie_id,
                    "movie_key": movie.key,
                    "title": movie.title,
                    "genres": movie.genres,
                    "imdb_id": movie.imdb.map(|imdb| format!("tt{imdb:07}")),
                    "tmdb_id": movie.tmdb,
                    "tags": tags,
                });
                files.movies.object(object)
            }
        }
    }

    pub(super) fn event(&mut self, row: &EventRow<'_>) -> io::Result<()> {
        let EventRow { event, user_key, movie_key } = row;
        let stars = event.rating.map(Rating::stars);
        match self {
            Self::Csv(files) => files.ratings.row(&[
                &event.user_id.to_string(),
                &event.movie_id.to_string(),
                &stars.map(|stars| format!("{stars:.1}")).unwrap_or_default(),
                &event.time_ms.div_euclid(1000).to_string(),
                event.kind.name(),
                &event.time_ms.to_string(),
                user_key.unwrap_or_default(),
                movie_key.unwrap_or_default(),
            ]),
            Self::Jsonl(files) => files.interactions.object(json!({
                // A number of a script has no room for ids of people.
                "user_id": event.user_id.to_string(),
                "user_key": user_key,
                "movie_id": event.movie_id,
                "movie_key": movie_key,
                "kind": event.kind.name(),
                "rating": stars,
                "time_ms": event.time_ms,
            })),
        }
    }

    /// Ends the files; what they are.
    pub(super) fn end(self) -> io::Result<(Format, Vec<FileSum>)> {
        Ok(match self {
            Self::Csv(files) => {
                let Separated { ratings, movies, links, keys } = *files;
                let tables = [ratings, movies, links, keys];
                (Format::Csv, tables.into_iter().map(Table::end_separated).collect::<io::Result<Vec<_>>>()?)
            }
            Self::Jsonl(files) => {
                let Objects { interactions, movies } = *files;
                let tables = [interactions, movies];
                (Format::Jsonl, tables.into_iter().map(Table::end).collect::<io::Result<Vec<_>>>()?)
            }
        })
    }
}

/// Makes a folder that nobody but its owner reads: what people did, and their keys, are in it. One that is there stays as
/// it is.
fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn separated(folder: &Path, name: &'static str, header: &[&str]) -> io::Result<Table<csv::Writer<Summed>>> {
    let mut writer = csv::Writer::from_writer(Summed::create(&folder.join(name))?);
    writer.write_record(header)?;
    Ok(Table { name, rows: 0, writer })
}

fn objects(folder: &Path, name: &'static str) -> io::Result<Table<Summed>> {
    Ok(Table { name, rows: 0, writer: Summed::create(&folder.join(name))? })
}

impl Table<csv::Writer<Summed>> {
    fn row(&mut self, fields: &[&str]) -> io::Result<()> {
        self.rows += 1;
        Ok(self.writer.write_record(fields)?)
    }

    fn end_separated(self) -> io::Result<FileSum> {
        let writer = self.writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        Table { name: self.name, rows: self.rows, writer }.end()
    }
}

impl Table<Summed> {
    /// Writes an object without what is null in it.
    fn object(&mut self, mut object: Value) -> io::Result<()> {
        self.rows += 1;
        if let Value::Object(fields) = &mut object {
            fields.retain(|_, value| !value.is_null());
        }
        serde_json::to_writer(&mut self.writer, &object)?;
        self.writer.write_all(b"\n")
    }

    fn end(self) -> io::Result<FileSum> {
        let Summed { mut file, sum } = self.writer;
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok(FileSum { name: self.name.to_owned(), rows: self.rows, sha256: hex::encode(sum.finalize()) })
    }
}

/// A file whose bytes are summed.
pub(super) struct Summed {
    file: BufWriter<File>,
    sum: Sha256,
}

impl Summed {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create_new(path)?), sum: Sha256::new() })
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
