//! How a file went: one that gave nothing is an error, however politely each of its rows was left out.

use super::ImportError;
use super::report::MalformedRow;
use super::source::{SourceFile, Table};

/// The rows of a file so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    read: u64,
    malformed: u64,
    first_malformed: Option<MalformedRow>,
}

impl Tally {
    /// Counts rows that were read.
    pub(super) fn read(&mut self, rows: u64) {
        self.read += rows;
    }

    /// Counts a row that was left out.
    pub(super) fn leave_out(&mut self, row: &MalformedRow) {
        self.malformed += 1;
        self.first_malformed.get_or_insert_with(|| row.clone());
    }

    /// Whether anything came of the file. Tags and links may be none, ratings and movies not.
    pub(super) fn check(self, file: &SourceFile, table: Table) -> Result<(), ImportError> {
        let may_be_empty = matches!(table, Table::Tags | Table::Links);
        match self.first_malformed {
            _ if self.read > 0 => Ok(()),
            Some(first) => Err(ImportError::NothingRead { rows: self.malformed, first }),
            None if may_be_empty => Ok(()),
            None => Err(ImportError::Empty { file: file.name.clone() }),
        }
    }
}
