//! The database, its journal, and what is in memory between them.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use redb::Database;

use super::checkpoint::Checkpoint;
use super::damage::{Damage, OnDamage};
use super::disk::{Disk, DiskFile, in_use, unfinished};
use super::journal::{self, Journal, Recovered};
use super::schema;
use super::snapshot::Snapshot;
use super::state::State;
use super::tables::{Check, Tables};
use super::view::View;
use crate::StoreError;

pub(super) const FILE: &str = "marquee.redb";
/// Files of an older schema may be of when there was one journal.
const TWO_JOURNALS: u32 = 2;

pub(super) struct Files {
    file: Arc<DiskFile>,
    tables: Arc<Tables>,
    journal: Journal,
    state: State,
    /// The checkpoint under way.
    under_way: Option<JoinHandle<Result<Checkpoint, StoreError>>>,
    /// Ours alone for as long.
    _disk: Disk,
}

impl Files {
    /// Opens the files, or makes them where there never were any, and records the journal's events again
    /// if the store was not closed well. A checkpoint is taken whenever the journal has `journal_bytes`.
    pub(super) fn open(disk: &Disk, on_damage: OnDamage, journal_bytes: u64) -> Result<Self, StoreError> {
        let folder = disk.folder().display();
        let failed = |error: &io::Error| StoreError::Open(format!("{folder}: {error}"));
        make_if_new(disk)?;
        let file = Arc::new(disk.file(FILE).map_err(|error| failed(&error))?);
        if !file.try_lock().map_err(|error| failed(&error))? {
            return Err(in_use(disk.folder()));
        }
        let tables = Tables::open(&file, Check::Pages)?;
        let version = schema::migrate(&tables)?;
        let mut missing = journal::missing(disk).map_err(|error| failed(&error))?;
        if version < TWO_JOURNALS {
            missing.retain(|damage| *damage != Damage::NoJournal { name: journal::FILES[1] });
        }
        on_damage.decide(&missing, &folder)?;
        let mut journal = Journal::open(disk, journal_bytes).map_err(|error| failed(&error))?;
        let stored = Arc::new(Snapshot::open(&tables)?);
        let recovered = journal.recover(stored.epoch()?)?;
        on_damage.decide(&recovered.damage, &folder)?;
        let state = State::new(stored)?;
        let mut files = Self { file, tables, journal, state, under_way: None, _disk: disk.clone() };
        if !recovered.is_nothing() {
            tracing::info!(events = recovered.events.len(), "replaying the journal");
            files.replay(&recovered)?;
            files.checkpoint()?;
        }
        files.journal.settle()?;
        Ok(files)
    }

    pub(super) fn state(&mut self) -> &mut State {
        &mut self.state
    }

    /// What readers see first.
    pub(super) fn view(&self) -> Result<View, StoreError> {
        let view = View::new(Snapshot::open(&self.tables)?);
        view.count(self.state.counts());
        Ok(view)
    }

    /// Makes the group durable and then shows it to readers.
    pub(super) fn make_durable(&mut self, view: &View) -> Result<(), StoreError> {
        self.tables.check()?;
        if self.state.needs_checkpoint() || !Journal::has_room_for(self.state.entries().len()) {
            self.end_checkpoint(view)?;
            view.show_checkpoint(self.checkpoint()?);
        } else {
            self.journal.append(self.state.entries())?;
            self.state.publish(&view.recent);
        }
        view.count(self.state.counts());
        Ok(())
    }

    /// Ends a checkpoint that is written, and begins one that is due. What fails here is durable already.
    pub(super) fn tidy(&mut self, view: &View) -> Result<(), StoreError> {
        if self.under_way.as_ref().is_some_and(JoinHandle::is_finished) {
            self.end_checkpoint(view)?;
        }
        if self.state.wants_checkpoint() || self.journal.is_full() {
            self.end_checkpoint(view)?;
            self.begin_checkpoint(view)?;
        }
        Ok(())
    }

