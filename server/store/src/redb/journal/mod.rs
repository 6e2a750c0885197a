//! Why a durable write costs one page: events go to a journal first.
//!
//! A group of events changes as many pages of redb's file as it has users, some 4 KB each; the same
//! events are 29 bytes each in the journal. So a group of events is made durable here, by one append
//! and one fsync, and kept in memory; from time to time a checkpoint writes what changed to redb and
//! the journal begins anew. An event is idempotent by key, so recovery is simply recording the
//! journal's events again.
//!
//! The journal is made of checksummed [`block`]s. Their epoch counts checkpoints and stands in redb too,
//! in the transaction that makes it durable: a block of an earlier epoch is of before the checkpoint.
//!
//! There are two files, because events arrive while a checkpoint is written: those of the next epoch
//! go to the other file, and recovery reads both epochs. Both are there in their full length before the
//! store is, so that one that is not has lost something.

mod block;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use marquee_core::domain::{Interaction, TimeMs};

use self::block::{HEADER, encode, first_epoch, scan};
use super::codec::Reader;
use super::damage::Damage;
use super::disk::{Disk, DiskFile};
use super::event::{PackedEvent, pack, run_of, unpack};
use crate::StoreError;

pub(super) const FILES: [&str; 2] = ["marquee.journal", "marquee.journal.2"];

/// A journal of this many bytes asks for a checkpoint: some 290,000 events, recorded again in about
/// half a second.
pub(super) const FULL: u64 = 8 << 20;
/// A group with more entry bytes than this (36,000 events) is a checkpoint of its own.
const LARGE_GROUP: usize = 1 << 20;
/// The length of a file: its space is taken at once, so that an append is one write. Shorter files are
/// refused, so a store whose files are to be longer needs a migration.
const LENGTH: u64 = FULL + LARGE_GROUP as u64 + HEADER as u64;
/// Bytes of an event: its user's creation time, user, packed event.
const ENTRY: usize = 16 + size_of::<PackedEvent>();

/// The journal's files and how far the one of this epoch is written.
pub(super) struct Journal {
    files: [DiskFile; 2],
    epoch: u64,
    end: u64,
    /// See [`FULL`].
    full: u64,
}

/// What is in the journal and not in redb.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// The events since the checkpoint, in order, each with the creation time for its user.
    pub(super) events: Vec<(Interaction, TimeMs)>,
    pub(super) damage: Vec<Damage>,
}

