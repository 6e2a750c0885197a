//! Ratings from a file into the store: a thread reads and parses, a few writes are under way at once.
//!
//! Batches are sorted by user, because a store writes one record a user. The place behind the last
//! batch of an unbroken row of stored ones is kept as a note in the store; whatever was stored
//! beyond it is sent again after an interruption, and counts once.

use std::num::NonZeroU32;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use marquee_core::domain::{Interaction, TimeMs};
use marquee_store::{Recorded, Store, StoreError};
use roaring::RoaringBitmap;
use tokio::sync::{mpsc, watch};

use super::progress::{Part, Progress, Reached};
use super::report::{ImportReport, MalformedRow};
use super::row_error::RowError;
use super::rows::{Layout, Place, Row, Rows};
use super::source::{Source, SourceFile, Table};
use super::tally::Tally;
use super::units::Units;
use super::{ImportError, ImportOptions, tables};

/// Batches that are parsed and wait for the store.
const BATCHES_AHEAD: usize = 2;
/// Batches between two notes of the place.
const BATCHES_PER_NOTE: u64 = 16;
/// How often a write is repeated while the store is unavailable, with doubled waits.
const RETRIES: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Rows that are looked at before any is stored.
const LOOKED_AT: u64 = 4_096;
/// A file is of other units when more than one in so many of these rows is.
const ONE_IN: u64 = 10;

/// The ratings of one import.
pub(super) struct Import<'a> {
    pub(super) source: &'a Source,
    pub(super) file: &'a SourceFile,
    /// The movies that may be rated.
    pub(super) movies: RoaringBitmap,
    pub(super) store: &'a dyn Store,
    pub(super) options: ImportOptions,
    /// Of the whole release, whose other files are stored before.
    pub(super) total_bytes: u64,
    pub(super) progress: &'a dyn Progress,
}

/// Rows that are written at once.
#[derive(Default)]
struct Batch {
    events: Vec<Interaction>,
    malformed: Vec<MalformedRow>,
    /// Behind its last row.
    end: Place,
}

/// What became of a batch.
struct Stored {
    ratings: u64,
    duplicates: u64,
    malformed: Vec<MalformedRow>,
    end: Place,
}

/// Makes an import of this file begin at its beginning, however far an earlier one got.
pub(super) async fn forget_place(
    store: &dyn Store,
    file: &SourceFile,
    units: Units,
) -> Result<(), StoreError> {
    store.put_note(&note_of(file, units), FINISHED).await
}

/// The note of a file read in these units: in others it is another import.
fn note_of(file: &SourceFile, units: Units) -> String {
    let Units { time_unit, highest_rating, .. } = units;
    let highest = highest_rating.map_or(0, NonZeroU32::get);
    format!("import/{:016x}/{}/{highest}", file.fingerprint, time_unit.symbol())
}

impl Import<'_> {
    pub(super) async fn run(self, report: &mut ImportReport) -> Result<(), ImportError> {
        let note = note_of(self.file, self.options.units);
        let resumed = self.store.get_note(&note).await?.and_then(|note| decode_place(&note));
        report.resumed_at_line = resumed.map(|place| place.line + 1);
        let batches = self.read_from(resumed);
        let (reached, places) = watch::channel(Place::default());
        // Side by side: a note that nobody writes beside would wait for turns that the batches hold.
        let (tally, ()) =
            tokio::try_join!(self.write_all(batches, reached, report), self.note_places(&note, places))?;
        self.store.put_note(&note, FINISHED).await?;
        match resumed {
            Some(_) => Ok(()),
            None => tally.check(self.file, Table::Ratings),
        }
    }

    /// Writes the batches, a few at once, and says now and then how far all are stored.
    async fn write_all(
        &self,
        mut batches: mpsc::Receiver<Result<Batch, ImportError>>,
        reached: watch::Sender<Place>,
        report: &mut ImportReport,
    ) -> Result<Tally, ImportError> {
        let mut tally = Tally::default();
        let began = Instant::now();
        let writes = stream::poll_fn(|context| batches.poll_recv(context))
            .map(async |batch| self.write(batch?).await)
            .buffered(self.options.batches_in_flight);
        let mut writes = pin!(writes);
        let mut written = 0;
        while let Some(stored) = writes.try_next().await? {
            written += 1;
            if written % BATCHES_PER_NOTE == 0 {
                reached.send_replace(stored.end);
            }
            let bytes = self.total_bytes - self.file.size + stored.end.byte;
            tally.read(stored.ratings);
            stored.malformed.iter().for_each(|row| tally.leave_out(row));
            report.add(stored);
            let per_second = report.ratings as f64 / began.elapsed().as_secs_f64();
            let part = Part::Ratings { stored: report.ratings, per_second };
            self.progress.reached(Reached { bytes, total_bytes: self.total_bytes, part });
        }
        Ok(tally)
    }

    /// Notes the newest place, until nobody says any more.
    async fn note_places(&self, note: &str, mut places: watch::Receiver<Place>) -> Result<(), ImportError> {
        while places.changed().await.is_ok() {
            let place = *places.borrow_and_update();
            self.store.put_note(note, &encode_place(place)).await?;
        }
        Ok(())
    }

    /// Starts the reading thread. It ends with the file, an error, or when nobody listens any more.
    fn read_from(&self, from: Option<Place>) -> mpsc::Receiver<Result<Batch, ImportError>> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (source, file, movies) = (self.source.clone(), self.file.clone(), self.movies.clone());
        let ImportOptions { batch_rows, units, .. } = self.options;
        tokio::task::spawn_blocking(move || {
            let expected = Expected { movies: &movies, units };
            let read = read_batches(&source, &file, expected, from, batch_rows, |batch| {
                sender.blocking_send(Ok(batch)).is_ok()
            });
            if let Err(error) = read {
                // A receiver that is gone has no use for the error either.
                let _ = sender.blocking_send(Err(error));
            }
        });
        receiver
    }

    async fn write(&self, batch: Batch) -> Result<Stored, ImportError> {
        let outcomes = record(self.store, &batch.events, self.options.now_ms).await?;
        Ok(Stored {
            ratings: outcomes.len() as u64,
            duplicates: outcomes.iter().filter(|outcome| outcome.duplicate).count() as u64,
            malformed: batch.malformed,
            end: batch.end,
        })
    }
}