    /// After a failed write: starts over from what is durable, as after a crash, while readers go on. What
    /// was acknowledged is there again, and nothing else.
    pub(super) fn start_over(&mut self, view: &View) -> Result<(), StoreError> {
        if let Some(thread) = self.under_way.take() {
            // The file tells what came of it.
            drop(thread.join());
        }
        let failed = |error: io::Error| StoreError::Unavailable(format!("{FILE}: {error}"));
        self.tables.retire().map_err(failed)?;
        self.journal.settle()?;
        self.file.settle().map_err(failed)?;
        self.tables = Tables::open(&self.file, Check::LastCommit)?;
        let stored = Arc::new(Snapshot::open(&self.tables)?);
        view.show_reopened(Arc::clone(&stored))?;
        let recovered = self.journal.recover(stored.epoch()?)?;
        OnDamage::Refuse.decide(&recovered.damage, &FILE)?;
        self.state = State::new(stored)?;
        self.replay(&recovered)?;
        view.show_checkpoint(self.checkpoint()?);
        view.count(self.state.counts());
        Ok(())
    }

    fn replay(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        for (event, now_ms) in &recovered.events {
            self.state.record(&[*event], *now_ms)?;
        }
        Ok(())
    }

    /// A checkpoint on this thread: its group is durable with it.
    fn checkpoint(&mut self) -> Result<Arc<Snapshot>, StoreError> {
        let checkpoint = self.state.freeze(self.journal.next_epoch()).write(&self.tables)?;
        self.state.adopt(&checkpoint);
        self.journal.restart();
        Ok(checkpoint.stored)
    }

    /// A checkpoint on a thread of its own, of groups that the journal made durable.
    fn begin_checkpoint(&mut self, view: &View) -> Result<(), StoreError> {
        if self.state.needs_checkpoint() {
            // The next group is one.
            return Ok(());
        }
        let changes = self.state.freeze(self.journal.next_epoch());
        self.journal.restart();
        view.recent.freeze();
        let tables = Arc::clone(&self.tables);
        let thread = Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || changes.write(&tables))
            .map_err(|error| StoreError::Unavailable(format!("a checkpoint cannot start: {error}")))?;
        self.under_way = Some(thread);
        Ok(())
    }

    /// Waits for the checkpoint under way, if there is one, and goes on from it.
    fn end_checkpoint(&mut self, view: &View) -> Result<(), StoreError> {
        let Some(thread) = self.under_way.take() else { return Ok(()) };
        let panicked = |_| StoreError::Unavailable("its checkpoint panicked".to_owned());
        let checkpoint = thread.join().map_err(panicked)??;
        self.state.adopt(&checkpoint);
        view.show_frozen(checkpoint.stored);
        Ok(())
    }

    pub(super) fn close(&mut self, view: &View) -> Result<(), StoreError> {
        self.end_checkpoint(view)?;
        if self.journal.is_empty() { Ok(()) } else { self.checkpoint().map(drop) }
    }
}

/// Makes the files of a store where there never was one, the tables last; what a killed start left
/// is made anew. Tables that are missing or empty beside a written journal are not a new store.
fn make_if_new(disk: &Disk) -> Result<(), StoreError> {
    let folder = disk.folder().display();
    let failed = |error: &dyn std::fmt::Display| StoreError::Open(format!("{folder}: {error}"));
    let length = disk.length(FILE).map_err(|error| failed(&error))?;
    if length.is_some_and(|length| length > 0) {
        return Ok(());
    }
    if !journal::is_blank(disk).map_err(|error| failed(&error))? {
        let found = if length.is_none() { "missing" } else { "empty" };
        return Err(StoreError::Open(format!(
            "{folder}: {FILE} is {found}, and the journal beside it says that there was a store; restore the data folder \
             from a backup, or move it away to begin with an empty store"
        )));
    }
    journal::make_anew(disk).map_err(|error| failed(&error))?;
    make_tables(disk).map_err(|error| failed(&error))
}

fn make_tables(disk: &Disk) -> Result<(), Box<dyn std::error::Error>> {
    let path = disk.path(&unfinished(FILE));
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    schema::make(&Database::create(path)?)?;
    disk.finish(FILE)?;
    Ok(())
}
