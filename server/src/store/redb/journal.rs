//! Why a durable write costs one page: events go to a journal first.
//!
//! A group of events changes as many pages of redb's file as it has users, some 4 KB each; the same
//! events are 29 bytes each in the journal. So a group of events is made durable here, by one append
//! and one fsync, and kept in memory; from time to time a checkpoint writes what changed to redb and
//! the journal begins anew. An event is idempotent by key, so recovery is simply recording the
//! journal's events again.
//!
//! A block is: epoch, length, checksum (8 bytes each), entries. The epoch counts checkpoints and
//! stands in redb too, in the transaction that makes it durable: a block of another epoch is of
//! before the checkpoint. A torn block was never acknowledged, and ends the journal.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::codec::Reader;
use super::event::{PackedEvent, pack, run_of, unpack};
use crate::domain::{Interaction, TimeMs};
use crate::store::StoreError;

/// A journal of this many bytes asks for a checkpoint: some 290,000 events, recorded again in about
/// half a second.
const FULL: u64 = 8 << 20;
/// A group with more entry bytes than this (36,000 events) is a checkpoint of its own.
const LARGE_GROUP: usize = 1 << 20;
const HEADER: usize = 24;

/// The journal's file and how far it is written.
pub(super) struct Journal {
    file: File,
    epoch: u64,
    end: u64,
}

impl Journal {
    /// Opens the journal or makes it, its space taken at once so that an append is one write.
    pub(super) fn open(path: &Path, epoch: u64) -> std::io::Result<Self> {
        let exists = path.exists();
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if !exists {
            file.write_all(&vec![0; FULL as usize + LARGE_GROUP + HEADER])?;
            file.sync_all()?;
        }
        Ok(Self { file, epoch, end: 0 })
    }

    /// The events since the checkpoint, in order, each with the creation time for its user.
    pub(super) fn recover(&self) -> Result<Vec<(Interaction, TimeMs)>, StoreError> {
        let mut bytes = vec![0; FULL as usize + LARGE_GROUP + HEADER];
        let len = read_from_start(&self.file, &mut bytes).map_err(|error| failed(&error))?;
        let mut rest = &bytes[..len];
        let mut events = Vec::new();
        while let Some((entries, after)) = self.block(rest) {
            let mut reader = Reader(entries);
            while !reader.0.is_empty() {
                events.push(entry(&mut reader)?);
            }
            rest = after;
        }
        Ok(events)
    }

    /// The entries of a whole block of this epoch, and what follows it.
    fn block<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let mut reader = Reader(bytes);
        let (epoch, len, checksum) = (reader.u64().ok()?, reader.u64().ok()?, reader.u64().ok()?);
        let entries = reader.bytes(usize::try_from(len).ok()?).ok()?;
        let whole = epoch == self.epoch && len > 0 && checksum == xxh3_64_with_seed(entries, epoch);
        whole.then_some((entries, reader.0))
    }

    /// Whether a group with so many entry bytes is to be made durable by a checkpoint.
    pub(super) fn wants_checkpoint(&self, entries: usize) -> bool {
        entries > LARGE_GROUP || self.end > FULL
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
        let written = self.file.write_all_at(&block, self.end).and_then(|()| self.file.sync_data());
        written.map_err(|error| failed(&error))?;
        self.end += block.len() as u64;
        Ok(())
    }

    /// The epoch that the next checkpoint begins.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch + 1
    }

    /// Begins anew after a checkpoint.
    pub(super) fn restart(&mut self) {
        self.epoch += 1;
        self.end = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }
}

fn read_from_start(file: &File, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
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

    #[test]
    fn a_torn_block_ends_the_journal_before_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let events = [rating(1, 2, 3, 4), rating(1, 2, 4, 5), rating(2, 2, 3, 6)];
        let mut journal = Journal::open(&path, 3).expect("a new journal");
        journal.append(&entries(&events[..2])).expect("a write");
        journal.append(&entries(&events[2..])).expect("a write");
        journal.file.write_all_at(b"torn", journal.end - 4).expect("a write");
        let recovered = Journal::open(&path, 3).expect("it is there").recover().expect("it can be read");
        assert_eq!(recovered, [(events[0], 5), (events[1], 5)]);
    }

    #[test]
    fn blocks_of_before_the_checkpoint_are_not_recovered() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, 3).expect("a new journal");
        for time in 0..3 {
            journal.append(&entries(&[rating(1, 2, time, 4)])).expect("a write");
        }
        journal.restart();
        journal.append(&entries(&[rating(9, 9, 9, 9)])).expect("a write");
        let reopened = Journal::open(&path, 4).expect("it is there");
        assert_eq!(reopened.recover().expect("it can be read"), [(rating(9, 9, 9, 9), 5)]);
    }
}
