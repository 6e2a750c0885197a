//! The second reading: items are stored, then events, a few batches at once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::pin::pin;
use std::time::Instant;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use marquee_core::attributes::attributes;
use marquee_core::domain::{Interaction, MovieId, MovieRecord, UserId};
use marquee_store::{Store, all_movies};
use tokio::sync::mpsc;

use super::column_map::{ColumnMap, IdKind};
use super::look::{Look, each_row, event_files};
use super::report::MappedReport;
use super::rows::{EventRows, Facts, number};
use crate::import::progress::{Part, Progress, Reached};
use crate::import::ratings::record;
use crate::import::{ImportError, ImportOptions, RowError};
use crate::keys::{UNNUMBERED, keep_key, number_movies};

/// Items that are stored at once.
const ITEMS_AT_ONCE: usize = 10_000;
/// Batches that are read and wait for the store.
const BATCHES_AHEAD: usize = 2;
/// Keys of users that are kept at once.
const KEYS_AT_ONCE: usize = 64;

/// An import whose files were looked at.
pub(super) struct Write<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) options: ImportOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) path: &'a Path,
    pub(super) map: &'a ColumnMap,
    pub(super) look: Look,
}

/// Events that are written at once, and the keys of users who are new among them.
#[derive(Default)]
struct Batch {
    events: Vec<Interaction>,
    keys: Vec<(UserId, String)>,
}

impl Write<'_> {
    pub(super) async fn run(mut self, report: &mut MappedReport) -> Result<(), ImportError> {
        let total_bytes = self.look.events;
        self.progress.reached(Reached { bytes: 0, total_bytes, part: Part::Movies });
        let ids = self.put_items(report).await?;
        if !self.map.has_events() {
            return Ok(());
        }
        let began = Instant::now();
        let mut batches = self.read(ids);
        let writes = stream::poll_fn(|context| batches.poll_recv(context))
            .map(async |batch| self.write(batch?).await)
            .buffered(self.options.batches_in_flight);
        let mut writes = pin!(writes);
        while let Some((events, duplicates)) = writes.try_next().await? {
            report.events += events;
            report.duplicates += duplicates;
            let per_second = report.events as f64 / began.elapsed().as_secs_f64();
            let part = Part::Ratings { stored: report.events, per_second };
            self.progress.reached(Reached { bytes: report.events, total_bytes, part });
        }
        Ok(())
    }

    /// Stores the items of which something is new; the numbers of all.
    async fn put_items(
        &mut self,
        report: &mut MappedReport,
    ) -> Result<HashMap<String, MovieId>, ImportError> {
        let stored = all_movies(self.store).await?;
        let names = std::mem::take(&mut self.look.items);
        let by_name: HashMap<String, MovieRecord> = stored
            .into_iter()
            .filter_map(|movie| Some((name_of(&movie, self.map.item_ids)?, movie)))
            .filter(|(name, _)| names.contains_key(name))
            .collect();
        let mut records = Vec::with_capacity(names.len());
        for (name, facts) in &names {
            records.push(item(name, facts, by_name.get(name), self.map.item_ids)?);
        }
        number_movies(self.store, &mut records).await?;
        let ids = names.into_keys().zip(records.iter().map(|record| record.movie_id)).collect();
        let known: HashMap<MovieId, &MovieRecord> =
            by_name.values().map(|movie| (movie.movie_id, movie)).collect();
        records.retain(|record| known.get(&record.movie_id) != Some(&record));
        for chunk in records.chunks(ITEMS_AT_ONCE) {
            let new = self.store.put_movies(chunk).await?;
            report.new_items += new.into_iter().filter(|is_new| *is_new).count() as u64;
        }
        Ok(ids)
    }

    /// Starts the reading thread. It ends with the files, an error, or when nobody listens any more.
    fn read(&self, ids: HashMap<String, MovieId>) -> mpsc::Receiver<Result<Batch, ImportError>> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (path, map, options) = (self.path.to_owned(), self.map.clone(), self.options);
        tokio::task::spawn_blocking(move || {
            let read =
                read_batches(&path, &map, options, &ids, |batch| sender.blocking_send(Ok(batch)).is_ok());
            if let Err(error) = read {
                // A receiver that is gone has no use for the error either.
                let _ = sender.blocking_send(Err(error));
            }
        });
        receiver
    }

    /// Keeps the keys of a batch's new users, then its events; how many, and how many of them were there.
    async fn write(&self, batch: Batch) -> Result<(u64, u64), ImportError> {
        let kept = batch.keys.iter().map(|(user_id, key)| keep_key(self.store, *user_id, key));
        let kept: Vec<_> = kept.collect();
        stream::iter(kept).buffer_unordered(KEYS_AT_ONCE).try_collect::<()>().await?;
        let outcomes = record(self.store, &batch.events, self.options.now_ms).await?;
        let duplicates = outcomes.iter().filter(|outcome| outcome.duplicate).count();
        Ok((outcomes.len() as u64, duplicates as u64))
    }
}

