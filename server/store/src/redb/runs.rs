//! Runs of events that left their heads, in a checkpoint's transaction.
//!
//! A run is stored under the key of its oldest event, so the run of an event is the last one that
//! begins at or before it.

use marquee_core::domain::UserId;
use redb::{ReadableTable, Table, WriteTransaction};

use super::event::{NEWEST, OLDEST, PackedEvent, PackedKey, key_of, place, run_of};
use super::schema::RUNS;
use crate::StoreError;

/// The most events in a run; a fuller one splits in two.
const LIMIT: usize = 256;

pub(super) struct RunsMut<'txn>(Table<'txn, &'static PackedKey, &'static [u8]>);

impl<'txn> RunsMut<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self(transaction.open_table(RUNS)?))
    }

    /// The newest event in any run of the user.
    pub(super) fn newest(&self, user_id: UserId) -> Result<Option<PackedEvent>, StoreError> {
        let (first, last) = (key_of(user_id, &OLDEST), key_of(user_id, &NEWEST));
        let Some(entry) = self.0.range::<&PackedKey>(&first..=&last)?.next_back() else {
            return Ok(None);
        };
        Ok(run_of(entry?.1.value())?.last().copied())
    }

    /// Adds events, oldest first, that are newer than all in runs.
    pub(super) fn append(&mut self, user_id: UserId, events: &[PackedEvent]) -> Result<(), StoreError> {
        events.chunks(LIMIT).try_for_each(|run| self.put(user_id, run))
    }

    /// Puts one event into the run where it belongs.
    pub(super) fn insert(&mut self, user_id: UserId, event: PackedEvent) -> Result<(), StoreError> {
        let (key, mut run) = self.run_around(user_id, &event)?;
        if let Err(free) = place(&run, &event) {
            run.insert(free, event);
        }
        if key_of(user_id, &run[0]) != key {
            self.0.remove(&key)?;
        }
        run.chunks(if run.len() > LIMIT { LIMIT / 2 } else { LIMIT })
            .try_for_each(|half| self.put(user_id, half))
    }

    /// Takes one event out, if it is in a run.
    pub(super) fn remove(&mut self, user_id: UserId, event: &PackedEvent) -> Result<(), StoreError> {
        let (first, here) = (key_of(user_id, &OLDEST), key_of(user_id, event));
        let Some(found) = self.0.range::<&PackedKey>(&first..=&here)?.next_back() else { return Ok(()) };
        let (key, mut run) = {
            let (key, run) = found?;
            (*key.value(), run_of(run.value())?.to_vec())
        };
        let Ok(place) = place(&run, event) else { return Ok(()) };
        run.remove(place);
        // A run stands under its oldest event, which may be another now.
        self.0.remove(&key)?;
        if run.is_empty() { Ok(()) } else { self.put(user_id, &run) }
    }

    /// The last run that begins at or before the event; the first of all for one that is older.
    fn run_around(
        &self,
        user_id: UserId,
        event: &PackedEvent,
    ) -> Result<(PackedKey, Vec<PackedEvent>), StoreError> {
        let (first, here, last) =
            (key_of(user_id, &OLDEST), key_of(user_id, event), key_of(user_id, &NEWEST));
        let found = match self.0.range::<&PackedKey>(&first..=&here)?.next_back() {
            Some(found) => Some(found?),
            None => self.0.range::<&PackedKey>(&here..=&last)?.next().transpose()?,
        };
        let (key, run) = found.ok_or_else(|| {
            StoreError::Corrupt(format!("user {user_id} has more events than the runs hold"))
        })?;
        Ok((*key.value(), run_of(run.value())?.to_vec()))
    }

    fn put(&mut self, user_id: UserId, run: &[PackedEvent]) -> Result<(), StoreError> {
        self.0.insert(&key_of(user_id, &run[0]), run.as_flattened())?;
        Ok(())
    }

    pub(super) fn remove_all(&mut self, user_id: UserId) -> Result<(), StoreError> {
        let (first, last) = (key_of(user_id, &OLDEST), key_of(user_id, &NEWEST));
        self.0.retain_in::<&PackedKey, _>(&first..=&last, |_, _| false)?;
        Ok(())
    }
}
