//! The sample in a store: what of it is the sample's is noted as it comes in.
//!
//! Users are numbered from 1 in the sample and in most data that people bring, so that histories of two people would
//! become one, and the sample's movies would be recommended to customers. Therefore a store with the sample takes no
//! other import, and the note says what has to go for the store to take one.
//!
//! Stores of earlier versions have no note: whether they hold the sample is seen once, from its first users.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};
use std::path::Path;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use marquee_core::domain::{MovieId, UserId};
use marquee_store::{Store, StoreError};
use roaring::{RoaringBitmap, RoaringTreemap};

use super::source::{Release, Source, SourceFile};
use super::{ImportError, ImportOptions, ImportReport, Progress, bring_in};

/// Where the note stands; empty in a store without the sample.
const NOTE: &str = "sample";
/// Users whom the sample is recognised by: one may have been deleted.
const RECOGNISED_BY: usize = 3;
/// Users that are removed at once, so that the store makes them durable together.
const REMOVED_AT_ONCE: usize = 64;

/// What of a store is the sample's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleMark {
    users: RoaringTreemap,
    movies: RoaringBitmap,
}

/// Imports the release at `path` as the sample, into a store that should be empty.
///
/// # Errors
/// As [`super::import`].
pub async fn import_sample(
    path: &Path,
    store: &dyn Store,
    options: ImportOptions,
    progress: &dyn Progress,
) -> Result<ImportReport, ImportError> {
    let source = Source::open(path)?;
    let release = source.release()?;
    // Before the first row of it, so that half a sample is known as one too.
    SampleMark::read(&source, &release).await?.note(store).await?;
    bring_in(&source, &release, store, options, progress).await
}

impl SampleMark {
    /// What of this store is the sample's; `None` when nothing is.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read or does not take the note that it lacked.
    pub async fn of(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        if let Some(note) = store.get_note(NOTE).await? {
            return Self::decode(&note);
        }
        let mark = Self::of_earlier_version(store).await?;
        mark.clone().unwrap_or_default().note(store).await?;
        Ok(mark)
    }

    /// The sample's movies.
    pub(super) fn movies(&self) -> &RoaringBitmap {
        &self.movies
    }

    /// Removes the sample's users with their histories, and its movies. May be repeated after an interruption.
    ///
    /// # Errors
    /// [`StoreError`] when the store refuses or fails; what is left is still noted.
    pub(super) async fn remove(&self, store: &dyn Store) -> Result<(), StoreError> {
        let removals = self.users.iter().map(|user_id| store.delete_user(user_id));
        let mut removals = stream::iter(removals).buffer_unordered(REMOVED_AT_ONCE);
        while removals.try_next().await?.is_some() {}
        store.remove_movies(&self.movies.iter().collect::<Vec<_>>()).await?;
        Self::default().note(store).await
    }

    async fn note(&self, store: &dyn Store) -> Result<(), StoreError> {
        store.put_note(NOTE, &self.encode()).await
    }

    /// What the files of a release name. A row that is left out counts too: removing what is not there does no harm.
    async fn read(source: &Source, release: &Release) -> Result<Self, ImportError> {
        let (source, release) = (source.clone(), release.clone());
        tokio::task::spawn_blocking(move || {
            let ids = |file: &Option<SourceFile>, take: &mut dyn FnMut(&[u64])| match file {
                None => Ok(()),
                Some(file) => source.read(file, 0, |reader| {
                    each_row(reader, take).map_err(|error| ImportError::io(&file.name, error))
                }),
            };
            let mut mark = Self::default();
            ids(&release.ratings, &mut |numbers| mark.take_rating(numbers))?;
            ids(&release.movies, &mut |numbers| mark.take_movie(numbers))?;
            Ok(mark)
        })
        .await?
    }

    fn take_rating(&mut self, numbers: &[u64]) {
        self.users.extend(numbers.first());
    }

    fn take_movie(&mut self, numbers: &[u64]) {
        self.movies.extend(numbers.first().and_then(|id| MovieId::try_from(*id).ok()));
    }

    /// The mark of a store that has no note: that of the program's own sample, if its first users are there.
    async fn of_earlier_version(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        if store.movies(None, 1).await?.is_empty() {
            return Ok(None);
        }
        let unreadable = |error: &dyn std::fmt::Display| StoreError::Open(format!("the sample: {error}"));
        let ratings = marquee_shipped::SAMPLE.file("ratings.csv").map_err(|error| unreadable(&error))?;
        let movies = marquee_shipped::SAMPLE.file("movies.csv").map_err(|error| unreadable(&error))?;
        let mut mark = Self::default();
        let mut seen: BTreeMap<UserId, BTreeSet<u64>> = BTreeMap::new();
        let mut take_rating = |numbers: &[u64]| {
            mark.take_rating(numbers);
            if let [user_id, movie_id, ..] = numbers
                && *user_id <= RECOGNISED_BY as UserId
            {
                seen.entry(*user_id).or_default().insert(*movie_id);
            }
        };
        each_row(&mut &*ratings, &mut take_rating).map_err(|error| unreadable(&error))?;
        each_row(&mut &*movies, &mut |numbers| mark.take_movie(numbers))
            .map_err(|error| unreadable(&error))?;
        for (user_id, movies) in seen {
            let profile = store.profile(user_id, 0).await?.unwrap_or_default();
            if movies.iter().all(|movie_id| profile.seen.contains(*movie_id as MovieId)) {
                return Ok(Some(mark));
            }
        }
        Ok(None)
    }

    /// Users, then movies, as roaring writes them; nothing for none.
    fn encode(&self) -> Vec<u8> {
        let mut note = Vec::new();
        if *self != Self::default() {
            let written =
                self.users.serialize_into(&mut note).and_then(|()| self.movies.serialize_into(&mut note));
            written.expect("memory takes what is written to it");
        }
        note
    }

    fn decode(mut note: &[u8]) -> Result<Option<Self>, StoreError> {
        if note.is_empty() {
            return Ok(None);
        }
        let corrupt = |error: io::Error| StoreError::Corrupt(format!("the note of the sample: {error}"));
        let users = RoaringTreemap::deserialize_from(&mut note).map_err(corrupt)?;
        let movies = RoaringBitmap::deserialize_from(&mut note).map_err(corrupt)?;
        Ok(Some(Self { users, movies }))
    }
}

/// Hands on the numbers that each row begins with, which are ids in every format; a header has none.
fn each_row(reader: &mut dyn BufRead, take: &mut dyn FnMut(&[u64])) -> io::Result<()> {
    let mut row = Vec::new();
    while reader.read_until(b'\n', &mut row)? > 0 {
        let fields = row.split(|byte| matches!(byte, b',' | b':' | b'\t' | b'|'));
        let fields = fields.filter(|field| !field.is_empty()).take(2);
        let numbers = fields.map_while(|field| std::str::from_utf8(field).ok()?.trim().parse().ok());
        take(&numbers.collect::<Vec<u64>>());
        row.clear();
    }
    Ok(())
}
