//! What was left out: rows, counted and the first of them shown, and files that nothing names.

use std::fmt;

use marquee_core::text::{list, printable};

use crate::import::MalformedRow;

/// The most bytes of the names of files that are shown.
const NAMES_BYTES: usize = 400;

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

/// Files of a folder that are not read, since nothing says that they hold data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver(pub Vec<String>);

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let names = list(self.0.iter(), ", ", NAMES_BYTES);
        writeln!(
            f,
            "not read, for its name is not one of data (`files` in the map names it otherwise): {}",
            printable(&names)
        )
    }
}