/// Whether nothing was ever written to the files that are there: the store's first start has not come
/// to its end.
pub(super) fn is_blank(disk: &Disk) -> std::io::Result<bool> {
    for name in FILES {
        if let Some(length) = disk.length(name)? {
            let mut beginning = vec![0; length.min(HEADER as u64) as usize];
            disk.file(name)?.read(0, &mut beginning)?;
            if beginning.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Makes both files, whatever is there.
pub(super) fn make_anew(disk: &Disk) -> std::io::Result<()> {
    FILES.into_iter().try_for_each(|name| disk.make_zeros(name, LENGTH))
}

/// Which files are missing or end early.
pub(super) fn missing(disk: &Disk) -> std::io::Result<Vec<Damage>> {
    let mut missing = Vec::new();
    for name in FILES {
        match disk.length(name)? {
            None => missing.push(Damage::NoJournal { name }),
            Some(found) if found < LENGTH => {
                missing.push(Damage::ShortJournal { name, found, expected: LENGTH });
            }
            Some(_) => {}
        }
    }
    Ok(missing)
}

impl Journal {
    /// Opens the files, to be [recovered](Self::recover) first; missing ones are made, short ones get
    /// their length.
    pub(super) fn open(disk: &Disk, full: u64) -> std::io::Result<Self> {
        for name in FILES {
            if disk.length(name)?.is_none() {
                disk.make_zeros(name, LENGTH)?;
            }
        }
        let [first, second] = FILES.map(|name| disk.file(name));
        let journal = Self { files: [first?, second?], epoch: 0, end: 0, full };
        for file in &journal.files {
            if file.length()? < LENGTH {
                file.resize(LENGTH)?;
                file.sync()?;
            }
        }
        Ok(journal)
    }

    /// Reads what redb, which is at this epoch, does not hold, and goes on behind it.
    pub(super) fn recover(&mut self, stored: u64) -> Result<Recovered, StoreError> {
        let [first, second] = self.files.each_ref().map(DiskFile::read_whole);
        let files = [first.map_err(|error| failed(&error))?, second.map_err(|error| failed(&error))?];
        // A checkpoint that did not end leaves blocks of two epochs; only tables of another day leave later
        // ones.
        let later = files.iter().filter_map(|file| first_epoch(file)).filter(|epoch| *epoch > stored + 1);
        let mut epochs: BTreeSet<u64> = later.collect();
        let mut recovered = Recovered::default();
        if !epochs.is_empty() {
            recovered.damage.push(Damage::OldTables);
        }
        epochs.extend([stored, stored + 1]);
        let mut ends = [0; 2];
        for epoch in &epochs {
            for (place, bytes) in files.iter().enumerate() {
                ends[place] = recovered.add(FILES[place], bytes, *epoch)?;
            }
        }
        // The next checkpoint leaves all of them behind.
        let newest = epochs.last().copied().filter(|_| !recovered.is_nothing());
        self.epoch = newest.unwrap_or(stored);
        self.end = newest.map_or(0, |_| ends[self.place()]);
        Ok(recovered)
    }

    /// Whether a group with so many entry bytes fits; a larger one is made durable by a checkpoint.
    pub(super) fn has_room_for(entries: usize) -> bool {
        entries <= LARGE_GROUP
    }

    /// Whether a checkpoint is due.
    pub(super) fn is_full(&self) -> bool {
        self.end > self.full
    }

    /// Makes the entries durable.
    pub(super) fn append(&mut self, entries: &[u8]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let block = encode(self.epoch, entries);
        let file = self.file();
        let written = file.write(self.end, &block).and_then(|()| file.sync());
        written.map_err(|error| failed(&error))?;
        self.end += block.len() as u64;
        if let Err(error) = self.seal() {
            tracing::debug!(%error, "journal entry written but not sealed");
        }
        Ok(())
    }

    /// Says that all that is written so far is acknowledged. It need not be durable: it tells a write that
    /// was cut off from one that was damaged later.
    fn seal(&self) -> Result<(), StoreError> {
        self.file().write(self.end, &encode(self.epoch, &[])).map_err(|error| failed(&error))
    }

    /// Seals what is there and makes it durable. After a failed write, what was not acknowledged is then no
    /// block any more.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        self.seal()?;
        self.files.iter().try_for_each(DiskFile::settle).map_err(|error| failed(&error))
    }

    /// The epoch that the next checkpoint begins.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch + 1
    }

    /// Begins anew in the other file: a checkpoint of what is in this one began, or is durable.
    pub(super) fn restart(&mut self) {
        self.epoch += 1;
        self.end = 0;
    }

    fn file(&self) -> &DiskFile {
        &self.files[self.place()]
    }

    fn place(&self) -> usize {
        (self.epoch % 2) as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }
}

impl Recovered {
    pub(super) fn is_nothing(&self) -> bool {
        self.events.is_empty() && self.damage.is_empty()
    }

    /// Adds what a file holds of an epoch; where that ends.
    fn add(&mut self, name: &'static str, bytes: &[u8], epoch: u64) -> Result<u64, StoreError> {
        let scan = scan(bytes, epoch);
        for entries in scan.blocks {
            let mut reader = Reader(entries);
            while !reader.0.is_empty() {
                self.events.push(entry(&mut reader)?);
            }
        }
        if !scan.lost.is_empty() {
            let (places, bytes) = (scan.lost.len(), scan.lost.iter().sum::<u64>());
            let events = bytes.saturating_sub(HEADER as u64) / ENTRY as u64;
            self.damage.push(Damage::BadBlocks { name, places, bytes, events });
        }
        if scan.unfinished > 0 {
            tracing::warn!(
                journal = name,
                bytes = scan.unfinished,
                "discarded a torn write at the end of the journal; it was never acknowledged"
            );
        }
        Ok(scan.end)
    }
}

fn failed(error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("its journal: {error}"))
}

/// Adds an event: its user's creation time, user, packed event.
pub(super) fn put_entry(entries: &mut Vec<u8>, event: &Interaction, now_ms: TimeMs) {
    entries.extend(now_ms.to_le_bytes());
    entries.extend(event.user_id.to_le_bytes());
    entries.extend(pack(event));
}

fn entry(reader: &mut Reader<'_>) -> Result<(Interaction, TimeMs), StoreError> {
    let (now_ms, user_id) = (reader.i64()?, reader.u64()?);
    let packed = reader.bytes(size_of::<PackedEvent>())?;
    Ok((unpack(user_id, &run_of(packed)?[0])?, now_ms))
}
