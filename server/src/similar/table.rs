//! The neighbours of all movies, and the file that keeps them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use marquee_core::domain::MovieId;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::Xxh3;

/// The names of what the file holds.
const MOVIES: &str = "movies";
const STARTS: &str = "starts";
const NEIGHBOURS: &str = "neighbours";
const LIKENESS: &str = "likeness";

/// Keys of the file's metadata.
const FORMAT: &str = "format";
const USERS: &str = "users";
const INTERACTIONS: &str = "interactions";
const HASH: &str = "xxh3";

/// Written into a file; one of another version is built anew.
const VERSION: &str = "1";

/// What the store held when a table was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuiltFrom {
    /// Users.
    pub users: u64,
    /// What they did.
    pub interactions: u64,
}

/// The neighbours of all movies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What it was built from.
    pub from: BuiltFrom,
    /// Ascending.
    movies: Vec<MovieId>,
    /// The neighbours of movie `m` are those from `starts[m]` to `starts[m + 1]`, the likest first.
    starts: Vec<u32>,
    neighbours: Vec<MovieId>,
    likeness: Vec<f32>,
}

/// Why a file is no table, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// It has another format, or is damaged.
    #[error("the file is no table of neighbours: {0}")]
    Content(Cow<'static, str>),
}

impl From<safetensors::SafeTensorError> for TableError {
    fn from(error: safetensors::SafeTensorError) -> Self {
        Self::Content(error.to_string().into())
    }
}

impl Table {
    /// A table of these movies by ascending id, each with its neighbours, the likest first.
    pub(super) fn new(
        from: BuiltFrom,
        movies: impl IntoIterator<Item = (MovieId, Vec<(MovieId, f32)>)>,
    ) -> Self {
        let mut table = Self { from, starts: vec![0], ..Self::default() };
        for (movie_id, neighbours) in movies {
            table.movies.push(movie_id);
            table.neighbours.extend(neighbours.iter().map(|(neighbour, _)| neighbour));
            table.likeness.extend(neighbours.iter().map(|(_, likeness)| likeness));
            table.starts.push(table.neighbours.len() as u32);
        }
        table
    }

    /// How many movies it has.
    pub fn len(&self) -> usize {
        self.movies.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.movies.is_empty()
    }

    /// The neighbours of a movie and their likeness from 0 to 1, the likest first; none of a movie that it does not have.
    pub fn neighbours(&self, movie_id: MovieId) -> impl Iterator<Item = (MovieId, f32)> {
        let range = self
            .movies
            .binary_search(&movie_id)
            .map_or(0..0, |place| self.starts[place] as usize..self.starts[place + 1] as usize);
        self.neighbours[range.clone()].iter().copied().zip(self.likeness[range].iter().copied())
    }

    /// Writes it into a file, which it replaces as a whole.
    ///
    /// # Errors
    /// [`TableError::File`].
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        let parts = [
            (MOVIES, Dtype::U32, bytes_of(&self.movies, u32::to_le_bytes)),
            (STARTS, Dtype::U32, bytes_of(&self.starts, u32::to_le_bytes)),
            (NEIGHBOURS, Dtype::U32, bytes_of(&self.neighbours, u32::to_le_bytes)),
            (LIKENESS, Dtype::F32, bytes_of(&self.likeness, f32::to_le_bytes)),
        ];
        let hash = hash_of(parts.iter().map(|(_, _, bytes)| &bytes[..]));
        let metadata = [
            (FORMAT, VERSION.to_owned()),
            (USERS, self.from.users.to_string()),
            (INTERACTIONS, self.from.interactions.to_string()),
            (HASH, hash),
        ];
        let metadata: HashMap<String, String> =
            metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let views = parts
            .iter()
            .map(|(name, kind, bytes)| Ok((*name, TensorView::new(*kind, vec![bytes.len() / 4], bytes)?)));
        let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let bytes = safetensors::serialize(views, Some(metadata))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(&bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`TableError`], of the kind [`NotFound`](std::io::ErrorKind::NotFound) where there is none.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let bytes = std::fs::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
        if text(FORMAT) != VERSION {
            return Err(TableError::Content("it has another format".into()));
        }
        let tensors = SafeTensors::deserialize(&bytes)?;
        let part = |name: &str| tensors.tensor(name).map(|tensor| tensor.data().to_vec());
        let parts = [part(MOVIES)?, part(STARTS)?, part(NEIGHBOURS)?, part(LIKENESS)?];
        if text(HASH) != hash_of(parts.iter().map(Vec::as_slice)) {
            return Err(TableError::Content("it is damaged".into()));
        }
        let [movies, starts, neighbours, likeness] = &parts;
        let number = |key: &str| text(key).parse().unwrap_or_default();
        let table = Self {
            from: BuiltFrom { users: number(USERS), interactions: number(INTERACTIONS) },
            movies: words_of(movies, u32::from_le_bytes),
            starts: words_of(starts, u32::from_le_bytes),
            neighbours: words_of(neighbours, u32::from_le_bytes),
            likeness: words_of(likeness, f32::from_le_bytes),
        };
        if table.is_consistent() {
            Ok(table)
        } else {
            Err(TableError::Content("its parts do not fit".into()))
        }
    }

    fn is_consistent(&self) -> bool {
        self.starts.len() == self.movies.len() + 1
            && self.neighbours.len() == self.likeness.len()
            && self.movies.is_sorted()
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|end| *end as usize == self.neighbours.len())
    }
}

fn bytes_of<T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|value| bytes(*value)).collect()
}

fn words_of<T>(bytes: &[u8], word: impl Fn([u8; 4]) -> T) -> Vec<T> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| word(*bytes)).collect()
}

fn hash_of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hasher = Xxh3::new();
    parts.fold((), |(), part| hasher.update(part));
    format!("{:016x}", hasher.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let from = BuiltFrom { users: 7, interactions: 90 };
        Table::new(from, [(3, vec![(9, 0.5), (5, 0.25)]), (5, vec![]), (9, vec![(3, 0.5)])])
    }

    #[test]
    fn a_movie_has_its_neighbours_and_another_none() {
        let table = table();
        assert_eq!(table.neighbours(3).collect::<Vec<_>>(), [(9, 0.5), (5, 0.25)]);
        assert_eq!(table.neighbours(5).next(), None);
        assert_eq!(table.neighbours(4).next(), None);
    }

    #[test]
    fn a_file_gives_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("similar.safetensors");
        for table in [table(), Table::new(BuiltFrom::default(), [])] {
            table.write(&path).unwrap();
            assert_eq!(Table::read(&path).unwrap(), table);
        }
    }

    #[test]
    fn a_file_that_is_damaged_or_of_another_kind_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("similar.safetensors");
        assert!(matches!(Table::read(&path), Err(TableError::File(_))));
        table().write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() - 1], b"no table", b""] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(Table::read(&path), Err(TableError::Content(_))));
        }
    }
}
