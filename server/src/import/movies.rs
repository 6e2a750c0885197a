//! Movies with their tags and links, put together from three files.

use std::collections::{BTreeMap, HashMap};

use marquee_core::domain::{MovieId, MovieRecord, UserId};
use marquee_store::{Store, all_movies};
use roaring::RoaringBitmap;

use super::ImportError;
use super::report::{ImportReport, MalformedRow};
use super::row_error::RowError;
use super::rows::{Layout, Row, Rows};
use super::source::{Release, Source, SourceFile, Table};
use super::tables::{self, LinkRow, TagRow};
use super::tally::Tally;

/// Movies in one write to, or read from, the store.
const BATCH: usize = 1000;

/// All movies of the store.
pub(super) async fn stored(store: &dyn Store) -> Result<BTreeMap<MovieId, MovieRecord>, ImportError> {
    let movies = all_movies(store).await?;
    Ok(movies.into_iter().map(|movie| (movie.movie_id, movie)).collect())
}

/// Stores the movies of a release that the store does not have like that; the ids of all movies.
pub(super) async fn import(
    source: &Source,
    release: &Release,
    known: BTreeMap<MovieId, MovieRecord>,
    store: &dyn Store,
    report: &mut ImportReport,
) -> Result<RoaringBitmap, ImportError> {
    let (source, release) = (source.clone(), release.clone());
    let (assembled, malformed) = tokio::task::spawn_blocking(move || {
        let mut malformed = Vec::new();
        let keep = |row| {
            malformed.push(row);
            Ok(())
        };
        Assembled::read(&source, &release, known, keep).map(|assembled| (assembled, malformed))
    })
    .await??;
    for row in malformed {
        report.leave_out(row);
    }
    report.movies = assembled.read;
    report.tags = assembled.tags;
    report.links = assembled.links;
    for batch in assembled.changed().chunks(BATCH) {
        let new = store.put_movies(batch).await?;
        report.new_movies += new.iter().filter(|is_new| **is_new).count() as u64;
    }
    Ok(assembled.movie_ids().collect())
}

/// The movies of the store and the release together.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    before: BTreeMap<MovieId, MovieRecord>,
    movies: BTreeMap<MovieId, MovieRecord>,
    /// Movies in the release.
    read: u64,
    tags: u64,
    links: u64,
}

impl Assembled {
    /// Reads the files; `malformed` says whether a malformed row stops it.
    pub(super) fn read(
        source: &Source,
        release: &Release,
        known: BTreeMap<MovieId, MovieRecord>,
        mut malformed: impl FnMut(MalformedRow) -> Result<(), ImportError>,
    ) -> Result<Self, ImportError> {
        let mut all = Self { movies: known.clone(), before: known, ..Self::default() };
        if let Some(file) = &release.movies {
            let put = |movie| all.put(movie);
            read_table(source, file, Table::Movies, tables::movie, put, &mut malformed)?;
        }
        if let Some(file) = &release.links {
            read_table(source, file, Table::Links, tables::link, |row| all.link(row), &mut malformed)?;
        }
        if let Some(file) = &release.tags {
            let mut tags = Tags::default();
            read_table(source, file, Table::Tags, tables::tag, |row| tags.add(row), &mut malformed)?;
            all.tag(tags);
        }
        Ok(all)
    }

    /// The ids of all movies.
    pub(super) fn movie_ids(&self) -> impl Iterator<Item = MovieId> {
        self.movies.keys().copied()
    }

    /// The movies that the store does not have like that.
    fn changed(&self) -> Vec<MovieRecord> {
        let changed = self.movies.values().filter(|movie| self.before.get(&movie.movie_id) != Some(movie));
        changed.cloned().collect()
    }

    fn put(&mut self, movie: MovieRecord) {
        self.read += 1;
        let known = self.movies.entry(movie.movie_id).or_default();
        *known = MovieRecord {
            imdb: known.imdb,
            tmdb: known.tmdb,
            tags: std::mem::take(&mut known.tags),
            key: known.key.take(),
            attributes: std::mem::take(&mut known.attributes),
            ..movie
        };
    }

    fn link(&mut self, row: LinkRow) {
        if let Some(movie) = self.movies.get_mut(&row.movie_id) {
            self.links += 1;
            (movie.imdb, movie.tmdb) = (row.imdb, row.tmdb);
        }
    }

    fn tag(&mut self, tags: Tags) {
        for (movie_id, tags) in tags.by_movie() {
            if let Some(movie) = self.movies.get_mut(&movie_id) {
                self.tags += tags.len() as u64;
                movie.tags = tags;
            }
        }
    }
}

/// Who gave which tag, 16 bytes a row: the tags themselves are few and stand once.
#[derive(Debug, Default)]
struct Tags {
    numbers: HashMap<String, u32>,
    given: Vec<(MovieId, u32, UserId)>,
}

impl Tags {
    fn add(&mut self, row: TagRow) {
        if !row.tag.is_empty() {
            let next = self.numbers.len() as u32;
            let number = *self.numbers.entry(row.tag).or_insert(next);
            self.given.push((row.movie_id, number, row.user_id));
        }
    }

    /// Each movie's tags with their numbers of users, most frequent first, ties by name.
    fn by_movie(mut self) -> Vec<(MovieId, Vec<(String, u32)>)> {
        self.given.sort_unstable();
        self.given.dedup();
        let mut names = vec![""; self.numbers.len()];
        for (name, number) in &self.numbers {
            names[*number as usize] = name;
        }
        let tags_of = |rows: &[(MovieId, u32, UserId)]| {
            let groups = rows.chunk_by(|a, b| a.1 == b.1);
            let mut tags: Vec<_> =
                groups.map(|group| (names[group[0].1 as usize].to_owned(), group.len() as u32)).collect();
            tags.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            tags
        };
        self.given.chunk_by(|a, b| a.0 == b.0).map(|rows| (rows[0].0, tags_of(rows))).collect()
    }
}

/// Reads a whole file, row by row; one that gives nothing is an error.
fn read_table<T>(
    source: &Source,
    file: &SourceFile,
    table: Table,
    parse: impl Fn(&Row<'_>, &Layout) -> Result<T, RowError>,
    mut take: impl FnMut(T),
    malformed: &mut impl FnMut(MalformedRow) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let layout = Layout::detect(source, file, table)?;
    let mut tally = Tally::default();
    source.read(file, layout.start.byte, |reader| {
        let mut rows = Rows::new(reader, layout.dialect, layout.start);
        while let Some(row) = rows.next_row().map_err(|error| ImportError::io(&file.name, error))? {
            match parse(&row, &layout) {
                Ok(parsed) => {
                    tally.read(1);
                    take(parsed);
                }
                Err(error) => {
                    let row = MalformedRow { file: file.name.clone(), line: row.number, error };
                    tally.leave_out(&row);
                    malformed(row)?;
                }
            }
        }
        Ok(())
    })?;
    tally.check(file, table)
}
