//! Rows that were left out, counted and the first of them shown.

use std::fmt;

use crate::import::MalformedRow;

/// Malformed rows that are kept to be shown.
const SHOWN: usize = 10;

/// Rows that were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many.
    pub rows: u64,
    /// The first of them.
    pub first: Vec<MalformedRow>,
}

impl LeftOut {
    pub(super) fn add(&mut self, row: MalformedRow) {
        self.rows += 1;
        if self.first.len() < SHOWN {
            self.first.push(row);
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows > 0 {
            writeln!(f, "{} malformed rows left out, the first of them:", self.rows)?;
            for row in &self.first {
                writeln!(f, "  {row}")?;
            }
        }
        Ok(())
    }
}
