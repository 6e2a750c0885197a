//! The first look: everything is read, nothing is stored.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;

use chrono::DateTime;
use marquee_core::domain::Rating;
use marquee_core::text::printable;

use super::column_map::ColumnMap;
use super::files::{Files, Input, files};
use super::left_out::{LeftOut, PassedOver};
use super::records::{Records, Texts};
pub use super::rows::MappedEvent;
use super::rows::{EventRows, Facts, ItemRows};
use crate::import::{ImportError, MalformedRow, RowError, Units};

/// Events that are shown.
const SHOWN: usize = 10;

/// A file is of other units when more than one in so many of its rows is.
const ONE_IN: u64 = 10;

/// What lies there.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Events that an import would store.
    pub events: u64,
    /// Of how many users.
    pub users: u64,
    /// The first of them.
    pub first: Vec<MappedEvent>,
    /// Rows that an import would leave out.
    pub(super) left_out: LeftOut,
    /// Every item by its key or number, with what is said of it.
    pub(super) items: BTreeMap<String, Facts>,
    /// Rows that would be sound in another unit or scale, and the first of them.
    other_units: Option<(MalformedRow, u64)>,
    /// What was read last, for a message about nothing.
    file: String,
    /// Files of the folder that are not read.
    pub(super) passed_over: PassedOver,
}

impl Look {
    /// How many items there are.
    pub fn items(&self) -> u64 {
        self.items.len() as u64
    }

    /// Refuses what is not to be imported: any malformed row if `strict`, files of other units, and nothing at all.
    ///
    /// # Errors
    /// [`ImportError`] that says why.
    pub fn check(&self, strict: bool) -> Result<(), ImportError> {
        let rows = self.events + self.left_out.rows;
        if let Some((row, like_it)) = &self.other_units
            && like_it * ONE_IN > rows
        {
            let (row, like_it) = (row.clone(), *like_it);
            return Err(ImportError::OtherUnits { row, like_it, looked_at: rows });
        }
        match self.left_out.first.first() {
            Some(first) if strict => Err(ImportError::Malformed(first.clone())),
            Some(first) if self.events == 0 && self.items.is_empty() => {
                Err(ImportError::NothingRead { rows: self.left_out.rows, first: first.clone() })
            }
            None if self.events == 0 && self.items.is_empty() => {
                Err(ImportError::Empty { file: self.file.clone() })
            }
            _ => Ok(()),
        }
    }

    fn leave_out(&mut self, row: MalformedRow) {
        if row.error.is_of_other_units() {
            self.other_units.get_or_insert_with(|| (row.clone(), 0)).1 += 1;
        }
        self.left_out.add(row);
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} interactions of {} users with {} items", self.events, self.users, self.items())?;
        for event in &self.first {
            let MappedEvent { user, item, time_ms, kind, rating } = event;
            let title = self.items.get(item).and_then(|facts| facts.title.as_deref()).unwrap_or_default();
            let stars = rating.map(|rating| format!(" {} stars", Rating::stars(rating))).unwrap_or_default();
            let (user, item, title) = (printable(user), printable(item), printable(title));
            let time =
                DateTime::from_timestamp_millis(*time_ms).map(|time| time.to_rfc3339()).unwrap_or_default();
            writeln!(f, "  user {user}  item {item} {title}  {time}  {}{stars}", kind.name())?;
        }
        write!(f, "{}{}", self.left_out, self.passed_over)
    }
}

/// Looks at everything that a path and a map mean.
pub(super) fn look(path: &Path, map: &ColumnMap, units: Units) -> Result<Look, ImportError> {
    let mut look = Look::default();
    let lists_items = map.items.is_some();
    if let Some(items) = &map.items {
        let rows = ItemRows::of(items, map.item_ids);
        for input in files(path, Some(&items.files))?.inputs {
            look.file = input.name();
            each_row(&input, rows.columns(), |line, outcome| {
                match outcome.and_then(|texts| rows.read(texts)) {
                    Ok((item, facts)) => _ = look.items.insert(item, facts),
                    Err(error) => look.leave_out(MalformedRow { file: input.name(), line, error }),
                }
                true
            })?;
        }
    }
    let Some(rows) = EventRows::of(map, units)? else { return Ok(look) };
    let mut users = HashSet::new();
    let files = event_files(path, map)?;
    look.passed_over = PassedOver(files.passed_over);
    for input in files.inputs {
        look.file = input.name();
        each_row(&input, rows.columns(), |line, outcome| {
            let read = outcome.and_then(|texts| rows.read(texts)).and_then(|(event, facts)| {
                let is_known = !lists_items || look.items.contains_key(&event.item);
                if is_known { Ok((event, facts)) } else { Err(RowError::UnknownItem(event.item)) }
            });
            match read.and_then(|(event, facts)| Ok((rows.user_id(&event.user)?, event, facts))) {
                Ok((user_id, event, facts)) => {
                    look.events += 1;
                    users.insert(user_id);
                    if look.first.len() < SHOWN {
                        look.first.push(event.clone());
                    }
                    if !lists_items {
                        look.items.entry(event.item).or_default().complete(facts);
                    }
                }
                Err(error) => look.leave_out(MalformedRow { file: input.name(), line, error }),
            }
            true
        })?;
    }
    look.users = users.len() as u64;
    Ok(look)
}

impl Facts {
    /// Takes what was not said yet.
    fn complete(&mut self, facts: Self) {
        if self.title.is_none() {
            self.title = facts.title;
        }
        if self.genres.is_empty() {
            self.genres = facts.genres;
        }
        for attribute in facts.attributes {
            if self.attributes.iter().all(|said| said.name != attribute.name) {
                self.attributes.push(attribute);
            }
        }
    }
}

/// The files with events: all that the path means, but those of items.
pub(super) fn event_files(path: &Path, map: &ColumnMap) -> Result<Files, ImportError> {
    if path.is_file() {
        return files(path, None);
    }
    let mut found = files(path, map.files.as_deref())?;
    if let Some(items) = map.items.as_ref().filter(|_| map.files.is_none()) {
        let of_items = files(path, Some(&items.files))?.inputs;
        found.inputs.retain(|input| !of_items.contains(input));
        found.passed_over.retain(|name| of_items.iter().all(|input| input.base_name() != *name));
    }
    Ok(found)
}

/// Calls `take` with every row of a file, its line, and what is wrong with it, until it declines.
pub(super) fn each_row(
    input: &Input,
    columns: &[&str],
    mut take: impl FnMut(u64, Result<&[String], RowError>) -> bool,
) -> Result<(), ImportError> {
    let failed = |error: io::Error| ImportError::io(input.path.display(), error);
    let mut records = Records::open(input, columns)?;
    let mut texts = Texts::new();
    while let Some((line, outcome)) = records.next(&mut texts).map_err(failed)? {
        if !take(line, outcome.map(|()| texts.as_slice())) {
            return Ok(());
        }
    }
    Ok(())
}