impl ImportReport {
    fn add(&mut self, stored: Stored) {
        self.ratings += stored.ratings;
        self.duplicates += stored.duplicates;
        for row in stored.malformed {
            self.leave_out(row);
        }
    }
}

/// Records events, patiently while the store is unavailable.
pub(super) async fn record(
    store: &dyn Store,
    events: &[Interaction],
    now_ms: TimeMs,
) -> Result<Vec<Recorded>, StoreError> {
    for retry in 0..RETRIES {
        match store.record(events, now_ms).await {
            Err(StoreError::Unavailable(_) | StoreError::Timeout) => {
                tokio::time::sleep(FIRST_WAIT * 2u32.pow(retry)).await;
            }
            outcome => return outcome,
        }
    }
    store.record(events, now_ms).await
}

/// What the ratings must be of, and in.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    /// The movies that may be rated.
    pub(super) movies: &'a RoaringBitmap,
    pub(super) units: Units,
}

impl Expected<'_> {
    fn rating(&self, row: &Row<'_>, layout: &Layout) -> Result<Interaction, RowError> {
        let event = tables::rating(row, layout, &self.units)?;
        let is_known = self.movies.contains(event.movie_id);
        if is_known { Ok(event) } else { Err(RowError::UnknownMovie(event.movie_id)) }
    }
}

/// Hands the file's batches to `send` until it declines.
fn read_batches(
    source: &Source,
    file: &SourceFile,
    expected: Expected<'_>,
    from: Option<Place>,
    batch_rows: usize,
    mut send: impl FnMut(Batch) -> bool,
) -> Result<(), ImportError> {
    let layout = Layout::detect(source, file, Table::Ratings)?;
    let from = from.unwrap_or(layout.start);
    source.read(file, from.byte, |reader| {
        let mut rows = Rows::new(reader, layout.dialect, from);
        loop {
            let batch = read_batch(&mut rows, &layout, file, expected, batch_rows)?;
            let empty = batch.events.is_empty() && batch.malformed.is_empty();
            if empty || !send(batch) {
                return Ok(());
            }
        }
    })
}

fn read_batch(
    rows: &mut Rows<'_>,
    layout: &Layout,
    file: &SourceFile,
    expected: Expected<'_>,
    batch_rows: usize,
) -> Result<Batch, ImportError> {
    let mut batch = Batch { events: Vec::with_capacity(batch_rows), ..Batch::default() };
    while batch.events.len() + batch.malformed.len() < batch_rows
        && let Some(row) = rows.next_row().map_err(|error| ImportError::io(&file.name, error))?
    {
        match expected.rating(&row, layout) {
            Ok(event) => batch.events.push(event),
            Err(error) => {
                batch.malformed.push(MalformedRow { file: file.name.clone(), line: row.number, error });
            }
        }
    }
    batch.end = rows.place();
    batch.events.sort_unstable_by_key(|event| (event.user_id, event.time_ms, event.movie_id));
    Ok(batch)
}

/// Reads the whole file; the first malformed row is an error, and so is a file without rows.
pub(super) fn check(source: &Source, file: &SourceFile, expected: Expected<'_>) -> Result<(), ImportError> {
    let (mut first, mut tally) = (None, Tally::default());
    read_batches(source, file, expected, None, 4096, |batch| {
        tally.read(batch.events.len() as u64);
        first = batch.malformed.into_iter().next();
        first.is_none()
    })?;
    match first {
        Some(row) => Err(ImportError::Malformed(row)),
        None => tally.check(file, Table::Ratings),
    }
}

/// Refuses a file whose first rows are of other units than these. What is stored in wrong ones stays: the
/// same rating in stars is the event that is there already.
pub(super) fn check_units(source: &Source, file: &SourceFile, units: &Units) -> Result<(), ImportError> {
    let layout = Layout::detect(source, file, Table::Ratings)?;
    source.read(file, layout.start.byte, |reader| {
        let mut rows = Rows::new(reader, layout.dialect, layout.start);
        let (mut looked_at, mut like_it, mut first) = (0, 0, None);
        while looked_at < LOOKED_AT
            && let Some(row) = rows.next_row().map_err(|error| ImportError::io(&file.name, error))?
        {
            looked_at += 1;
            if let Err(error) = tables::rating(&row, &layout, units)
                && error.is_of_other_units()
            {
                like_it += 1;
                first.get_or_insert(MalformedRow { file: file.name.clone(), line: row.number, error });
            }
        }
        match first {
            Some(row) if like_it * ONE_IN > looked_at => {
                Err(ImportError::OtherUnits { row, like_it, looked_at })
            }
            _ => Ok(()),
        }
    })
}

/// The note of an import that is through: another one starts from the beginning.
const FINISHED: &[u8] = &[];

fn encode_place(place: Place) -> Vec<u8> {
    [place.byte.to_le_bytes(), place.line.to_le_bytes()].concat()
}

fn decode_place(note: &[u8]) -> Option<Place> {
    let (byte, line) = note.split_at_checked(8)?;
    Some(Place {
        byte: u64::from_le_bytes(byte.try_into().ok()?),
        line: u64::from_le_bytes(line.try_into().ok()?),
    })
}