/// What the map calls a stored movie by.
fn name_of(movie: &MovieRecord, ids: IdKind) -> Option<String> {
    match ids {
        IdKind::Key => movie.key.clone(),
        IdKind::Number => Some(movie.movie_id.to_string()),
    }
}

/// An item as it is to be stored: what is not said of it stays as it is, and one of which nothing was ever said is called
/// by its name.
fn item(
    name: &str,
    facts: &Facts,
    stored: Option<&MovieRecord>,
    ids: IdKind,
) -> Result<MovieRecord, ImportError> {
    let (movie_id, key) = match ids {
        IdKind::Key => (stored.map_or(UNNUMBERED, |movie| movie.movie_id), Some(name.to_owned())),
        IdKind::Number => (number("item", name).map_err(ImportError::Item)?, None),
    };
    let before = stored.cloned().unwrap_or_default();
    let title = facts.title.as_deref().filter(|title| !title.trim().is_empty());
    let title = title.or(stored.map(|movie| movie.title.as_str())).unwrap_or(name);
    let named = MovieRecord::named(movie_id, title, facts.genres.iter().map(String::as_str));
    let named = named.map_err(|error| ImportError::Item(RowError::Name(error)))?;
    let genres = if facts.genres.is_empty() { before.genres } else { named.genres };
    let said = |name: &str| facts.attributes.iter().any(|attribute| attribute.name == name);
    let kept = before.attributes.into_iter().filter(|attribute| !said(&attribute.name));
    let attributes = attributes(facts.attributes.iter().cloned().chain(kept));
    let attributes = attributes.map_err(|error| ImportError::Item(RowError::Attribute(error)))?;
    let key = key.or(before.key);
    Ok(MovieRecord { movie_id, title: named.title, genres, key, attributes, ..before })
}

/// Hands the events of all files to `send`, in batches sorted by user, until it declines.
fn read_batches(
    path: &Path,
    map: &ColumnMap,
    options: ImportOptions,
    ids: &HashMap<String, MovieId>,
    mut send: impl FnMut(Batch) -> bool,
) -> Result<(), ImportError> {
    let Some(rows) = EventRows::of(map, options.units)? else { return Ok(()) };
    let mut known = HashSet::new();
    let mut batch = Batch::default();
    for input in event_files(path, map)?.inputs {
        let mut goes_on = true;
        each_row(&input, rows.columns(), |_, outcome| {
            // What is malformed was counted at the first look.
            let Ok((event, _)) = outcome.and_then(|texts| rows.read(texts)) else { return true };
            let (Some(movie_id), Ok(user_id)) = (ids.get(&event.item), rows.user_id(&event.user)) else {
                return true;
            };
            if map.user_ids == IdKind::Key && known.insert(user_id) {
                batch.keys.push((user_id, event.user));
            }
            let (time_ms, kind, rating) = (event.time_ms, event.kind, event.rating);
            batch.events.push(Interaction { user_id, movie_id: *movie_id, time_ms, kind, rating });
            if batch.events.len() >= options.batch_rows {
                goes_on = send(sorted(std::mem::take(&mut batch)));
            }
            goes_on
        })?;
        if !goes_on {
            return Ok(());
        }
    }
    if !batch.events.is_empty() {
        send(sorted(batch));
    }
    Ok(())
}

fn sorted(mut batch: Batch) -> Batch {
    batch.events.sort_unstable_by_key(|event| (event.user_id, event.time_ms, event.movie_id));
    batch
}
