//! What redb writes to, for as long as the disk takes it.
//!
//! After one failed write redb gives up the whole database, reads too. Here a failed write is the last
//! one that the file sees, which stays as a power cut at that moment would leave it. What redb writes
//! from then on is kept in memory, so that it comes to an end and readers of the last checkpoint go on.
//! Whoever commits asks [`Fence::check`] whether the disk has it.
//!
//! A failed read makes redb give up too, and cannot be kept from it; the same question tells it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::StorageBackend;

use super::disk::DiskFile;
use crate::StoreError;

const BLOCK: usize = 4096;

/// A database's way to its file.
#[derive(Clone, Debug)]
pub(super) struct Fence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<DiskFile>,
    is_down: AtomicBool,
    /// Set when the fence goes down.
    beyond: RwLock<Option<Beyond>>,
}

/// What did not reach the file.
#[derive(Debug)]
struct Beyond {
    why: String,
    length: u64,
    /// By their number.
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
}

impl Fence {
    pub(super) fn new(file: Arc<DiskFile>) -> Self {
        Self(Arc::new(Inner { file, is_down: AtomicBool::new(false), beyond: RwLock::default() }))
    }

    /// Whether all that was written reached the file, and all that was read could be.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &*self.0.beyond.read().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(beyond) => Err(StoreError::Unavailable(beyond.why.clone())),
        }
    }

    /// Lets nothing through any more.
    pub(super) fn retire(&self) -> io::Result<()> {
        self.0.put_down("another handle writes to the file".to_owned())
    }
}

impl Inner {
    fn put_down(&self, why: String) -> io::Result<()> {
        let mut beyond = self.beyond.write().unwrap_or_else(PoisonError::into_inner);
        if beyond.is_none() {
            *beyond = Some(Beyond { why, length: self.file.length()?, blocks: BTreeMap::new() });
            self.is_down.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Does it to the file, as long as that works, and else to memory.
    fn change(
        &self,
        to_file: impl FnOnce(&DiskFile) -> io::Result<()>,
        to_memory: impl FnOnce(&mut Beyond, &DiskFile) -> io::Result<()>,
    ) -> io::Result<()> {
        if !self.is_down.load(Ordering::Acquire) {
            match to_file(&self.file) {
                Ok(()) => return Ok(()),
                Err(error) => self.put_down(format!("{:?}: {error}", self.file))?,
            }
        }
        match &mut *self.beyond.write().unwrap_or_else(PoisonError::into_inner) {
            Some(beyond) => to_memory(beyond, &self.file),
            None => Ok(()),
        }
    }
}

impl Beyond {
    /// The block as it is without what did not reach the file.
    fn stored(file: &DiskFile, number: u64) -> io::Result<Box<[u8; BLOCK]>> {
        let start = number * BLOCK as u64;
        let mut block = Box::new([0; BLOCK]);
        let there = file.length()?.saturating_sub(start).min(BLOCK as u64);
        file.read(start, &mut block[..there as usize])?;
        Ok(block)
    }

    fn write(&mut self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.length = self.length.max(offset + bytes.len() as u64);
        for (number, within, part) in parts(offset, bytes.len()) {
            let block = match self.blocks.entry(number) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => place.insert(Self::stored(file, number)?),
            };
            block[within..within + part.len()].copy_from_slice(&bytes[part]);
        }
        Ok(())
    }

    fn read(&self, file: &DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, part) in parts(offset, out.len()) {
            let source = within..within + part.len();
            match self.blocks.get(&number) {
                Some(block) => out[part].copy_from_slice(&block[source]),
                None => out[part].copy_from_slice(&Self::stored(file, number)?[source]),
            }
        }
        Ok(())
    }

    fn resize(&mut self, length: u64) {
        self.length = length;
        self.blocks.split_off(&length.div_ceil(BLOCK as u64));
    }
}

/// The blocks of a range: number, where the range begins in it, and which part of the range it has.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % BLOCK as u64) as usize;
        let part = done..length.min(done + BLOCK - within);
        done = part.end;
        (!part.is_empty()).then_some((at / BLOCK as u64, within, part))
    })
}

/// Locks are not redb's business: who opens the store has locked the file.
impl StorageBackend for Fence {
    fn len(&self) -> io::Result<u64> {
        match &*self.0.beyond.read().unwrap_or_else(PoisonError::into_inner) {
            Some(beyond) => Ok(beyond.length),
            None => self.0.file.length(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.is_down.load(Ordering::Acquire)
            && let Some(beyond) = &*self.0.beyond.read().unwrap_or_else(PoisonError::into_inner)
        {
            return beyond.read(&self.0.file, offset, out);
        }
        let read = self.0.file.read(offset, out);
        if let Err(error) = &read {
            // redb reads nothing more from here: another handle must be opened.
            self.0.put_down(format!("{:?}: {error}", self.0.file))?;
        }
        read
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.change(
            |file| file.resize(length),
            |beyond, _| {
                beyond.resize(length);
                Ok(())
            },
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.change(DiskFile::sync, |_, _| Ok(()))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.change(|file| file.write(offset, bytes), |beyond, file| beyond.write(file, offset, bytes))
    }
}
