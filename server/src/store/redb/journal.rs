//! Why a durable write costs one page: events go to a journal first.
//!
//! A group of events changes as many pages of redb's file as it has users, some 4 KB each; the same
//! events are 29 bytes each in the journal. So a group of events is made durable here, by one append
//! and one fsync, and kept in memory; from time to time a checkpoint writes what changed to redb and
//! the journal begins anew. An event is idempotent by key, so recovery is simply recording the
//! journal's events again.
//!
//! A block is: epoch, length, checksum (8 bytes each), entries. The epoch counts checkpoints and
//! stands in redb too, in the transaction that makes it durable: a block of an earlier epoch is of
//! before the checkpoint. A torn block was never acknowledged, and ends its file.
//!
//! There are two files, because events arrive while a checkpoint is written: those of the next epoch
//! go to the other file, and recovery reads both epochs.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::codec::Reader;
use super::event::{PackedEvent, pack, run_of, unpack};
use crate::domain::{Interaction, TimeMs};
use crate::store::StoreError;

/// A journal of this many bytes asks for a checkpoint: some 290,000 events, recorded again in about
/// half a second.
pub(super) const FULL: u64 = 8 << 20;
/// A group with more entry bytes than this (36,000 events) is a checkpoint of its own.
const LARGE_GROUP: usize = 1 << 20;
const HEADER: usize = 24;

/// The journal's files and how far the one of this epoch is written.
pub(super) struct Journal {
    files: [File; 2],
    epoch: u64,
    end: u64,
    /// See [`FULL`].
    full: u64,
}

impl Journal {
    /// Opens the files or makes them.
    pub(super) fn open(paths: [&Path; 2], epoch: u64, full: u64) -> std::io::Result<Self> {
        let [first, second] = paths.map(|path| open_or_make(path, full));
        Ok(Self { files: [first?, second?], epoch, end: 0, full })
    }

    /// The events since the checkpoint, in order, each with the creation time for its user.
    pub(super) fn recover(&self) -> Result<Vec<(Interaction, TimeMs)>, StoreError> {
        let files = [read_whole(&self.files[0])?, read_whole(&self.files[1])?];
        let mut events = Vec::new();
        for epoch in [self.epoch, self.epoch + 1] {
            for bytes in &files {
                let mut rest = bytes.as_slice();
                while let Some((entries, after)) = block(rest, epoch) {
                    let mut reader = Reader(entries);
                    while !reader.0.is_empty() {
                        events.push(entry(&mut reader)?);
                    }
                    rest = after;
                }
            }
        }
        Ok(events)
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
        let mut block = Vec::with_capacity(HEADER + entries.len());
        let checksum = xxh3_64_with_seed(entries, self.epoch);
        for number in [self.epoch, entries.len() as u64, checksum] {
            block.extend(number.to_le_bytes());
        }
        block.extend(entries);
        let file = self.file();
        let written = file.write_all_at(&block, self.end).and_then(|()| file.sync_data());
        written.map_err(|error| failed(&error))?;
        self.end += block.len() as u64;
        Ok(())
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

    /// After [`Self::recover`], which read two epochs: the next checkpoint leaves both behind.
    pub(super) fn skip_epoch(&mut self) {
        self.epoch += 1;
    }

    fn file(&self) -> &File {
        &self.files[(self.epoch % 2) as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }
}

/// Opens a file or makes it, its space taken at once so that an append is one write.
fn open_or_make(path: &Path, full: u64) -> std::io::Result<File> {
    let exists = path.exists();
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if !exists {
        file.write_all(&vec![0; full as usize + LARGE_GROUP + HEADER])?;
        file.sync_all()?;
    }
    Ok(file)
}

fn read_whole(mut file: &File) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| failed(&error))
}

/// The entries of a whole block of this epoch, and what follows it.
fn block(bytes: &[u8], epoch: u64) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader(bytes);
    let (found, len, checksum) = (reader.u64().ok()?, reader.u64().ok()?, reader.u64().ok()?);
    let entries = reader.bytes(usize::try_from(len).ok()?).ok()?;
    let whole = found == epoch && len > 0 && checksum == xxh3_64_with_seed(entries, epoch);
    whole.then_some((entries, reader.0))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::rating;

    fn entries(events: &[Interaction]) -> Vec<u8> {
        let mut entries = Vec::new();
        for event in events {
            put_entry(&mut entries, event, 5);
        }
        entries
    }

    fn open(folder: &Path, epoch: u64) -> Journal {
        let paths = [folder.join("journal"), folder.join("journal.2")];
        Journal::open([&paths[0], &paths[1]], epoch, FULL).expect("the journal opens")
    }

    #[test]
    fn a_torn_block_ends_the_journal_before_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let events = [rating(1, 2, 3, 4), rating(1, 2, 4, 5), rating(2, 2, 3, 6)];
        let mut journal = open(folder.path(), 3);
        journal.append(&entries(&events[..2])).expect("a write");
        journal.append(&entries(&events[2..])).expect("a write");
        journal.file().write_all_at(b"torn", journal.end - 4).expect("a write");
        let recovered = open(folder.path(), 3).recover().expect("it can be read");
        assert_eq!(recovered, [(events[0], 5), (events[1], 5)]);
    }

    #[test]
    fn blocks_of_before_the_checkpoint_are_not_recovered() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut journal = open(folder.path(), 3);
        for epoch in 3..6 {
            journal.append(&entries(&[rating(1, 2, epoch, 4), rating(2, 2, epoch, 4)])).expect("a write");
            journal.append(&entries(&[rating(3, 2, epoch, 4)])).expect("a write");
            journal.restart();
        }
        journal.append(&entries(&[rating(9, 9, 9, 9)])).expect("a write");
        let reopened = open(folder.path(), 6);
        assert_eq!(reopened.recover().expect("it can be read"), [(rating(9, 9, 9, 9), 5)]);
    }

    #[test]
    fn what_came_during_a_checkpoint_that_did_not_end_is_recovered_after_what_was_before() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let events = [rating(1, 2, 3, 4), rating(1, 2, 4, 5)];
        let mut journal = open(folder.path(), 3);
        journal.append(&entries(&events[..1])).expect("a write");
        journal.restart();
        journal.append(&entries(&events[1..])).expect("a write");
        let recovered = open(folder.path(), 3).recover().expect("it can be read");
        assert_eq!(recovered, [(events[0], 5), (events[1], 5)]);
    }
}
